//! `ledge listen`: a network over sound, chunk by chunk.
//!
//! What a network is given is decided once, from its inputs and the notes beside it; then sound is
//! read, made into inputs, and run with the states of the run before. Times are those of the
//! sound: the end of the last sample that a run was given.

mod ear;
mod scores;

use super::Scene;
use crate::{
    args::{Listen, PassArgs},
    failure::{Exit, Failure, Result, chain},
    notes::Notes,
    output::{Output, say},
};
use ear::Ear;
use engine::Network;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ledge::{Pacer, PacerTurn};
use media::{Wave, WaveError};
use scores::Scores;
use serde_json::json;
use std::{
    fs::File,
    io::{self, IsTerminal as _, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Bytes that are read at once: little, so that live sound is heard at once.
const READ_BYTES: usize = 4 << 10;

/// Listens.
pub(crate) fn run(args: &Listen, scene: &Scene) -> Result<()> {
    let mut network = open(&args.model)?;
    network.set_threads(args.threads);
    network.set_profile(args.profile.into());
    for notice in network.notices().iter().filter(|_| !scene.manner.quiet) {
        say(format_args!("note: {notice}"));
    }
    let notes = Notes::beside(&args.model)?;
    let (mut source, place) = source(&args.audio)?;
    let mut wave = None;
    if !args.raw {
        wave = Some(Wave::read(&mut source).map_err(|error| unreadable(&error, &place))?);
    }
    let rate = wave.map(|wave: Wave| wave.rate).or(args.rate);
    let mut ear = Ear::of(&network, &notes.listen, rate)?;
    let wave = wave.unwrap_or_else(|| Wave::plain(rate.unwrap_or(ear.rate())));
    if wave.rate != ear.rate() {
        let (have, want) = (wave.rate, ear.rate());
        return Err(Failure::new(
            Exit::File,
            format!("the sound has {have} samples a second, the network takes {want}"),
        )
        .at(place)
        .hint(format!(
            "convert it: ffmpeg -i IN -ar {want} -ac 1 OUT.wav, or sox IN -r {want} OUT.wav"
        )));
    }
    let mut stream = network.stream();
    let noted = notes.listen.states.iter().map(|(input, output)| (input.as_str(), output.as_str()));
    super::network::bind(&args.state, noted, &mut stream)?;
    let carried: Vec<String> = stream.states().map(|(input, _)| input.to_owned()).collect();
    ear.check(&network, &carried)?;
    let mut scores = Scores::of(args, &notes, &network)?;
    let mut show = Show::new(scene);
    let step = ear.step();
    let mut pacer: Pacer<Vec<f32>> =
        Pacer::new(step, args.budget.map_or(Duration::MAX, Duration::from_millis));
    let begin = Instant::now();
    let mut spent = Duration::ZERO;
    let mut held = Vec::new();
    let mut samples = Vec::new();
    let mut left = wave.length;
    let mut buffer = vec![0; READ_BYTES];
    while !scene.interrupt.is_set() {
        let most = left.map_or(READ_BYTES as u64, |left| left.min(READ_BYTES as u64));
        let part = &mut buffer[..usize::try_from(most).unwrap_or(READ_BYTES)];
        let count = match source.read(part) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failure::reading(Path::new(&place), &error)),
        };
        if count == 0 {
            break;
        }
        left = left.map(|left| left - count as u64);
        held.extend_from_slice(&part[..count]);
        samples.clear();
        let used = wave.decode(&held, &mut samples);
        held.drain(..used);
        ear.hear(&samples);
        while let Some(heard) = ear.next() {
            let due = heard.end;
            let now = if args.budget.is_some() {
                thread::sleep(due.saturating_sub(begin.elapsed()));
                begin.elapsed()
            } else {
                due
            };
            let latest = match pacer.turn(due, now) {
                PacerTurn::Reuse(last) => last.clone(),
                PacerTurn::Run => {
                    let at = Instant::now();
                    let outputs = stream.run(&ear.inputs(&heard))?;
                    spent += at.elapsed();
                    let now = if args.budget.is_some() { begin.elapsed() } else { due };
                    pacer.ran(scores.read(&outputs)?, due, now).clone()
                }
            };
            scores.take(latest, due, &mut show)?;
        }
    }
    scores.end(&mut show)?;
    let pace = pacer.pace();
    if pace.frames == 0 && !scene.interrupt.is_set() {
        let need = ear.least();
        return Err(Failure::new(
            Exit::File,
            format!("the sound is shorter than {need} samples, which a run takes"),
        )
        .at(place)
        .hint("give a longer recording"));
    }
    let heard = ear.heard();
    let report = json!({
        "sound_s": heard.as_secs_f64(),
        "frames": pace.frames,
        "run": pace.run,
        "skipped": pace.skipped,
        "late": pace.late,
        "worst_ms": pace.worst.as_secs_f64() * 1e3,
        "mean_ms": spent.as_secs_f64() * 1e3 / (pace.run.max(1)) as f64,
    });
    if scene.manner.json {
        show.line(&json!({ "report": report }).to_string())?;
    } else if !scene.manner.quiet {
        let mean = spent.as_secs_f64() * 1e3 / (pace.run.max(1)) as f64;
        let mut line = format!(
            "{:.1} s heard in {} runs of {mean:.2} ms, one for each {:.0} ms",
            heard.as_secs_f64(),
            pace.run,
            step.as_secs_f64() * 1e3
        );
        if args.budget.is_some() {
            let worst = pace.worst.as_secs_f64() * 1e3;
            line = format!(
                "{line}; {} skipped, {} late, the latest by {worst:.1} ms",
                pace.skipped, pace.late
            );
        }
        show.hide();
        say(format_args!("{line}"));
    }
    show.output.finish()?;
    if scene.interrupt.is_set() { Err(Failure::cancelled()) } else { Ok(()) }
}

