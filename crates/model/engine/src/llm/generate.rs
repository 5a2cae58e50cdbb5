//! From a prompt to text, token by token: runs, chooses, decodes, stops.
//!
//! Between two tokens nothing is allocated: buffers are reserved when generation begins.

use super::{
    sampler::{Sampled, Sampler, Sampling},
    session::Session,
};
use crate::error::EngineError;
use plan::Control;
use std::sync::Arc;
use text::{
    Controls, StreamDecoder, TokenId, Tokenizer,
    stop::{StopStrings, Stopping},
};

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model ended its text.
    EndToken,
    /// A stop string was about to appear.
    StopString,
    /// As many tokens as were asked for.
    Length,
    /// The context is full.
    ContextFull,
}

impl Ending {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EndToken => "end_token",
            Self::StopString => "stop_string",
            Self::Length => "length",
            Self::ContextFull => "context_full",
        }
    }
}

/// How far to go.
#[derive(Clone, Debug)]
pub struct Until {
    /// The most tokens to produce; `None`: until a stop or a full context.
    pub tokens: Option<u64>,
    /// Strings that end the text and are not part of it.
    pub stops: StopStrings,
    /// Whether tokens that end a text do so; else they are like any other.
    pub end_tokens: EndTokens,
}

/// What the model's own end tokens do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndTokens {
    /// They end the text.
    End,
    /// They are tokens like any other.
    Ignore,
}

/// One produced token, with the text that can be shown after it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece<'a> {
    /// The token.
    pub token: TokenId,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Whole characters that are certain not to belong to a stop string; may be empty.
    pub text: &'a str,
}

/// Text in the making. Needs the session at each step, so that the caller keeps it.
#[derive(Debug)]
pub struct Generation {
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    decoder: StreamDecoder,
    until: Until,
    produced: u64,
    pending: Option<TokenId>,
    ending: Option<Ending>,
    text: String,
}

impl Generation {
    /// Prepares to continue a session whose prompt has been run.
    ///
    /// # Errors
    /// If a sampling option is out of range.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        sampling: Sampling,
        vocabulary: usize,
        until: Until,
    ) -> Result<Self, EngineError> {
        let sampler = Sampler::new(sampling, vocabulary)?;
        let decoder = StreamDecoder::continuing(Controls::Hide);
        let text = String::with_capacity(1024);
        let (produced, pending, ending) = (0, None, None);
        Ok(Self { tokenizer, sampler, decoder, until, produced, pending, ending, text })
    }

    /// Produces the next token, or `None` when the text has ended: [`Generation::ending`] tells
    /// why, [`Generation::rest`] gives what was held back.
    ///
    /// # Errors
    /// If a run stops or the logits are not numbers. After a cancelled run the session is whole.
    pub fn next(
        &mut self,
        session: &mut Session,
        control: &dyn Control,
    ) -> Result<Option<Piece<'_>>, EngineError> {
        if self.ending.is_some() {
            return Ok(None);
        }
        if self.until.tokens.is_some_and(|most| self.produced >= most) {
            self.ending = Some(Ending::Length);
            return Ok(None);
        }
        // The last token is run only when another one is wanted.
        if let Some(token) = self.pending {
            if session.left() == 0 {
                self.ending = Some(Ending::ContextFull);
                return Ok(None);
            }
            session.append(&[token], control)?;
            self.pending = None;
        }
        let position = session.history().len() as u64;
        let sampled = self.sampler.sample(session.logits(), session.history());
        let Sampled { token, logprob } =
            sampled.map_err(|source| EngineError::NonFinite { position, source })?;
        let ends = self.tokenizer.ends_generation(token);
        if ends && self.until.end_tokens == EndTokens::End {
            self.ending = Some(Ending::EndToken);
            return Ok(None);
        }
        self.produced += 1;
        self.pending = Some(token);
        self.text.clear();
        match self.until.stops.push(self.decoder.push(&self.tokenizer, token)) {
            Stopping::Pass(text) => self.text.push_str(text),
            Stopping::Stop { before, .. } => {
                self.text.push_str(before);
                self.ending = Some(Ending::StopString);
            }
        }
        Ok(Some(Piece { token, logprob, text: &self.text }))
    }

    /// What was held back when the text ended: nothing after a stop string.
    pub fn rest(&mut self) -> &str {
        self.text.clear();
        if self.ending != Some(Ending::StopString) {
            match self.until.stops.push(self.decoder.finish()) {
                Stopping::Pass(text) => {
                    self.text.push_str(text);
                    self.text.push_str(self.until.stops.finish());
                }
                Stopping::Stop { before, .. } => self.text.push_str(before),
            }
        }
        &self.text
    }

    /// Why the text ended, once it has.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Tokens produced so far.
    pub fn produced(&self) -> u64 {
        self.produced
    }

    /// The last token, if it has been chosen but not yet run.
    pub fn pending(&self) -> Option<TokenId> {
        self.pending
    }

    /// The chooser, for its settings and log-probabilities.
    pub fn sampler(&mut self) -> &mut Sampler {
        &mut self.sampler
    }
}
