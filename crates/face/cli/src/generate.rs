//! Text in the making: tokens to the output, one by one, until an end or Ctrl-C.
//!
//! What is produced is shown at once; after Ctrl-C the report still tells how far it came.

use crate::{
    args::{Manner, SamplingArgs},
    failure::{Failure, Result},
    output::Output,
    report::{Report, token_object},
    signals::Interrupt,
    watch::Watch,
};
use engine::{
    ModelFile,
    llm::{
        generate::{EndTokens, Generation, Until},
        sampler::{Sampled, Sampler},
    },
    trace::Recorder,
};
use ledge::{Sampling, StopStrings, Token, Tokenizer};
use serde_json::{Value, json};
use std::sync::Arc;

/// When to stop, from flags; `most` is the bound where none is given.
pub(crate) fn until(args: &SamplingArgs, most: Option<u64>) -> Result<Until> {
    let stops = StopStrings::new(&args.stop)
        .map_err(|error| Failure::usage(&error).at("--stop").hint("give fewer or other texts"))?;
    let end_tokens = if args.ignore_eos { EndTokens::Ignore } else { EndTokens::End };
    Ok(Until { tokens: args.n.or(most), stops, end_tokens })
}

/// How far to go, and what to tell about each token.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) until: Until,
    /// How many of the most probable tokens are told.
    pub(crate) top_count: usize,
}

/// Shows tokens as they come.
#[derive(Debug)]
pub(crate) struct Show<'a> {
    pub(crate) manner: &'a Manner,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) output: &'a mut Output,
    pub(crate) report: &'a mut Report,
    pub(crate) recorder: Option<&'a Arc<Recorder>>,
}

impl Show<'_> {
    fn token(&mut self, token: &Token, top: &[Value]) -> Result<()> {
        if token.token.is_some() {
            self.report.token();
        }
        if self.manner.json {
            self.output.line(&token_object(token, top))?;
        } else {
            self.output.write(&token.text)?;
        }
        self.output.flush()
    }

    /// Shows a chat's turn; `top_count` of the most probable tokens are told with each.
    pub(crate) fn turn(
        &mut self,
        turn: &mut ledge::Turn<'_>,
        model: &ModelFile,
        top_count: usize,
    ) -> Result<()> {
        let mut ranking = Ranking::new(model, top_count)?;
        while !self.interrupt.is_set()
            && let Some(token) = turn.next()
        {
            let token = token?;
            // What was held back at the end is no choice.
            let top = match token.token {
                Some(_) => ranking.top(turn.logits())?,
                None => Vec::new(),
            };
            self.token(&token, &top)?;
        }
        match turn.generation().ending() {
            Some(ending) => self.report.ending = ending.name(),
            None => return Err(Failure::cancelled()),
        }
        Ok(())
    }

    /// Continues a text whose prompt has been run.
    pub(crate) fn text(
        &mut self,
        text: &mut ledge::Text,
        model: &ModelFile,
        sampling: &Sampling,
        wanted: Wanted,
    ) -> Result<()> {
        let Wanted { until, top_count } = wanted;
        let session = text.session();
        let (tokenizer, vocabulary) = (model.tokenizer()?.clone(), vocabulary(model));
        let mut generation = Generation::new(tokenizer, sampling.clone(), vocabulary, until)?;
        let mut ranking = Ranking::new(model, top_count)?;
        let watch = Watch::new(self.interrupt, self.manner, "").tracing(self.recorder);
        while !self.interrupt.is_set() {
            let Some(piece) = generation.next(session, &watch)? else { break };
            let token = Token {
                token: Some(piece.token),
                logprob: piece.logprob,
                text: piece.text.to_owned(),
            };
            let top = ranking.top(session.logits())?;
            self.token(&token, &top)?;
        }
        let rest = generation.rest().to_owned();
        if !rest.is_empty() {
            self.token(&Token { token: None, logprob: 0.0, text: rest }, &[])?;
        }
        match generation.ending() {
            Some(ending) => self.report.ending = ending.name(),
            None => return Err(Failure::cancelled()),
        }
        Ok(())
    }
}

fn vocabulary(model: &ModelFile) -> usize {
    usize::try_from(model.model().settings.vocabulary).unwrap_or(usize::MAX)
}

/// Tells the most probable tokens; nothing where none are wanted.
struct Ranking<'a> {
    tokenizer: &'a Tokenizer,
    sampler: Option<Sampler>,
    count: usize,
    best: Vec<Sampled>,
}

impl<'a> Ranking<'a> {
    fn new(model: &'a ModelFile, count: usize) -> Result<Self> {
        let tokenizer = model.tokenizer()?;
        let sampler =
            (count > 0).then(|| Sampler::new(Sampling::greedy(), vocabulary(model))).transpose();
        let sampler = sampler.map_err(|error| Failure::usage(&error))?;
        Ok(Self { tokenizer, sampler, count, best: Vec::new() })
    }

    /// Objects of the most probable tokens, best first.
    fn top(&mut self, logits: &[f32]) -> Result<Vec<Value>> {
        let Some(sampler) = &mut self.sampler else { return Ok(Vec::new()) };
        sampler.top_logprobs(logits, self.count, &mut self.best).map_err(Failure::usage)?;
        let object = |sampled: &Sampled| {
            json!({
                "token": sampled.token.0,
                "text": self.tokenizer.piece(sampled.token),
                "logprob": sampled.logprob,
            })
        };
        Ok(self.best.iter().map(object).collect())
    }
}
