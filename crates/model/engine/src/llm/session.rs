//! One sequence: its tokens, its state, and the logits of its last position.
//!
//! Invariant: the state holds exactly the tokens of `history`; after an error it holds what it
//! held before the call.

use crate::error::EngineError;
use plan::{Control, RunError, State};
use std::ops::Range;
use tensor::cast::{self, Number};
use text::TokenId;

/// A sequence of tokens in the making.
#[derive(Debug)]
pub struct Session {
    state: Box<dyn State>,
    history: Vec<TokenId>,
    context: u64,
    tokens_port: usize,
    rows_port: Option<usize>,
    output_port: usize,
    chunk: usize,
    rows: usize,
}

impl Session {
    /// A sequence without tokens.
    pub(crate) fn new(state: Box<dyn State>, context: u64) -> Self {
        let plan = state.plan();
        let index = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        let bound = |name: &str| {
            let symbol = plan.symbols.iter().find(|symbol| symbol.name == name);
            symbol.map_or(0, |symbol| index(symbol.max))
        };
        let (chunk, rows) = (bound("tokens"), bound("rows"));
        let tokens_port = plan.input("tokens").expect("every model has tokens");
        let rows_port = plan.input("rows");
        let output_port = plan.output("logits").or_else(|| plan.output("hidden"));
        let output_port = output_port.expect("every model has logits or rows");
        let history = Vec::with_capacity(index(context));
        Self { state, history, context, tokens_port, rows_port, output_port, chunk, rows }
    }

    /// The tokens so far.
    pub fn history(&self) -> &[TokenId] {
        &self.history
    }

    /// Positions that the sequence may have.
    pub fn context(&self) -> u64 {
        self.context
    }

    /// Positions that are left.
    pub fn left(&self) -> u64 {
        self.context.saturating_sub(self.history.len() as u64)
    }

    /// The most tokens of one run.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// The most rows of logits of one run.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets all tokens from `len` on.
    pub fn truncate(&mut self, len: usize) {
        if len < self.history.len() {
            self.history.truncate(len);
            self.state.truncate(len as u64);
        }
    }

    /// Appends tokens, in runs of at most [`Session::chunk`]; then [`Session::logits`] are those
    /// that follow the last one. Progress is told in tokens.
    ///
    /// # Errors
    /// If they do not fit the context (nothing is appended then), or a run stops: what earlier
    /// runs appended stays.
    pub fn append(&mut self, ids: &[TokenId], control: &dyn Control) -> Result<(), EngineError> {
        let need = self.history.len() as u64 + ids.len() as u64;
        if need > self.context {
            return Err(EngineError::PromptTooLong { need, have: self.context });
        }
        let mut done = 0;
        for chunk in ids.chunks(self.chunk.max(1)) {
            let last = chunk.len() - 1;
            self.run(chunk, last..last + 1, control)?;
            done += chunk.len() as u64;
            control.progress(done, ids.len() as u64);
        }
        Ok(())
    }

    /// Appends at most [`Session::chunk`] tokens in one run and gives the logits of the rows
    /// `rows` among them: `[rows, vocabulary]`.
    ///
    /// # Errors
    /// If the run stops; nothing is appended then.
    ///
    /// # Panics
    /// If there are more tokens or rows than were planned, or none.
    pub fn run(
        &mut self,
        ids: &[TokenId],
        rows: Range<usize>,
        control: &dyn Control,
    ) -> Result<&[f32], EngineError> {
        assert!(!ids.is_empty() && ids.len() <= self.chunk, "runs have 1 to {} tokens", self.chunk);
        let (n, chosen) = (ids.len() as u64, rows.len());
        let input: &mut [u32] = numbers_mut(self.state.input(self.tokens_port));
        for (slot, id) in input.iter_mut().zip(ids) {
            *slot = id.0;
        }
        if let Some(port) = self.rows_port {
            assert!((1..=self.rows).contains(&chosen), "1 to {} rows were planned", self.rows);
            let input: &mut [u32] = numbers_mut(self.state.input(port));
            for (slot, row) in input.iter_mut().zip(rows) {
                *slot = u32::try_from(row).unwrap_or(u32::MAX);
            }
            self.state.run(&[n, chosen as u64], control)?;
        } else {
            self.state.run(&[n], control)?;
        }
        self.history.extend_from_slice(ids);
        let output: &[f32] = numbers(self.state.output(self.output_port));
        let bound = if self.rows_port.is_some() { self.rows } else { self.chunk };
        let taken = if self.rows_port.is_some() { chosen } else { ids.len() };
        Ok(&output[..output.len() / bound * taken])
    }

    /// Logits that follow the last token: `[vocabulary] f32`.
    pub fn logits(&self) -> &[f32] {
        let output: &[f32] = numbers(self.state.output(self.output_port));
        &output[..output.len() / self.rows.max(1)]
    }
}

/// Whether an error is the caller's wish to stop.
pub fn is_cancelled(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Run(RunError::Cancelled) | EngineError::Load(plan::LoadError::Cancelled)
    )
}

fn numbers<T: Number>(bytes: &[u8]) -> &[T] {
    cast::from_bytes(bytes).expect("ports are aligned and hold whole numbers")
}

fn numbers_mut<T: Number>(bytes: &mut [u8]) -> &mut [T] {
    cast::from_bytes_mut(bytes).expect("ports are aligned and hold whole numbers")
}
