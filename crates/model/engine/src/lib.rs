//! Opens models, promises memory, runs them, samples. Under construction in its first commits.

pub mod llm;
pub mod quantize;
