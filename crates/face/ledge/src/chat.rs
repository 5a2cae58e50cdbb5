//! Conversations in the model's own template.

use crate::{Error, LanguageModel, Text, Token};
use engine::{
    EngineError,
    llm::{
        generate::{EndTokens, Generation, Until},
        sampler::Sampling,
    },
};
use plan::{Control, Uncontrolled};
use text::{
    Part, Special,
    stop::StopStrings,
    template::{self, ChatTemplate, CivilTime, Conversation, RenderOptions},
};

/// A conversation: what was said, and a sequence that already holds most of it.
#[derive(Debug)]
pub struct Chat {
    text: Text,
    template: ChatTemplate,
    conversation: Conversation,
    now: Option<CivilTime>,
}

impl Chat {
    pub(crate) fn new(lm: &LanguageModel) -> Result<Self, Error> {
        let model = lm.engine().model();
        let lacks = || EngineError::Lacks { file: model.label().into(), what: "chat template" };
        let source = model.template().ok_or_else(lacks)?.to_owned();
        Self::with_template(lm, &source)
    }

    /// A conversation in a template of the caller's.
    ///
    /// # Errors
    /// If the template is malformed, the model has no vocabulary, or memory is short.
    pub fn with_template(lm: &LanguageModel, source: &str) -> Result<Self, Error> {
        let template = ChatTemplate::parse(source)?;
        let conversation = Conversation::new();
        Ok(Self { text: lm.text()?, template, conversation, now: None })
    }

    /// Sets the time that templates print; without it they leave dates out.
    #[must_use]
    pub fn at(mut self, now: CivilTime) -> Self {
        self.now = Some(now);
        self
    }

    /// Adds instructions for the whole conversation.
    pub fn system(&mut self, content: &str) {
        self.conversation.push("system", content);
    }

    /// Adds what the user says.
    pub fn user(&mut self, content: &str) {
        self.conversation.push("user", content);
    }

    /// What was said so far; may be changed between turns.
    pub fn conversation(&mut self) -> &mut Conversation {
        &mut self.conversation
    }

    /// The text underneath.
    pub fn text(&mut self) -> &mut Text {
        &mut self.text
    }

    /// Lets the assistant speak.
    ///
    /// # Errors
    /// If the template refuses the conversation, it does not fit the context, or the run stops.
    pub fn stream(&mut self, sampling: Sampling) -> Result<Turn<'_>, Error> {
        let stops = StopStrings::new::<&str>(&[])?;
        let until = Until { tokens: None, stops, end_tokens: EndTokens::End };
        self.stream_until(sampling, until, &Uncontrolled)
    }

    /// As [`Chat::stream`], with a bound and stop strings, watched and stopped by `control`.
    ///
    /// # Errors
    /// As [`Chat::stream`].
    pub fn stream_until<'a>(
        &'a mut self,
        sampling: Sampling,
        until: Until,
        control: &'a dyn Control,
    ) -> Result<Turn<'a>, Error> {
        self.prefill(control)?;
        let Text { tokenizer, vocabulary, .. } = &self.text;
        let generation = Generation::new(tokenizer.clone(), sampling, *vocabulary, until)?;
        Ok(Turn { chat: self, generation, control, reply: String::new(), done: false })
    }

    /// The prompt of the conversation as it stands.
    ///
    /// # Errors
    /// If the template refuses it.
    pub fn prompt(&self) -> Result<template::Rendered, Error> {
        let ids = self.text.tokenizer.special_ids();
        let piece = |id: Option<text::TokenId>| {
            id.map(|id| self.text.tokenizer.piece(id)).unwrap_or_default()
        };
        let (bos, eos) = (piece(ids.bos), piece(ids.eos));
        let options = RenderOptions { bos_token: &bos, eos_token: &eos, now: self.now };
        Ok(self.template.render(&self.conversation, &options)?)
    }

    /// Runs what the sequence does not hold yet. Special tokens count only where the template
    /// wrote them.
    fn prefill(&mut self, control: &dyn Control) -> Result<(), Error> {
        let rendered = self.prompt()?;
        let parts: Vec<Part<'_>> = rendered
            .parts()
            .into_iter()
            .map(|part| match part {
                template::Part::Scaffold(text) => Part { text, special: Special::Parse },
                template::Part::Caller(text) => Part { text, special: Special::Text },
            })
            .collect();
        let mut ids = self.text.tokenizer.encode_parts(&parts);
        let prefix = self.text.tokenizer.prefix();
        if !ids.starts_with(prefix) {
            ids.splice(0..0, prefix.iter().copied());
        }
        let session = &mut self.text.session;
        let shared = session.history().iter().zip(&ids).take_while(|(a, b)| a == b).count();
        // One token at least is run: its logits are what follows.
        let keep = shared.min(ids.len().saturating_sub(1));
        session.truncate(keep);
        Ok(session.append(&ids[keep..], control)?)
    }
}

/// The assistant's turn: an iterator over tokens. When it ends or is dropped, what was said is
/// part of the conversation.
pub struct Turn<'a> {
    chat: &'a mut Chat,
    generation: Generation,
    control: &'a dyn Control,
    reply: String,
    done: bool,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Turn<'_> {
    /// The generation underneath: how it ended, how many tokens.
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The logits that the last token was chosen from: `[vocabulary] f32`.
    pub fn logits(&self) -> &[f32] {
        self.chat.text.session.logits()
    }

    /// What was said so far.
    pub fn reply(&self) -> &str {
        &self.reply
    }
}

impl Iterator for Turn<'_> {
    type Item = Result<Token, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.generation.next(&mut self.chat.text.session, self.control);
        let token = match next {
            Ok(Some(piece)) => Token {
                token: Some(piece.token),
                logprob: piece.logprob,
                text: piece.text.to_owned(),
            },
            Ok(None) => {
                self.done = true;
                let text = self.generation.rest().to_owned();
                if text.is_empty() {
                    return None;
                }
                Token { token: None, logprob: 0.0, text }
            }
            Err(error) => {
                self.done = true;
                return Some(Err(error.into()));
            }
        };
        self.reply.push_str(&token.text);
        Some(Ok(token))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let reply = std::mem::take(&mut self.reply);
        self.chat.conversation.push("assistant", &reply);
    }
}
