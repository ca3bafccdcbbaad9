//! The strength sweep as a picture: divergence from either model over doses.

use api::StrengthUnit;

use super::{
    decimal::share,
    markup::{at, fill},
    numbers::{fixed, tick},
};
use crate::state::edit::EditKind;

/// The doses at which an intervention is tried; as many as a request has lanes.
pub(crate) fn doses(kind: EditKind, unit: StrengthUnit) -> [f64; 8] {
    let signed = [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0];
    let reach = match (kind, unit) {
        (EditKind::Clamp, StrengthUnit::MaxActivation) => {
            return [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];
        }
        (EditKind::Clamp, _) => return [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        (EditKind::Add, StrengthUnit::Norm | StrengthUnit::Raw) => 40.0,
        _ => 4.0,
    };
    signed.map(|dose| dose * reach)
}

/// The chart of what each dose diverges from chat and from base, in nats.
pub(crate) fn picture(doses: &[f64], points: &[Vec<f32>]) -> String {
    let top: f64 = points
        .iter()
        .flatten()
        .copied()
        .fold(0.001, f32::max)
        .into();
    let (low, high) = match (doses.first(), doses.last()) {
        (Some(low), Some(high)) => (*low, *high),
        _ => return String::new(),
    };
    let place = |dose: f64| (dose - low) / (high - low).max(f64::MIN_POSITIVE);
    let mut out = String::new();
    fill(
        &mut out,
        "<div class=\"plot\"><div class=\"counts\"><span data-style=\"bottom:0\">0</span><span data-style=\"bottom:100%\">{}</span></div>\
         <div class=\"area\"><svg viewBox=\"0 0 1 1\" preserveAspectRatio=\"none\"><path class=\"grid\" d=\"M0 0H1M0 .5H1M0 1H1\"/>",
        &[&fixed(top, 1)],
    );
    for (model, class) in ["kl-chat", "kl-base"].into_iter().enumerate() {
        let line: Vec<String> = doses
            .iter()
            .zip(points)
            .map(|(dose, kl)| {
                let kl = f64::from(kl.get(model).copied().unwrap_or_default());
                format!("{},{}", at(place(*dose)), at(1.0 - kl / top))
            })
            .collect();
        let template = "<polyline class=\"{}\" points=\"{}\"/>";
        fill(&mut out, template, &[class, &line.join(" ")]);
    }
    out.push_str("</svg></div></div><div class=\"ticks\">");
    let zero = (low < 0.0 && high > 0.0).then_some(("", 0.0));
    for (class, dose) in [("start", low), ("end", high)].into_iter().chain(zero) {
        let template = "<span class=\"{}\" data-style=\"left:{}\">{}</span>";
        fill(
            &mut out,
            template,
            &[class, &share(place(dose)), &tick(dose)],
        );
    }
    out.push_str("</div>");
    out
}

/// The same as numbers.
pub(crate) fn table(doses: &[f64], points: &[Vec<f32>]) -> String {
    let mut out = String::from(
        "<table class=\"rows small\"><thead><tr><th scope=\"col\">dose</th><th scope=\"col\">KL from chat</th>\
         <th scope=\"col\">KL from base</th></tr></thead>",
    );
    for (dose, kl) in doses.iter().zip(points) {
        let nats = |model: usize| {
            kl.get(model)
                .map_or(String::new(), |kl| fixed((*kl).into(), 3))
        };
        let values = [tick(*dose), nats(0), nats(1)];
        let [dose, chat, base] = values.each_ref().map(String::as_str);
        let template =
            "<tr><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>";
        fill(&mut out, template, &[dose, chat, base]);
    }
    out.push_str("</table>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_spans_doses_and_divergences() {
        let doses = doses(EditKind::Add, StrengthUnit::MaxActivation);
        assert_eq!((doses[0], doses[7]), (-4.0, 4.0));
        assert!(doses.contains(&0.0) && doses.is_sorted());
        let points: Vec<Vec<f32>> = (0..8u8)
            .map(|i| vec![f32::from(i), 7.0 - f32::from(i)])
            .collect();
        let picture = picture(&doses, &points);
        assert!(
            picture.contains("points=\"0.0000,1.0000 ") && picture.contains(" 1.0000,0.0000\""),
            "{picture}"
        );
        assert!(picture.contains(">7.0</span>"), "{picture}");
        assert_eq!(table(&doses, &points).matches("<tr>").count(), 9);
    }
}
