//! Truncation of the distribution: which tokens remain, and with what weight.
//!
//! After [`truncate`] the candidates stand best first, ties by token id, except where nothing
//! was cut off: then they stand by id. The vocabulary is never sorted as a whole unless typical
//! sampling asks for it; top-k, top-p and min-p only select.

use std::cmp::Ordering;

use super::row::Row;
use super::settings::Sampling;
use kernels::logits::exp;

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
/// `total` is the row's, where it is known. At least one candidate is left.
pub(super) fn truncate(
    row: Row<'_>,
    total: Option<f64>,
    settings: &Sampling,
    candidates: &mut Vec<Candidate>,
) {
    let top_k = settings.top_k as usize;
    let cut_by_k = top_k > 0 && top_k < row.logits.len();
    if cut_by_k {
        take_top(row, top_k, candidates);
    }
    if settings.typical_p < 1.0 {
        if !cut_by_k {
            take_all(row.logits, candidates);
            candidates.sort_unstable_by(best_first);
        }
        typical(candidates, settings.typical_p);
        candidates.sort_unstable_by(best_first);
    } else if !cut_by_k {
        return select(row, total, settings, candidates);
    }
    // From here on the candidates are few, sorted, and a distribution of their own.
    let best = candidates[0].logit;
    let total: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - best))).sum();
    top_p(candidates, best, total, settings.top_p);
    min_p(candidates, best, settings.min_p);
}

/// Top-p and min-p over the whole vocabulary, without sorting it.
fn select(row: Row<'_>, total: Option<f64>, settings: &Sampling, candidates: &mut Vec<Candidate>) {
    let total = || total.unwrap_or_else(|| row.total());
    if settings.min_p > 0.0 {
        // The best token survives top-p, so min-p's bar is known beforehand.
        let bar = row.max.min(row.max + settings.min_p.ln());
        candidates.clear();
        candidates.extend(row.at_least(bar).map(candidate));
        candidates.sort_unstable_by(best_first);
        if settings.top_p < 1.0 {
            top_p(candidates, row.max, total(), settings.top_p);
        }
    } else if settings.top_p < 1.0 {
        let total = total();
        let mut guess = FIRST_GUESS;
        loop {
            take_top(row, guess, candidates);
            if top_p(candidates, row.max, total, settings.top_p) || guess >= row.logits.len() {
                return;
            }
            guess *= 8;
        }
    } else {
        take_all(row.logits, candidates);
    }
}

/// Gives every candidate its weight at `temperature`; returns the sum of the weights.
pub(super) fn temper(candidates: &mut [Candidate], temperature: f32) -> f64 {
    let best = candidates.iter().map(|c| c.logit).fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for candidate in candidates {
        candidate.weight = f64::from(exp((candidate.logit - best) / temperature));
        total += candidate.weight;
    }
    total
}

/// The `n` best tokens, best first.
pub(super) fn take_top(row: Row<'_>, n: usize, candidates: &mut Vec<Candidate>) {
    candidates.clear();
    let n = n.min(row.logits.len());
    if n == 0 {
        return;
    }
    // The n largest maxima of blocks are n logits, so the n best reach the least of those.
    let mut bar = f32::NEG_INFINITY;
    if n < row.peaks.len() {
        keep_top(row.peaks.iter().copied().enumerate(), n, candidates);
        bar = candidates[n - 1].logit;
        candidates.clear();
    }
    keep_top(row.at_least(bar), n, candidates);
}

/// Keeps the `n` best of at least as many numbers by ascending ids, best first.
fn keep_top(
    numbers: impl Iterator<Item = (usize, f32)>,
    n: usize,
    candidates: &mut Vec<Candidate>,
) {
    let room = room(n);
    let mut bar = f32::NEG_INFINITY;
    for (id, number) in numbers {
        // Ids ascend, so a later equal number loses against the ones that set the bar.
        if number > bar || candidates.len() < n {
            candidates.push(candidate((id, number)));
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
    candidates.extend(logits.iter().copied().enumerate().map(candidate));
}

/// A token that has not been weighed.
fn candidate((id, logit): (usize, f32)) -> Candidate {
    let token = u32::try_from(id).expect("a vocabulary has fewer than 2^32 tokens");
    // Adding zero turns -0 into 0: the order must not tell them apart.
    Candidate { token, logit: logit + 0.0, weight: 0.0 }
}

/// Keeps the shortest prefix of the sorted candidates whose probabilities reach `p`; says whether
/// they did.
fn top_p(candidates: &mut Vec<Candidate>, best: f32, total: f64, p: f32) -> bool {
    if p >= 1.0 {
        return true;
    }
    let mut reached = 0.0;
    for kept in 0..candidates.len() {
        reached += f64::from(exp(candidates[kept].logit - best)) / total;
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
    let total: f64 = candidates.iter().map(|c| f64::from(exp(c.logit - best))).sum();
    let log_total = total.ln();
    let surprise = |logit: f32| log_total - f64::from(logit - best);
    let mut entropy = 0.0;
    for candidate in candidates.iter() {
        let probability = f64::from(exp(candidate.logit - best)) / total;
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
        reached += f64::from(exp(candidates[kept].logit - best)) / total;
        if reached > f64::from(p) {
            candidates.truncate(kept + 1);
            return;
        }
    }
}

fn best_first(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}
