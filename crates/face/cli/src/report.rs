//! What every run ends with: times, rates, memory beside the promise, notices.
//!
//! The same record is a line for a person and an object for scripts; fields are only ever added.

use crate::{
    args::Manner,
    failure::Result,
    output::{Output, counted, say},
};
use plan::Promise;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How a run went.
#[derive(Debug)]
pub(crate) struct Report {
    model: String,
    seed: u64,
    promise: Promise,
    context: u64,
    kv: String,
    load: Duration,
    begin: Instant,
    first_token: Option<Duration>,
    end: Duration,
    prompt_tokens: u64,
    reused_tokens: u64,
    pub(crate) produced: u64,
    pub(crate) ending: &'static str,
    pub(crate) notices: Vec<String>,
}

impl Report {
    /// Begins to measure: the prompt is about to be run.
    pub(crate) fn begin(lm: &ledge::LanguageModel, kv: &str, seed: u64, load: Duration) -> Self {
        let engine = lm.engine();
        Self {
            model: engine.model().label().to_owned(),
            seed,
            promise: engine.promise(),
            context: engine.context(),
            kv: kv.to_owned(),
            load,
            begin: Instant::now(),
            first_token: None,
            end: Duration::ZERO,
            prompt_tokens: 0,
            reused_tokens: 0,
            produced: 0,
            ending: "cancelled",
            notices: engine.notices().to_vec(),
        }
    }

    /// A prompt of this many tokens is run, some of which the sequence held already.
    pub(crate) fn prompt(&mut self, tokens: u64, reused: u64) {
        self.prompt_tokens = tokens;
        self.reused_tokens = reused;
    }

    /// A token was produced.
    pub(crate) fn token(&mut self) {
        self.produced += 1;
        let now = self.begin.elapsed();
        self.first_token.get_or_insert(now);
        self.end = now;
    }

    /// Says something that the user did not ask for.
    pub(crate) fn notice(&mut self, manner: &Manner, notice: &str) {
        if !manner.quiet && !manner.json {
            say(format_args!("note: {notice}"));
        }
        self.notices.push(notice.to_owned());
    }

    fn prompt_rate(&self) -> f64 {
        let run = self.prompt_tokens.saturating_sub(self.reused_tokens);
        rate(run, self.first_token.unwrap_or_default())
    }

    fn decode_rate(&self) -> f64 {
        let after = self.end.saturating_sub(self.first_token.unwrap_or_default());
        rate(self.produced.saturating_sub(1), after)
    }

    /// Shows the closing line, or the object.
    pub(crate) fn close(&self, manner: &Manner, output: &mut Output) -> Result<()> {
        let peak = engine::device::resident().map(|resident| resident.peak);
        if manner.json {
            let report = json!({
                "model": { "id": self.model },
                "plan": {
                    "promised": self.promise.total().0,
                    "peak": peak.map(|peak| peak.0),
                },
                "timing": {
                    "load_ms": ms(self.load),
                    "first_token_ms": self.first_token.map(ms),
                    "prefill_tps": self.prompt_rate(),
                    "decode_tps": self.decode_rate(),
                },
                "tokens": {
                    "prompt": self.prompt_tokens,
                    "reused": self.reused_tokens,
                    "produced": self.produced,
                },
                "kv": { "type": self.kv, "positions": self.context },
                "seed": self.seed,
                "ending": self.ending,
                "notices": self.notices,
            });
            output.line(&json!({ "report": report }).to_string())?;
            return output.flush();
        }
        if !manner.quiet {
            let first = self.first_token.map_or_else(
                || "no token".to_owned(),
                |first| format!("first token {:.0} ms", ms(first)),
            );
            let peak = peak.map_or_else(String::new, |peak| format!("peak {peak} of "));
            // The time between tokens takes two.
            let decode = if self.produced > 1 {
                format!(", {:.1} tok/s", self.decode_rate())
            } else {
                String::new()
            };
            say(format_args!(
                "{first} · prompt {}, {:.0} tok/s · {}{decode} · {peak}{} promised · seed {} · {}",
                counted(self.prompt_tokens, "token"),
                self.prompt_rate(),
                counted(self.produced, "token"),
                self.promise.total(),
                self.seed,
                self.ending,
            ));
        }
        Ok(())
    }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Tokens a second; 0 where nothing was measured.
pub(crate) fn rate(tokens: u64, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { (tokens as f64 / seconds * 10.0).round() / 10.0 } else { 0.0 }
}

/// A JSON object with one token.
pub(crate) fn token_object(token: &ledge::Token, top: &[Value]) -> String {
    let mut object = json!({ "text": token.text });
    if let (Some(id), Value::Object(fields)) = (token.token, &mut object) {
        fields.insert("token".to_owned(), json!(id.0));
        fields.insert("logprob".to_owned(), json!(token.logprob));
        if !top.is_empty() {
            fields.insert("top".to_owned(), json!(top));
        }
    }
    object.to_string()
}
