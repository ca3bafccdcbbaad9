//! How numbers, tokens and verdicts are shown: words and scales, without the browser.

pub(crate) mod axis;
pub(crate) mod behaviours;
pub(crate) mod cells;
pub(crate) mod claims;
pub(crate) mod cloud;
pub(crate) mod curves;
pub(crate) mod decimal;
pub(crate) mod doses;
pub(crate) mod effects;
pub(crate) mod joint;
pub(crate) mod markup;
pub(crate) mod numbers;
pub(crate) mod ratios;
pub(crate) mod reason;
pub(crate) mod scale;
pub(crate) mod select;
pub(crate) mod sweep;
pub(crate) mod tables;
pub(crate) mod tokens;
pub(crate) mod verdict;
