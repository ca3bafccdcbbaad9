//! A saved run as its page needs it, with its lanes as the lab's forms.

use api::{Message, ModelName, RunOutput, Sampling, StrengthUnit, TokenInfo};

use super::{
    answer::{Answer, Wrong, field},
    json::Json,
};
use crate::state::{
    edit::{Edit, EditKind, LaneForm},
    lab::{LabState, PromptForm},
};

/// A saved run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SavedRun {
    /// Its id.
    pub(crate) id: String,
    /// When it was saved, in seconds since 1970.
    pub(crate) saved: f64,
    /// Name of the study.
    pub(crate) study: String,
    /// Names of base and chat.
    pub(crate) models: (String, String),
    /// Slug of the dictionary.
    pub(crate) dictionary: String,
    /// Version of the program.
    pub(crate) version: String,
    /// The prompt's tokens.
    pub(crate) tokens: Vec<TokenInfo>,
    /// The prompt as a form; `None` for bare token ids.
    pub(crate) prompt: Option<PromptForm>,
    /// The lanes.
    pub(crate) lanes: Vec<LaneForm>,
    /// How tokens were chosen.
    pub(crate) sampling: Sampling,
    /// What each lane generated.
    pub(crate) outputs: Vec<RunOutput>,
}

impl Answer for SavedRun {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        let inputs = json.get("inputs");
        let lanes = inputs.get("lanes").list().ok_or("lanes")?;
        Ok(Self {
            id: field(json, "id")?,
            saved: field(json, "saved")?,
            study: field(json, "study")?,
            models: field(json, "models")?,
            dictionary: field(json, "dictionary")?,
            version: field(inputs, "version")?,
            tokens: field(json, "tokens")?,
            prompt: prompt(json.get("prompt")),
            lanes: lanes
                .iter()
                .map(lane)
                .collect::<Option<_>>()
                .ok_or("lanes")?,
            sampling: sampling(inputs.get("sampling"))?,
            outputs: field(json, "outputs")?,
        })
    }
}

impl SavedRun {
    /// The lab with this run in it, where its form has room for it.
    pub(crate) fn lab(&self) -> Option<LabState> {
        let [plain, steered, rest @ ..] = self.lanes.as_slice() else {
            return None;
        };
        let control: Vec<(u32, u32)> = match rest {
            [] => Vec::new(),
            [control] => {
                let ids = |lane: &LaneForm| -> Vec<u32> {
                    lane.edits
                        .iter()
                        .flat_map(|edit| edit.latents.clone())
                        .collect()
                };
                let (own, other) = (ids(steered), ids(control));
                own.into_iter().zip(other).collect()
            }
            _ => return None,
        };
        let lab = LabState {
            dictionary: Some(self.dictionary.clone()),
            prompt: self.prompt.clone()?,
            plain: plain.clone(),
            steered: steered.clone(),
            control,
            sampling: self.sampling,
            ..LabState::default()
        };
        let control = lab.control_lane();
        (control.as_ref() == rest.first()).then_some(lab)
    }
}

fn sampling(json: &Json<'_>) -> Result<Sampling, Wrong> {
    Ok(Sampling {
        max_new_tokens: field(json, "max_new_tokens")?,
        temperature: field(json, "temperature")?,
        top_p: field(json, "top_p")?,
        // A run that keeps all says nothing of it.
        top_k: field::<Option<usize>>(json, "top_k")?.unwrap_or(0),
        seed: field(json, "seed")?,
    })
}

fn prompt(json: &Json<'_>) -> Option<PromptForm> {
    if let Some(text) = json.get("text").text() {
        return Some(PromptForm::Raw(text.to_owned()));
    }
    // The form always asks for an answer where the user has the last word, which is also the default.
    let turns = json.get("messages").list()?.iter().map(|turn| {
        Some(Message {
            role: turn.get("role").text()?.to_owned(),
            content: turn.get("content").text()?.to_owned(),
        })
    });
    let plain = *json.get("add_generation_prompt") == Json::Null;
    turns
        .collect::<Option<_>>()
        .filter(|_| plain)
        .map(PromptForm::Turns)
}

