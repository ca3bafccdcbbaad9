//! Opaque cursors: where a page ended, in an alphabet that needs no escaping in an address.

use crate::{Error, Result};

/// A cursor after `position` in the order named by `order`.
pub(crate) fn encode(position: u32, order: &str) -> String {
    format!("{position:08x}{:08x}", check(order))
}

/// The position of a cursor made by [`encode`] for the same order.
pub(crate) fn decode(cursor: &str, order: &str) -> Result<u32> {
    let number = |range| {
        cursor
            .get(range)
            .filter(|part: &&str| part.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|part| u32::from_str_radix(part, 16).ok())
    };
    match (cursor.len(), number(0..8), number(8..16)) {
        (16, Some(position), Some(sum)) if sum == check(order) => Ok(position),
        (16, Some(_), Some(_)) => Err(Error::Invalid(
            "the cursor belongs to another order; start again without a cursor".into(),
        )),
        _ => Err(Error::Invalid(format!(
            "the cursor {cursor:?} is not one of this server's; start again without a cursor"
        ))),
    }
}

/// FNV-1a, 32 bits.
fn check(order: &str) -> u32 {
    order.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}
