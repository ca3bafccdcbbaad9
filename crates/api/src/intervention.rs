//! Lanes and the interventions that edit the residual stream after the study's layer.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{ModelName, Positions, Sampling};

/// One column of an experiment: a model with a list of interventions, applied in order to the residual after the study's layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The model whose lower half starts the lane and whose upper half ends it.
    pub model: ModelName,
    /// Edits, in order, at most 64; none: the plain model.
    #[serde(default)]
    pub interventions: Vec<Intervention>,
    /// How this lane's tokens are chosen; by default as the request says. It counts in generations only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
}

/// Latent ids, or all of the dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LatentSet {
    /// Every latent.
    All,
    /// These latents.
    Ids(Vec<u32>),
}

/// A latent and how strongly it is added, in the intervention's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LatentStrength {
    /// Latent id.
    pub id: u32,
    /// Multiple of the unit; negative removes.
    pub strength: f32,
}

/// The unit of `add`'s strength.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StrengthUnit {
    /// (max_activation / w)·d: the latent's contribution at its natural maximum.
    #[default]
    MaxActivation,
    /// d / ‖d‖.
    Norm,
    /// d as stored.
    Raw,
}

/// The unit of `clamp`'s value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClampUnit {
    /// v itself.
    #[default]
    Activation,
    /// The latent's natural maximum.
    MaxActivation,
}

impl ClampUnit {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// An edit of the residual h after the study's layer. `decoder` defaults to the lane's model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Intervention {
    /// h ← the unedited residual of `from`.
    Take {
        /// Whose residual.
        from: ModelName,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// h += scale·Σ f_j (d_j of the lane's model − d_j of the other); no bias.
    Move {
        /// Which latents.
        latents: LatentSet,
        /// Factor on the sum.
        #[serde(default = "one")]
        scale: f32,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// h += Σ strength·u_j wherever it acts, whether the latent fires or not.
    Add {
        /// Which latents, how strongly.
        latents: Vec<LatentStrength>,
        /// Whose decoder rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decoder: Option<ModelName>,
        /// What strength 1 means.
        #[serde(default)]
        unit: StrengthUnit,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// g'_j = factor·g_j; h += (g'_j − g_j)·d_j; factor 0 ablates.
    Scale {
        /// Which latents.
        latents: Vec<u32>,
        /// Factor on the code.
        factor: f32,
        /// Whose decoder rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decoder: Option<ModelName>,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// g'_j = value/w_j, firing or not.
    Clamp {
        /// Which latents.
        latents: Vec<u32>,
        /// v after the edit in units, ≥ 0.
        value: f32,
        /// What value 1 means.
        #[serde(default, skip_serializing_if = "ClampUnit::is_usual")]
        unit: ClampUnit,
        /// Whose decoder rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decoder: Option<ModelName>,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// For each latent in order, h −= ⟨h,u⟩u with u = d_j/‖d_j‖.
    ProjectOut {
        /// Which latents.
        latents: Vec<u32>,
        /// Whose decoder rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decoder: Option<ModelName>,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
    /// h ← Σ_j g_j d_j + b_dec.
    Reconstruct {
        /// Whose decoder.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decoder: Option<ModelName>,
        /// Where.
        #[serde(default)]
        positions: Positions,
    },
}

fn one() -> f32 {
    1.0
}

impl Intervention {
    /// The kind as written in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Take { .. } => "take",
            Self::Move { .. } => "move",
            Self::Add { .. } => "add",
            Self::Scale { .. } => "scale",
            Self::Clamp { .. } => "clamp",
            Self::ProjectOut { .. } => "project_out",
            Self::Reconstruct { .. } => "reconstruct",
        }
    }

    /// Where the intervention acts.
    pub fn positions(&self) -> &Positions {
        match self {
            Self::Take { positions, .. }
            | Self::Move { positions, .. }
            | Self::Add { positions, .. }
            | Self::Scale { positions, .. }
            | Self::Clamp { positions, .. }
            | Self::ProjectOut { positions, .. }
            | Self::Reconstruct { positions, .. } => positions,
        }
    }
}

impl Serialize for LatentSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Ids(ids) => ids.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LatentSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = LatentSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\" or a list of latent ids")
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<LatentSet, E> {
                if s == "all" {
                    Ok(LatentSet::All)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(s), &self))
                }
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<LatentSet, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element()? {
                    ids.push(id);
                }
                Ok(LatentSet::Ids(ids))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "openapi")]
mod schema {
    use utoipa::openapi::{
        RefOr,
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type},
    };

    impl utoipa::PartialSchema for super::LatentSet {
        fn schema() -> RefOr<Schema> {
            let all = ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(["all"]));
            let ids = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Integer));
            Schema::from(OneOfBuilder::new().item(all).item(ids)).into()
        }
    }
    impl utoipa::ToSchema for super::LatentSet {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interventions_have_the_documented_shape() {
        let lane: Lane = serde_json::from_str(
            r#"{"model":"chat","interventions":[{"kind":"take","from":"base"},{"kind":"move","latents":"all"},
               {"kind":"add","latents":[{"id":3,"strength":-2}],"positions":"template"},{"kind":"scale","latents":[1],"factor":0}]}"#,
        )
        .unwrap();
        assert_eq!(
            lane.interventions[1],
            Intervention::Move {
                latents: LatentSet::All,
                scale: 1.0,
                positions: Positions::All
            }
        );
        let back: Lane = serde_json::from_str(&serde_json::to_string(&lane).unwrap()).unwrap();
        assert_eq!(back, lane);
    }

    #[test]
    fn unknown_fields_and_kinds_are_refused() {
        for bad in [
            r#"{"model":"chat","interventions":[{"kind":"take","from":"base","strength":1}]}"#,
            r#"{"model":"chat","interventions":[{"kind":"explode"}]}"#,
            r#"{"model":"tuned"}"#,
        ] {
            assert!(serde_json::from_str::<Lane>(bad).is_err(), "{bad}");
        }
    }
}
