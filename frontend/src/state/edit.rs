//! A lane and its interventions as a form holds them and as an address writes them.
//!
//! `chat;add:17*1.5:norm:base:at-generated` is the chat model with 1.5 unit lengths of latent 17's base decoder row added to
//! the residuals of generated tokens; `chat~64,0.7,1,0,3;…` chooses its tokens in a way of its own. Parts that have their default value are
//! left out.

use std::fmt;

use api::{
    ClampUnit, Intervention, Lane, LatentSet, LatentStrength, ModelName, Positions, Sampling,
    StrengthUnit,
};

use super::{
    positions::{positions_text, read_positions},
    sampling,
};
use crate::display::decimal::{self, shortest};

/// The interventions that the lab offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EditKind {
    /// Add decoder rows, firing or not.
    #[default]
    Add,
    /// Multiply codes.
    Scale,
    /// Put a model's own residual in.
    Take,
    /// Move codes from one decoder to the other.
    Move,
    /// Set codes to a value.
    Clamp,
    /// Take directions out.
    ProjectOut,
    /// Put the dictionary's reconstruction in.
    Reconstruct,
}

impl EditKind {
    /// Every kind, in the order of the menu.
    pub(crate) const ALL: [Self; 7] = [
        Self::Add,
        Self::Scale,
        Self::Take,
        Self::Move,
        Self::Clamp,
        Self::ProjectOut,
        Self::Reconstruct,
    ];

    /// The kind in addresses and JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Scale => "scale",
            Self::Take => "take",
            Self::Move => "move",
            Self::Clamp => "clamp",
            Self::ProjectOut => "project_out",
            Self::Reconstruct => "reconstruct",
        }
    }

    /// The amount that a fresh intervention of this kind has.
    pub(crate) fn first_amount(self) -> f64 {
        match self {
            Self::Move => 1.0,
            kind => kind.neutral(),
        }
    }

    /// What the amount is called.
    pub(crate) fn amount_name(self) -> &'static str {
        match self {
            Self::Add => "strength",
            Self::Scale => "factor",
            Self::Clamp => "value",
            _ => "scale",
        }
    }

    /// The amount that changes nothing.
    pub(crate) fn neutral(self) -> f64 {
        match self {
            Self::Scale => 1.0,
            _ => 0.0,
        }
    }

    /// Whether it is about latents.
    pub(crate) fn has_latents(self) -> bool {
        !matches!(self, Self::Take | Self::Reconstruct)
    }

    /// Whether it has an amount.
    pub(crate) fn has_amount(self) -> bool {
        self.has_latents() && self != Self::ProjectOut
    }

    /// Whether its amount is in units.
    pub(crate) fn has_unit(self) -> bool {
        matches!(self, Self::Add | Self::Clamp)
    }

    /// The unit that addresses leave out.
    fn unwritten_unit(self) -> StrengthUnit {
        match self {
            Self::Clamp => StrengthUnit::Raw,
            _ => StrengthUnit::MaxActivation,
        }
    }

    /// Whether it reads decoder rows of one model.
    pub(crate) fn has_decoder(self) -> bool {
        !matches!(self, Self::Take | Self::Move)
    }
}

/// One intervention as a form: fields that the kind does not use keep their value while the kind changes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edit {
    /// What it does.
    pub(crate) kind: EditKind,
    /// Latents that it is about; for `move`, none means all.
    pub(crate) latents: Vec<u32>,
    /// Strength of `add`, factor of `scale`, scale of `move`, value of `clamp`.
    pub(crate) amount: f64,
    /// Unit of `add` and `clamp`, where anything but the natural maximum is v itself.
    pub(crate) unit: StrengthUnit,
    /// Whose decoder rows; `None`: the lane's model's.
    pub(crate) decoder: Option<ModelName>,
    /// Source of `take`.
    pub(crate) from: ModelName,
    /// Where it acts.
    pub(crate) positions: Positions,
}

impl Default for Edit {
    fn default() -> Self {
        Self {
            kind: EditKind::Add,
            latents: Vec::new(),
            amount: 0.0,
            unit: StrengthUnit::MaxActivation,
            decoder: None,
            from: ModelName::Base,
            positions: Positions::All,
        }
    }
}

