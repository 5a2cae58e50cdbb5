//! The limits of this machine with a backend's threads: memory to read, bytes and singles to
//! multiply.
//!
//! All threads do the same at the same time, as in a run, and the memory lies as weights do, so that
//! a kernel's rate can be judged against what was possible in the same second. No clock here: the
//! caller takes the time around a call.

use crate::memory::{Pages, Refused, Region};
use crate::pool::Pool;
use core::sync::atomic::{AtomicU64, Ordering};
use kernels::{Isa, probe};
use std::sync::Arc;
use tensor::Bytes;

/// Memory and threads to measure with.
#[derive(Debug)]
pub struct Probe {
    pool: Arc<Pool>,
    isa: Isa,
    region: Region,
}

impl Probe {
    /// Takes the memory and touches it. It should be a multiple of the last cache.
    pub(crate) fn new(pool: Arc<Pool>, isa: Isa, bytes: Bytes) -> Result<Self, Refused> {
        let region = Region::touched(bytes, Pages::Huge, &mut pool.team())?;
        Ok(Self { pool, isa, region })
    }

    /// Reads the memory once, each thread a part of its own; gives its size.
    pub fn read(&self) -> Bytes {
        let bytes = self.region.bytes();
        let mut team = self.pool.team();
        let threads = team.threads();
        let share = bytes.len().div_ceil(threads).next_multiple_of(64).max(64);
        team.run_on(threads, &|worker| {
            if let Some(own) = bytes.chunks(share).nth(worker) {
                probe::read(self.isa, own);
            }
        });
        Bytes(bytes.len() as u64)
    }

    /// Multiplies bytes in registers on all threads; gives the number of multiplications.
    pub fn dots(&self, rounds: usize) -> u64 {
        let done = AtomicU64::new(0);
        self.pool.team().run(&|_| {
            done.fetch_add(probe::dots(self.isa, rounds), Ordering::Relaxed);
        });
        done.into_inner()
    }

    /// Multiplies singles in registers on all threads; gives the number of multiplications.
    pub fn fmas(&self, rounds: usize) -> u64 {
        let done = AtomicU64::new(0);
        self.pool.team().run(&|_| {
            done.fetch_add(probe::fmas(self.isa, rounds), Ordering::Relaxed);
        });
        done.into_inner()
    }
}
