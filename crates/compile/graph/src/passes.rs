//! Passes: graph to graph, one file each, in the order in which they run. A pass keeps what the
//! graph computes, and what it returns passes the verifier.
//!
//! [`PASSES`] is the table; [`run`] goes through it for graphs of array operators until nothing
//! fires any more. Passes see types, operators and small constants; where they need a constant
//! computed (a turned filter, a folded scale) they ask [`Constants`], so that this crate does no
//! arithmetic on weights.

mod movement;
mod rewrite;

pub mod dead_code;
mod constants;
mod identity;
mod duplicates;
mod composites;
mod integers;
mod fold;
mod feed;
mod compose;
mod gates;
mod layout;
mod affine;
mod epilogue;

use crate::{Graph, ops::array::Array};
use alloc::vec::Vec;
use plan::{ArrayOp, Weight};
use rewrite::Rewriter;
use tensor::DType;

/// What passes ask about constants, and ask to be computed from them.
pub trait Constants {
    /// The elements of a constant as numbers; none if it is not at hand.
    fn numbers(&mut self, weight: &Weight) -> Option<Vec<f64>>;

    /// One number of this type; none if the type is not written here.
    fn number(&mut self, dtype: DType, value: f32) -> Option<Weight>;

    /// All codes of a type of one byte, the least first; none if the type has more.
    fn codes(&mut self, dtype: DType) -> Option<Weight>;

    /// The constant that `op` gives for these, under a name of its own; `None` if it will not be
    /// computed. It may be computed later, when it is read.
    fn derive(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<&Weight>],
        result: Array,
    ) -> Option<Weight>;
}

/// A named rewrite that can be left out.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What `--no-pass` calls it.
    pub name: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    run: fn(&mut Rewriter<'_>) -> usize,
}

/// How often a pass changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The pass.
    pub pass: &'static str,
    /// How many places it changed, over all rounds.
    pub times: usize,
}

/// All passes, in the order in which they run.
pub const PASSES: [Pass; 12] = [
    Pass { name: "constants", about: "compute what only constants go into", run: constants::run },
    Pass { name: "identity", about: "drop what changes nothing", run: identity::run },
    Pass { name: "duplicates", about: "compute equal things once", run: duplicates::run },
    Pass { name: "composites", about: "formulas as the operator they are", run: composites::run },
    Pass { name: "integers", about: "codes between quantised ends", run: integers::run },
    Pass { name: "fold", about: "scales and terms of sums into weights", run: fold::run },
    Pass { name: "feed", about: "scales, terms, borders of operands into weights", run: feed::run },
    Pass { name: "compose", about: "convolution and pointwise one as one", run: compose::run },
    Pass { name: "gates", about: "a number behind a hard sigmoid into a clamp", run: gates::run },
    Pass { name: "layout", about: "images with channels last", run: layout::run },
    Pass { name: "affine", about: "a factor and a term a channel in one step", run: affine::run },
    Pass {
        name: "epilogue",
        about: "bias, residual, activation into products",
        run: epilogue::run,
    },
];

/// Rounds after which passes end, whatever still fires.
const ROUNDS_MAX: usize = 10;

/// Runs all passes but those in `off`, until none fires, and removes dead code.
pub fn run(graph: &mut Graph, constants: &mut dyn Constants, off: &[&str]) -> Vec<Fired> {
    let mut fired: Vec<Fired> = Vec::new();
    dead_code::run(graph);
    for _ in 0..ROUNDS_MAX {
        let mut changed = false;
        for pass in PASSES.iter().filter(|pass| !off.contains(&pass.name)) {
            let times = (pass.run)(&mut Rewriter::new(graph, constants));
            if times == 0 {
                continue;
            }
            changed = true;
            dead_code::run(graph);
            debug_assert_eq!(crate::verify(graph), Ok(()), "after `{}`", pass.name);
            match fired.iter_mut().find(|known| known.pass == pass.name) {
                Some(known) => known.times += times,
                None => fired.push(Fired { pass: pass.name, times }),
            }
        }
        if !changed {
            break;
        }
    }
    fired
}
