//! `ledge bench`: rates of prompt and generation, how steady they are, and what the machine allows;
//! of networks, how long a run takes.
//!
//! Any tokens do, since the work does not depend on which. The sequence is taken back between runs, so
//! that a long one is filled only once however often tokens are generated behind it.

mod kernels;
mod limits;
mod network;
mod work;

use super::Scene;
use crate::{
    args::Bench,
    failure::{Failure, Result},
    model,
    output::{Output, counted},
    report::{ms, rate},
    watch::Watch,
};
use engine::{Request, llm::session::Session};
use kernels::{Kernels, Traced};
use ledge::TokenId;
use limits::Limits;
use plan::{Control, Uncontrolled};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use work::Work;

/// Runs that are counted, where no number is given.
const REPEAT: u64 = 3;

/// Measures.
pub(crate) fn run(args: &Bench, scene: &Scene) -> Result<()> {
    let mut output = Output::stdout();
    if args.prompt == 0 && args.n == 0 {
        if !args.limits {
            return Err(Failure::usage("nothing to measure").hint("give --prompt, -n or --limits"));
        }
        let limits = Limits::measure(args.model.threads, args.isa)?;
        if scene.manner.json {
            output.line(&json!({ "limits": limits.object() }).to_string())?;
        } else {
            output.line(&format!("limits   {limits}"))?;
        }
        return output.finish();
    }
    let begin = Instant::now();
    if let Some(network) = model::open_network(args.path.as_deref(), &args.passes)? {
        return network::run(args, scene, begin, network);
    }
    let file = model::open(args.path.as_deref())?;
    let mut request = Request { isa: args.isa, ..model::request(&args.model)? };
    let depths = match args.depth.as_slice() {
        _ if args.n == 0 => Vec::new(),
        [] => vec![args.prompt],
        depths => depths.to_vec(),
    };
    let deepest = depths.iter().max().map_or(0, |depth| depth + args.n);
    request.context = Some(request.context.unwrap_or(args.prompt.max(deepest)));
    let before = args.limits.then(|| Limits::measure(args.model.threads, args.isa)).transpose()?;
    let begin = Instant::now();
    let lm = model::load(&file, request, &scene.interrupt, &scene.manner)?;
    let load = begin.elapsed();
    let repeat = args.repeat.unwrap_or(REPEAT);
    let mut bench = Measuring {
        vocabulary: file.model().settings.vocabulary,
        session: lm.engine().session()?,
        watch: Watch::new(&scene.interrupt, &scene.manner, "measuring"),
        repeat,
        done: 0,
        total: (repeat + 1) * (u64::from(args.prompt > 0) + depths.len() as u64),
    };
    let prompt = (args.prompt > 0).then(|| bench.prompt(args.prompt)).transpose()?;
    let decodes = depths.iter().map(|&depth| bench.decode(depth, args.n));
    let decodes = decodes.collect::<Result<Vec<Times>>>()?;
    let kernels = if args.kernels {
        let limits = || Limits::measure(args.model.threads, args.isa);
        bench.kernels(&lm.engine().units(), args.prompt, &depths, args.n, limits)?
    } else {
        Vec::new()
    };
    drop(bench);
    // The memory in which limits were measured is none of the model's.
    let probed = args.limits || args.kernels;
    let resident = if probed { None } else { engine::device::resident() };
    let peak = resident.map(|resident| resident.peak);
    let after = args.limits.then(|| Limits::measure(args.model.threads, args.isa)).transpose()?;
    let found = Found {
        label: file.label().to_owned(),
        threads: args.model.threads.map_or_else(processors, std::num::NonZero::get),
        promised: lm.engine().promise().total().0,
        peak: peak.map(|peak| peak.0),
        work: Work::of(lm.engine().plan()),
        limits: before.zip(after),
        n: args.n,
        load,
        prompt,
        decodes,
        kernels,
    };
    if scene.manner.json {
        output.line(&found.object().to_string())?;
    } else {
        found.table(&mut output)?;
    }
    output.finish()
}

/// Threads that run where none are asked for.
pub(crate) fn processors() -> usize {
    engine::device::Limits::read().alike.max(1)
}

/// A sequence that is filled and taken back.
struct Measuring {
    vocabulary: u64,
    session: Session,
    watch: Watch,
    repeat: u64,
    done: u64,
    total: u64,
}

