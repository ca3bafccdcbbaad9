//! Where an intervention acts.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Positions count from 0 at BOS over prompt and generated tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Positions {
    /// Every position, BOS included.
    #[default]
    All,
    /// The prompt's positions; the last one predicts the first generated token.
    Prompt,
    /// The positions after the prompt; in `/effects` those that the request counts as generated, by default none.
    Generated,
    /// Control tokens of the chat template.
    Template,
    /// Neither BOS nor template.
    Content,
    /// For each answer, the K positions that predict its first K tokens.
    FirstAnswer(usize),
    /// Exactly these positions.
    List(Vec<usize>),
}

impl Serialize for Positions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Prompt => serializer.serialize_str("prompt"),
            Self::Generated => serializer.serialize_str("generated"),
            Self::Template => serializer.serialize_str("template"),
            Self::Content => serializer.serialize_str("content"),
            Self::FirstAnswer(k) => serializer.collect_str(&format_args!("first_answer:{k}")),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Positions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Positions;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("all, prompt, generated, template, content, first_answer:K or a list of positions")
            }

            fn visit_str<E: de::Error>(self, s: &str) -> Result<Positions, E> {
                Ok(match s {
                    "all" => Positions::All,
                    "prompt" => Positions::Prompt,
                    "generated" => Positions::Generated,
                    "template" => Positions::Template,
                    "content" => Positions::Content,
                    _ => {
                        let k = s.strip_prefix("first_answer:").and_then(|k| k.parse().ok());
                        Positions::FirstAnswer(
                            k.ok_or_else(|| E::invalid_value(de::Unexpected::Str(s), &self))?,
                        )
                    }
                })
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Positions, A::Error> {
                let mut list = Vec::new();
                while let Some(position) = seq.next_element()? {
                    list.push(position);
                }
                Ok(Positions::List(list))
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

    impl utoipa::PartialSchema for super::Positions {
        fn schema() -> RefOr<Schema> {
            let named = ObjectBuilder::new().schema_type(Type::String).pattern(Some(
                "^(all|prompt|generated|template|content|first_answer:[0-9]+)$",
            ));
            let list = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Integer));
            Schema::from(OneOfBuilder::new().item(named).item(list)).into()
        }
    }
    impl utoipa::ToSchema for super::Positions {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_round_trip_and_refuse_the_unknown() {
        for (json, value) in [
            ("\"all\"", Positions::All),
            ("\"template\"", Positions::Template),
            ("\"first_answer:10\"", Positions::FirstAnswer(10)),
            ("[0,7]", Positions::List(vec![0, 7])),
        ] {
            assert_eq!(serde_json::from_str::<Positions>(json).unwrap(), value);
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
        }
        for bad in [
            "\"first_answer:\"",
            "\"first_answer:-1\"",
            "\"answers\"",
            "[-1]",
            "3",
        ] {
            assert!(serde_json::from_str::<Positions>(bad).is_err(), "{bad}");
        }
    }
}
