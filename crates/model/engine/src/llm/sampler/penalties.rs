//! Lowers the logits of tokens that the recent history makes unwelcome.
//!
//! The rules are those of llama.cpp's `penalties` and `dry` samplers: each looks at the last
//! `window` tokens only and leaves all other logits as they are.

use std::cmp::Reverse;

use text::TokenId;

use super::settings::{Dry, Sampling};

/// Repetition (Keskar et al. 2019, §4.1), frequency and presence penalties.
///
/// `recent` is room for `penalty_window` tokens.
pub(super) fn repetition(
    logits: &mut [f32],
    history: &[TokenId],
    settings: &Sampling,
    recent: &mut Vec<u32>,
) {
    recent.clear();
    recent.extend(last(history, settings.penalty_window).iter().map(|token| token.0));
    recent.sort_unstable();
    for run in recent.chunk_by(|a, b| a == b) {
        let Some(logit) = logits.get_mut(run[0] as usize) else { continue };
        if *logit > 0.0 {
            *logit /= settings.repetition_penalty;
        } else {
            *logit *= settings.repetition_penalty;
        }
        *logit -= run.len() as f32 * settings.frequency_penalty + settings.presence_penalty;
    }
}

/// Room for [`dry`]: nothing in it outlives a call.
#[derive(Debug, Default)]
pub(super) struct DryBuffers {
    /// The window, newest token first.
    newest_first: Vec<u32>,
    /// For each place in the window, how many tokens before it repeat the end of the window.
    repeats: Vec<u32>,
    /// `(token, repetition that it would lengthen)`.
    longest: Vec<(u32, u32)>,
    /// Sorted breakers.
    breakers: Vec<u32>,
}

impl DryBuffers {
    /// Reserves what the settings can need.
    pub(super) fn for_settings(dry: Option<&Dry>) -> Self {
        let Some(dry) = dry else { return Self::default() };
        let window = dry.window as usize;
        let mut breakers: Vec<u32> = dry.breakers.iter().map(|token| token.0).collect();
        breakers.sort_unstable();
        Self {
            newest_first: Vec::with_capacity(window),
            repeats: Vec::with_capacity(window),
            longest: Vec::with_capacity(window),
            breakers,
        }
    }
}

/// DRY: a token loses `multiplier · base^(n - allowed_length)` if it followed, earlier in the
/// window, the same `n ≥ allowed_length` tokens that stand at the window's end.
///
/// A repetition never reaches across a breaker.
pub(super) fn dry(logits: &mut [f32], history: &[TokenId], dry: &Dry, buffers: &mut DryBuffers) {
    let DryBuffers { newest_first, repeats, longest, breakers } = buffers;
    newest_first.clear();
    newest_first.extend(last(history, dry.window).iter().rev().map(|token| token.0));
    // Tokens since the last breaker: no repetition can be longer.
    let cap = newest_first.iter().position(|token| breakers.binary_search(token).is_ok());
    let cap = cap.unwrap_or(newest_first.len());
    if cap < dry.allowed_length as usize || newest_first.len() < 2 {
        return;
    }
    matches_of_prefix(newest_first, repeats);
    longest.clear();
    for (place, &length) in repeats.iter().enumerate().skip(1) {
        let length = length.min(u32::try_from(cap).unwrap_or(u32::MAX));
        if length > 0 && length >= dry.allowed_length {
            longest.push((newest_first[place - 1], length));
        }
    }
    longest.sort_unstable_by_key(|&(token, length)| (token, Reverse(length)));
    longest.dedup_by_key(|entry| entry.0);
    for &(token, length) in longest.iter() {
        let Some(logit) = logits.get_mut(token as usize) else { continue };
        // The power is capped where f32 ends, as in llama.cpp.
        let exponent_max = if dry.base > 1.000_001 { f32::MAX.ln() / dry.base.ln() } else { 0.0 };
        let mut exponent = length - dry.allowed_length;
        if exponent_max > 0.0 && exponent as f32 > exponent_max {
            #[expect(clippy::cast_possible_truncation, reason = "at most 88 million")]
            let capped = exponent_max as u32;
            exponent = capped;
        }
        let penalty = dry.multiplier * dry.base.powf(exponent as f32);
        *logit -= if penalty.is_finite() { penalty } else { f32::MAX };
    }
}

/// The Z array of `tokens`: at each place, how many tokens from there on equal the beginning
/// (Gusfield 1997, §1.4). `repeats[0]` is 0.
fn matches_of_prefix(tokens: &[u32], repeats: &mut Vec<u32>) {
    repeats.clear();
    repeats.push(0);
    let (mut left, mut right) = (0, 0);
    for place in 1..tokens.len() {
        let mut length =
            if place < right { (repeats[place - left] as usize).min(right - place) } else { 0 };
        while place + length < tokens.len() && tokens[length] == tokens[place + length] {
            length += 1;
        }
        if place + length > right {
            (left, right) = (place, place + length);
        }
        repeats.push(u32::try_from(length).unwrap_or(u32::MAX));
    }
}

fn last(history: &[TokenId], window: u32) -> &[TokenId] {
    &history[history.len().saturating_sub(window as usize)..]
}
