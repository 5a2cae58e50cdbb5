//! Depthwise convolutions and pools over images with channels last.

use super::facts::Ending;
use super::{Operands, Packing, Worker};
use crate::pool::Parts;
use kernels::map;
use kernels::slide::{Statistic, slide};
use kernels::window::Window;

/// A window over every channel by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    window: Window,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Weighted(Ending),
    Largest,
    Mean { count_padding: bool },
}

impl Slide {
    /// A depthwise convolution.
    pub(super) fn weighted(window: Window, ending: Ending) -> Self {
        Self { window, kind: Kind::Weighted(ending) }
    }

    /// The largest element of each window.
    pub(super) fn largest(window: Window) -> Self {
        Self { window, kind: Kind::Largest }
    }

    /// The mean of each window.
    pub(super) fn mean(window: Window, count_padding: bool) -> Self {
        Self { window, kind: Kind::Mean { count_padding } }
    }

    /// How its weights are packed, if it has some.
    pub(super) fn packing(&self) -> Option<Packing> {
        matches!(self.kind, Kind::Weighted(_)).then_some(Packing::Taps)
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [f32]) {
        let (x, window) = (operands.elements(0), &self.window);
        let (statistic, then) = match self.kind {
            Kind::Weighted(Ending { low, high, then }) => {
                let (weights, bias) = (operands.elements(1), operands.elements(2));
                (Statistic::Weighted { weights, bias, low, high }, then)
            }
            Kind::Largest => (Statistic::Largest, None),
            Kind::Mean { count_padding } => (Statistic::Mean { count_padding }, None),
        };
        let row = window.output[1] * window.channels;
        let isa = worker.isa;
        worker.team.rows(out, row, &Parts::none(), |_, first, rows| {
            for (y, out) in (first..).zip(rows.chunks_exact_mut(row)) {
                slide(isa, window, statistic, x, y, out);
                if let Some(function) = then {
                    map::map(isa, function, out);
                }
            }
        });
    }
}
