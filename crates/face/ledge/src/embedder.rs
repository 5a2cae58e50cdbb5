//! Texts as vectors.

use crate::Error;
use engine::{
    EngineError, LanguageModel, ModelFile, Request,
    embedding::{self, Normalize},
    llm::session::Session,
};
use import::{Output, settings::Pooling};
use plan::Uncontrolled;
use std::{path::Path, sync::Arc};
use text::Special;

/// A model that makes vectors of texts.
#[derive(Debug)]
pub struct Embedder {
    lm: LanguageModel,
    session: Session,
    pooling: Pooling,
    normalize: Normalize,
}

impl Embedder {
    /// Opens a model file or folder.
    ///
    /// # Errors
    /// If it is missing, broken, or does not fit.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::for_model(&Arc::new(ModelFile::open(path.as_ref())?), &Request::default())
    }

    /// Loads an open model for embedding; `request` bounds memory and context.
    ///
    /// # Errors
    /// If it does not fit or cannot be read.
    pub fn for_model(model: &Arc<ModelFile>, request: &Request) -> Result<Self, Error> {
        let settings = &model.model().settings;
        let own = settings.context;
        let pooling = settings.pooling.unwrap_or(if model.model().family.encoder {
            Pooling::Mean
        } else {
            Pooling::Last
        });
        // A whole text is one run: attention of an encoder needs all of it.
        let longest = model.longest_input().unwrap_or(512);
        let context = request.context.unwrap_or(longest).min(own);
        let output = Output::Hidden;
        let request = Request { context: Some(context), chunk: context, output, ..request.clone() };
        let normalize = if model.normalizes() { Normalize::Unit } else { Normalize::No };
        let lm = model.fit(&request)?.load(&Uncontrolled)?;
        let session = lm.session()?;
        Ok(Self { lm, session, pooling, normalize })
    }

    /// Pools rows another way than the model says.
    #[must_use]
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = pooling;
        self
    }

    /// Brings vectors to unit length, or leaves them, against what the model says.
    #[must_use]
    pub fn normalize(mut self, normalize: Normalize) -> Self {
        self.normalize = normalize;
        self
    }

    /// The loaded model.
    pub fn engine(&self) -> &LanguageModel {
        &self.lm
    }

    /// The vector of a text: `[width] f32`.
    ///
    /// # Errors
    /// [`EngineError::PromptTooLong`] if the text has more tokens than the context.
    pub fn embed(&mut self, text: &str) -> Result<Vec<f32>, Error> {
        let tokenizer = self.lm.model().tokenizer()?;
        let ids = tokenizer.encode_wrapped(text, Special::Text);
        if ids.is_empty() {
            return Err(EngineError::EmptyPrompt.into());
        }
        let vector =
            embedding::embed(&mut self.session, &ids, self.pooling, self.normalize, &Uncontrolled);
        Ok(vector?)
    }
}
