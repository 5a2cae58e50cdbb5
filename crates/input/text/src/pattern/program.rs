//! From the tree to instructions, and the matcher that runs them.
//!
//! Choices that are still open lie on one explicit stack, so the depth of a match never touches
//! the thread's stack; look-ahead recurses as deep as the pattern nests it (16 at most).

use super::class::Class;
use super::parse::{Mode, Node};
use crate::unicode::{char_at, is_word};

/// Most instructions of a pattern.
const STEPS_MAX: usize = 16_384;
/// Work that a text may cost, per byte and at least.
const CREDIT_PER_BYTE: usize = 64;
const CREDIT_MIN: usize = 4096;

#[derive(Clone, Debug)]
enum Step {
    /// One character of a class.
    Class(usize),
    /// As many characters of a class as there are, from `min` to `max`.
    Run {
        class: usize,
        min: u32,
        max: u32,
        possessive: bool,
    },
    /// Try here first, there later.
    Split {
        here: usize,
        there: usize,
    },
    Jump(usize),
    /// The body follows and ends in `Done`; then go to `next`.
    Look {
        negated: bool,
        next: usize,
    },
    Start,
    End,
    Boundary {
        negated: bool,
    },
    Done,
}

/// What can stand first in a match of an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct First {
    ascii: u128,
    /// Whether a character beyond ASCII, or nothing at all, can.
    beyond: bool,
    nothing: bool,
}

impl First {
    const NOTHING: Self = Self { ascii: 0, beyond: false, nothing: true };
}

#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    classes: Vec<Class>,
    /// Where each alternative starts.
    branches: Vec<(First, usize)>,
}

impl Program {
    pub(super) fn compile(tree: &Node) -> Result<Self, &'static str> {
        let mut program = Self { steps: Vec::new(), classes: Vec::new(), branches: Vec::new() };
        let only = std::slice::from_ref(tree);
        for branch in if let Node::Alternatives(branches) = tree { branches } else { only } {
            let start = program.steps.len();
            program.emit(branch)?;
            program.push(Step::Done)?;
            program.branches.push((first(branch), start));
        }
        Ok(program)
    }

    fn push(&mut self, step: Step) -> Result<usize, &'static str> {
        if self.steps.len() >= STEPS_MAX {
            return Err("too large");
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn class(&mut self, class: &Class) -> usize {
        self.classes.iter().position(|known| known == class).unwrap_or_else(|| {
            self.classes.push(class.clone());
            self.classes.len() - 1
        })
    }

    fn emit(&mut self, node: &Node) -> Result<(), &'static str> {
        match node {
            Node::Class(class) => {
                let class = self.class(class);
                self.push(Step::Class(class))?;
            }
            Node::Sequence(nodes) => {
                for node in nodes {
                    self.emit(node)?;
                }
            }
            Node::Alternatives(branches) => self.emit_alternatives(branches)?,
            Node::Repeat { node, min, max, mode } => self.emit_repeat(node, *min, *max, *mode)?,
            Node::Look { node, negated } => {
                let look = self.push(Step::Look { negated: *negated, next: 0 })?;
                self.emit(node)?;
                let next = self.push(Step::Done)? + 1;
                self.steps[look] = Step::Look { negated: *negated, next };
            }
            Node::Start => {
                self.push(Step::Start)?;
            }
            Node::End => {
                self.push(Step::End)?;
            }
            Node::Boundary { negated } => {
                self.push(Step::Boundary { negated: *negated })?;
            }
        }
        Ok(())
    }

    fn emit_alternatives(&mut self, branches: &[Node]) -> Result<(), &'static str> {
        let mut jumps = Vec::new();
        for (idx, branch) in branches.iter().enumerate() {
            if idx + 1 == branches.len() {
                self.emit(branch)?;
                break;
            }
            let split = self.push(Step::Jump(0))?;
            self.emit(branch)?;
            jumps.push(self.push(Step::Jump(0))?);
            self.steps[split] = Step::Split { here: split + 1, there: self.steps.len() };
        }
        let end = self.steps.len();
        for jump in jumps {
            self.steps[jump] = Step::Jump(end);
        }
        Ok(())
    }

    fn emit_repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        mode: Mode,
    ) -> Result<(), &'static str> {
        if let Some(class) = single_class(node)
            && mode != Mode::Lazy
        {
            let class = self.class(class);
            let possessive = mode == Mode::Possessive;
            self.push(Step::Run { class, min, max: max.unwrap_or(u32::MAX), possessive })?;
            return Ok(());
        }
        if mode == Mode::Possessive {
            return Err("possessive groups are not supported");
        }
        let order = |step: usize, there: usize| match mode {
            Mode::Lazy => Step::Split { here: there, there: step },
            Mode::Greedy | Mode::Possessive => Step::Split { here: step, there },
        };
        for _ in 0..min {
            self.emit(node)?;
        }
        match max {
            None => {
                if first(node).nothing {
                    return Err("a repetition of what may be nothing");
                }
                let split = self.push(Step::Jump(0))?;
                self.emit(node)?;
                self.push(Step::Jump(split))?;
                self.steps[split] = order(split + 1, self.steps.len());
            }
            Some(max) => {
                let mut splits = Vec::new();
                for _ in min..max {
                    splits.push(self.push(Step::Jump(0))?);
                    self.emit(node)?;
                }
                for split in splits {
                    self.steps[split] = order(split + 1, self.steps.len());
                }
            }
        }
        Ok(())
    }

    /// A matcher over one text.
    pub(super) fn start<'p>(&'p self, text: &'p str) -> Run<'p> {
        let credit = text.len().saturating_mul(CREDIT_PER_BYTE).max(CREDIT_MIN);
        Run { program: self, text, stack: Vec::new(), credit }
    }
}

