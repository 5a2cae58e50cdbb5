//! The budget ledger, and what this process holds.

use plan::Grant;
use std::fs;
use tensor::Bytes;

/// Bytes that were promised and not yet granted.
#[derive(Debug)]
pub struct Ledger {
    left: Bytes,
}

impl Ledger {
    /// A ledger over so many bytes.
    pub fn new(budget: Bytes) -> Self {
        Self { left: budget }
    }

    /// A grant of `bytes`, or `None` if less is left.
    pub fn grant(&mut self, bytes: Bytes) -> Option<Grant> {
        if bytes > self.left {
            return None;
        }
        self.left = self.left.saturating_sub(bytes);
        Some(Grant::new(bytes))
    }
}

/// What this process holds in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Resident now, private and mapped pages counted once.
    pub now: Bytes,
    /// The most that was ever resident.
    pub peak: Bytes,
}

/// Reads what this process holds; `None` where the system does not tell.
pub fn resident() -> Option<Resident> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    // The pages themselves, counted; the status lags behind by a few for each processor.
    let pages = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let now = field(&pages, "Rss:").or_else(|| field(&status, "VmRSS:"))?;
    Some(Resident { now, peak: field(&status, "VmHWM:")?.max(now) })
}

/// The number of KiB behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<Bytes> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024).map(Bytes)
}
