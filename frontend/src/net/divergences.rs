//! What the lab shows of `/effects` and `/explain`, as rows of numbers.

use super::json::Json;

/// For each lane KL from chat and from base at the last position, in nats.
///
/// # Errors
/// A sentence.
pub(crate) fn read(body: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let last = |lane: &Json<'_>, name: &str| {
        let last = lane.get(name).list()?.last()?.number()?;
        Some(last as f32)
    };
    let both = |lane| {
        Some(vec![
            last(lane, "kl_from_chat")?,
            last(lane, "kl_from_base")?,
        ])
    };
    let lanes = json.get("lanes").list().unwrap_or_default();
    let all: Option<Vec<_>> = lanes.iter().map(both).collect();
    all.filter(|lanes| !lanes.is_empty())
        .ok_or("Its divergences cannot be read.".into())
}

/// KL from chat, then from base, of the first lane at every position, in nats.
///
/// # Errors
/// A sentence.
pub(crate) fn read_positions(body: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let lane = json.get("lanes").list().and_then(<[_]>::first);
    let all = |name: &str| -> Option<Vec<f32>> {
        let values = lane?.get(name).list()?.iter();
        values.map(|x| x.number().map(|x| x as f32)).collect()
    };
    let both = ["kl_from_chat", "kl_from_base"].map(all);
    let both: Option<Vec<_>> = both.into_iter().collect();
    both.ok_or("Its divergences cannot be read.".into())
}

/// Of an explanation first divergence before, divergence with all latents moved and their number, then a row with id and divergence for
/// each latent.
///
/// # Errors
/// A sentence.
pub(crate) fn read_explanation(body: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let row = |of: &Json<'_>, names: &[&str]| -> Option<Vec<f32>> {
        let number = |name: &&str| of.get(name).number().map(|x| x as f32);
        names.iter().map(number).collect()
    };
    let head = row(&json, &["kl_before", "kl_all", "active"]);
    let latents = json.get("latents").list().unwrap_or_default().iter();
    let rows = latents.map(|latent| row(latent, &["id", "kl_after"]));
    std::iter::once(head)
        .chain(rows)
        .collect::<Option<_>>()
        .ok_or("Its divergences cannot be read.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_position_is_read_by_the_wire_s_names() {
        let lane = |chat: f32, base: f32| api::LaneEffects {
            kl_from_chat: vec![9.0, chat],
            kl_from_base: vec![9.0, base],
            top: Vec::new(),
        };
        let answer = api::EffectsResponse {
            tokens: Vec::new(),
            lanes: vec![lane(0.5, 0.25), lane(0.0, 2.0)],
        };
        let body = serde_json::to_vec(&answer).unwrap();
        assert_eq!(read(&body), Ok(vec![vec![0.5, 0.25], vec![0.0, 2.0]]));
        assert!(read(b"{\"lanes\": [{\"kl_from_chat\": []}]}").is_err());
        let first = vec![vec![9.0, 0.5], vec![9.0, 0.25]];
        assert_eq!(read_positions(&body), Ok(first));
        assert!(read_positions(b"{\"lanes\": []}").is_err());
    }

    #[test]
    fn an_explanation_is_read_by_the_wire_s_names() {
        let latent = |id, kl_after| api::ExplainedLatent {
            id,
            value: 3.0,
            contribution: 4.0,
            kl_after,
        };
        let answer = api::ExplainResponse {
            token: 5,
            active: 9,
            kl_before: 0.5,
            kl_all: 0.125,
            latents: vec![latent(7, 0.25), latent(3, 0.5)],
        };
        let body = serde_json::to_vec(&answer).unwrap();
        let rows = vec![vec![0.5, 0.125, 9.0], vec![7.0, 0.25], vec![3.0, 0.5]];
        assert_eq!(read_explanation(&body), Ok(rows));
        assert!(read_explanation(b"{}").is_err());
    }
}
