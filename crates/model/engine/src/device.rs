//! What the device allows: limits as plain values, the budget ledger, a clock.
//!
//! Readers of the system take the folder in which they look, so that tests can lay out a system
//! of their own. Nothing here starts a thread or keeps a global.
#![expect(
    clippy::disallowed_methods,
    reason = "what is known of the machine is read here, and given out as values"
)]

mod limits;
mod memory;

pub use limits::Limits;
pub use memory::{Ledger, Resident, resident};

use std::time::{Duration, Instant};

/// Tells time since some fixed moment; only differences mean anything.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Time since that moment; never goes back.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(Instant);

impl Default for Monotonic {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