impl Edit {
    /// The wire type, or `None` while the form names no latent.
    pub(crate) fn to_api(&self) -> Option<Intervention> {
        let (latents, decoder) = (self.latents.clone(), self.decoder);
        let positions = self.positions.clone();
        let unnamed = latents.is_empty();
        Some(match self.kind {
            EditKind::Take => Intervention::Take {
                from: self.from,
                positions,
            },
            EditKind::Move => Intervention::Move {
                latents: if unnamed {
                    LatentSet::All
                } else {
                    LatentSet::Ids(latents)
                },
                scale: self.amount as f32,
                positions,
            },
            EditKind::Reconstruct => Intervention::Reconstruct { decoder, positions },
            _ if unnamed => return None,
            EditKind::Clamp => Intervention::Clamp {
                latents,
                value: self.amount as f32,
                unit: if self.unit == StrengthUnit::MaxActivation {
                    ClampUnit::MaxActivation
                } else {
                    ClampUnit::Activation
                },
                decoder,
                positions,
            },
            EditKind::ProjectOut => Intervention::ProjectOut {
                latents,
                decoder,
                positions,
            },
            EditKind::Add => {
                let strength = self.amount as f32;
                let latents = latents
                    .into_iter()
                    .map(|id| LatentStrength { id, strength });
                Intervention::Add {
                    latents: latents.collect(),
                    decoder,
                    unit: self.unit,
                    positions,
                }
            }
            EditKind::Scale => Intervention::Scale {
                latents,
                factor: self.amount as f32,
                decoder,
                positions,
            },
        })
    }

    /// The form of `kind;…` text; `None` for an unknown kind.
    fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(':');
        let name = fields.next()?;
        let kind = EditKind::ALL.into_iter().find(|k| k.as_str() == name)?;
        let mut edit = Self {
            kind,
            amount: kind.first_amount(),
            unit: kind.unwritten_unit(),
            ..Self::default()
        };
        for field in fields {
            edit.read_field(field);
        }
        Some(edit)
    }

    fn read_field(&mut self, field: &str) {
        match (field, field.split_once('*')) {
            ("norm", _) => self.unit = StrengthUnit::Norm,
            ("raw", _) => self.unit = StrengthUnit::Raw,
            ("max", _) => self.unit = StrengthUnit::MaxActivation,
            ("base" | "chat", _) => {
                let model = if field == "base" {
                    ModelName::Base
                } else {
                    ModelName::Chat
                };
                if self.kind == EditKind::Take {
                    self.from = model;
                } else {
                    self.decoder = Some(model);
                }
            }
            (_, Some((ids, amount))) => {
                self.latents = ids.split(',').filter_map(|id| id.parse().ok()).collect();
                self.amount = decimal::read(amount).unwrap_or(self.amount);
            }
            (_, None) => match field.strip_prefix("at-") {
                Some(text) => {
                    if let Some(positions) = read_positions(text) {
                        self.positions = positions;
                    }
                }
                None => {
                    self.latents = field.split(',').filter_map(|id| id.parse().ok()).collect();
                }
            },
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if self.kind == EditKind::Take {
            write!(f, ":{}", self.from.as_str())?;
        }
        if self.kind.has_latents() {
            let ids: Vec<String> = self.latents.iter().map(u32::to_string).collect();
            write!(f, ":{}", ids.join(","))?;
        }
        if self.kind.has_amount() {
            write!(f, "*{}", shortest(self.amount))?;
        }
        if self.kind.has_unit() && self.unit != self.kind.unwritten_unit() {
            f.write_str(match self.unit {
                StrengthUnit::MaxActivation => ":max",
                StrengthUnit::Norm => ":norm",
                StrengthUnit::Raw => ":raw",
            })?;
        }
        if let Some(model) = self.decoder.filter(|_| self.kind.has_decoder()) {
            write!(f, ":{}", model.as_str())?;
        }
        if self.positions != Positions::All {
            write!(f, ":at-{}", positions_text(&self.positions))?;
        }
        Ok(())
    }
}

/// A lane as a form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LaneForm {
    /// The lane's model.
    pub(crate) model: ModelName,
    /// Its interventions in order.
    pub(crate) edits: Vec<Edit>,
    /// How its tokens are chosen; `None`: as in the other lanes.
    pub(crate) sampling: Option<Sampling>,
}

impl LaneForm {
    /// A model as it is.
    pub(crate) fn plain(model: ModelName) -> Self {
        Self {
            model,
            edits: Vec::new(),
            sampling: None,
        }
    }

    /// The chat model with one latent added at the given strength.
    pub(crate) fn adding(latents: Vec<u32>, amount: f64) -> Self {
        Self {
            model: ModelName::Chat,
            edits: vec![Edit {
                latents,
                amount,
                ..Edit::default()
            }],
            sampling: None,
        }
    }

    /// The wire type; interventions that name no latent yet are left out.
    pub(crate) fn to_api(&self) -> Lane {
        Lane {
            model: self.model,
            interventions: self.edits.iter().filter_map(Edit::to_api).collect(),
            sampling: self.sampling,
        }
    }

