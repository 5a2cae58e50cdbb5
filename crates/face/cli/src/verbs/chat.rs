//! `ledge chat`: turns, one a line.

use super::Scene;
use crate::{
    args::Chat,
    failure::{Exit, Failure, Result},
    generate::{Show, until},
    model,
    output::Output,
    report::Report,
    verbs::{run as once, template},
    watch::Watch,
};
use std::{
    io::{self, BufRead as _, IsTerminal as _},
    path::Path,
    sync::Arc,
    time::Instant,
};

/// Talks until the end of input.
pub(crate) fn run(args: &Chat, scene: &Scene) -> Result<()> {
    let file = model::open(args.path.as_deref())?;
    let sampling = args.sampling.settings(file.tokenizer().ok().map(Arc::as_ref));
    once::check(&sampling, &file)?;
    until(&args.sampling, None)?;
    // Refused before the weights are read, where there is no template.
    template::source(&file, &args.template)?;
    let begin = Instant::now();
    let request = model::request(&args.model)?;
    let lm = model::load(&file, request, &scene.interrupt, &scene.manner)?;
    let load = begin.elapsed();
    let kv = plan::KvType::from(args.model.kv).name();
    let mut chat = template::chat(&lm, &args.template)?;
    let fresh = |chat: &mut ledge::Chat| {
        chat.conversation().messages.clear();
        if let Some(system) = &args.system {
            chat.system(system);
        }
    };
    fresh(&mut chat);
    let at_terminal = io::stdin().is_terminal();
    let mut output = Output::stdout();
    let mut line = String::new();
    loop {
        if at_terminal && !scene.manner.json {
            output.write("> ")?;
            output.flush()?;
        }
        line.clear();
        let read = io::stdin().lock().read_line(&mut line);
        let count = read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::usage("not UTF-8 text").at("stdin"),
            _ => Failure::reading(Path::new("stdin"), &error),
        })?;
        // A Ctrl-C, the one that stopped an answer too, counts until a line is entered: the next
        // one leaves.
        scene.interrupt.clear();
        match line.trim() {
            _ if count == 0 => return output.finish(),
            "" => continue,
            "/quit" | "/exit" => return output.finish(),
            "/reset" => {
                fresh(&mut chat);
                continue;
            }
            text => chat.user(text),
        }
        let mut report = Report::begin(&lm, kv, sampling.seed, load);
        let spoken = turn(args, scene, &lm, &mut chat, &sampling, &mut output, &mut report);
        match spoken {
            Ok(()) => {}
            Err(failure) if failure.is_cancelled() => {}
            // The turn is taken back, so that a shorter one can be tried.
            Err(failure) if at_terminal && failure.exit != Exit::ClosedPipe => {
                failure.show(&scene.manner);
                chat.conversation().messages.pop();
                continue;
            }
            Err(failure) => return Err(failure),
        }
        if !scene.manner.json {
            output.line("")?;
        }
        output.flush()?;
        report.close(&scene.manner, &mut output)?;
    }
}

fn turn(
    args: &Chat,
    scene: &Scene,
    lm: &ledge::LanguageModel,
    chat: &mut ledge::Chat,
    sampling: &ledge::Sampling,
    output: &mut Output,
    report: &mut Report,
) -> Result<()> {
    let until = until(&args.sampling, None)?;
    let watch = Watch::new(&scene.interrupt, &scene.manner, "prompt");
    let held = chat.text().session().history().len() as u64;
    let mut turn = chat.stream_until(sampling.clone(), until, &watch)?;
    let (manner, interrupt) = (&scene.manner, &scene.interrupt);
    let mut show = Show { manner, interrupt, output, report: &mut *report, recorder: None };
    let shown = show.turn(&mut turn, lm.engine().model(), args.sampling.logprobs);
    drop(turn);
    let prompt = once::prompt_tokens(chat, report.produced);
    report.prompt(prompt, held.min(prompt));
    shown
}
