//! Being reached by others: the public address, limits per client, and what a link shows where it is pasted.

pub(crate) mod address;
pub(crate) mod clients;
mod early;
pub(crate) mod head;
mod picture;
pub(crate) mod prefix;
pub(crate) mod previews;
