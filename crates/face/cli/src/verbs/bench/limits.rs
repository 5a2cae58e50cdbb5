//! What this machine can do at most, in the seconds in which a model is measured.
//!
//! Memory is shared with other programs, and on rented machines with other guests: the same code is
//! twice as fast in one minute as in the next. A rate says something about the code only beside these.

use super::processors;
use crate::failure::{Failure, Result};
use cpu::{CpuBackend, Isa};
use ledge::Bytes;
use serde_json::{Value, json};
use std::{
    fmt,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// Memory to read: four times the last cache of large servers, yet a fraction of a laptop's memory.
const READ: Bytes = Bytes::mib(1024);
/// Times that it is read; the fastest counts, as everything else was somebody's disturbance.
const READS: usize = 3;
/// How long bytes, and singles, are multiplied.
const DOTS: Duration = Duration::from_millis(50);

/// The limits with so many threads.
pub(super) struct Limits {
    /// 10⁹ bytes read from memory in a second.
    pub(super) read_gbps: f64,
    /// 10⁹ products of bytes in a second.
    pub(super) dot_gmacs: f64,
    /// 10⁹ products of single-precision numbers in a second.
    pub(super) fma_gmacs: f64,
}

impl Limits {
    /// Measures for about half a second, with these instructions or the best.
    pub(super) fn measure(threads: Option<NonZeroUsize>, isa: Option<Isa>) -> Result<Self> {
        let threads = threads.or(NonZeroUsize::new(processors())).unwrap_or(NonZeroUsize::MIN);
        let backend = CpuBackend::new(threads).map_err(engine::EngineError::Threads)?;
        let backend = backend.using(isa.unwrap_or_else(Isa::detect));
        let available = engine::device::Limits::read().memory.map_or(READ.0, |memory| memory.0 / 4);
        let probe = backend.probe(Bytes(READ.0.min(available)));
        let probe = probe.map_err(|refused| {
            Failure::from(engine::EngineError::from(plan::LoadError::Memory { bytes: refused.0 }))
        })?;
        let rate = |count: u64, begin: Instant| count as f64 / begin.elapsed().as_secs_f64() / 1e9;
        let read = (0..READS).map(|_| {
            let begin = Instant::now();
            let bytes = probe.read();
            rate(bytes.0, begin)
        });
        let read_gbps = read.fold(0.0, f64::max);
        let fastest = |multiply: &dyn Fn() -> u64| {
            let mut gmacs = 0.0;
            let begin = Instant::now();
            while begin.elapsed() < DOTS {
                let begin = Instant::now();
                let macs = multiply();
                gmacs = rate(macs, begin).max(gmacs);
            }
            gmacs
        };
        let dot_gmacs = fastest(&|| probe.dots(1 << 14));
        let fma_gmacs = fastest(&|| probe.fmas(1 << 16));
        Ok(Self { read_gbps, dot_gmacs, fma_gmacs })
    }

    /// For scripts.
    pub(super) fn object(&self) -> Value {
        let digits = |x: f64| (x * 10.0).round() / 10.0;
        json!({
            "read_gbps": digits(self.read_gbps),
            "dot_gmacs": digits(self.dot_gmacs),
            "fma_gmacs": digits(self.fma_gmacs),
        })
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read_gbps, dot_gmacs, fma_gmacs } = self;
        write!(
            f,
            "{read_gbps:.1} GB/s read, {dot_gmacs:.0} GMAC/s of bytes, {fma_gmacs:.0} of singles"
        )
    }
}
