//! Plans: what is asked of a model, and what it will take.

use crate::{EMBEDDED_MODEL, Error, LanguageModel};
use engine::{Fit, ModelFile, Request};
use plan::KvType;
use plan::{Buffer, Control, Promise, Uncontrolled};
use std::{num::NonZeroUsize, path::Path, sync::Arc};
use tensor::Bytes;

/// What is asked of a model; [`Plan::solve`] tells whether it can be had.
#[derive(Clone, Debug)]
pub struct Plan {
    model: Arc<ModelFile>,
    request: Request,
}

impl Plan {
    /// Opens a model file; no weight is read yet.
    ///
    /// # Errors
    /// If the file is missing, broken or no model that is known.
    pub fn for_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::for_model(Arc::new(ModelFile::open(path.as_ref())?)))
    }

    /// Opens the embedded model.
    ///
    /// # Errors
    /// None in a program that was built whole.
    pub fn for_embedded() -> Result<Self, Error> {
        Ok(Self::for_model(Arc::new(ModelFile::from_memory(EMBEDDED_MODEL)?)))
    }

    /// Plans for a model that is open.
    pub fn for_model(model: Arc<ModelFile>) -> Self {
        Self { model, request: Request::default() }
    }

    /// Asks for this many positions.
    #[must_use]
    pub fn context(mut self, positions: u64) -> Self {
        self.request.context = Some(positions);
        self
    }

    /// Allows at most this much memory.
    #[must_use]
    pub fn memory(mut self, budget: Bytes) -> Self {
        self.request.memory = Some(budget);
        self
    }

    /// Asks for keys and values of this type.
    #[must_use]
    pub fn kv(mut self, ty: KvType) -> Self {
        self.request.kv = ty;
        self
    }

    /// Asks for runs of at most this many prompt tokens.
    #[must_use]
    pub fn chunk(mut self, tokens: u64) -> Self {
        self.request.chunk = tokens;
        self
    }

    /// Asks for this many threads.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.request.threads = Some(threads);
        self
    }

    /// Replaces everything that is asked for.
    #[must_use]
    pub fn request(mut self, request: Request) -> Self {
        self.request = request;
        self
    }

    /// The model.
    pub fn model(&self) -> &Arc<ModelFile> {
        &self.model
    }

    /// Sums what it takes.
    ///
    /// # Errors
    /// [`engine::EngineError::DoesNotFit`] with the nearest settings that fit.
    pub fn solve(self) -> Result<Solved, Error> {
        Ok(Solved { fit: self.model.fit(&self.request)? })
    }
}

/// A plan that fits.
#[derive(Debug)]
pub struct Solved {
    fit: Fit,
}

impl Solved {
    /// What it will take.
    pub fn promise(&self) -> Promise {
        self.fit.promise()
    }

    /// Every need by name.
    pub fn buffers(&self) -> &[Buffer] {
        &self.fit.plan().buffers
    }

    /// Positions that were planned.
    pub fn context(&self) -> u64 {
        self.fit.context()
    }

    /// The plan underneath.
    pub fn fit(&self) -> &Fit {
        &self.fit
    }

    /// Loads the weights within the promise.
    ///
    /// # Errors
    /// If they cannot be read or the system refuses the memory.
    pub fn load(self) -> Result<LanguageModel, Error> {
        self.load_with(&Uncontrolled)
    }

    /// As [`Solved::load`], watched and stopped through `control`.
    ///
    /// # Errors
    /// As [`Solved::load`], or if cancelled.
    pub fn load_with(self, control: &dyn Control) -> Result<LanguageModel, Error> {
        Ok(LanguageModel::new(self.fit.load(control)?))
    }
}
