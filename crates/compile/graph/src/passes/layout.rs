//! Images with channels last: convolutions and pools take them so, and what moves elements to and
//! fro between them is pushed along, meets its inverse and is gone.
//!
//! Every value is known as places in a root (`Moved`). A convolution asks for its operand with
//! channels last and gives its result as a turned view of what it computes; an operator that works
//! element by element, or along dimensions that can be renumbered, computes on the root instead and
//! turns its own result. So movements sink towards the outputs and only what nothing can take over
//! is ever copied: a flattening, a shuffle of channels, an output that must have channels first.

mod sink;

use super::movement::{Moved, Movement};
use super::rewrite::{Rewriter, is_weight};
use crate::{Input, Node, ValueId};
use alloc::{collections::BTreeMap, vec::Vec};
use plan::array::{Channels, Conv, Epilogue, List, Pool, PoolKind};
use plan::{ArrayOp, Op};

/// Runs the pass.
pub(super) fn run(graph: &mut Rewriter<'_>) -> usize {
    let mut layout = Layout::default();
    graph.each(|graph, node| layout.rule(graph, node))
}

/// What is known about the values that have been rewritten.
#[derive(Default)]
struct Layout {
    /// The root of each moved value, and where its elements are there.
    chains: BTreeMap<ValueId, (Input, Moved)>,
    /// What was realised, by root.
    made: BTreeMap<ValueId, Vec<(Moved, Input)>>,
}

impl Layout {
    fn rule(&mut self, graph: &mut Rewriter<'_>, node: &Node) -> Option<Input> {
        let Op::Array(op) = node.op else { return None };
        match op {
            ArrayOp::View(_) | ArrayOp::Reshape { .. } => self.moves(graph, node, &op),
            ArrayOp::Conv(conv) => self.conv(graph, node, conv),
            ArrayOp::ConvTranspose { conv, output } => self.spread(graph, node, conv, output),
            ArrayOp::Pool(pool) => self.pool(graph, node, pool),
            _ => sink::rule(self, graph, node, &op),
        }
    }

    /// Where a value's elements are: in its root, or in itself.
    fn chain(&self, graph: &Rewriter<'_>, x: Input) -> Option<(Input, Moved)> {
        if let Input::Value(value) = x
            && let Some((root, moved)) = self.chains.get(&value)
        {
            return Some((*root, moved.clone()));
        }
        Some((x, Moved::root(&graph.array(x)?.dims)?))
    }

    /// Elements that are copied to have this; constants cost nothing.
    fn cost(graph: &Rewriter<'_>, root: Input, moved: &Moved) -> Option<u64> {
        if is_weight(root) {
            return Some(0);
        }
        Some(match moved.movement(&graph.array(root)?.dims)? {
            Movement::None | Movement::Reshape(_) => 0,
            Movement::View(_) | Movement::Both(..) => moved.dims().iter().product(),
        })
    }

