//! Ratios, their spread, what the machine could do meanwhile, and the targets.
//!
//! A ratio counts only within its round. Whether memory was quiet or busy is read off the probes,
//! and targets of generation differ between the two.

use std::fmt;

use serde_json::{Value, json};

use super::{Level, Measure};

/// Memory is quiet from this read rate on, in GB/s: what the targets were set with.
const QUIET_GBPS: f64 = 55.0;

/// Part of a file's name, then the least ratios: prompt, decode (quiet, busy), deep (quiet, busy).
const TARGETS: [(&str, f64, [f64; 2], [f64; 2]); 8] = [
    ("llama-3.2-1b-q4_0", 2.3, [1.7, 1.15], [2.8, 1.9]),
    ("llama-3.2-1b-q4_k_m", 1.4, [1.7, 1.2], [2.8, 1.9]),
    ("llama-3.2-1b-q8_0", 2.8, [1.8, 1.3], [2.4, 1.8]),
    ("qwen2.5-0.5b-q4_0", 2.4, [1.8, 1.3], [3.0, 2.0]),
    ("qwen2.5-0.5b-q4_k_m", 2.4, [1.8, 1.3], [3.0, 2.0]),
    ("smollm2-135m-q4_0", 2.5, [2.0, 1.6], [4.0, 4.0]),
    ("smollm2-135m-q4_k_m", 2.5, [2.0, 1.6], [4.0, 4.0]),
    ("smollm2-135m-instruct.q4_1", 2.5, [2.0, 1.6], [4.0, 4.0]),
];

/// The least ratio of prompts where both sides have AVX2 alone.
const TARGET_AVX2: f64 = 1.3;

/// The head of the table.
pub(super) const HEAD: &str = "\
| file | measure | peer tok/s | Ledge tok/s | ratio (least–most) | target | of limit | limits: read, dots | load | peer's best, our KV |
|---|---|---|---|---|---|---|---|---|---|";

/// Both sides once, with the limits before, between and after.
#[derive(Debug)]
pub(super) struct Round {
    theirs: f64,
    ours: Value,
    probes: [Value; 3],
}

impl Round {
    pub(super) fn new(theirs: f64, ours: Value, probes: [Value; 3]) -> Self {
        Self { theirs, ours, probes }
    }
}

/// All rounds of one measure of one file.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) measure: Measure,
    pub(super) level: Level,
    pub(super) peer: String,
    pub(super) kv: &'static str,
    pub(super) rounds: Vec<Round>,
    /// Each configuration of the peer that was tried, and its rate.
    pub(super) tried: Vec<(String, f64)>,
}

/// The middle of some numbers; 0 of none.
fn median(mut list: Vec<f64>) -> f64 {
    list.sort_by(f64::total_cmp);
    let (n, at) = (list.len(), list.len() / 2);
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => list[at],
        _ => f64::midpoint(list[at - 1], list[at]),
    }
}

impl Row {
    fn of(&self, number: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
        self.rounds.iter().filter_map(number).collect()
    }

    fn ours(&self) -> Vec<f64> {
        self.of(|round| round.ours[self.measure.key()].as_f64())
    }

    fn ratios(&self) -> Vec<f64> {
        self.of(|round| Some(round.ours[self.measure.key()].as_f64()? / round.theirs))
    }

    /// A limit at all probes.
    fn limit(&self, key: &str) -> Vec<f64> {
        let probes = self.rounds.iter().flat_map(|round| &round.probes);
        probes.filter_map(|probe| probe[key].as_f64()).collect()
    }

    /// What share of the limit Ledge reached: of the probes beside it.
    fn share(&self) -> f64 {
        let (ours, limit) = match self.measure {
            Measure::Prompt => ("prefill_gmacs", "dot_gmacs"),
            Measure::Decode | Measure::Deep => ("read_gbps", "read_gbps"),
        };
        median(self.of(|round| {
            let [_, before, after] = &round.probes;
            let limit = f64::midpoint(before[limit].as_f64()?, after[limit].as_f64()?);
            Some(round.ours[ours].as_f64()? / limit)
        }))
    }

    /// Whether memory was quiet.
    fn is_quiet(&self) -> bool {
        median(self.limit("read_gbps")) >= QUIET_GBPS
    }

