//! Quality on the user's own text: perplexity, teacher-forced logits, divergence of two models.
//!
//! Perplexity follows llama.cpp's `llama-perplexity`: the text is cut into windows of the whole
//! context, each begins with the begin token where the model has one, and only the second half of
//! each window is scored.

use crate::{error::EngineError, llm::session::Session};
use plan::Control;
use text::TokenId;

/// Mean negative log-likelihood of some positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    /// Sum of negative log-probabilities, in nats.
    pub nll_sum: f64,
    /// Sum of their squares.
    pub nll_squares: f64,
    /// Positions scored.
    pub positions: u64,
}

impl Perplexity {
    /// `exp` of the mean.
    pub fn ppl(&self) -> f64 {
        (self.nll_sum / self.positions as f64).exp()
    }

    /// One standard error of [`Perplexity::ppl`].
    pub fn error(&self) -> f64 {
        let n = self.positions as f64;
        let mean = self.nll_sum / n;
        let variance = (self.nll_squares / n - mean * mean).max(0.0);
        (variance / (n - 1.0).max(1.0)).sqrt() * self.ppl()
    }

    fn add(&mut self, nll: f64) {
        self.nll_sum += nll;
        self.nll_squares += nll * nll;
        self.positions += 1;
    }
}

/// Natural logarithm of `Σ exp(logits)`.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum();
    f64::from(max) + sum.ln()
}

/// Runs `ids` from an empty sequence and hands each row of logits to `row` with the index of
/// the token that it follows.
///
/// # Errors
/// If the tokens do not fit the context or a run stops.
pub fn each_row(
    session: &mut Session,
    ids: &[TokenId],
    control: &dyn Control,
    mut row: impl FnMut(usize, &[f32]),
) -> Result<(), EngineError> {
    let (need, have) = (ids.len() as u64, session.context());
    if need > have {
        return Err(EngineError::PromptTooLong { need, have });
    }
    session.truncate(0);
    let step = session.chunk().min(session.rows()).max(1);
    for (i, chunk) in ids.chunks(step).enumerate() {
        let logits = session.run(chunk, 0..chunk.len(), control)?;
        let width = logits.len() / chunk.len();
        for (j, logits) in logits.chunks_exact(width).enumerate() {
            row(i * step + j, logits);
        }
        control.progress((i * step + chunk.len()) as u64, ids.len() as u64);
    }
    Ok(())
}

/// Perplexity over windows of `window` tokens, the second half of each scored.
///
/// With a `stride`, windows overlap: each begins `stride` tokens after the last, and its last
/// `stride` tokens are scored.
///
/// # Errors
/// If there are fewer tokens than one window, or a run stops.
pub fn perplexity(
    session: &mut Session,
    ids: &[TokenId],
    window: usize,
    stride: Option<usize>,
    begin: Option<TokenId>,
    control: &dyn Control,
) -> Result<Perplexity, EngineError> {
    let (need, have) = (window as u64, ids.len() as u64);
    if have < need || window < 2 {
        return Err(EngineError::TextTooShort { need, have });
    }
    let scored = stride.map_or(window - window / 2, |stride| stride.clamp(1, window - 1));
    let step = stride.map_or(window, |_| scored);
    let mut total = Perplexity::default();
    let mut tokens = Vec::with_capacity(window);
    let starts = (0..=ids.len() - window).step_by(step);
    let windows = starts.clone().count() as u64;
    for (i, start) in starts.enumerate() {
        tokens.clear();
        tokens.extend_from_slice(&ids[start..start + window]);
        if let Some(begin) = begin {
            tokens[0] = begin;
        }
        let first = window - scored;
        each_row(session, &tokens, control, |at, logits| {
            // The row at `at` tells what follows; llama-perplexity leaves out the last token.
            if at + 1 >= first && at + 1 < window && (stride.is_some() || at >= first) {
                let next = f64::from(logits[tokens[at + 1].index()]);
                total.add(log_sum_exp(logits) - next);
            }
        })?;
        control.progress(i as u64 + 1, windows);
    }
    Ok(total)
}

/// How far one model's distributions are from another's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Divergence {
    /// Kullback–Leibler divergence `KL(base ‖ other)` of each position, in nats.
    pub kl: Vec<f64>,
    /// Positions at which both have the same most probable token.
    pub same_top: u64,
}

impl Divergence {
    /// Adds one position from both rows of logits.
    pub fn add(&mut self, base: &[f32], other: &[f32]) {
        let (base_sum, other_sum) = (log_sum_exp(base), log_sum_exp(other));
        let term = |(a, b): (&f32, &f32)| {
            let log_p = f64::from(*a) - base_sum;
            let p = log_p.exp();
            if p > 0.0 { p * (log_p - (f64::from(*b) - other_sum)) } else { 0.0 }
        };
        self.kl.push(base.iter().zip(other).map(term).sum::<f64>().max(0.0));
        self.same_top += u64::from(top(base) == top(other));
    }

    /// The mean divergence.
    pub fn mean(&self) -> f64 {
        self.kl.iter().sum::<f64>() / self.kl.len().max(1) as f64
    }

    /// The divergence that a share `q` of the positions does not exceed.
    pub fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.kl.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
        let place = (q * last as f64).round() as usize;
        sorted.get(place.min(last)).copied().unwrap_or(0.0)
    }

    /// Share of positions with the same most probable token.
    pub fn top1(&self) -> f64 {
        self.same_top as f64 / self.kl.len().max(1) as f64
    }
}

/// The index of the largest logit, the first of equals.
pub fn top(logits: &[f32]) -> usize {
    let mut best = 0;
    for (i, x) in logits.iter().enumerate() {
        if x.total_cmp(&logits[best]).is_gt() {
            best = i;
        }
    }
    best
}
