//! Networks: how long a run takes, where its time goes, and beside another runtime.
//!
//! Inputs are random but the same each time, unless the command line names them. The other runtime
//! works in a process of its own on the very same inputs; both sides run in turns, so that what else the
//! machine does disturbs both alike.

mod arrays;
mod operators;
mod peer;

use super::{Times, limits::Limits, processors};
use crate::{
    args::Bench,
    devices,
    failure::{Failure, Result},
    output::{Output, counted, say},
    report::ms,
    verbs::Scene,
    watch::Watch,
};
use engine::{Network, trace::Recorder};
use ledge::{Array, Bytes};
use operators::Operators;
use peer::{Compared, Peer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tensor::TensorRef;

/// Spans of the runs that are traced.
const SPANS: usize = 1 << 17;
/// How long each side runs where no number of runs is asked for.
const MEASURED: Duration = Duration::from_secs(1);
/// Runs at least and at most, where none are asked for.
const RUNS: (u64, u64) = (5, 2000);
/// Turns of each side, where two are compared.
const TURNS: u64 = 5;

/// Measures a network.
pub(super) fn run(args: &Bench, scene: &Scene, begin: Instant, mut network: Network) -> Result<()> {
    if let Some(threads) = args.model.threads {
        network.set_threads(threads);
    }
    devices::set(&mut network, &args.model, &scene.manner)?;
    let making = Instant::now();
    let inputs = arrays::inputs(args, &network)?;
    // What a peer is given is not made by it either.
    let making = making.elapsed();
    let views: Vec<_> = inputs.iter().map(|(name, array)| (name.as_str(), array.view())).collect();
    let watch = Watch::new(&scene.interrupt, &scene.manner, "measuring");
    // Reading the file, importing it, packing its weights, and a run with all of that still cold.
    let outputs = network.run_with(&views, &Quiet(&watch))?;
    let load = begin.elapsed().saturating_sub(making);
    let mut bench = Measuring { network: &network, views: &views, watch: &watch };
    let one = bench.one()?;
    let runs = args.repeat.unwrap_or_else(|| {
        let fit = MEASURED.as_nanos() / one.as_nanos().max(1);
        u64::try_from(fit).unwrap_or(u64::MAX).clamp(RUNS.0, RUNS.1)
    });
    let (times, compared) = if let Some(kind) = args.compare {
        bench.beside(kind, args, scene, &inputs, &outputs, runs)?
    } else {
        (bench.times(runs)?, None)
    };
    // The memory of spans is none of the network's, nor is that in which limits are measured.
    let peak = engine::device::resident().map(|resident| resident.peak);
    let recorder = Recorder::new(SPANS);
    let traced = runs.clamp(1, 20);
    for _ in 0..traced {
        network.run_with(&views, &super::kernels::Traced(&watch, &recorder))?;
    }
    let arrays = |list: &[(String, Array)]| -> usize {
        list.iter().map(|(_, array)| array.bytes().len()).sum()
    };
    // The arrays of this program, as `ledge plan` counts them.
    let arrays = Bytes((arrays(&inputs) + arrays(&outputs)) as u64);
    let promised = network.promise().map(|promise| Bytes(promise.total().0 + arrays.0));
    let limits = Limits::measure(args.model.threads, args.isa)?;
    drop(watch);
    let found = Found {
        label: network.label().to_owned(),
        threads: args.model.threads.map_or_else(processors, std::num::NonZero::get),
        inputs: inputs.iter().map(|(name, array)| (name.clone(), array.shape())).collect(),
        load,
        times: Times::new(0, times),
        peak,
        promised,
        operators: Operators::new(&network.units(), &recorder, traced, limits),
        compared,
        placement: devices::object(&network.placements()),
    };
    let mut output = Output::stdout();
    if scene.manner.json {
        output.line(&found.object().to_string())?;
    } else {
        found.table(&mut output, scene.manner.verbose)?;
    }
    output.finish()
}

/// A network on its inputs.
struct Measuring<'a> {
    network: &'a Network,
    views: &'a [(&'a str, TensorRef<'a>)],
    watch: &'a Watch,
}

