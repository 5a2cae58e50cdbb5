//! Produced tokens as an iterator.

use crate::Error;
use engine::llm::{
    generate::{Ending, Generation, Piece},
    session::Session,
};
use plan::Control;
use text::TokenId;

/// One produced token with the text that can be shown after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The token; `None` for text that was held back until the end.
    pub token: Option<TokenId>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Whole characters; may be empty.
    pub text: String,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub ending: Ending,
    /// Tokens produced.
    pub tokens: u64,
}

/// Text in the making: an iterator over tokens. Dropping it leaves the session whole.
pub struct Stream<'a> {
    session: &'a mut Session,
    generation: Generation,
    control: &'a dyn Control,
    done: bool,
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl<'a> Stream<'a> {
    pub(crate) fn new(
        session: &'a mut Session,
        generation: Generation,
        control: &'a dyn Control,
    ) -> Self {
        Self { session, generation, control, done: false }
    }

    /// How the stream ended, once it has.
    pub fn ended(&self) -> Option<Ended> {
        let ending = self.generation.ending()?;
        Some(Ended { ending, tokens: self.generation.produced() })
    }

    /// Watches and stops the runs through `control`.
    #[must_use]
    pub fn with_control(mut self, control: &'a dyn Control) -> Self {
        self.control = control;
        self
    }
}

impl Iterator for Stream<'_> {
    type Item = Result<Token, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        match self.generation.next(self.session, self.control) {
            Ok(Some(Piece { token, logprob, text })) => {
                Some(Ok(Token { token: Some(token), logprob, text: text.to_owned() }))
            }
            Ok(None) => {
                self.done = true;
                let text = self.generation.rest().to_owned();
                (!text.is_empty()).then_some(Ok(Token { token: None, logprob: 0.0, text }))
            }
            Err(error) => {
                self.done = true;
                Some(Err(error.into()))
            }
        }
    }
}
