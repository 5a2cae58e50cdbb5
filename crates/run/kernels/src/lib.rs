//! SIMD kernels over slices: panels, attention, norms. Under construction in its first commits.
