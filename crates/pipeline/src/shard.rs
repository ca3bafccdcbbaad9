//! One shard of paired activations: a safetensors file of whole sequences.
//!
//! Tensors: `activations` [N, 2, D] (base, chat), `tokens` u32 [N], `kinds` u8 [N] (0 BOS, 1 template, 2 content), `roles` u8 [N]
//! (0 nobody, 1 user, 2 assistant) and `offsets` u64 [S + 1], the first token of every sequence and the end. Metadata: `origins`, a JSON list of every sequence's source and labels.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use api::TokenKind;
pub(crate) use gemma::Role;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::corpus::Origin;
use crate::{Error, Result};

/// Number format of stored activations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// As computed.
    #[default]
    F32,
    /// Half the size; flips firings near the threshold.
    Bf16,
    /// Half the size; flips firings near the threshold, and large activations may not fit.
    F16,
}

impl Precision {
    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::Bf16 => Dtype::BF16,
            Self::F16 => Dtype::F16,
        }
    }
}

/// A shard in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Shard {
    /// [N, 2, D]
    pub(crate) activations: Vec<f32>,
    pub(crate) tokens: Vec<u32>,
    pub(crate) kinds: Vec<TokenKind>,
    pub(crate) roles: Vec<Role>,
    /// First token of every sequence; the end of the last is the number of tokens.
    pub(crate) starts: Vec<usize>,
    pub(crate) origins: Vec<Origin>,
}

/// One sequence of a shard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sequence<'a> {
    /// [T, 2, D]
    pub(crate) activations: &'a [f32],
    pub(crate) tokens: &'a [u32],
    pub(crate) kinds: &'a [TokenKind],
    pub(crate) roles: &'a [Role],
    pub(crate) origin: &'a Origin,
}

impl Shard {
    /// Adds a sequence at the end.
    pub(crate) fn push(
        &mut self,
        tokens: &[u32],
        kinds: &[TokenKind],
        roles: &[Role],
        activations: &[f32],
        origin: Origin,
    ) {
        self.starts.push(self.tokens.len());
        self.tokens.extend_from_slice(tokens);
        self.kinds.extend_from_slice(kinds);
        self.roles.extend_from_slice(roles);
        self.activations.extend_from_slice(activations);
        self.origins.push(origin);
    }

    /// Number of sequences.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// First token of every sequence and the one after its last.
    fn spans(&self) -> impl Iterator<Item = (usize, usize)> {
        let ends = self.starts.iter().skip(1).copied();
        let ends = ends.chain([self.tokens.len()]);
        self.starts.iter().copied().zip(ends)
    }