fn model(json: &Json<'_>) -> Option<ModelName> {
    let name = json.text()?;
    ModelName::BOTH.into_iter().find(|m| m.as_str() == name)
}

fn lane(json: &Json<'_>) -> Option<LaneForm> {
    let mut edits = Vec::new();
    let chosen = json.get("sampling");
    for edit in json.get("interventions").list()? {
        read_edit(edit, &mut edits)?;
    }
    Some(LaneForm {
        model: model(json.get("model"))?,
        edits,
        sampling: match chosen {
            Json::Null => None,
            chosen => Some(sampling(chosen).ok()?),
        },
    })
}

/// Reads an intervention; `add` of several latents with strengths of their own becomes one for each, which sum to the same.
fn read_edit(json: &Json<'_>, edits: &mut Vec<Edit>) -> Option<()> {
    let name = json.get("kind").text()?;
    let kind = EditKind::ALL.into_iter().find(|k| k.as_str() == name)?;
    let mut edit = Edit {
        kind,
        amount: json.get(kind.amount_name()).number().unwrap_or_default(),
        unit: match (kind, json.get("unit").text()) {
            (_, Some("norm")) => StrengthUnit::Norm,
            (_, Some("raw")) | (EditKind::Clamp, None | Some("activation")) => StrengthUnit::Raw,
            _ => StrengthUnit::MaxActivation,
        },
        decoder: model(json.get("decoder")),
        from: model(json.get("from")).unwrap_or(ModelName::Base),
        positions: Answer::from_json(json.get("positions")).ok()?,
        ..Edit::default()
    };
    // "all" is no list: no latents are all latents to `move`.
    let latents = json.get("latents").list().unwrap_or_default();
    if kind != EditKind::Add {
        edit.latents = latents
            .iter()
            .filter_map(|id| Some(id.number()? as u32))
            .collect();
        edits.push(edit);
        return Some(());
    }
    for (i, latent) in latents.iter().enumerate() {
        let (id, amount) = (
            latent.get("id").number()? as u32,
            latent.get("strength").number()?,
        );
        if i > 0 && edit.amount != amount {
            edits.push(edit.clone());
            edit.latents.clear();
        }
        edit.amount = amount;
        edit.latents.push(id);
    }
    edits.push(edit);
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::net::answer::read;

    fn saved(lab: &LabState) -> SavedRun {
        let request = lab.generate("d").unwrap();
        let run = json!({
            "id": "0a", "saved": 1_700_000_000, "study": "s", "models": ["b", "c"], "dictionary": "d", "prompt": request.prompt,
            "tokens": [{ "id": 2, "text": "<bos>", "kind": "bos" }],
            "inputs": { "version": "1", "lanes": request.lanes, "sampling": request.sampling },
            "outputs": [{ "reason": "stop", "tokens": [{ "id": 1, "text": "a", "logprob": -0.5 }] }],
        });
        read(run.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_saved_run_leads_back_to_the_lab() {
        for lanes in [
            "lane=chat&lane=chat;add:17,90*1.5:norm:base:at-generated;take:chat:at-template;scale:3*0",
            "lane=base&lane=chat;move:*1;clamp:5*2;project_out:9,4:base;reconstruct:at-first_answer-10",
            "lane=chat&lane=chat;add:17*2&control=17-8",
            "lane=chat~8,0.5,0.9,20,3&lane=chat;clamp:17*2:max&top_k=7",
        ] {
            let query = format!("d=d&u=Hi&{lanes}&seed=4");
            let lab = crate::state::UrlState::read(&query);
            let run = saved(&lab);
            assert_eq!(run.lab(), Some(lab));
        }
    }

    #[test]
    fn strengths_of_their_own_become_interventions_of_their_own() {
        let text = r#"{"model":"chat","interventions":[{"kind":"add","latents":[{"id":1,"strength":2},{"id":2,"strength":2},{"id":3,"strength":-1}],"unit":"raw","positions":"all"}]}"#;
        let json = Json::parse(text.as_bytes()).unwrap();
        assert_eq!(
            lane(&json).unwrap().to_string(),
            "chat;add:1,2*2:raw;add:3*-1:raw"
        );
    }
}