    /// A value with these elements of a root.
    fn realise(&mut self, graph: &mut Rewriter<'_>, root: Input, moved: &Moved) -> Option<Input> {
        if let Input::Value(value) = root
            && let Some(made) = self.made.get(&value)
            && let Some((_, known)) = made.iter().find(|(known, _)| known == moved)
        {
            return Some(*known);
        }
        let emit = |graph: &mut Rewriter<'_>, op, x| {
            if is_weight(x) {
                graph.derive(op, &[x])
            } else {
                graph.push(op, [x]).map(Input::Value)
            }
        };
        let result = match moved.movement(&graph.array(root)?.dims)? {
            Movement::None => return Some(root),
            Movement::Reshape(dims) => emit(graph, ArrayOp::Reshape { dims }, root)?,
            Movement::View(view) => emit(graph, ArrayOp::View(view), root)?,
            Movement::Both(view, dims) => {
                let copy = emit(graph, ArrayOp::View(view), root)?;
                self.learn(root, moved.reshape(&view.dims)?, copy);
                emit(graph, ArrayOp::Reshape { dims }, copy)?
            }
        };
        self.learn(root, moved.clone(), result);
        Some(result)
    }

    fn learn(&mut self, root: Input, moved: Moved, result: Input) {
        if let (Input::Value(root_id), Input::Value(value)) = (root, result) {
            self.chains.insert(value, (root, moved.clone()));
            self.made.entry(root_id).or_default().push((moved, result));
        }
    }

    /// A value with its dimensions in another order.
    fn turned(&mut self, graph: &mut Rewriter<'_>, x: Input, order: &[usize]) -> Option<Input> {
        let (root, moved) = self.chain(graph, x)?;
        self.realise(graph, root, &moved.permuted(order))
    }

    /// What a turned result's readers shall see: dimension `order[i]` of it is dimension `i` of
    /// `result`.
    fn turned_back(
        &mut self,
        graph: &mut Rewriter<'_>,
        result: ValueId,
        order: &[usize],
    ) -> Option<Input> {
        let root = Moved::root(&graph.array(result.into())?.dims)?;
        self.realise(graph, result.into(), &root.permuted(&inverse(order)))
    }

    /// A view or a reshape: one movement from the root, whatever came before.
    fn moves(&mut self, graph: &mut Rewriter<'_>, node: &Node, op: &ArrayOp) -> Option<Input> {
        let x = *node.inputs.first()?;
        let apply = |moved: &Moved| match op {
            ArrayOp::View(view) => moved.view(view),
            ArrayOp::Reshape { dims } => moved.reshape(dims),
            _ => None,
        };
        let (root, moved) = self.chain(graph, x)?;
        let (root, moved) = match apply(&moved) {
            Some(moved) => (root, moved),
            None => (x, apply(&Moved::root(&graph.array(x)?.dims)?)?),
        };
        let same = match moved.movement(&graph.array(root)?.dims)? {
            Movement::None => false,
            Movement::Reshape(dims) => root == x && *op == ArrayOp::Reshape { dims },
            Movement::View(view) => root == x && *op == ArrayOp::View(view),
            Movement::Both(view, dims) => {
                *op == ArrayOp::Reshape { dims }
                    && graph
                        .writer(x)
                        .is_some_and(|(op, inputs)| op == ArrayOp::View(view) && inputs == [root])
            }
        };
        if same {
            self.learn(root, moved, node.output.into());
            return None;
        }
        self.realise(graph, root, &moved)
    }

    fn conv(&mut self, graph: &mut Rewriter<'_>, node: &Node, conv: Conv) -> Option<Input> {
        let rank = graph.array(*node.inputs.first()?)?.dims.len();
        let last = to_last(rank);
        let get = |i: usize| node.inputs.get(i).copied().unwrap_or(Input::Absent);
        let x = self.turned(graph, get(0), &last)?;
        let w = self.turned(graph, get(1), &last)?;
        let inputs = [x, w, get(2), Input::Absent, get(3), get(4)].to_vec();
        let op = ArrayOp::ConvLast { conv, epilogue: Epilogue::default() };
        let sums = graph.push(op, super::fold::trimmed(inputs))?;
        self.turned_back(graph, sums, &last)
    }

    /// A convolution turned round: with channels last, if its weights are constants of one group.
    fn spread(
        &mut self,
        graph: &mut Rewriter<'_>,
        node: &Node,
        conv: Conv,
        output: List<u32>,
    ) -> Option<Input> {
        let (x, w) = (*node.inputs.first()?, *node.inputs.get(1)?);
        if conv.groups != 1 || !is_weight(w) {
            return None;
        }
        let rank = graph.array(x)?.dims.len();
        let last = to_last(rank);
        // `[c, m, k…]` to `[m, k…, c]`.
        let order: Vec<usize> = (1..rank).chain([0]).collect();
        let (x, w) = (self.turned(graph, x, &last)?, self.turned(graph, w, &order)?);
        let bias = node.inputs.get(2).copied().unwrap_or(Input::Absent);
        let op = ArrayOp::ConvTransposeLast { conv, output, epilogue: Epilogue::default() };
        let sums = graph.push(op, super::fold::trimmed([x, w, bias].to_vec()))?;
        self.turned_back(graph, sums, &last)
    }

    fn pool(&mut self, graph: &mut Rewriter<'_>, node: &Node, pool: Pool) -> Option<Input> {
        if pool.channels == Channels::Last || matches!(pool.kind, PoolKind::MaxIndex { .. }) {
            return None;
        }
        let x = *node.inputs.first()?;
        let last = to_last(graph.array(x)?.dims.len());
        let (root, moved) = self.chain(graph, x)?;
        if Self::cost(graph, root, &moved.permuted(&last))? > 0 {
            return None;
        }
        let x = self.turned(graph, x, &last)?;
        let result = graph.push(ArrayOp::Pool(Pool { channels: Channels::Last, ..pool }), [x])?;
        self.turned_back(graph, result, &last)
    }
}

/// The order of `[n, c, …]` that is `[n, …, c]`.
fn to_last(rank: usize) -> Vec<usize> {
    [0].into_iter().chain(2..rank).chain([1]).collect()
}

/// The order that undoes this one.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = alloc::vec![0; order.len()];
    for (i, &at) in order.iter().enumerate() {
        back[at] = i;
    }
    back
}
