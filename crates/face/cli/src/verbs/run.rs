//! `ledge run`: a text goes on, or is answered.

use super::{Scene, network};
use crate::{
    args::Run,
    failure::{Failure, Result},
    generate::{Show, Wanted, until},
    model::{self, EMBEDDED_TOKENS},
    output::Output,
    prompt,
    report::Report,
    trace,
    verbs::template,
    watch::Watch,
};
use engine::ModelFile;
use ledge::{LanguageModel, Sampling, Special};
use std::{
    io::{self, IsTerminal as _},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// Generates.
pub(crate) fn run(args: &Run, scene: &Scene) -> Result<()> {
    let (path, rest) = model::split(&args.words);
    if let Some(network) = model::open_network(path.as_deref(), &args.passes)? {
        return network::run(args, scene, network, path.as_deref().unwrap_or(Path::new("")));
    }
    if args.picture.image.is_some() {
        return Err(Failure::usage("pictures are for networks, this is a language model")
            .at("--image")
            .hint("name an .onnx or .tflite file first"));
    }
    let prompt = prompt::word_or_stdin(rest.first())?;
    let file = model::open(path.as_deref())?;
    let sampling = args.sampling.settings(file.tokenizer().ok().map(Arc::as_ref));
    check(&sampling, &file)?;
    let most = path.is_none().then_some(EMBEDDED_TOKENS);
    let until = until(&args.sampling, most)?;
    let mut output = Output::open(args.output.as_deref())?;
    let recorder = trace::recorder(args.trace.as_deref());
    let begin = Instant::now();
    let request = model::request(&args.model)?;
    let lm = model::load(&file, request, &scene.interrupt, &scene.manner)?;
    let kv = plan::KvType::from(args.model.kv).name();
    let mut report = Report::begin(&lm, kv, sampling.seed, begin.elapsed());
    if !args.chat && file.template().is_some() {
        let notice = "the model has a chat template; --chat makes the prompt a user's turn";
        report.notice(&scene.manner, notice);
    }
    let mut show = Show {
        manner: &scene.manner,
        interrupt: &scene.interrupt,
        output: &mut output,
        report: &mut report,
        recorder: recorder.as_ref(),
    };
    let wanted = Wanted { until, top_count: args.sampling.logprobs };
    let generated = if args.chat {
        answer(args, scene, &lm, &prompt, &sampling, wanted, &mut show)
    } else {
        go_on(args, &lm, &prompt, &sampling, wanted, &mut show)
    };
    let cancelled = generated.as_ref().is_err_and(Failure::is_cancelled);
    if generated.is_ok() || cancelled {
        if args.output.is_none() && !scene.manner.json {
            output.line("")?;
        }
        output.flush()?;
        report.close(&scene.manner, &mut output)?;
        output.finish()?;
        if let Some((path, recorder)) = args.trace.as_deref().zip(recorder.as_deref()) {
            trace::write(path, recorder, lm.engine(), &scene.manner)?;
        }
    }
    generated
}

/// Refuses settings before anything is loaded.
pub(crate) fn check(sampling: &Sampling, file: &ModelFile) -> Result<()> {
    let vocabulary = usize::try_from(file.model().settings.vocabulary).unwrap_or(usize::MAX);
    let checked = sampling.check(vocabulary);
    checked.map_err(|error| engine::EngineError::from(error).into())
}

/// Continues the prompt as it is.
fn go_on(
    args: &Run,
    lm: &LanguageModel,
    prompt: &str,
    sampling: &Sampling,
    wanted: Wanted,
    show: &mut Show<'_>,
) -> Result<()> {
    let file: &Arc<ModelFile> = lm.engine().model();
    let special = if args.special { Special::Parse } else { Special::Text };
    let mut ids = lm.tokenizer()?.encode_wrapped(prompt, special);
    let context = usize::try_from(lm.engine().context()).unwrap_or(usize::MAX);
    if ids.len() > context && args.truncate {
        let dropped = ids.len() - context.saturating_sub(context / 4).max(1);
        // The token that begins a text stays.
        let kept = lm.tokenizer()?.prefix().len();
        ids.drain(kept..kept + dropped);
        let notice = format!("dropped {dropped} tokens from the beginning of the prompt");
        show.report.notice(show.manner, &notice);
    }
    let mut text = lm.text()?;
    show.report.prompt(ids.len() as u64, 0);
    {
        let watch = Watch::new(show.interrupt, show.manner, "prompt").tracing(show.recorder);
        text.push_ids(&ids, &watch)?;
    }
    // A person sees the text as one; a pipe gets what was produced.
    if !show.manner.json && args.output.is_none() && io::stdout().is_terminal() {
        show.output.write(prompt)?;
        show.output.flush()?;
    }
    show.text(&mut text, file, sampling, wanted)
}

/// Makes the prompt a user's turn.
fn answer(
    args: &Run,
    scene: &Scene,
    lm: &LanguageModel,
    prompt: &str,
    sampling: &Sampling,
    wanted: Wanted,
    show: &mut Show<'_>,
) -> Result<()> {
    let mut chat = template::chat(lm, &args.template)?;
    if let Some(system) = &args.system {
        chat.system(system);
    }
    chat.user(prompt);
    let watch = Watch::new(&scene.interrupt, &scene.manner, "prompt").tracing(show.recorder);
    let mut turn = chat.stream_until(sampling.clone(), wanted.until, &watch)?;
    let shown = show.turn(&mut turn, lm.engine().model(), wanted.top_count);
    drop(turn);
    show.report.prompt(prompt_tokens(&mut chat, show.report.produced), 0);
    shown
}

/// Tokens of the last prompt: what the sequence holds, but for what was produced and run.
pub(crate) fn prompt_tokens(chat: &mut ledge::Chat, produced: u64) -> u64 {
    let held = chat.text().session().history().len() as u64;
    held.saturating_sub(produced.saturating_sub(1))
}