/// The class of a node that is one class and nothing else, also behind groups.
fn single_class(node: &Node) -> Option<&Class> {
    match node {
        Node::Class(class) => Some(class),
        Node::Sequence(nodes) => match nodes.as_slice() {
            [only] => single_class(only),
            _ => None,
        },
        _ => None,
    }
}

/// What can stand first in a match of a node.
fn first(node: &Node) -> First {
    match node {
        Node::Class(class) => First { ascii: class.ascii(), beyond: true, nothing: false },
        Node::Sequence(nodes) => {
            let mut all = First::NOTHING;
            for node in nodes {
                let one = first(node);
                all.ascii |= one.ascii;
                all.beyond |= one.beyond;
                if !one.nothing {
                    return First { nothing: false, ..all };
                }
            }
            all
        }
        Node::Alternatives(branches) => {
            branches.iter().map(first).fold(First { nothing: false, ..First::NOTHING }, |a, b| {
                First {
                    ascii: a.ascii | b.ascii,
                    beyond: a.beyond || b.beyond,
                    nothing: a.nothing || b.nothing,
                }
            })
        }
        Node::Repeat { node, min, .. } => {
            let one = first(node);
            First { nothing: one.nothing || *min == 0, ..one }
        }
        Node::Look { .. } | Node::Start | Node::End | Node::Boundary { .. } => {
            // They take nothing; what follows decides.
            First::NOTHING
        }
    }
}

/// A choice that is still open.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Step {
        step: usize,
        at: usize,
    },
    /// A run that can give back characters down to `min`.
    Shrink {
        step: usize,
        min: usize,
        at: usize,
    },
}

/// A matcher over one text.
#[derive(Debug)]
pub(super) struct Run<'p> {
    program: &'p Program,
    text: &'p str,
    stack: Vec<Choice>,
    credit: usize,
}

