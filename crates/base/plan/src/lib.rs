//! Frozen steps, named buffers and the backend contract. Under construction in its first commits.
