//! Components that more than one page uses.

pub(crate) mod badge;
pub(crate) mod card;
pub(crate) mod dictionary;
pub(crate) mod field;
pub(crate) mod footer;
pub(crate) mod header;
pub(crate) mod histogram;
pub(crate) mod keys;
pub(crate) mod live;
pub(crate) mod notes;
pub(crate) mod prompt_box;
pub(crate) mod provenance;
pub(crate) mod segments;
pub(crate) mod share;
pub(crate) mod shortcuts;
pub(crate) mod signal;
pub(crate) mod states;
pub(crate) mod strip;
pub(crate) mod styles;
pub(crate) mod symbols;
pub(crate) mod theme;
pub(crate) mod toast;
pub(crate) mod tooltip;
pub(crate) mod twin;
