//! Watches a long call: shows how far it has come, stops it on Ctrl-C.
//!
//! Progress is shown on a terminal only and leaves no trace when the call ends.

use crate::{args::Manner, signals::Interrupt};
use engine::trace::Recorder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use plan::{Control, Trace};
use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

/// What calls are watched with.
#[derive(Debug)]
pub(crate) struct Watch {
    interrupt: Interrupt,
    bar: ProgressBar,
    recorder: Option<Arc<Recorder>>,
}

impl Watch {
    /// Watches a call that is described by `what`.
    pub(crate) fn new(interrupt: &Interrupt, manner: &Manner, what: &'static str) -> Self {
        let shown = !manner.quiet && !manner.json && io::stderr().is_terminal();
        let target =
            if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_message(what);
        let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { interrupt: interrupt.clone(), bar, recorder: None }
    }

    /// Notes what ran when, too.
    pub(crate) fn tracing(mut self, recorder: Option<&Arc<Recorder>>) -> Self {
        self.recorder = recorder.cloned();
        self
    }
}

impl Control for Watch {
    fn cancelled(&self) -> bool {
        self.interrupt.is_set()
    }

    fn progress(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn trace(&self) -> Option<&dyn Trace> {
        self.recorder.as_deref().map(|recorder| recorder as &dyn Trace)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
