//! What a sampler can be told, and the ranges in which that makes sense.
//!
//! A value of [`Sampling`] is only data: nothing is checked until a sampler is made from it, and
//! then the first field that is out of range is named.

use text::{TokenId, Tokenizer};

/// The longest history, in tokens, that a penalty can look at.
const WINDOW_MAX: u32 = 1 << 20;
/// The most logit biases.
const BIASES_MAX: usize = 1024;

/// Settings of a sampler; the default is temperature 0.7, top-p 0.95, min-p 0.05.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 always takes the best token. `0..=100`.
    pub temperature: f32,
    /// Keeps the `k` best tokens; 0 keeps all.
    pub top_k: u32,
    /// Keeps the fewest best tokens whose probabilities reach this sum; 1 keeps all. `(0, 1]`.
    pub top_p: f32,
    /// Keeps tokens at least this probable relative to the best one; 0 keeps all. `0..=1`.
    pub min_p: f32,
    /// Locally typical sampling (Meister et al. 2023): keeps the tokens whose surprise is nearest
    /// to the entropy until their probabilities reach this sum; 1 keeps all. `(0, 1]`.
    pub typical_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens; 1 does nothing.
    /// `(0, 100]`.
    pub repetition_penalty: f32,
    /// Taken off the logit for each recent occurrence. `-100..=100`.
    pub frequency_penalty: f32,
    /// Taken off the logit of each token that occurred recently. `-100..=100`.
    pub presence_penalty: f32,
    /// How many of the last tokens the three penalties look at; 0 turns them off.
    pub penalty_window: u32,
    /// Penalises tokens that would go on with a repetition.
    pub dry: Option<Dry>,
    /// Added to the logits of these tokens; `-∞` rules a token out. At most 1024.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            dry: None,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// "Don't repeat yourself": a token that would lengthen a repetition of `n` tokens loses
/// `multiplier · base^(n - allowed_length)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// Strength. `(0, 100]`.
    pub multiplier: f32,
    /// Growth with every further repeated token. `[1, 100]`.
    pub base: f32,
    /// Repetitions shorter than this are free.
    pub allowed_length: u32,
    /// Tokens that end a repetition; never part of one.
    pub breakers: Vec<TokenId>,
    /// How many of the last tokens are looked at. `1..=2^20`.
    pub window: u32,
}

impl Dry {
    /// The tokens of `tokenizer` whose text holds one of `texts`, for [`Dry::breakers`]; llama.cpp
    /// takes `"\n"`, `":"`, `"\""` and `"*"` unless told otherwise.
    pub fn breakers_in(tokenizer: &Tokenizer, texts: &[String]) -> Vec<TokenId> {
        let ids = (0..u32::try_from(tokenizer.n_tokens()).unwrap_or(u32::MAX)).map(TokenId);
        let holds = |id: &TokenId| {
            let piece = tokenizer.piece(*id);
            texts.iter().any(|text| !text.is_empty() && piece.contains(text.as_str()))
        };
        ids.filter(holds).collect()
    }
}

impl Default for Dry {
    fn default() -> Self {
        Self { multiplier: 0.8, base: 1.75, allowed_length: 2, breakers: Vec::new(), window: 4096 }
    }
}

/// A setting is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but must be {allowed}")]
pub struct InvalidSampling {
    /// The field, as it is called in [`Sampling`].
    pub field: &'static str,
    /// The value, printed.
    pub value: String,
    /// The values that are allowed, in words.
    pub allowed: &'static str,
}

impl Sampling {
    /// Always the best token.
    #[must_use]
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks every field against its range; `vocabulary` bounds the token ids.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self, vocabulary: usize) -> Result<(), InvalidSampling> {
        let half_open = |x: f32| x > 0.0 && x <= 1.0;
        let signed = |x: f32| (-100.0..=100.0).contains(&x);
        let known = |token: TokenId| (token.0 as usize) < vocabulary;
        ranged("temperature", self.temperature, "from 0 to 100", |x| (0.0..=100.0).contains(&x))?;
        ranged("top_p", self.top_p, "above 0 and at most 1", half_open)?;
        ranged("min_p", self.min_p, "from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
        ranged("typical_p", self.typical_p, "above 0 and at most 1", half_open)?;
        ranged("repetition_penalty", self.repetition_penalty, "above 0 and at most 100", |x| {
            x > 0.0 && x <= 100.0
        })?;
        ranged("frequency_penalty", self.frequency_penalty, "from -100 to 100", signed)?;
        ranged("presence_penalty", self.presence_penalty, "from -100 to 100", signed)?;
        ranged("penalty_window", self.penalty_window, "at most 1048576", |n| n <= WINDOW_MAX)?;
        if let Some(dry) = &self.dry {
            ranged("dry.multiplier", dry.multiplier, "above 0 and at most 100", |x| {
                x > 0.0 && x <= 100.0
            })?;
            ranged("dry.base", dry.base, "from 1 to 100", |x| (1.0..=100.0).contains(&x))?;
            ranged("dry.window", dry.window, "from 1 to 1048576", |n| {
                (1..=WINDOW_MAX).contains(&n)
            })?;
            for breaker in &dry.breakers {
                ranged("dry.breakers", breaker.0, "a token of the vocabulary", |_| {
                    known(*breaker)
                })?;
            }
        }
        let biases = self.logit_bias.len();
        ranged("logit_bias", biases, "at most 1024 entries", |n| n <= BIASES_MAX)?;
        for (token, bias) in &self.logit_bias {
            ranged("logit_bias", token.0, "a token of the vocabulary", |_| known(*token))?;
            ranged("logit_bias", *bias, "a finite number or -inf", |x| x < f32::INFINITY)?;
        }
        Ok(())
    }

    /// Whether one of the three penalties over recent tokens is on.
    pub(super) fn penalises(&self) -> bool {
        self.penalty_window > 0
            && [self.repetition_penalty - 1.0, self.frequency_penalty, self.presence_penalty]
                .iter()
                .any(|strength| strength.abs() > 0.0)
    }
}

fn ranged<T: Copy + std::fmt::Display>(
    field: &'static str,
    value: T,
    allowed: &'static str,
    accepts: impl FnOnce(T) -> bool,
) -> Result<(), InvalidSampling> {
    if accepts(value) {
        return Ok(());
    }
    Err(InvalidSampling { field, value: value.to_string(), allowed })
}
