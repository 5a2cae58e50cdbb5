//! Runs plans on the processor's cores: memory, thread pool, packing of weights, executor.
//!
//! [`memory`] and [`pool`] hold all unsafe code of this crate behind safe interfaces. Results are
//! the same bytes for any number of threads and any division of a prompt into chunks: each output
//! element is reduced in one fixed order, by one worker. This crate is internal to Ledge.

pub mod memory;
pub mod pool;
