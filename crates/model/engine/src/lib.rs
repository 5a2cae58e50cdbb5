//! Opens models, promises memory, loads, runs and samples: the composer.
//!
//! The only crate that names both a file and a backend. [`ModelFile::open`] reads headers and
//! the vocabulary; [`ModelFile::fit`] says what running will take and whether that fits;
//! [`Fit::load`] loads within that promise; [`LanguageModel::session`] gives out sequences.
//! Nothing here prints, exits or reads the environment. This crate is internal to Ledge.

pub mod delegates;
pub mod device;
pub mod embedding;
pub mod error;
pub mod eval;
pub mod fit;
pub mod llm;
pub mod model;
pub mod network;
pub mod quantize;
pub mod store;
pub mod trace;

mod lm;
pub mod vocabulary;

pub use error::EngineError;
pub use fit::{Advice, DoesNotFit, Fit, Request, WeightPlace};
pub use lm::LanguageModel;
pub use model::ModelFile;
pub use network::Network;
