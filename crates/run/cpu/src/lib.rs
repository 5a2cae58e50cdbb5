//! Runs plans on the processor's cores: memory, thread pool, packing of weights, executor.
//!
//! [`CpuBackend`] is the entry: it says what each step needs, packs weights with all threads, and
//! gives out states whose runs neither allocate nor dispatch by name. [`memory`] and [`pool`] hold
//! all unsafe code of this crate behind safe interfaces. Results are the same bytes for any number
//! of threads and any division of a prompt into chunks: each output element is reduced in one fixed
//! order, by one worker. This crate is internal to Ledge.

pub mod memory;
pub mod pool;

mod backend;
mod layout;
mod weights;
mod matrix;
mod load;
mod packed;
mod state;
mod steps;
mod probe;

pub use backend::CpuBackend;
pub use kernels::Isa;
pub use probe::Probe;
