//! A loaded model and its plain texts.

use crate::{Chat, Error, Stream};
use engine::llm::{
    generate::{EndTokens, Generation, Until},
    sampler::Sampling,
    session::Session,
};
use plan::{Control, Uncontrolled};
use std::sync::Arc;
use text::{Special, TokenId, Tokenizer, stop::StopStrings};

/// Weights in memory. Cheap to share; each text or chat has its own memory.
#[derive(Clone, Debug)]
pub struct LanguageModel {
    inner: Arc<engine::LanguageModel>,
}

impl LanguageModel {
    pub(crate) fn new(inner: engine::LanguageModel) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The engine's model underneath.
    pub fn engine(&self) -> &Arc<engine::LanguageModel> {
        &self.inner
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// If the file has no vocabulary.
    pub fn tokenizer(&self) -> Result<&Arc<Tokenizer>, Error> {
        Ok(self.inner.model().tokenizer()?)
    }

    /// A plain text to be continued.
    ///
    /// # Errors
    /// If the file has no vocabulary or memory is short.
    pub fn text(&self) -> Result<Text, Error> {
        let tokenizer = self.tokenizer()?.clone();
        let session = self.inner.session()?;
        let vocabulary = self.inner.model().model().settings.vocabulary;
        let vocabulary = usize::try_from(vocabulary).unwrap_or(usize::MAX);
        Ok(Text { session, tokenizer, vocabulary })
    }

    /// A conversation in the model's own template.
    ///
    /// # Errors
    /// If the file has no template (give one with [`Chat::with_template`]) or no vocabulary.
    pub fn chat(&self) -> Result<Chat, Error> {
        Chat::new(self)
    }
}

/// One text: what was said so far, and what follows.
#[derive(Debug)]
pub struct Text {
    pub(crate) session: Session,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) vocabulary: usize,
}

impl Text {
    /// Appends a prompt. Special tokens in it stay text; the model's begin token is added at the
    /// start of a text where the model asks for one.
    ///
    /// # Errors
    /// If it does not fit the context, or the run stops.
    pub fn push(&mut self, prompt: &str) -> Result<(), Error> {
        let ids = if self.session.history().is_empty() {
            self.tokenizer.encode_wrapped(prompt, Special::Text)
        } else {
            self.tokenizer.encode(prompt, Special::Text)
        };
        self.push_ids(&ids, &Uncontrolled)
    }

    /// Appends tokens.
    ///
    /// # Errors
    /// As [`Text::push`]; with nothing to continue, [`engine::EngineError::EmptyPrompt`].
    pub fn push_ids(&mut self, ids: &[TokenId], control: &dyn Control) -> Result<(), Error> {
        if ids.is_empty() && self.session.history().is_empty() {
            let begin = self.tokenizer.special_ids();
            let begin = begin.bos.or(begin.eos).ok_or(engine::EngineError::EmptyPrompt)?;
            return Ok(self.session.append(&[begin], control)?);
        }
        Ok(self.session.append(ids, control)?)
    }

    /// Continues the text until it ends.
    ///
    /// # Errors
    /// If a sampling option is out of range.
    pub fn stream(&mut self, sampling: Sampling) -> Result<Stream<'_>, Error> {
        let stops = StopStrings::new::<&str>(&[])?;
        self.stream_until(sampling, Until { tokens: None, stops, end_tokens: EndTokens::End })
    }

    /// As [`Text::stream`], with a bound and stop strings.
    ///
    /// # Errors
    /// As [`Text::stream`].
    pub fn stream_until(&mut self, sampling: Sampling, until: Until) -> Result<Stream<'_>, Error> {
        let generation = Generation::new(self.tokenizer.clone(), sampling, self.vocabulary, until)?;
        Ok(Stream::new(&mut self.session, generation, &Uncontrolled))
    }

    /// The sequence underneath.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }
}
