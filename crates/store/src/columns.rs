//! The columns of the latent table: how each is read out of a row, and what it may be asked.

use api::{Class, LatentRow, Verdict};

use crate::{Error, Result};

/// Reads a number out of a row; `None` is unknown.
type Get = fn(&LatentRow) -> Option<f64>;

/// A column of the latent table.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What a column holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A quantity.
    Number(Get),
    /// A name out of a list, or a flag, as its index.
    Code(Get),
    /// The label.
    Label,
}

macro_rules! beta {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.betas.$name),
        }
    };
}
macro_rules! number {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.$name),
        }
    };
}
macro_rules! count {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::Number(|row| row.$name.map(|count| count as f64)),
        }
    };
}

/// In the order of [`api::LATENT_COLUMNS`].
pub(crate) const COLUMNS: &[Column] = &[
    Column {
        name: "id",
        kind: Kind::Number(|row| Some(f64::from(row.id))),
    },
    Column {
        name: "class",
        kind: Kind::Code(|row| index(Class::ALL, &row.class)),
    },
    Column {
        name: "dead",
        kind: Kind::Code(|row| row.dead.map(|dead| f64::from(u8::from(dead)))),
    },
    Column {
        name: "label",
        kind: Kind::Label,
    },
    Column {
        name: "verdict",
        kind: Kind::Code(|row| index(Verdict::ALL, row.verdict.as_ref()?)),
    },
    number!(delta_norm),
    Column {
        name: "norm_base",
        kind: Kind::Number(|row| Some(row.norm_base)),
    },
    Column {
        name: "norm_chat",
        kind: Kind::Number(|row| Some(row.norm_chat)),
    },
    number!(decoder_cosine),
    number!(nu_epsilon),
    number!(nu_r),
    beta!(beta_activation_base),
    beta!(beta_activation_chat),
    beta!(beta_activation_no_bias_base),
    beta!(beta_activation_no_bias_chat),
    beta!(beta_reconstruction_base),
    beta!(beta_reconstruction_chat),
    beta!(beta_error_base),
    beta!(beta_error_chat),
    number!(frequency),
    count!(active_tokens),
    count!(tokens),
    number!(max_activation),
    number!(mean_activation),
    number!(template_share),
];

/// A value's place in the list of all.
pub(crate) fn index<T: PartialEq>(all: &[T], value: &T) -> Option<f64> {
    all.iter().position(|v| v == value).map(|i| i as f64)
}

impl Column {
    /// # Errors
    /// A name that is not in [`api::LATENT_COLUMNS`].
    pub(crate) fn named(name: &str) -> Result<&'static Self> {
        COLUMNS
            .iter()
            .find(|column| column.name == name)
            .ok_or_else(|| {
                Error::Invalid(format!(
                    "unknown column {name:?}; the columns are {}",
                    api::LATENT_COLUMNS.join(", ")
                ))
            })
    }

    /// A column that can be bounded.
    ///
    /// # Errors
    /// A name that is not in [`api::LATENT_COLUMNS`], or that of no quantity.
    pub(crate) fn quantity(name: &str) -> Result<&'static Self> {
        let column = Self::named(name)?;
        match column.kind {
            Kind::Number(_) => Ok(column),
            Kind::Code(_) | Kind::Label => Err(Error::Invalid(format!(
                "column {name:?} is not numeric, so it has no min_{name} and max_{name}"
            ))),
        }
    }

    /// The column's numbers, NaN where unknown; none of the label.
    pub(crate) fn values(&self, rows: &[LatentRow]) -> Vec<f64> {
        match self.kind {
            Kind::Number(get) | Kind::Code(get) => rows
                .iter()
                .map(|row| get(row).unwrap_or(f64::NAN))
                .collect(),
            Kind::Label => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::COLUMNS;

    #[test]
    fn columns_are_those_of_the_wire_in_order() {
        let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names, api::LATENT_COLUMNS);
    }
}
