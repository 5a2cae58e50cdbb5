//! `ledge bench`: rates of prompt and generation, and how steady they are.

use super::Scene;
use crate::{
    args::Bench,
    failure::{Failure, Result},
    model,
    output::Output,
    report::{ms, rate},
    watch::Watch,
};
use ledge::{TokenId, Uncontrolled};
use serde_json::json;
use std::time::{Duration, Instant};

/// Measures.
pub(crate) fn run(args: &Bench, scene: &Scene) -> Result<()> {
    let file = model::open(args.path.as_deref())?;
    let mut request = model::request(&args.model);
    request.context = Some(request.context.unwrap_or(args.prompt + args.n));
    let lm = model::load(&file, request, &scene.interrupt, &scene.manner)?;
    let vocabulary = file.model().settings.vocabulary;
    // Any tokens do: the work does not depend on which.
    let token = |i: u64| TokenId(u32::try_from((i * 7 + 1) % vocabulary).unwrap_or(0));
    let prompt: Vec<TokenId> = (0..args.prompt).map(token).collect();
    let mut session = lm.engine().session()?;
    let mut prompts = Vec::new();
    let mut steps: Vec<Duration> = Vec::new();
    let watch = Watch::new(&scene.interrupt, &scene.manner, "measuring");
    for repeat in 0..=args.repeat {
        session.truncate(0);
        let begin = Instant::now();
        session.append(&prompt, &watch)?;
        let first = begin.elapsed();
        let mut times = Vec::new();
        for i in 0..args.n {
            let begin = Instant::now();
            session.append(&[token(i)], &Uncontrolled)?;
            times.push(begin.elapsed());
            if scene.interrupt.is_set() {
                return Err(Failure::cancelled());
            }
        }
        // The first run warms up.
        if repeat > 0 {
            prompts.push(first);
            steps.extend(times);
        }
        plan::Control::progress(&watch, repeat + 1, args.repeat + 1);
    }
    drop(watch);
    prompts.sort();
    steps.sort();
    let prefill = rate(args.prompt, quantile(&prompts, 0.5));
    let middle = quantile(&steps, 0.5);
    let decode = rate(1, middle);
    let (p90, p99) = (quantile(&steps, 0.9), quantile(&steps, 0.99));
    let peak = engine::device::resident().map(|resident| resident.peak);
    let mut output = Output::stdout();
    if scene.manner.json {
        let object = json!({
            "prompt_tokens": args.prompt,
            "tokens": args.n,
            "repeat": args.repeat,
            "prefill_tps": prefill,
            "decode_tps": decode,
            "p50_ms": ms(middle),
            "p90_ms": ms(p90),
            "p99_ms": ms(p99),
            "peak_bytes": peak.map(|peak| peak.0),
            "promised_bytes": lm.engine().promise().total().0,
        });
        output.line(&object.to_string())?;
    } else {
        output.line(&format!("prompt   {prefill:>9.1} tok/s  ({} tokens)", args.prompt))?;
        output.line(&format!("decode   {decode:>9.1} tok/s  (median of {})", steps.len()))?;
        let spread = [middle, p90, p99].map(ms);
        output.line(&format!(
            "a token  {:>9.2} ms     90 % {:.2} ms, 99 % {:.2} ms",
            spread[0], spread[1], spread[2]
        ))?;
        if let Some(peak) = peak {
            let promised = lm.engine().promise().total();
            output.line(&format!("memory   {peak:>12}  of {promised} promised"))?;
        }
    }
    output.finish()
}

fn quantile(sorted: &[Duration], q: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
    let place = (q * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or_default()
}
