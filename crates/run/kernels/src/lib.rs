//! SIMD kernels over slices: panels, attention, norms. Under construction in its first commits.
pub mod elementwise;
pub mod exp;
pub mod norm;
pub mod rope;
