//! What a call can fail with.

use engine::EngineError;
use text::{stop::InvalidStop, template::TemplateError};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "callers write `ledge::Error`")]
pub enum Error {
    /// Opening, planning, loading or running.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The chat template.
    #[error("chat template")]
    Template(#[from] TemplateError),
    /// The stop strings.
    #[error(transparent)]
    Stop(#[from] InvalidStop),
}
