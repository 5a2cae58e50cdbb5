//! Ctrl-C and the limit on file sizes.
//!
//! The first Ctrl-C sets a flag that runs look at between layers; the second, if nobody has looked
//! yet, leaves at once with code 8. A file that would grow beyond `ulimit -f` gives an error
//! instead of a dead process.

use crate::failure::Exit;
use signal_hook::{consts, flag};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the user wants the current work to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over the signals. Where that cannot be had, Ctrl-C kills as it does anywhere.
    pub(crate) fn install() -> Self {
        let interrupt = Self::default();
        let wanted = &interrupt.0;
        // In this order: the second Ctrl-C meets a flag that the first has set.
        let code = i32::from(Exit::Cancelled as u8);
        drop(flag::register_conditional_shutdown(consts::SIGINT, code, Arc::clone(wanted)));
        drop(flag::register(consts::SIGINT, Arc::clone(wanted)));
        #[cfg(unix)]
        drop(flag::register(consts::SIGXFSZ, Arc::default()));
        interrupt
    }

    /// Whether Ctrl-C was pressed since the last [`Interrupt::clear`].
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes note: the next Ctrl-C is a first one again.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