impl Measuring {
    fn tokens(&self, range: std::ops::Range<u64>) -> Vec<TokenId> {
        let id = |i: u64| u32::try_from((i * 7 + 1) % self.vocabulary).unwrap_or(0);
        range.map(|i| TokenId(id(i))).collect()
    }

    fn step(&mut self) {
        self.done += 1;
        self.watch.progress(self.done, self.total);
    }

    /// Runs a prompt of `n` tokens from an empty sequence. The first run warms up.
    fn prompt(&mut self, n: u64) -> Result<Times> {
        let tokens = self.tokens(0..n);
        let mut times = Vec::new();
        for repeat in 0..=self.repeat {
            self.session.truncate(0);
            let begin = Instant::now();
            self.session.append(&tokens, &Quiet(&self.watch))?;
            if repeat > 0 {
                times.push(begin.elapsed());
            }
            self.step();
        }
        Ok(Times::new(n, times))
    }

    /// Runs `n` tokens one by one behind `depth` others. The first run warms up.
    fn decode(&mut self, depth: u64, n: u64) -> Result<Times> {
        let held = self.session.history().len() as u64;
        let filling = self.tokens(held.min(depth)..depth);
        self.session.append(&filling, &Quiet(&self.watch))?;
        let tokens = self.tokens(depth..depth + n);
        let mut times = Vec::new();
        for repeat in 0..=self.repeat {
            self.session.truncate(usize::try_from(depth).unwrap_or(usize::MAX));
            for token in &tokens {
                let begin = Instant::now();
                self.session.append(&[*token], &Uncontrolled)?;
                if repeat > 0 {
                    times.push(begin.elapsed());
                }
                if self.watch.cancelled() {
                    return Err(Failure::cancelled());
                }
            }
            self.step();
        }
        Ok(Times::new(depth, times))
    }

    /// Traces a prompt, and some tokens behind each depth.
    fn kernels(
        &mut self,
        units: &[plan::Unit],
        prompt: u64,
        depths: &[u64],
        n: u64,
        limits: impl Fn() -> Result<Limits>,
    ) -> Result<Vec<Kernels>> {
        let mut all = Vec::new();
        if prompt > 0 {
            let tokens = self.tokens(0..prompt);
            let run = |bench: &mut Self, recorder: &_| {
                bench.session.truncate(0);
                Ok(bench.session.append(&tokens, &Traced(&bench.watch, recorder))?)
            };
            all.push(Kernels::measure(format!("prompt of {prompt}"), units, self, run, &limits)?);
        }
        for &depth in depths {
            self.session.truncate(usize::try_from(depth).unwrap_or(usize::MAX));
            let held = self.session.history().len() as u64;
            let filling = self.tokens(held..depth);
            self.session.append(&filling, &Quiet(&self.watch))?;
            let tokens = self.tokens(depth..depth + n);
            let run = |bench: &mut Self, recorder: &_| {
                for token in &tokens {
                    bench.session.append(&[*token], &Traced(&bench.watch, recorder))?;
                }
                Ok(())
            };
            let what = format!("{n} tokens behind {depth}");
            all.push(Kernels::measure(what, units, self, run, &limits)?);
        }
        Ok(all)
    }
}

/// Passes on the wish to stop, and keeps progress to itself.
struct Quiet<'a>(&'a Watch);

impl Control for Quiet<'_> {
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    fn progress(&self, _done: u64, _total: u64) {}
}

/// How long something took, many times.
struct Times {
    /// Tokens of the prompt, or positions before the tokens that were generated.
    tokens: u64,
    sorted: Vec<Duration>,
}

impl Times {
    fn new(tokens: u64, mut sorted: Vec<Duration>) -> Self {
        sorted.sort();
        Self { tokens, sorted }
    }

    fn quantile(&self, q: f64) -> Duration {
        #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
        let place = (q * self.sorted.len().saturating_sub(1) as f64).round() as usize;
        self.sorted.get(place).copied().unwrap_or_default()
    }
}

/// All that was measured.
struct Found {
    label: String,
    threads: usize,
    promised: u64,
    peak: Option<u64>,
    work: Work,
    limits: Option<(Limits, Limits)>,
    n: u64,
    load: Duration,
    prompt: Option<Times>,
    decodes: Vec<Times>,
    kernels: Vec<Kernels>,
}

/// Billions of something a second, to three digits behind the point.
fn billions(count: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (count as f64 / seconds / 1e6).round() / 1e3 } else { 0.0 }
}