fn open(path: &Path) -> Result<Network> {
    crate::model::open_network(Some(path), &PassArgs::default())?.ok_or_else(|| {
        Failure::new(Exit::File, "is no network")
            .at(path.display())
            .hint("give an .onnx or .tflite file; language models do not listen")
    })
}

/// Where sound comes from, and what messages call it.
fn source(path: &Path) -> Result<(Box<dyn Read>, String)> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::usage("no sound is given")
                .at("AUDIO")
                .hint("name a WAV file, or send sound to stdin"));
        }
        return Ok((Box::new(io::stdin().lock()), "stdin".into()));
    }
    let failed = |error: &io::Error| Failure::reading(path, error);
    let found = std::fs::metadata(path).map_err(|error| failed(&error))?;
    if found.is_dir() {
        return Err(failed(&io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    Ok((Box::new(io::BufReader::new(file)), path.display().to_string()))
}

fn unreadable(error: &WaveError, place: &str) -> Failure {
    let hint = match error {
        WaveError::Other { .. } | WaveError::Form { .. } => {
            "convert it: ffmpeg -i IN -ar 16000 -ac 1 OUT.wav; or --raw for plain 16-bit samples"
        }
        _ => "the file is damaged or cut short: record or fetch it again",
    };
    Failure::new(Exit::File, chain(error)).at(place).hint(hint)
}

/// Where results are shown: lines on stdout, and on a terminal one that changes.
struct Show {
    output: Output,
    json: bool,
    bar: ProgressBar,
}

impl Show {
    fn new(scene: &Scene) -> Self {
        let shown = !scene.manner.quiet && !scene.manner.json && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(1000), target);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30}") {
            bar.set_style(style);
        }
        Self { output: Output::stdout(), json: scene.manner.json, bar }
    }

    fn line(&mut self, line: &str) -> Result<()> {
        self.bar.suspend(|| {
            self.output.line(line)?;
            self.output.flush()
        })
    }

    /// The latest score.
    fn live(&self, message: String, score: f32) {
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the bar")]
        let part = (score.clamp(0.0, 1.0) * 1000.0) as u64;
        self.bar.set_position(part);
        self.bar.set_message(message);
    }

    fn hide(&self) {
        self.bar.finish_and_clear();
    }
}
