//! Flags of the sampler, alike in every verb that generates.
//!
//! Numbers are read as they are; whether they make sense is the sampler's to say, which names the
//! field that does not.

use clap::Args;
use ledge::{Dry, Sampling, TokenId, Tokenizer};
use std::hash::{BuildHasher as _, RandomState};

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// The most tokens to generate [default: until a stop or a full context; 256 for the model
    /// inside the program]
    #[arg(short, value_name = "N")]
    pub(crate) n: Option<u64>,
    /// Temperature: 0 always takes the best token
    #[arg(long, value_name = "X", default_value_t = 0.7, allow_negative_numbers = true)]
    pub(crate) temp: f32,
    /// Keep the K best tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub(crate) top_k: u32,
    /// Keep the best tokens whose probabilities reach P
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    pub(crate) top_p: f32,
    /// Keep tokens at least P times as probable as the best
    #[arg(long, value_name = "P", default_value_t = 0.05, allow_negative_numbers = true)]
    pub(crate) min_p: f32,
    /// Keep the most typical tokens whose probabilities reach P
    #[arg(long, value_name = "P", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) typical: f32,
    /// Make recent tokens less likely: 1 does nothing
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    pub(crate) repeat_penalty: f32,
    /// Taken off the logit for each recent occurrence
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: f32,
    /// Taken off the logit of tokens that occurred recently
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) presence_penalty: f32,
    /// How many of the last tokens count as recent
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) penalty_window: u32,
    /// Strength of DRY, which penalises going on with a repetition; 0 is off
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) dry: f32,
    /// DRY: growth with every repeated token
    #[arg(long, value_name = "X", default_value_t = 1.75, allow_negative_numbers = true)]
    pub(crate) dry_base: f32,
    /// DRY: repetitions shorter than this are free
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) dry_allowed_length: u32,
    /// DRY: how many of the last tokens are looked at
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub(crate) dry_window: u32,
    /// DRY: tokens that hold this text end a repetition (may be repeated; replaces the defaults)
    #[arg(long, value_name = "TEXT", default_values_t = ["\n", ":", "\"", "*"].map(String::from),
          hide_default_value = true)]
    pub(crate) dry_breaker: Vec<String>,
    /// Add to the logit of a token, such as 123=-inf (may be repeated)
    #[arg(long, value_name = "ID=X", value_parser = bias, allow_hyphen_values = true)]
    pub(crate) logit_bias: Vec<(TokenId, f32)>,
    /// Seed of the random numbers [default: random, and shown at the end]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End before this text appears (may be repeated)
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Go on where the model would end
    #[arg(long)]
    pub(crate) ignore_eos: bool,
    /// With --json: the K most probable tokens at each position
    #[arg(long, value_name = "K", requires = "json", default_value_t = 0)]
    pub(crate) logprobs: usize,
}

fn bias(text: &str) -> Result<(TokenId, f32), String> {
    let (id, bias) = text.split_once('=').ok_or("write ID=NUMBER")?;
    let id = id.trim().parse().map_err(|_| "the id is no number")?;
    Ok((TokenId(id), bias.trim().parse().map_err(|_| "the bias is no number")?))
}

impl SamplingArgs {
    /// The settings that the flags ask for, with a random seed where none is given; `tokenizer`
    /// tells which tokens hold the texts that DRY stops at.
    pub(crate) fn settings(&self, tokenizer: Option<&Tokenizer>) -> Sampling {
        // Zero is off; NaN and the rest are the sampler's to refuse.
        let on = self.dry.abs() > 0.0 || self.dry.is_nan();
        let breakers = tokenizer.filter(|_| on);
        let breakers = breakers.map(|tokenizer| Dry::breakers_in(tokenizer, &self.dry_breaker));
        let dry = Dry {
            multiplier: self.dry,
            base: self.dry_base,
            allowed_length: self.dry_allowed_length,
            breakers: breakers.unwrap_or_default(),
            window: self.dry_window,
        };
        Sampling {
            temperature: self.temp,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical,
            repetition_penalty: self.repeat_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            penalty_window: self.penalty_window,
            dry: on.then_some(dry),
            logit_bias: self.logit_bias.clone(),
            // Scripts read seeds as JSON numbers, which hold 53 bits everywhere.
            seed: self.seed.unwrap_or_else(|| RandomState::new().hash_one(0) >> 11),
        }
    }
}
