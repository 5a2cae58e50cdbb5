//! Chooses the next token from one row of logits.
//!
//! A choice is a function of the settings, the logits, the history and nothing else: the random
//! number is drawn from a counter that is the position itself, so a sequence that is rewound or
//! run again chooses the same tokens. Candidates are ordered by logit, ties by token id; buffers
//! are reserved when the sampler is made and no call allocates afterwards.
//!
//! The chain has llama.cpp's default order: logit bias, penalties, DRY, top-k, typical, top-p,
//! min-p, temperature. Truncation therefore sees the model's own distribution, not the tempered
//! one.

mod chain;
mod penalties;
mod philox;
mod row;
mod settings;

#[cfg(test)]
mod tests;

pub use settings::{Dry, InvalidSampling, Sampling};

use chain::Candidate;
use row::{Peaks, Row};
use text::TokenId;

/// A chosen token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// The token.
    pub token: TokenId,
    /// Natural logarithm of the probability that the model itself gave the token: before bias,
    /// penalties, truncation and temperature.
    pub logprob: f32,
}

/// The logits cannot be sampled from.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum NonFinite {
    /// A logit is not a number or is positive infinity.
    #[error("the logit of token {} is {value}", .token.0)]
    Logit {
        /// The first such token.
        token: TokenId,
        /// Its logit.
        value: f32,
    },
    /// Every token is ruled out (all logits, after bias, are negative infinity).
    #[error("no token can be chosen: every logit is negative infinity")]
    NothingLeft,
}

/// Chooses tokens; owns the buffers that this needs.
#[derive(Debug)]
pub struct Sampler {
    settings: Sampling,
    vocabulary: usize,
    /// The logits after bias and penalties: `[vocabulary]`.
    adjusted: Vec<f32>,
    peaks: Peaks,
    candidates: Vec<Candidate>,
    /// Recent tokens, sorted, for counting.
    recent: Vec<u32>,
    dry: penalties::DryBuffers,
}

impl Sampler {
    /// Makes a sampler for rows of `vocabulary` logits.
    ///
    /// # Errors
    /// Names the first setting that is out of range.
    pub fn new(settings: Sampling, vocabulary: usize) -> Result<Self, InvalidSampling> {
        settings.check(vocabulary)?;
        let window = settings.penalty_window as usize;
        let dry = penalties::DryBuffers::for_settings(settings.dry.as_ref());
        Ok(Self {
            vocabulary,
            adjusted: Vec::with_capacity(vocabulary),
            peaks: Peaks::for_rows_of(vocabulary),
            candidates: Vec::with_capacity(chain::capacity(&settings, vocabulary)),
            recent: Vec::with_capacity(window),
            dry,
            settings,
        })
    }

    /// The settings that the sampler was made with.
    pub fn settings(&self) -> &Sampling {
        &self.settings
    }

    /// Chooses the token that follows `history`.
    ///
    /// `logits`: `[vocabulary] f32`. `history` is the sequence so far, prompt included; its
    /// length is the counter of the random number.
    ///
    /// # Errors
    /// [`NonFinite`] if a logit is NaN or `+∞`, or if no token is left. A logit of `-∞` rules its
    /// token out.
    ///
    /// # Panics
    /// If `logits` does not have the length that the sampler was made for.
    pub fn sample(&mut self, logits: &[f32], history: &[TokenId]) -> Result<Sampled, NonFinite> {
        assert_eq!(logits.len(), self.vocabulary, "logits do not cover the vocabulary");
        let adjusts = self.adjusts();
        let row = self.peaks.look(logits)?;
        let (max, total) = (row.max, row.total());
        let (row, known) = if adjusts {
            self.adjust(logits, history);
            (self.peaks.look(&self.adjusted)?, None)
        } else {
            (row, Some(total))
        };
        let chosen = choose(row, known, history.len(), &self.settings, &mut self.candidates)?;
        Ok(Sampled { token: token(chosen), logprob: logits[chosen] - max - log(total) })
    }

    /// The `n` most probable tokens under the model's own distribution, best first.
    ///
    /// Replaces what `out` holds; allocates only if `out` has less room than `n`.
    ///
    /// # Errors
    /// As for [`Sampler::sample`].
    pub fn top_logprobs(
        &mut self,
        logits: &[f32],
        n: usize,
        out: &mut Vec<Sampled>,
    ) -> Result<(), NonFinite> {
        out.clear();
        let row = self.peaks.look(logits)?;
        let (max, log_sum) = (row.max, log(row.total()));
        chain::take_top(row, n, &mut self.candidates);
        out.extend(self.candidates.iter().map(|candidate| Sampled {
            token: TokenId(candidate.token),
            // In the order of `sample`, for the same bits.
            logprob: candidate.logit - max - log_sum,
        }));
        Ok(())
    }

    /// Whether the logits are changed before candidates are taken from them.
    fn adjusts(&self) -> bool {
        let s = &self.settings;
        !s.logit_bias.is_empty() || s.penalises() || s.dry.is_some()
    }

    fn adjust(&mut self, logits: &[f32], history: &[TokenId]) {
        self.adjusted.clear();
        self.adjusted.extend_from_slice(logits);
        for (token, bias) in &self.settings.logit_bias {
            self.adjusted[token.0 as usize] += bias;
        }
        if self.settings.penalises() {
            penalties::repetition(&mut self.adjusted, history, &self.settings, &mut self.recent);
        }
        if let Some(dry) = &self.settings.dry {
            penalties::dry(&mut self.adjusted, history, dry, &mut self.dry);
        }
    }
}

/// Index of the token that the chain chooses at `position`; `total` is the row's, where it is known.
fn choose(
    row: Row<'_>,
    total: Option<f64>,
    position: usize,
    settings: &Sampling,
    candidates: &mut Vec<Candidate>,
) -> Result<usize, NonFinite> {
    if settings.temperature == 0.0 {
        let (first, _) = row.at_least(row.max).next().ok_or(NonFinite::NothingLeft)?;
        return Ok(first);
    }
    chain::truncate(row, total, settings, candidates);
    let sum = chain::temper(candidates, settings.temperature);
    let mut left = philox::uniform(settings.seed, position as u64) * sum;
    for candidate in candidates.iter() {
        left -= candidate.weight;
        if left < 0.0 {
            return Ok(candidate.token as usize);
        }
    }
    // Rounding can leave a crumb: it goes to the last token that can be chosen at all.
    let last = candidates.iter().rev().find(|candidate| candidate.weight > 0.0);
    last.map(|candidate| candidate.token as usize).ok_or(NonFinite::NothingLeft)
}

/// The logarithm, in the precision of log-probabilities.
fn log(total: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounded to f32 on purpose")]
    let rounded = total.ln() as f32;
    rounded
}

/// The id of row `index`; vocabularies are far smaller than 2³².
fn token(index: usize) -> TokenId {
    TokenId(u32::try_from(index).expect("a vocabulary has fewer than 2^32 tokens"))
}
