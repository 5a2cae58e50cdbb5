//! What all targets share: a heap that is counted, and the bound that readers promise.
//!
//! A target is a file in `fuzz_targets` with a `[[bin]]` in `Cargo.toml`; it reads the input
//! inside [`bounded`] and checks what the reader promises about what it accepts.

mod alloc;

/// What a reader may take besides four times its input.
const HEAP_BYTES: usize = 16 << 20;

/// Runs `work` on an input and stops the process if it held more than 4 × the input + 16 MiB.
pub fn bounded<'a, T>(input: &'a [u8], work: impl FnOnce(&'a [u8]) -> T) -> T {
    let (result, peak) = alloc::peak(|| work(input));
    assert!(peak <= 4 * input.len() + HEAP_BYTES, "{peak} bytes held for {}", input.len());
    result
}

/// Checks that an error's text is short and safe to print.
pub fn printable(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(text.chars().count() <= 300 && !text.contains(char::is_control), "{text:?}");
}

/// Checks that extents lie in a file and do not overlap.
pub fn within(tensors: &formats::TensorTable, file: u64) {
    let mut extents: Vec<_> = tensors.iter().map(|t| (t.offset, t.end())).collect();
    extents.sort_unstable();
    assert!(extents.iter().all(|&(start, end)| start <= end && end <= file));
    assert!(extents.is_sorted_by(|former, later| former.1 <= later.0));
    assert!(tensors.iter().all(|t| tensors.get(&t.name) == Some(t)));
}