    /// The least ratio, if the file has one.
    fn target(&self) -> Option<f64> {
        let name = self.name.to_ascii_lowercase();
        if self.level == Level::Avx2 {
            return (self.measure == Measure::Prompt).then_some(TARGET_AVX2);
        }
        let (_, prompt, decode, deep) = TARGETS.iter().find(|target| name.contains(target.0))?;
        let regime = usize::from(!self.is_quiet());
        Some(match self.measure {
            Measure::Prompt => *prompt,
            Measure::Decode => decode[regime],
            Measure::Deep => deep[regime],
        })
    }

    /// Whether the median ratio reaches the target.
    pub(super) fn is_met(&self) -> bool {
        self.target().is_none_or(|target| median(self.ratios()) >= target)
    }

    /// Everything, for scripts.
    pub(super) fn object(&self) -> Value {
        let rounds = self.rounds.iter();
        let rounds: Vec<Value> = rounds
            .map(|round| json!({ "peer_tps": round.theirs, "ledge": round.ours, "limits": round.probes }))
            .collect();
        json!({
            "file": self.name,
            "measure": self.measure.name(),
            "peer": self.peer,
            "kv": self.kv,
            "ratio": median(self.ratios()),
            "target": self.target(),
            "met": self.is_met(),
            "rounds": rounds,
            "tried": self.tried.iter().map(|(peer, rate)| json!([peer, rate])).collect::<Vec<_>>(),
        })
    }
}

/// The least and the most.
fn range(list: &[f64]) -> (f64, f64) {
    list.iter().fold((f64::INFINITY, 0.0), |(least, most), &x| (least.min(x), x.max(most)))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theirs = median(self.of(|round| Some(round.theirs)));
        let ratios = self.ratios();
        let (least, most) = range(&ratios);
        let target = self.target().map_or_else(|| "–".to_owned(), |target| format!("{target}"));
        let met = if self.is_met() { "" } else { " SHORT" };
        let reads = self.limit("read_gbps");
        let (slow, fast) = range(&reads);
        let regime = if self.is_quiet() { "quiet" } else { "busy" };
        write!(
            f,
            "| {} | {} | {theirs:.1} | {:.1} | {:.2} ({least:.2}–{most:.2}) | {target}{met} | \
             {:.0} % | {slow:.0}–{fast:.0} GB/s {regime}, {:.0} GMAC/s | {:.1} | {}, {} |",
            self.name,
            self.measure.name(),
            median(self.ours()),
            median(ratios.clone()),
            100.0 * self.share(),
            median(self.limit("dot_gmacs")),
            median(self.limit("load")),
            self.peer,
            self.kv,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, measure: Measure, gbps: f64, rates: &[(f64, f64)]) -> Row {
        let probe = json!({ "read_gbps": gbps, "dot_gmacs": 400.0, "load": 0.5 });
        let round = |&(theirs, ours): &(f64, f64)| {
            let ours = json!({ measure.key(): ours, "read_gbps": 20.0, "prefill_gmacs": 100.0 });
            Round::new(theirs, ours, [probe.clone(), probe.clone(), probe.clone()])
        };
        let rounds = rates.iter().map(round).collect();
        let (name, peer, tried) = (name.to_owned(), "llama.cpp".to_owned(), Vec::new());
        Row { name, measure, level: Level::Native, peer, kv: "f16", rounds, tried }
    }

    #[test]
    fn the_regime_decides_the_target_and_the_median_whether_it_is_met() {
        let rates = [(10.0, 12.0), (10.0, 11.0), (20.0, 60.0)];
        let busy = row("llama-3.2-1b-q4_0", Measure::Decode, 36.0, &rates);
        assert_eq!((busy.target(), busy.is_met()), (Some(1.15), true));
        let quiet = row("llama-3.2-1b-q4_0", Measure::Decode, 60.0, &rates);
        assert_eq!((quiet.target(), quiet.is_met()), (Some(1.7), false));
        assert_eq!(quiet.to_string().matches("SHORT").count(), 1);
        let mut masked = row("llama-3.2-1b-q4_0", Measure::Prompt, 60.0, &[(10.0, 14.0)]);
        masked.level = Level::Avx2;
        assert_eq!((masked.target(), masked.is_met()), (Some(TARGET_AVX2), true));
        let other = row("my-model", Measure::Prompt, 60.0, &rates);
        assert_eq!((other.target(), other.is_met()), (None, true));
        assert!((other.share() - 0.25).abs() < 1e-9);
    }
}
