//! `--trace FILE`: what ran when, in the form that Chrome and Perfetto show.
//!
//! The format is the Trace Event Format (complete events, times in microseconds). One row shows the
//! steps of the schedule, one more for each thread what it did in them: gaps there are waiting.

use crate::{
    args::Manner,
    failure::Result,
    output::{Output, say},
};
use engine::{LanguageModel, trace::Recorder};
use plan::{Span, Unit, Who};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// Spans that are kept: 10 MiB. They are taken before the plan is made, as part of the program.
const SPANS: usize = 1 << 18;

/// Takes memory for a trace, where one is wanted.
pub(crate) fn recorder(wanted: Option<&Path>) -> Option<Arc<Recorder>> {
    wanted.map(|_| Arc::new(Recorder::new(SPANS)))
}

/// Writes what was noted; says on stderr what is missing.
pub(crate) fn write(
    path: &Path,
    recorder: &Recorder,
    lm: &LanguageModel,
    manner: &Manner,
) -> Result<()> {
    let units = lm.units();
    let spans = recorder.spans();
    let mut output = Output::open(Some(path))?;
    output.line("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    let workers = spans.iter().map(|span| row(span.who)).max().unwrap_or(0);
    for row in 0..=workers {
        let name = if row == 0 { "steps".to_owned() } else { format!("thread {}", row - 1) };
        let name = json!({ "name": name });
        let event = json!({ "ph": "M", "pid": 1, "tid": row, "name": "thread_name", "args": name });
        output.line(&format!("{event},"))?;
    }
    for span in &spans {
        if let Some(unit) = usize::try_from(span.unit).ok().and_then(|unit| units.get(unit)) {
            output.line(&format!("{},", event(span, unit)))?;
        }
    }
    let model = json!({ "name": lm.model().label() });
    let last = json!({ "ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": model });
    output.line(&format!("{last}\n]}}"))?;
    output.finish()?;
    let lost = recorder.lost();
    if lost > 0 && !manner.quiet {
        say(format_args!(
            "note: the trace holds the last {} spans; {lost} before are missing",
            spans.len()
        ));
    }
    Ok(())
}

/// The row in which a span is shown.
fn row(who: Who) -> u32 {
    match who {
        Who::All => 0,
        Who::Worker(worker) => worker.saturating_add(1),
    }
}

fn event(span: &Span, unit: &Unit) -> Value {
    let micros = |time: Duration| (time.as_secs_f64() * 1e9).round() / 1e3;
    let length = span.end.saturating_sub(span.begin);
    let mut event = json!({
        "ph": "X",
        "pid": 1,
        "tid": row(span.who),
        "name": unit.name,
        "ts": micros(span.begin),
        "dur": micros(length),
    });
    if span.who == Who::All {
        let bytes = unit.bytes(span.rows, span.position).0;
        let macs = unit.macs(span.rows, span.position);
        let seconds = length.as_secs_f64().max(1e-9);
        let billions = |count: u64| (count as f64 / seconds / 1e6).round() / 1e3;
        event["args"] = json!({
            "layer": unit.layer,
            "rows": span.rows,
            "position": span.position,
            "bytes": bytes,
            "macs": macs,
            "gbps": billions(bytes),
            "gmacs": billions(macs),
        });
    }
    event
}
