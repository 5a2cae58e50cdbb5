//! What a template may use: sizes that are checked when it is parsed, and a budget that is spent
//! while it renders.
//!
//! Both are counted, not timed: a template that is refused here is refused on every machine.
//! Together they keep the recursion of parser and interpreter within half a megabyte of stack.

use std::cell::Cell;

use super::value::{Fail, Result};

/// The longest template, in bytes.
pub const SOURCE_BYTES_MAX: usize = 256 * 1024;
/// How deep tags and expressions may stand inside each other.
pub const DEPTH_MAX: usize = 64;
/// The most tokens in one tag.
pub const TAG_TOKENS_MAX: usize = 16_384;
/// The largest integer that a template may write.
pub const INTEGER_MAX: i64 = 100_000;
/// The most numbers in a `range`, as in Jinja's sandbox.
pub const RANGE_MAX: usize = 100_000;
/// How deep lists and dicts may stand inside each other.
pub const NESTING_MAX: usize = 128;
/// How deep a render may be in its tags, expressions and macros, all together.
pub const CALL_DEPTH_MAX: usize = 200;

/// Steps that every render has, beyond those that the conversation's size adds.
const WORK_BASE: usize = 2_000_000;
/// Bytes that every render has.
const BYTES_BASE: usize = 64 << 20;
/// Characters of output that every render has, before the factor of four.
const OUTPUT_BASE: usize = 64 * 1024;

/// What a render may still use.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    work: Cell<usize>,
    bytes: usize,
    output: usize,
}

impl Budget {
    /// The budget for a conversation of `input` bytes.
    pub(super) fn for_input(input: usize) -> Self {
        Self {
            work: Cell::new(WORK_BASE.saturating_add(input.saturating_mul(64))),
            bytes: BYTES_BASE.saturating_add(input.saturating_mul(64)),
            output: input.saturating_add(OUTPUT_BASE).saturating_mul(4),
        }
    }

    /// Charges `steps` of work.
    pub(super) fn work(&self, steps: usize) -> Result<()> {
        match self.work.get().checked_sub(steps) {
            Some(left) => self.work.set(left),
            None => return Err(Fail::Limit("number of steps")),
        }
        Ok(())
    }

    /// Charges `count` things of `size` bytes, and the work of writing them.
    pub(super) fn take(&mut self, count: usize, size: usize) -> Result<()> {
        self.work(1 + count / 8)?;
        match self.bytes.checked_sub(count.saturating_mul(size)) {
            Some(left) => self.bytes = left,
            None => return Err(Fail::Limit("memory")),
        }
        Ok(())
    }

    /// Whether `glyphs` of output are still within bounds.
    pub(super) fn output(&self, glyphs: usize) -> Result<()> {
        if glyphs > self.output { Err(Fail::Limit("length of the output")) } else { Ok(()) }
    }
}