    /// Tokens of every sequence.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.spans().map(|(from, to)| to - from)
    }

    /// Sequences in order. `width` is D.
    pub(crate) fn sequences(&self, width: usize) -> Vec<Sequence<'_>> {
        let row = 2 * width;
        self.spans()
            .zip(&self.origins)
            .filter_map(|((from, to), origin)| {
                Some(Sequence {
                    activations: self.activations.get(from * row..to * row)?,
                    tokens: self.tokens.get(from..to)?,
                    kinds: self.kinds.get(from..to)?,
                    roles: self.roles.get(from..to)?,
                    origin,
                })
            })
            .collect()
    }

    /// The shard's file. `width` is D.
    pub(crate) fn to_bytes(&self, width: usize, precision: Precision) -> Result<Vec<u8>> {
        let activations = encode(&self.activations, precision);
        let tokens: Vec<u8> = self.tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        let kinds: Vec<u8> = self.kinds.iter().map(|&kind| code(kind)).collect();
        let roles: Vec<u8> = self.roles.iter().map(|&role| role_code(role)).collect();
        let offsets: Vec<u8> = self
            .starts
            .iter()
            .copied()
            .chain([self.tokens.len()])
            .flat_map(|start| (start as u64).to_le_bytes())
            .collect();
        let rows = self.tokens.len();
        let fault = |error: &dyn std::fmt::Display| {
            Error::Mismatch(format!("a shard cannot be put together: {error}"))
        };
        let view = |dtype, shape: Vec<usize>, bytes| {
            TensorView::new(dtype, shape, bytes).map_err(|error| fault(&error))
        };
        let views = vec![
            (
                "activations",
                view(precision.dtype(), vec![rows, 2, width], &activations)?,
            ),
            ("tokens", view(Dtype::U32, vec![rows], &tokens)?),
            ("kinds", view(Dtype::U8, vec![rows], &kinds)?),
            ("roles", view(Dtype::U8, vec![rows], &roles)?),
            (
                "offsets",
                view(Dtype::U64, vec![self.starts.len() + 1], &offsets)?,
            ),
        ];
        let origins = serde_json::to_string(&self.origins).map_err(|error| fault(&error))?;
        let metadata = HashMap::from([("origins".to_string(), origins)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| fault(&error))
    }

    /// Reads a shard of width D and checks it: names, shapes, order of offsets, finite activations.
    pub(crate) fn read(path: &Path, width: usize, bytes: &[u8]) -> Result<Self> {
        let fault = |message: &str| {
            Error::file(
                path,
                format!(
                    "{message}; delete this shard and run the same `stereoscope collect` again"
                ),
            )
        };
        let damaged = |error: &dyn std::fmt::Display| fault(&format!("damaged shard: {error}"));
        let file = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
        let tensor = |name: &str| file.tensor(name).map_err(|error| damaged(&error));

        let activations = tensor("activations")?;
        let rows = match activations.shape() {
            &[rows, 2, found] if found == width => rows,
            found => {
                return Err(fault(&format!(
                    "tensor activations: expected shape [tokens, 2, {width}], found {found:?}"
                )));
            }
        };
        let expect = |name: &str, dtype: Dtype, length: Option<usize>| {
            let found = tensor(name)?;
            let fits = found.dtype() == dtype
                && matches!(found.shape(), &[n] if length.is_none_or(|l| l == n));
            let length = length.map_or_else(|| "sequences + 1".into(), |l| l.to_string());
            if fits {
                Ok(found.data())
            } else {
                Err(fault(&format!(
                    "tensor {name}: expected {dtype:?} [{length}], found {:?} {:?}",
                    found.dtype(),
                    found.shape()
                )))
            }
        };
        let tokens = expect("tokens", Dtype::U32, Some(rows))?
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&word| u32::from_le_bytes(word))
            .collect();
        let kinds = expect("kinds", Dtype::U8, Some(rows))?
            .iter()
            .map(|&byte| {
                kind(byte)
                    .ok_or_else(|| fault(&format!("tensor kinds: expected 0 to 2, found {byte}")))
            })
            .collect::<Result<_>>()?;
        let roles = expect("roles", Dtype::U8, Some(rows))?
            .iter()
            .map(|&byte| {
                role(byte)
                    .ok_or_else(|| fault(&format!("tensor roles: expected 0 to 2, found {byte}")))
            })
            .collect::<Result<_>>()?;
        let mut starts: Vec<usize> = expect("offsets", Dtype::U64, None)?
            .as_chunks::<8>()
            .0
            .iter()
            .map(|&word| u64::from_le_bytes(word) as usize)
            .collect();
        if starts.pop() != Some(rows)
            || !starts.is_sorted()
            || starts.first().is_some_and(|&s| s != 0)
        {
            return Err(fault(
                "tensor offsets: expected rising numbers from 0 to the number of tokens",
            ));
        }
        let origins: Vec<Origin> = header
            .metadata()
            .as_ref()
            .and_then(|metadata| serde_json::from_str(metadata.get("origins")?).ok())
            .filter(|origins: &Vec<Origin>| origins.len() == starts.len())
            .ok_or_else(|| fault("metadata origins: expected one entry per sequence"))?;
        let activations = decode(&activations).ok_or_else(|| {
            fault(&format!(
                "tensor activations: expected F32, BF16 or F16, found {:?}",
                activations.dtype()
            ))
        })?;
        if let Some(index) = activations.iter().position(|x| !x.is_finite()) {
            let row = index / width.max(1);
            return Err(fault(&format!(
                "tensor activations: token {} of the {} model has a value that is NaN or infinite",
                row / 2,
                if row.is_multiple_of(2) {
                    "base"
                } else {
                    "chat"
                }
            )));
        }
        Ok(Self {
            activations,
            tokens,
            kinds,
            roles,
            starts,
            origins,
        })
    }
}

fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Precision::Bf16 => values
            .iter()
            .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
            .collect(),
        Precision::F16 => values
            .iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect(),
    }
}