impl Measuring<'_> {
    fn one(&mut self) -> Result<Duration> {
        if plan::Control::cancelled(self.watch) {
            return Err(Failure::cancelled());
        }
        let begin = Instant::now();
        // Outputs are lent: what the first run gave is held already.
        let outputs = self.network.lend(self.views)?;
        let elapsed = begin.elapsed();
        drop(outputs);
        Ok(elapsed)
    }

    fn times(&mut self, runs: u64) -> Result<Vec<Duration>> {
        (0..runs).map(|_| self.one()).collect()
    }

    /// Runs in turns with another runtime, if it can be had.
    fn beside(
        &mut self,
        kind: crate::args::Peer,
        args: &Bench,
        scene: &Scene,
        inputs: &[(String, Array)],
        outputs: &[(String, Array)],
        runs: u64,
    ) -> Result<(Vec<Duration>, Option<Compared>)> {
        let mut peer = match Peer::start(kind, args, inputs) {
            Ok(peer) => peer,
            Err(reason) => {
                if !scene.manner.quiet {
                    say(format_args!("note: nothing to compare with: {reason}"));
                }
                return Ok((self.times(runs)?, None));
            }
        };
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let turn = runs.div_ceil(TURNS).max(1);
        // Turns of the same length for both: the slower side runs less often.
        let [one, other] = [self.one()?, peer.run(1)?.into_iter().max().unwrap_or_default()];
        let share = one.as_secs_f64() / other.as_secs_f64().max(1e-9);
        #[expect(clippy::cast_possible_truncation, reason = "a number of runs, bounded below")]
        let peer_turn = ((turn as f64 * share) as u64).clamp(1, 10 * turn);
        for _ in 0..TURNS {
            let a = peer.run(peer_turn)?;
            let b = self.times(turn)?;
            ratios.push(median(&a).as_secs_f64() / median(&b).as_secs_f64().max(1e-9));
            theirs.extend(a);
            ours.extend(b);
        }
        ratios.sort_by(f64::total_cmp);
        let compared = peer.finish(theirs, ratios, outputs)?;
        Ok((ours, Some(compared)))
    }
}

fn median(times: &[Duration]) -> Duration {
    Times::new(0, times.to_vec()).quantile(0.5)
}

/// Passes on the wish to stop, and keeps progress to itself.
struct Quiet<'a>(&'a Watch);

impl plan::Control for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn progress(&self, _done: u64, _total: u64) {}
}

/// All that was measured.
struct Found {
    label: String,
    threads: usize,
    inputs: Vec<(String, tensor::Shape)>,
    load: Duration,
    times: Times,
    peak: Option<Bytes>,
    promised: Option<Bytes>,
    /// Where parts run, with reasons.
    placement: Value,
    operators: Operators,
    compared: Option<Compared>,
}

impl Found {
    fn object(&self) -> Value {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| micro(self.times.quantile(q)));
        let inputs = self.inputs.iter();
        let inputs: Vec<Value> =
            inputs.map(|(name, shape)| json!({ "name": name, "shape": shape.dims() })).collect();
        json!({
            "model": self.label,
            "threads": self.threads,
            "inputs": inputs,
            "runs": self.times.sorted.len(),
            "p50_ms": p50,
            "p90_ms": p90,
            "p99_ms": p99,
            "load_ms": micro(self.load),
            "peak_bytes": self.peak.map(|peak| peak.0),
            "promised_bytes": self.promised.map(|promised| promised.0),
            "compared": self.compared.as_ref().map(Compared::object),
            "operators": self.operators.list(),
            "placement": self.placement,
            "limits": self.operators.limits.object(),
        })
    }

    fn table(&self, output: &mut Output, verbose: bool) -> Result<()> {
        let inputs: Vec<String> =
            self.inputs.iter().map(|(name, shape)| format!("{name} {shape}")).collect();
        let (label, threads) = (&self.label, counted(self.threads, "thread"));
        output.line(&format!("{label}: {}, {threads}", inputs.join(", ")))?;
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| micro(self.times.quantile(q)));
        let runs = self.times.sorted.len();
        output.line(&format!(
            "run      {p50:>9.3} ms  median of {runs}; 90 % {p90:.3} ms, 99 % {p99:.3} ms"
        ))?;
        output.line(&format!("load     {:>9.1} ms  and the first run", ms(self.load)))?;
        match (self.peak, self.promised) {
            (Some(peak), Some(promised)) => {
                output.line(&format!("memory   {peak:>12}  of {promised} promised"))?;
            }
            (None, Some(promised)) => {
                output.line(&format!("memory   {promised:>12}  promised"))?;
            }
            _ => {}
        }
        if let Some(compared) = &self.compared {
            compared.table(output)?;
        }
        self.operators.table(output, verbose)
    }
}

/// Milliseconds to a thousandth.
fn micro(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
