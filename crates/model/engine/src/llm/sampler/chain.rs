//! Truncation of the distribution: which tokens remain, and with what weight.
//!
//! After [`truncate`] the candidates stand best first, ties by token id, except where nothing
//! was cut off: then they stand by id. The vocabulary is never sorted as a whole unless typical
//! sampling asks for it; top-k, top-p and min-p only select.

use std::cmp::Ordering;

use super::settings::Sampling;
use super::softmax;

/// The first guess of how many tokens top-p needs; it grows eightfold until they are enough.
const FIRST_GUESS: usize = 128;

/// A token that can still be chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) token: u32,
    pub(super) logit: f32,
    /// Proportional to the probability, once [`temper`] has run.
    pub(super) weight: f64,
}

/// How many candidates a sampler with these settings can hold at once.
pub(super) fn capacity(settings: &Sampling, vocabulary: usize) -> usize {
    let top_k = settings.top_k as usize;
    if top_k == 0 { vocabulary } else { room(top_k).min(vocabulary) }
}

/// Fills `candidates` with the tokens that top-k, typical, top-p and min-p leave.
///
/// `max` is the largest logit. At least one candidate is left.
pub(super) fn truncate(
    logits: &[f32],
    max: f32,
    settings: &Sampling,
    candidates: &mut Vec<Candidate>,
) {
    let top_k = settings.top_k as usize;
    let cut_by_k = top_k > 0 && top_k < logits.len();
    if cut_by_k {
        take_top(logits, top_k, candidates);
    }
    if settings.typical_p < 1.0 {
        if !cut_by_k {
            take_all(logits, candidates);
            candidates.sort_unstable_by(best_first);
        }
        typical(candidates, settings.typical_p);
        candidates.sort_unstable_by(best_first);
    } else if !cut_by_k {
        return select(logits, max, settings, candidates);
    }
    // From here on the candidates are few, sorted, and a distribution of their own.
    let best = candidates[0].logit;
    let total: f64 = candidates.iter().map(|c| f64::from(softmax::exp(c.logit - best))).sum();
    top_p(candidates, best, total, settings.top_p);
    min_p(candidates, best, settings.min_p);
}

/// Top-p and min-p over the whole vocabulary, without sorting it.
fn select(logits: &[f32], max: f32, settings: &Sampling, candidates: &mut Vec<Candidate>) {
    if settings.min_p > 0.0 {
        // The best token survives top-p, so min-p's bar is known beforehand.
        let bar = max + settings.min_p.ln();
        take_all(logits, candidates);
        candidates.retain(|candidate| candidate.logit >= bar || candidate.logit >= max);
        candidates.sort_unstable_by(best_first);
        if settings.top_p < 1.0 {
            top_p(candidates, max, softmax::sum(logits, max), settings.top_p);
        }
    } else if settings.top_p < 1.0 {
        let total = softmax::sum(logits, max);
        let mut guess = FIRST_GUESS;
        loop {
            take_top(logits, guess, candidates);
            if top_p(candidates, max, total, settings.top_p) || guess >= logits.len() {
                return;
            }
            guess *= 8;
        }
    } else {
        take_all(logits, candidates);
    }
}

/// Gives every candidate its weight at `temperature`; returns the sum of the weights.
pub(super) fn temper(candidates: &mut [Candidate], temperature: f32) -> f64 {
    let best = candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for candidate in candidates {
        candidate.weight = f64::from(softmax::exp((candidate.logit - best) / temperature));
        total += candidate.weight;
    }
    total
}

/// The `n` best tokens, best first.
pub(super) fn take_top(logits: &[f32], n: usize, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let n = n.min(logits.len());
    if n == 0 {
        return;
    }
    let room = room(n);
    let mut bar = f32::NEG_INFINITY;
    for (token, &logit) in (0..).zip(logits) {
        // Ids ascend, so a later equal logit loses against the ones that set the bar.
        if logit > bar || candidates.len() < n {
            candidates.push(Candidate { token, logit: logit + 0.0, weight: 0.0 });
            if candidates.len() == room {
                candidates.select_nth_unstable_by(n - 1, best_first);
                candidates.truncate(n);
                bar = candidates[n - 1].logit;
            }
        }
    }
    if candidates.len() > n {
        candidates.select_nth_unstable_by(n - 1, best_first);
        candidates.truncate(n);
    }
    candidates.sort_unstable_by(best_first);
}

/// Candidates held while the `n` best are sought.
fn room(n: usize) -> usize {
    (2 * n).max(n + 64)
}

fn take_all(logits: &[f32], candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let all = (0..).zip(logits);
    // Adding zero turns -0 into 0: the order must not tell them apart.
    candidates.extend(all.map(|(token, &logit)| Candidate {
        token,
        logit: logit + 0.0,
        weight: 0.0,
    }));
}

/// Keeps the shortest prefix of the sorted candidates whose probabilities reach `p`; says whether
/// they did.
fn top_p(candidates: &mut Vec<Candidate>, best: f32, total: f64, p: f32) -> bool {
    if p >= 1.0 {
        return true;
    }
    let mut reached = 0.0;
    for kept in 0..candidates.len() {
        reached += f64::from(softmax::exp(candidates[kept].logit - best)) / total;
        if reached >= f64::from(p) {
            candidates.truncate(kept + 1);
            return true;
        }
    }
    false
}

/// Drops sorted candidates that are less than `p` times as probable as the best.
fn min_p(candidates: &mut Vec<Candidate>, best: f32, p: f32) {
    if p > 0.0 {
        let bar = best + p.ln();
        let kept = candidates.partition_point(|candidate| candidate.logit >= bar);
        candidates.truncate(kept.max(1));
    }
}

/// Keeps the candidates whose surprise is nearest to the entropy, until their probabilities
/// exceed `p`. Leaves them in that order.
fn typical(candidates: &mut Vec<Candidate>, p: f32) {
    let best = candidates[0].logit;
    let total: f64 = candidates.iter().map(|c| f64::from(softmax::exp(c.logit - best))).sum();
    let log_total = total.ln();
    let surprise = |logit: f32| log_total - f64::from(logit - best);
    let mut entropy = 0.0;
    for candidate in candidates.iter() {
        let probability = f64::from(softmax::exp(candidate.logit - best)) / total;
        if probability > 0.0 {
            entropy += probability * surprise(candidate.logit);
        }
    }
    for candidate in candidates.iter_mut() {
        candidate.weight = (surprise(candidate.logit) - entropy).abs();
    }
    candidates
        .sort_unstable_by(|a, b| a.weight.total_cmp(&b.weight).then_with(|| best_first(a, b)));
    let mut reached = 0.0;
    for kept in 0..candidates.len() {
        reached += f64::from(softmax::exp(candidates[kept].logit - best)) / total;
        if reached > f64::from(p) {
            candidates.truncate(kept + 1);
            return;
        }
    }
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}
