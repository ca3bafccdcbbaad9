//! What a client may ask of the latent table.

use std::str::FromStr;

use api::{Class, Lasso, Verdict};

use crate::columns::Column;
use crate::{Error, Result};

/// Rows of a page when the client names no limit.
pub const DEFAULT_PAGE: usize = 100;

/// A filter, an order and a page. The default asks for the first page of every latent by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatentQuery {
    /// Classes to keep; empty: all.
    pub classes: Vec<Class>,
    /// Verdicts to keep; empty: all, latents without a verdict too.
    pub verdicts: Vec<Verdict>,
    /// Dead latents alone, or live ones alone.
    pub dead: Option<bool>,
    /// An id, a part of a label, or a part of a token that the latent fires on in its examples. Case is ignored.
    pub q: Option<String>,
    /// Least value of a numeric column, inclusive; rows without a value fall out.
    pub min: Vec<(String, f64)>,
    /// Largest value of a numeric column, inclusive; rows without a value fall out.
    pub max: Vec<(String, f64)>,
    /// A polygon on two numeric columns; rows outside of it, or without a value on one of them, fall out.
    pub lasso: Option<Lasso>,
    /// Columns separated by commas, `-` before a falling one; ties are broken by id, missing values come last either way.
    pub sort: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Rows of the order to pass over before the page, after the cursor where there is one.
    pub offset: Option<usize>,
    /// Rows of a page, 1 to [`api::MAX_PAGE`]; default [`DEFAULT_PAGE`].
    pub limit: Option<usize>,
}

impl LatentQuery {
    /// Reads the parameters of an address, already unescaped. `class` and `verdict` may be repeated or hold several names separated by
    /// commas.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name or value that is not understood.
    pub fn from_parameters<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut query = Self::default();
        for (name, value) in parameters {
            match name {
                "class" => query.classes.extend(names::<Class>(name, value)?),
                "verdict" => query.verdicts.extend(names::<Verdict>(name, value)?),
                "dead" => query.dead = Some(parse(name, value, "true or false")?),
                "q" => query.q = Some(value.to_string()),
                "sort" => query.sort = Some(value.to_string()),
                "cursor" => query.cursor = Some(value.to_string()),
                "lasso" => {
                    let lasso = Lasso::read(value, |part| part.parse().ok());
                    query.lasso = Some(lasso.map_err(Error::Invalid)?);
                }
                "offset" => query.offset = Some(parse(name, value, "a whole number")?),
                "limit" => query.limit = Some(parse(name, value, "a whole number")?),
                _ => match (name.strip_prefix("min_"), name.strip_prefix("max_")) {
                    (Some(column), _) => query.min.push((column.into(), bound(name, value)?)),
                    (_, Some(column)) => query.max.push((column.into(), bound(name, value)?)),
                    _ => {
                        return Err(Error::Invalid(format!(
                            "unknown parameter {name:?}; this route has class, verdict, dead, q, min_<column>, max_<column>, lasso, \
                             sort, cursor, offset and limit"
                        )));
                    }
                },
            }
        }
        Ok(query)
    }

    pub(crate) fn page_size(&self) -> Result<usize> {
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=api::MAX_PAGE => Ok(limit),
            limit => Err(Error::Invalid(format!(
                "limit is {limit}, expected 1 to {}",
                api::MAX_PAGE
            ))),
        }
    }

    /// The order as columns and whether they fall; an empty list is the order of ids.
    pub(crate) fn order(&self) -> Result<Vec<(&'static Column, bool)>> {
        let text = self.sort.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        text.split(',')
            .map(|part| {
                let (name, falling) = match part.strip_prefix('-') {
                    Some(name) => (name, true),
                    None => (part, false),
                };
                Column::named(name).map(|column| (column, falling))
            })
            .collect()
    }
}

fn names<T: FromStr<Err = String>>(name: &str, value: &str) -> Result<Vec<T>> {
    value
        .split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .map_err(|message| Error::Invalid(format!("{name}: {message}")))
        })
        .collect()
}

fn parse<T: FromStr>(name: &str, value: &str, expected: &str) -> Result<T> {
    value
        .parse()
        .map_err(|_| Error::Invalid(format!("{name} is {value:?}, expected {expected}")))
}

fn bound(name: &str, value: &str) -> Result<f64> {
    let number: f64 = parse(name, value, "a number")?;
    if number.is_nan() {
        return Err(Error::Invalid(format!("{name} is NaN, expected a number")));
    }
    Ok(number)
}
