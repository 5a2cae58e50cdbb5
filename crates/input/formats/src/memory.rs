//! Allocation that answers with an error. Sizes come from files, so each is checked by the
//! caller against the bytes that justify it, and here against what the system gives.

use crate::FormatError;

/// An empty vector with room for exactly `count` elements.
pub(crate) fn table<T>(count: usize) -> Result<Vec<T>, FormatError> {
    let mut table = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    table.try_reserve_exact(count).map_err(FormatError::no_memory(bytes))?;
    Ok(table)
}

/// A copy of `text`.
pub(crate) fn text(text: &str) -> Result<Box<str>, FormatError> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(FormatError::no_memory(text.len()))?;
    copy.push_str(text);
    Ok(copy.into_boxed_str())
}