impl Run<'_> {
    /// Whether the work that this text may cost is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.credit == 0
    }

    /// Where the first alternative that matches at `at` ends.
    pub(super) fn match_at(&mut self, at: usize) -> Option<usize> {
        let program = self.program;
        let byte = *self.text.as_bytes().get(at)?;
        for &(first, start) in &program.branches {
            let may = first.nothing
                || if byte < 0x80 { first.ascii >> byte & 1 == 1 } else { first.beyond };
            if may && let Some(end) = self.run(start, at) {
                return Some(end);
            }
        }
        None
    }

    fn run(&mut self, mut step: usize, mut at: usize) -> Option<usize> {
        let base = self.stack.len();
        let program = self.program;
        loop {
            if self.credit == 0 {
                self.stack.truncate(base);
                return None;
            }
            self.credit -= 1;
            let alive = match &program.steps[step] {
                Step::Done => {
                    self.stack.truncate(base);
                    return Some(at);
                }
                Step::Class(class) => match self.one(&program.classes[*class], at) {
                    Some(length) => {
                        at += length;
                        true
                    }
                    None => false,
                },
                Step::Run { class, min, max, possessive } => {
                    let class = &program.classes[*class];
                    let (floor, end) = self.many(class, at, *min, *max);
                    if let Some(floor) = floor {
                        if end > floor && !possessive {
                            self.stack.push(Choice::Shrink { step: step + 1, min: floor, at: end });
                        }
                        at = end;
                    }
                    floor.is_some()
                }
                Step::Split { here, there } => {
                    self.stack.push(Choice::Step { step: *there, at });
                    step = *here;
                    continue;
                }
                Step::Jump(to) => {
                    step = *to;
                    continue;
                }
                Step::Look { negated, next } => {
                    if self.run(step + 1, at).is_some() == *negated {
                        false
                    } else {
                        step = *next;
                        continue;
                    }
                }
                Step::Start => at == 0,
                Step::End => at == self.text.len(),
                Step::Boundary { negated } => self.is_boundary(at) != *negated,
            };
            if alive {
                step += 1;
                continue;
            }
            if self.stack.len() == base {
                return None;
            }
            (step, at) = self.resume()?;
        }
    }

    /// Takes the latest open choice.
    fn resume(&mut self) -> Option<(usize, usize)> {
        match self.stack.pop()? {
            Choice::Step { step, at } => Some((step, at)),
            Choice::Shrink { step, min, at } => {
                let mut shorter = at - 1;
                while !self.text.is_char_boundary(shorter) {
                    shorter -= 1;
                }
                if shorter > min {
                    self.stack.push(Choice::Shrink { step, min, at: shorter });
                }
                Some((step, shorter))
            }
        }
    }

    fn one(&self, class: &Class, at: usize) -> Option<usize> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte < 0x80 {
            return (class.ascii() >> byte & 1 == 1).then_some(1);
        }
        let (c, length) = char_at(self.text, at)?;
        class.has_beyond(c).then_some(length)
    }

    /// How far characters of a class go: where the `min`-th ends (if there are so many) and
    /// where the last ends.
    fn many(&mut self, class: &Class, at: usize, min: u32, max: u32) -> (Option<usize>, usize) {
        let (ascii, bytes) = (class.ascii(), self.text.as_bytes());
        let (mut end, mut count) = (at, 0);
        let mut floor = (min == 0).then_some(at);
        while count < max {
            let Some(&byte) = bytes.get(end) else { break };
            if byte < 0x80 {
                if ascii >> byte & 1 == 0 {
                    break;
                }
                end += 1;
            } else {
                match char_at(self.text, end) {
                    Some((c, length)) if class.has_beyond(c) => end += length,
                    _ => break,
                }
            }
            count += 1;
            if count == min {
                floor = Some(end);
            }
        }
        self.credit = self.credit.saturating_sub((end - at) / 8);
        (floor, end)
    }

    fn is_boundary(&self, at: usize) -> bool {
        let before = self.text.get(..at).and_then(|text| text.chars().next_back());
        let after = char_at(self.text, at).map(|(c, _)| c);
        before.is_some_and(is_word) != after.is_some_and(is_word)
    }
}
