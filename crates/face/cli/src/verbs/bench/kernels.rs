//! Where the time goes: each kernel of a model with its shape, beside the limits of the machine.
//!
//! Runs are traced; spans of the same unit are summed up. A kernel is bound by reading or by
//! multiplying, whichever is nearer to its limit: that share is what it reaches of the roof.

use super::{Limits, Measuring, billions};
use crate::{failure::Result, output::Output, report::ms};
use engine::trace::Recorder;
use plan::{Control, Trace, Unit, Who};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

/// Spans of the runs that are traced.
const SPANS: usize = 1 << 17;

/// All kernels of one kind of run.
pub(super) struct Kernels {
    /// What was run.
    what: String,
    /// The longest first.
    sums: Vec<Sum>,
    limits: (Limits, Limits),
}

/// One kernel.
#[derive(Clone, Debug, Default)]
struct Sum {
    name: String,
    calls: u64,
    time: Duration,
    bytes: u64,
    macs: u64,
}

impl Kernels {
    /// Traces `run`, with the limits before and after it.
    pub(super) fn measure(
        what: String,
        units: &[Unit],
        measuring: &mut Measuring,
        run: impl FnOnce(&mut Measuring, &Recorder) -> Result<()>,
        limits: impl Fn() -> Result<Limits>,
    ) -> Result<Self> {
        let recorder = Recorder::new(SPANS);
        let before = limits()?;
        run(measuring, &recorder)?;
        let limits = (before, limits()?);
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut sums: Vec<Sum> = Vec::new();
        for span in recorder.spans() {
            let unit = usize::try_from(span.unit).ok().and_then(|unit| units.get(unit));
            let (Some(unit), Who::All) = (unit, span.who) else { continue };
            let place = *places.entry(&unit.name).or_insert_with(|| {
                sums.push(Sum { name: unit.name.clone(), ..Sum::default() });
                sums.len() - 1
            });
            let sum = &mut sums[place];
            sum.calls += 1;
            sum.time += span.end.saturating_sub(span.begin);
            sum.bytes += unit.bytes(span.rows, span.position).0;
            sum.macs += unit.macs(span.rows, span.position);
        }
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.time));
        Ok(Self { what, sums, limits })
    }

    /// What of the roof a kernel reaches.
    fn roof(&self, sum: &Sum) -> f64 {
        let (before, after) = &self.limits;
        let middle = |of: fn(&Limits) -> f64| f64::midpoint(of(before), of(after));
        let read = billions(sum.bytes, sum.time) / middle(|limits| limits.read_gbps);
        let dots = billions(sum.macs, sum.time) / middle(|limits| limits.dot_gmacs);
        read.max(dots)
    }

    fn total(&self) -> Duration {
        self.sums.iter().map(|sum| sum.time).sum()
    }

    pub(super) fn object(&self) -> Value {
        let total = self.total().as_secs_f64().max(1e-9);
        let digits = |x: f64| (x * 1e3).round() / 1e3;
        let kernels = self.sums.iter().map(|sum| {
            json!({
                "name": sum.name,
                "calls": sum.calls,
                "ms": ms(sum.time),
                "share": digits(sum.time.as_secs_f64() / total),
                "gbps": billions(sum.bytes, sum.time),
                "gmacs": billions(sum.macs, sum.time),
                "roof": digits(self.roof(sum)),
            })
        });
        json!({
            "run": self.what,
            "kernels": kernels.collect::<Vec<_>>(),
            "limits": { "before": self.limits.0.object(), "after": self.limits.1.object() },
        })
    }

    pub(super) fn table(&self, output: &mut Output) -> Result<()> {
        let total = self.total().as_secs_f64().max(1e-9);
        let width = self.sums.iter().map(|sum| sum.name.len()).max().unwrap_or(0);
        output.line("")?;
        output.line(&format!("{}: {:.2} ms in kernels", self.what, ms(self.total())))?;
        output.line(&format!(
            "{:<width$} {:>6} {:>10} {:>5} {:>8} {:>8} {:>7}",
            "kernel", "calls", "ms", "%", "GB/s", "GMAC/s", "of roof"
        ))?;
        for sum in &self.sums {
            output.line(&format!(
                "{:<width$} {:>6} {:>10.3} {:>5.1} {:>8.1} {:>8.1} {:>5.0} %",
                sum.name,
                sum.calls,
                ms(sum.time),
                100.0 * sum.time.as_secs_f64() / total,
                billions(sum.bytes, sum.time),
                billions(sum.macs, sum.time),
                100.0 * self.roof(sum),
            ))?;
        }
        output.line(&format!("limits: {}; after: {}", self.limits.0, self.limits.1))
    }
}

/// Stops on Ctrl-C and traces.
pub(super) struct Traced<'a>(pub(super) &'a dyn Control, pub(super) &'a Recorder);

impl Control for Traced<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn progress(&self, _done: u64, _total: u64) {}

    fn trace(&self) -> Option<&dyn Trace> {
        Some(self.1)
    }
}