fn decode(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = tensor.data();
    let pairs = || bytes.as_chunks::<2>().0.iter();
    match tensor.dtype() {
        Dtype::F32 => Some(
            bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&word| f32::from_le_bytes(word))
                .collect(),
        ),
        Dtype::BF16 => Some(pairs().map(|&b| bf16::from_le_bytes(b).to_f32()).collect()),
        Dtype::F16 => Some(pairs().map(|&b| f16::from_le_bytes(b).to_f32()).collect()),
        _ => None,
    }
}

fn code(kind: TokenKind) -> u8 {
    match kind {
        TokenKind::Bos => 0,
        TokenKind::Template => 1,
        TokenKind::Content => 2,
    }
}

fn kind(code: u8) -> Option<TokenKind> {
    match code {
        0 => Some(TokenKind::Bos),
        1 => Some(TokenKind::Template),
        2 => Some(TokenKind::Content),
        _ => None,
    }
}

fn role_code(role: Role) -> u8 {
    match role {
        Role::None => 0,
        Role::User => 1,
        Role::Assistant => 2,
    }
}

fn role(code: u8) -> Option<Role> {
    match code {
        0 => Some(Role::None),
        1 => Some(Role::User),
        2 => Some(Role::Assistant),
        _ => None,
    }
}

/// The whole file.
pub(crate) fn load(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(Error::io("read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Shard {
        let mut shard = Shard::default();
        let kinds = [TokenKind::Bos, TokenKind::Template, TokenKind::Content];
        let origin = |source: &str| Origin {
            source: source.into(),
            labels: vec!["harm".into()],
        };
        let roles = [Role::None, Role::User, Role::Assistant];
        shard.push(
            &[2, 7],
            &kinds[..2],
            &roles[..2],
            &[1.0, -2.0, 0.5, 4.0],
            origin("a"),
        );
        shard.push(&[9], &kinds[2..], &roles[2..], &[0.25, 8.0], origin("b"));
        shard
    }

    fn written(shard: &Shard, precision: Precision) -> Vec<u8> {
        shard.to_bytes(1, precision).unwrap()
    }

    #[test]
    fn a_shard_comes_back_in_every_precision() {
        for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
            let bytes = written(&shard(), precision);
            let back = Shard::read(Path::new("s"), 1, &bytes).unwrap();
            assert_eq!(back, shard());
            let sequences = back.sequences(1);
            assert_eq!(sequences[1].tokens, [9]);
            assert_eq!(sequences[1].roles, [Role::Assistant]);
            assert_eq!(sequences[0].activations, [1.0, -2.0, 0.5, 4.0]);
            assert_eq!(sequences[1].origin.source, "b");
        }
    }

    /// What bf16 cannot hold exactly comes back as the nearest number that it can.
    #[test]
    fn half_precision_rounds_to_the_nearest() {
        let mut rough = shard();
        let values = [1.0 + 1.0 / 512.0, -3.140_625, 1e-3, 65_504.0, 0.1, -0.2];
        rough.activations = values.to_vec();
        for (precision, digits) in [(Precision::Bf16, 8), (Precision::F16, 11)] {
            let back = Shard::read(Path::new("s"), 1, &written(&rough, precision)).unwrap();
            for (found, value) in back.activations.iter().zip(values) {
                assert!(
                    (found - value).abs() <= value.abs() * 0.5f32.powi(digits),
                    "{found}"
                );
            }
            let again = Shard::read(Path::new("s"), 1, &written(&back, precision)).unwrap();
            assert_eq!(again, back, "what was rounded once stays");
        }
    }

    #[test]
    fn a_damaged_shard_is_named() {
        let message = |width, bytes: &[u8]| {
            Shard::read(Path::new("shard-7"), width, bytes)
                .unwrap_err()
                .to_string()
        };
        let bytes = written(&shard(), Precision::F32);
        let short = &bytes[..bytes.len() - 3];
        assert!(message(1, short).contains("shard-7"));
        let wide = message(2, &bytes);
        assert!(
            wide.contains("[tokens, 2, 2]") && wide.contains("[3, 2, 1]"),
            "{wide}"
        );
        let mut bad = shard();
        bad.activations[4] = f32::NAN;
        let nan = message(1, &written(&bad, Precision::F32));
        assert!(
            nan.contains("token 2 of the base model") && nan.contains("NaN"),
            "{nan}"
        );
    }
}
