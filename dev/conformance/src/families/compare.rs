//! How far rows of logits are from a golden, and whether that is near enough.
//!
//! F32 cases compare the largest difference with the spread of the golden's logits. Quantised
//! cases compare the mean Kullback-Leibler divergence, and the likeliest token wherever the golden
//! is sure of it: both sides quantise activations, each in its way.

use std::fmt;

/// What a golden is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Largest difference over the golden's maximum minus minimum.
    Spread,
    /// Mean divergence of rows, in nats.
    Divergence,
}

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Distance {
    /// What was measured.
    pub(crate) metric: Metric,
    /// The distance.
    pub(crate) value: f64,
    /// What it may be.
    pub(crate) tolerance: f64,
    /// Rows whose likeliest token was compared, and those where it differs.
    pub(crate) sure_rows: usize,
    /// Of `sure_rows`, those with another likeliest token.
    pub(crate) other_top: usize,
}

impl Distance {
    /// Measures `rows` against `golden`, both `[rows, width]`; a row is sure of its likeliest
    /// token if the gap to the second exceeds `noise`.
    pub(crate) fn measure(
        metric: Metric,
        tolerance: f64,
        noise: f32,
        golden: &Rows,
        rows: &Rows,
    ) -> Self {
        let value = if golden.width != rows.width || golden.values.len() != rows.values.len() {
            f64::INFINITY
        } else {
            match metric {
                Metric::Spread => spread_error(&golden.values, &rows.values),
                Metric::Divergence => {
                    let pairs = golden.iter().zip(rows.iter());
                    let count = golden.values.len() / golden.width;
                    pairs.map(|(a, b)| divergence(a, b)).sum::<f64>() / count as f64
                }
            }
        };
        let sure = |row: &[f32]| {
            let (top, best) = top(row);
            let second = row.iter().enumerate().filter(|(idx, _)| *idx != top);
            best - second.fold(f32::NEG_INFINITY, |second, (_, x)| second.max(*x)) > noise
        };
        let sure: Vec<_> = golden.iter().zip(rows.iter()).filter(|(row, _)| sure(row)).collect();
        let other_top = sure.iter().filter(|(a, b)| top(a).0 != top(b).0).count();
        Self { metric, value, tolerance, sure_rows: sure.len(), other_top }
    }

    /// Whether the rows count as equal: near enough, and the same token at 99 % of sure rows.
    pub(crate) fn passes(&self) -> bool {
        // A NaN distance fails.
        self.value <= self.tolerance && self.other_top * 100 <= self.sure_rows
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = match self.metric {
            Metric::Spread => "of the spread",
            Metric::Divergence => "nats",
        };
        let Self { value, tolerance, sure_rows, other_top, .. } = self;
        write!(f, "{value:.2e} {metric} (at most {tolerance:.2e}); ")?;
        write!(f, "{other_top} of {sure_rows} sure rows choose another token")
    }
}

/// A matrix of f32, row after row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// Elements of a row.
    pub(crate) width: usize,
    /// `[rows, width]`.
    pub(crate) values: Vec<f32>,
}

impl Rows {
    /// Row after row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    /// The rows `idxs`, in that order; rows that do not exist are left out.
    #[must_use]
    pub(crate) fn select(&self, idxs: &[usize]) -> Self {
        let row = |idx: &usize| self.values.chunks_exact(self.width).nth(*idx);
        let values = idxs.iter().filter_map(row).flatten().copied().collect();
        Self { width: self.width, values }
    }
}

/// Largest difference over the spread of `golden`; infinite where something is not finite.
fn spread_error(golden: &[f32], values: &[f32]) -> f64 {
    let (low, high) = golden
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    let differences = golden.iter().zip(values).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    let largest =
        differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    largest / f64::from(high - low)
}

/// KL(softmax(a) ‖ softmax(b)) in nats.
fn divergence(a: &[f32], b: &[f32]) -> f64 {
    let log_sum = |row: &[f32]| {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, x| max.max(f64::from(*x)));
        max + row.iter().map(|x| (f64::from(*x) - max).exp()).sum::<f64>().ln()
    };
    let (sum_a, sum_b) = (log_sum(a), log_sum(b));
    let terms = a.iter().zip(b).map(|(a, b)| {
        let log_a = f64::from(*a) - sum_a;
        log_a.exp() * (log_a - (f64::from(*b) - sum_b))
    });
    terms.sum()
}

/// The first index of the largest element, and that element.
fn top(row: &[f32]) -> (usize, f32) {
    let start = (0, f32::NEG_INFINITY);
    row.iter().enumerate().fold(start, |best, (idx, x)| if *x > best.1 { (idx, *x) } else { best })
}
