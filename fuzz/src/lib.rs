//! What all targets share: a heap that is counted, and the bound that readers promise.
//!
//! A target is a file in `fuzz_targets` with a `[[bin]]` in `Cargo.toml`; it reads the input
//! inside [`bounded`] and checks what the reader promises about what it accepts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

mod alloc;
pub mod network;

/// What a reader may take besides four times its input.
const HEAP_BYTES: usize = 16 << 20;

/// What a reader may compute on one input; of the processor's time, so that a busy machine does
/// not stop the run.
const CPU_SECONDS: f64 = 2.0;

/// Runs `work` on an input and stops the process if it held more than 4 × the input + 16 MiB, or
/// computed for more than two seconds.
///
/// Whenever more was held than ever before, a line on standard error says so.
pub fn bounded<'a, T>(input: &'a [u8], work: impl FnOnce(&'a [u8]) -> T) -> T {
    within(input, (HEAP_BYTES, CPU_SECONDS), work)
}

/// As [`bounded`] with other bounds: bytes besides 4 × the input, and seconds.
pub fn within<'a, T>(
    input: &'a [u8],
    (heap, most): (usize, f64),
    work: impl FnOnce(&'a [u8]) -> T,
) -> T {
    let start = alloc::cpu_seconds();
    let (result, peak) = alloc::peak(|| work(input));
    let (allowed, seconds) = (4 * input.len() + heap, alloc::cpu_seconds() - start);
    assert!(peak <= allowed, "{peak} bytes held for {}", input.len());
    assert!(seconds <= most, "{seconds} s for {} bytes", input.len());
    let peak = peak as u64;
    if peak > WORST.fetch_max(peak, Relaxed) {
        eprintln!("heap: {} KiB at most, for {} bytes", peak.div_ceil(1024), input.len());
    }
    result
}

/// The most that was held.
static WORST: AtomicU64 = AtomicU64::new(0);

/// Checks that an error's text is short and safe to print.
pub fn printable(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(text.chars().count() <= 300 && !text.contains(char::is_control), "{text:?}");
}

/// Checks that an error's text can be printed, however much it lists.
pub fn harmless(error: &dyn std::error::Error) {
    let text = error.to_string();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

/// Checks that extents lie in a file and do not overlap.
pub fn disjoint(tensors: &formats::TensorTable, file: u64) {
    let mut extents: Vec<_> = tensors.iter().map(|t| (t.offset, t.end())).collect();
    extents.sort_unstable();
    assert!(extents.iter().all(|&(start, end)| start <= end && end <= file));
    assert!(extents.is_sorted_by(|former, later| former.1 <= later.0));
    assert!(tensors.iter().all(|t| tensors.get(&t.name) == Some(t)));
}