    /// The latents that its interventions name, each once.
    pub(crate) fn latents(&self) -> Vec<u32> {
        let named = self.edits.iter().filter(|edit| edit.kind.has_latents());
        let mut ids: Vec<u32> = named.flat_map(|edit| edit.latents.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The same lane with other latents; `None` unless it names some and there is another for each.
    pub(crate) fn with_latents(&self, others: &[(u32, u32)]) -> Option<Self> {
        let mut lane = self.clone();
        for edit in lane.edits.iter_mut().filter(|e| e.kind.has_latents()) {
            for id in &mut edit.latents {
                *id = others.iter().find(|(like, _)| like == id)?.1;
            }
        }
        (!self.latents().is_empty()).then_some(lane)
    }

    /// Reads what [`fmt::Display`] writes; unknown interventions are left out.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let first = parts.next()?;
        let (name, chosen) = match first.split_once('~') {
            Some((name, chosen)) => (name, Some(sampling::read(chosen))),
            None => (first, None),
        };
        let model = match name {
            "base" => ModelName::Base,
            "chat" => ModelName::Chat,
            _ => return None,
        };
        Some(Self {
            model,
            edits: parts.filter_map(Edit::read).collect(),
            sampling: chosen,
        })
    }
}

impl fmt::Display for LaneForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_str())?;
        if let Some(chosen) = &self.sampling {
            write!(f, "~{}", sampling::text(chosen))?;
        }
        self.edits.iter().try_for_each(|edit| write!(f, ";{edit}"))
    }
}

/// Latent ids of a dictionary with `all` latents, separated by commas or blanks.
///
/// # Errors
/// A sentence that names the word that is no id, does not exist or comes twice.
pub(crate) fn read_ids(text: &str, all: usize) -> Result<Vec<u32>, String> {
    let mut ids: Vec<u32> = Vec::new();
    for word in text.split([',', ' ', ';']).filter(|word| !word.is_empty()) {
        let id: u32 = word
            .parse()
            .map_err(|_| format!("“{word}” is no latent id"))?;
        if id as usize >= all {
            return Err(format!("there is no latent {id}: the dictionary has {all}"));
        }
        if ids.contains(&id) {
            return Err(format!("{id} is named twice"));
        }
        ids.push(id);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_round_trip() {
        for text in [
            "chat",
            "base",
            "chat;add:17*1.5",
            "chat;add:17,90*-2:norm:base:at-generated",
            "base;take:chat:at-template;scale:3*0:chat",
            "base;move:*1",
            "chat;move:4,5*-1:at-first_answer-10;add:*0:raw:at-0,3,7",
            "chat;clamp:4,5*2.5:base:at-content;project_out:9,4:base;reconstruct:chat:at-prompt",
            "base;project_out:;reconstruct",
            "chat~32,0.7,0.9,40,3;clamp:4*1.5:max",
        ] {
            let lane = LaneForm::read(text).unwrap();
            assert_eq!(lane.to_string(), text);
            assert_eq!(LaneForm::read(&lane.to_string()), Some(lane));
        }
        assert_eq!(LaneForm::read("tuned;add:1*2"), None);
        assert_eq!(
            LaneForm::read("chat;explode:1").unwrap(),
            LaneForm::plain(ModelName::Chat)
        );
    }

    #[test]
    fn forms_become_wire_lanes() {
        let lane =
            LaneForm::read("chat;add:17*1.5:norm;scale:4*0;take:base;move:*-1;add:*3;clamp:5*2:base;clamp:5*2:max;project_out:9,4;reconstruct").unwrap();
        let json = serde_json::to_string(&lane.to_api()).unwrap();
        let expected: Lane = serde_json::from_str(
            r#"{"model":"chat","interventions":[
                {"kind":"add","latents":[{"id":17,"strength":1.5}],"unit":"norm"},
                {"kind":"scale","latents":[4],"factor":0},
                {"kind":"take","from":"base"},
                {"kind":"move","latents":"all","scale":-1},
                {"kind":"clamp","latents":[5],"value":2,"decoder":"base"},
                {"kind":"clamp","latents":[5],"value":2,"unit":"max_activation"},
                {"kind":"project_out","latents":[9,4]},
                {"kind":"reconstruct"}]}"#,
        )
        .unwrap();
        assert_eq!(serde_json::from_str::<Lane>(&json).unwrap(), expected);
    }

    #[test]
    fn a_control_has_other_latents_and_the_same_rest() {
        let lane = LaneForm::read("chat;take:base;add:17,3*1.5:norm;project_out:3").unwrap();
        assert_eq!(lane.latents(), [3, 17]);
        let control = lane.with_latents(&[(3, 30), (17, 90)]).unwrap();
        assert_eq!(
            control.to_string(),
            "chat;take:base;add:90,30*1.5:norm;project_out:30"
        );
        assert_eq!(lane.with_latents(&[(3, 30)]), None);
        assert_eq!(LaneForm::plain(ModelName::Chat).with_latents(&[]), None);
    }

    #[test]
    fn ids_are_checked() {
        assert_eq!(read_ids(" 17, 90;3 ", 100), Ok(vec![17, 90, 3]));
        assert_eq!(read_ids("", 100), Ok(vec![]));
        assert!(read_ids("17,17", 100).unwrap_err().contains("twice"));
        assert!(read_ids("100", 100).unwrap_err().contains("has 100"));
        assert!(read_ids("-1", 100).is_err());
    }
}
