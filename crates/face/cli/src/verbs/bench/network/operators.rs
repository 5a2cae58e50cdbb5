//! Where a network's time goes: its operators, the longest first, beside the limits of the machine.
//!
//! Products of matrices are judged by their multiplications or by the bytes that they move, whichever is
//! nearer to its limit; all else by the bytes of its arrays, which it has to read and write at least.

use super::super::{billions, limits::Limits};
use crate::{failure::Result, output::Output};
use engine::trace::Recorder;
use plan::{Factors, Unit, Who};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Operators that are shown unless all are asked for.
const SHOWN: usize = 20;

/// All operators of a network.
pub(super) struct Operators {
    /// The longest first.
    sums: Vec<Sum>,
    /// Times of all operators of a kind.
    kinds: Vec<(String, usize, Duration)>,
    pub(super) limits: Limits,
}

/// One operator, or several that are the same.
struct Sum {
    unit: Unit,
    /// Its places in the schedule.
    units: Vec<usize>,
    /// In one run.
    time: Duration,
}

impl Operators {
    /// Sums up the spans of so many runs.
    pub(super) fn new(units: &[Unit], recorder: &Recorder, runs: u64, limits: Limits) -> Self {
        let mut times = vec![Duration::ZERO; units.len()];
        for span in recorder.spans().iter().filter(|span| span.who == Who::All) {
            let unit = usize::try_from(span.unit).ok().and_then(|unit| times.get_mut(unit));
            if let Some(time) = unit {
                *time += span.end.saturating_sub(span.begin);
            }
        }
        let runs = u32::try_from(runs).unwrap_or(1).max(1);
        let mut sums: Vec<Sum> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut kinds: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
        for (i, (unit, time)) in units.iter().zip(times).enumerate() {
            let time = time / runs;
            let kind = unit.name.split(' ').next().unwrap_or_default();
            let kind = kinds.entry(kind).or_default();
            *kind = (kind.0 + 1, kind.1 + time);
            let place = *places.entry(&unit.name).or_insert_with(|| {
                sums.push(Sum { unit: unit.clone(), units: Vec::new(), time: Duration::ZERO });
                sums.len() - 1
            });
            sums[place].units.push(i);
            sums[place].time += time;
        }
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.time));
        let mut kinds: Vec<_> =
            kinds.into_iter().map(|(kind, (count, time))| (kind.to_owned(), count, time)).collect();
        kinds.sort_by_key(|(_, _, time)| std::cmp::Reverse(*time));
        Self { sums, kinds, limits }
    }

    fn total(&self) -> Duration {
        self.sums.iter().map(|sum| sum.time).sum()
    }

    /// What of the roof an operator reaches.
    fn roof(&self, sum: &Sum) -> f64 {
        let [bytes, macs] = sum.work().map(|count| billions(count, sum.time));
        let products = match sum.unit.factors {
            Factors::Bytes => self.limits.dot_gmacs,
            Factors::Singles => self.limits.fma_gmacs,
        };
        (bytes / self.limits.read_gbps).max(macs / products)
    }

    pub(super) fn list(&self) -> Value {
        let digits = |x: f64| (x * 1e3).round() / 1e3;
        let total = self.total().as_secs_f64().max(1e-9);
        let list = self.sums.iter().map(|sum| {
            let [bytes, macs] = sum.work();
            json!({
                "name": sum.unit.name,
                "count": sum.units.len(),
                "ms": digits(sum.time.as_secs_f64() * 1e3),
                "share": digits(sum.time.as_secs_f64() / total),
                "gbps": billions(bytes, sum.time),
                "gmacs": billions(macs, sum.time),
                "roof": digits(self.roof(sum)),
            })
        });
        list.collect()
    }

    pub(super) fn table(&self, output: &mut Output, verbose: bool) -> Result<()> {
        let total = self.total().as_secs_f64().max(1e-9);
        let shown = if verbose { self.sums.len() } else { SHOWN.min(self.sums.len()) };
        let shown = &self.sums[..shown];
        let width = shown.iter().map(|sum| sum.unit.name.len()).max().unwrap_or(0).max(8);
        let of_total = |time: Duration| 100.0 * time.as_secs_f64() / total;
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        output.line("")?;
        output.line(&format!(
            "{:<width$} {:>5} {:>10} {:>5} {:>8} {:>8} {:>7}",
            "operator", "count", "ms", "%", "GB/s", "GMAC/s", "of roof"
        ))?;
        for sum in shown {
            let [bytes, macs] = sum.work().map(|count| billions(count, sum.time));
            output.line(&format!(
                "{:<width$} {:>5} {:>10.3} {:>5.1} {bytes:>8.1} {macs:>8.1} {:>5.0} %",
                sum.unit.name,
                sum.units.len(),
                ms(sum.time),
                of_total(sum.time),
                100.0 * self.roof(sum),
            ))?;
        }
        let rest = self.sums.len() - shown.len();
        if rest > 0 {
            let time: Duration = self.sums[shown.len()..].iter().map(|sum| sum.time).sum();
            let name = format!("{rest} others, shown by -v");
            output.line(&format!("{name:<width$} {:>16.3} {:>5.1}", ms(time), of_total(time)))?;
        }
        output.line("")?;
        for (kind, count, time) in &self.kinds {
            output.line(&format!(
                "{kind:<width$} {count:>5} {:>10.3} {:>5.1}",
                ms(*time),
                of_total(*time)
            ))?;
        }
        output.line(&format!("limits: {}", self.limits))
    }
}

impl Sum {
    /// Bytes that it moves and multiplications that it does in a run.
    fn work(&self) -> [u64; 2] {
        let count = self.units.len() as u64;
        [self.unit.bytes(1, 0).0 * count, self.unit.macs(1, 0) * count]
    }
}