impl Found {
    /// Rate and work of the prompt.
    fn prefill(&self) -> Option<(f64, Option<f64>)> {
        let prompt = self.prompt.as_ref()?;
        let time = prompt.quantile(0.5);
        let macs = self.work.macs(prompt.tokens).map(|macs| billions(macs, time));
        Some((rate(prompt.tokens, time), macs))
    }

    /// Bytes a second that generation reads: weights, and the cache as far as it is filled.
    fn read_rate(&self, decode: &Times) -> Option<f64> {
        let bytes = self.work.bytes(decode.tokens + self.n / 2)?;
        Some(billions(bytes, decode.quantile(0.5)))
    }

    fn decode_object(&self, decode: &Times) -> Value {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| decode.quantile(q));
        json!({
            "depth": decode.tokens,
            "decode_tps": rate(1, p50),
            "p50_ms": ms(p50),
            "p90_ms": ms(p90),
            "p99_ms": ms(p99),
            "read_gbps": self.read_rate(decode),
        })
    }

    fn object(&self) -> Value {
        let mut object = json!({
            "model": self.label,
            "threads": self.threads,
            "repeat": self.prompt.as_ref().map(|prompt| prompt.sorted.len()),
            "load_ms": ms(self.load),
        });
        let mut put = |key: &str, value: Value| {
            object[key] = value;
        };
        if let (Some(prompt), Some((tps, macs))) = (&self.prompt, self.prefill()) {
            put("prompt_tokens", json!(prompt.tokens));
            put("prefill_tps", json!(tps));
            put("prefill_gmacs", json!(macs));
        }
        put("tokens", json!(self.n));
        let decodes: Vec<Value> = self.decodes.iter().map(|d| self.decode_object(d)).collect();
        if let Some(Value::Object(first)) = decodes.first() {
            for (key, value) in first {
                put(key, value.clone());
            }
        }
        if decodes.len() > 1 {
            put("depths", json!(decodes));
        }
        put("peak_bytes", json!(self.peak));
        put("promised_bytes", json!(self.promised));
        if let Some((before, after)) = &self.limits {
            put("limits", json!({ "before": before.object(), "after": after.object() }));
        }
        if !self.kernels.is_empty() {
            put("kernels", self.kernels.iter().map(Kernels::object).collect());
        }
        object
    }

    fn table(&self, output: &mut Output) -> Result<()> {
        let share = |rate: Option<f64>, of: fn(&Limits) -> f64| {
            let (before, after) = self.limits.as_ref()?;
            Some(format!(", {:.0} % of the limit", 200.0 * rate? / (of(before) + of(after))))
        };
        output.line(&format!("{}: {}", self.label, counted(self.threads, "thread")))?;
        output.line(&format!("load     {:>9.0} ms", ms(self.load)))?;
        if let (Some(prompt), Some((tps, macs))) = (&self.prompt, self.prefill()) {
            let work = macs.map_or_else(String::new, |macs| format!(", {macs:.0} GMAC/s"));
            let share = share(macs, |limits| limits.dot_gmacs).unwrap_or_default();
            output.line(&format!(
                "prompt   {tps:>9.1} tok/s  {} tokens{work}{share}",
                prompt.tokens
            ))?;
        }
        for decode in &self.decodes {
            let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| decode.quantile(q));
            let read = self.read_rate(decode);
            let work = read.map_or_else(String::new, |read| format!(", {read:.1} GB/s"));
            let share = share(read, |limits| limits.read_gbps).unwrap_or_default();
            output.line(&format!(
                "decode   {:>9.1} tok/s  behind {} positions{work}{share}",
                rate(1, p50),
                decode.tokens
            ))?;
            let [p50, p90, p99] = [p50, p90, p99].map(ms);
            output
                .line(&format!("a token  {p50:>9.2} ms     90 % {p90:.2} ms, 99 % {p99:.2} ms"))?;
        }
        if let Some((before, after)) = &self.limits {
            output.line(&format!("limits   {before}; after: {after}"))?;
        }
        let promised = ledge::Bytes(self.promised);
        match self.peak.map(ledge::Bytes) {
            Some(peak) => output.line(&format!("memory   {peak:>12}  of {promised} promised"))?,
            None => output.line(&format!("memory   {promised:>12}  promised"))?,
        }
        self.kernels.iter().try_for_each(|kernels| kernels.table(output))
    }
}
