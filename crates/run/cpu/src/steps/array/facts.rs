//! What a step's kernel is chosen by: its operator, and what is known of its operands.
//!
//! The choice depends on nothing else, so that the weights and the scratch that a plan promises are
//! those that its schedule uses. What has no kernel here is computed by `reference`.

use super::elementwise::{self, Zipped};
use super::matrices::Matrices;
use super::product::Product;
use super::recurrent::Cells;
use super::resize::Resized;
use super::rows::Rows;
use super::slide::Slide;
use super::spread::Spread;
use super::squares::Squares;
use crate::layout::index;
use kernels::map::Function;
use kernels::response::Response;
use kernels::window::{PADDING_MAX, Reading, Window};
use plan::array::{Channels, Conv, Epilogue, PoolKind};
use plan::{ArrayOp, Op, Operand, Plan, Slot, Step};
use tensor::{DType, Shape, TensorType};

/// What is known of an operand or a result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) dtype: DType,
    pub(super) dims: Shape,
    /// Whether it is a constant of the model.
    pub(super) constant: bool,
}

impl Known {
    /// What a plan says of a slot.
    pub(super) fn of_slot(slot: &Slot, plan: &Plan) -> Self {
        let dims: Vec<u64> = slot.dims.iter().map(|dim| dim.max(&plan.symbols)).collect();
        let dims = Shape::new(&dims).expect("the graph's rules bound ranks");
        Self { dtype: slot.dtype, dims, constant: false }
    }

    /// What a plan says of an operand; none where it is absent.
    pub(super) fn of(operand: &Operand, plan: &Plan) -> Option<Self> {
        match operand {
            Operand::Slot(slot) => Some(Self::of_slot(slot, plan)),
            Operand::Weight(id) => {
                let weight = &plan.weights[id.0 as usize];
                let dtype = match weight.ty {
                    TensorType::Plain(dtype) => dtype,
                    TensorType::Block(block) => unreachable!("the graph's rules refuse {block}"),
                };
                Some(Self { dtype, dims: weight.shape, constant: true })
            }
            Operand::State(_) | Operand::Absent => None,
        }
    }

    /// Number of elements.
    pub(super) fn len(&self) -> usize {
        index(self.dims.elements().expect("an array in memory"))
    }
}

/// A step of an array operator, as far as it is known before anything has a place.
pub(super) struct Facts<'a> {
    pub(super) op: &'a ArrayOp,
    step: &'a Step,
    plan: &'a Plan,
    pub(super) out: Known,
}

/// What computes a step.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// A product of floats, or a convolution as one.
    Product(Product),
    /// A convolution by transformed squares.
    Squares(Squares),
    /// Products of two computed matrices.
    Matrices(Matrices),
    /// Windows over each channel.
    Slide(Slide),
    /// A function of each element.
    Map(Function),
    /// A function of pairs.
    Zip(Zipped),
    /// Shares, norms, reductions.
    Rows(Rows),
    /// Recurrent cells.
    Cells(Cells),
    /// Samples by tables, of any type.
    Resized(Resized),
    /// A transposed convolution as products.
    Spread(Spread),
    /// The reference.
    Reference,
}

impl<'a> Facts<'a> {
    /// The facts of a step, if it is one of an array operator.
    pub(super) fn of(step: &'a Step, plan: &'a Plan) -> Option<Self> {
        let Op::Array(op) = &step.op else { return None };
        Some(Self { op, step, plan, out: Known::of_slot(&step.output, plan) })
    }

    /// Operand `i`.
    pub(super) fn input(&self, i: usize) -> Option<Known> {
        Known::of(self.step.input(i), self.plan)
    }

    /// What computes the step.
    pub(super) fn choice(&self) -> Choice {
        self.kernel().unwrap_or(Choice::Reference)
    }

    fn kernel(&self) -> Option<Choice> {
        if let ArrayOp::Resize(op) = self.op {
            return Resized::new(op, &self.input(0)?, &self.out).map(Choice::Resized);
        }
        if self.out.dtype != DType::F32 {
            return None;
        }
        match *self.op {
            ArrayOp::MatMul => self.matrices(&Epilogue::default()),
            ArrayOp::MatMulFused(ref epilogue) => self.matrices(epilogue),
            ArrayOp::ConvLast { ref conv, ref epilogue } => self.convolution(conv, epilogue),
            ArrayOp::ConvTransposeLast { ref conv, ref epilogue, .. } => {
                let (x, w) = (self.floats(0)?, self.input(1)?);
                let others = self.floats_or_absent(2) && self.floats_or_absent(3);
                let ending = Ending::of(epilogue)?;
                let window = window(conv, &x.dims, &self.out.dims)?;
                let fits = matches!(w.dtype, DType::F32 | DType::F16)
                    && w.constant
                    && !x.constant
                    && others
                    && x.len() <= OFFSET_MAX;
                let fits = fits && window.channels <= PADDING_MAX && self.out.len() > 0;
                fits.then(|| Choice::Spread(Spread::new(window, &w.dims, ending)))
            }
            ArrayOp::Pool(pool) if pool.channels == Channels::Last => {
                let x = self.floats(0)?;
                let window = window(&pool.conv, &x.dims, &self.out.dims)?;
                let slide = match pool.kind {
                    PoolKind::Max => Slide::largest(window),
                    PoolKind::Average { count_padding } => Slide::mean(window, count_padding),
                    PoolKind::MaxIndex { .. } | PoolKind::Lp { .. } => return None,
                };
                Some(Choice::Slide(slide))
            }
            ArrayOp::Map(map) => {
                self.floats(0)?;
                elementwise::function(map).map(Choice::Map)
            }
            ArrayOp::Zip(zip) => {
                let (a, b) = (self.floats(0)?, self.floats(1)?);
                let pairs = elementwise::pairs(zip)?;
                Some(Choice::Zip(Zipped::new(pairs, [&a, &b], &self.out)))
            }
            ArrayOp::Softmax { axis, log } => Rows::softmax(axis, log, &self.out).map(Choice::Rows),
            ArrayOp::Normalise { axis, eps, rms } => {
                let all = self.floats_or_absent(1) && self.floats_or_absent(2);
                let others = [self.input(1), self.input(2)];
                let rows = Rows::normalise(axis, eps, rms, others, &self.out);
                rows.filter(|_| all).map(Choice::Rows)
            }
            ArrayOp::LocalResponse { axis, size, alpha, beta, bias } => {
                let response = Response { size: index(size.into()), alpha, beta, bias };
                Rows::response(response, axis, &self.floats(0)?).map(Choice::Rows)
            }
            ArrayOp::Reduce(op) => Rows::reduce(op, &self.floats(0)?, &self.out).map(Choice::Rows),
            ArrayOp::Recurrent(ref op) => {
                let inputs = core::array::from_fn(|i| self.input(i));
                let floats = [0, 1, 2, 3, 5, 6].into_iter().all(|i| self.floats_or_absent(i));
                Cells::new(op, &inputs).filter(|_| floats).map(Choice::Cells)
            }
            _ => None,
        }
    }

    /// Operand `i`, if it is there and of singles.
    fn floats(&self, i: usize) -> Option<Known> {
        self.input(i).filter(|known| known.dtype == DType::F32)
    }

    /// Whether operand `i` is absent or of singles.
    fn floats_or_absent(&self, i: usize) -> bool {
        self.input(i).is_none_or(|known| known.dtype == DType::F32)
    }

    fn matrices(&self, epilogue: &Epilogue) -> Option<Choice> {
        let (a, b) = (self.floats(0)?, self.floats(1)?);
        let fused = matches!(self.op, ArrayOp::MatMulFused(_));
        if fused && !(self.floats_or_absent(2) && self.floats_or_absent(3)) {
            return None;
        }
        let ending = Ending::of(epilogue)?;
        if a.dims.len() < 2 || b.dims.len() < 2 || a.len() > OFFSET_MAX {
            return None;
        }
        let outer = |dims: &Shape| dims[..dims.len() - 2].to_vec();
        let own = outer(&b.dims);
        let apart = own.iter().all(|&dim| dim == 1)
            || own == outer(&a.dims) && own == outer(&self.out.dims);
        if !b.constant || a.constant || !apart {
            return Matrices::new([&a, &b], &self.out, ending).map(Choice::Matrices);
        }
        let batch = index(own.iter().product());
        let (k, columns) = (index(a.dims.last()), index(b.dims.last()));
        let rows = self.out.len().checked_div(batch * columns)?;
        Some(Choice::Product(Product::of_matrices(batch, [rows, k, columns], ending)))
    }

    fn convolution(&self, conv: &Conv, epilogue: &Epilogue) -> Option<Choice> {
        let (x, w) = (self.floats(0)?, self.input(1)?);
        let halves = match w.dtype {
            DType::F32 => false,
            DType::F16 => true,
            _ => return None,
        };
        let others = self.floats_or_absent(2) && self.floats_or_absent(3);
        let ending = Ending::of(epilogue)?;
        if !w.constant || x.constant || !others || x.len() > OFFSET_MAX {
            return None;
        }
        let window = window(conv, &x.dims, &self.out.dims)?;
        let groups = index(conv.groups.into());
        let filters = index(w.dims[0]);
        if groups == window.channels && filters == groups && self.input(3).is_none() {
            return Some(Choice::Slide(Slide::weighted(window, ending)));
        }
        if groups == 1
            && !halves
            && let Some(squares) = Squares::new(window, filters, ending)
        {
            return Some(Choice::Squares(squares));
        }
        let channels = window.channels / groups;
        if window.reading(channels) == Reading::Taps && channels > PADDING_MAX {
            return None;
        }
        let product = Product::of_windows(window, groups, filters / groups, ending);
        Some(Choice::Product(if halves { product.of_halves() } else { product }))
    }
}

/// The most elements that a product reads through offsets.
const OFFSET_MAX: usize = 1 << 31;

/// What is done with sums, as far as it is done in registers and behind them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ending {
    /// The least result.
    pub(super) low: f32,
    /// The greatest result.
    pub(super) high: f32,
    /// A function of what was stored, while it is near.
    pub(super) then: Option<Function>,
}

impl Ending {
    /// The ending of an epilogue of floats, if there is one.
    fn of(epilogue: &Epilogue) -> Option<Self> {
        let plain = Self { low: f32::NEG_INFINITY, high: f32::INFINITY, then: None };
        let Some(map) = epilogue.activation else { return Some(plain) };
        Some(match elementwise::function(map)? {
            Function::Clamp { low, high } => Self { low, high, then: None },
            other => Self { then: Some(other), ..plain },
        })
    }
}

/// The window of a convolution or pool over images with channels last, of one or two dimensions.
fn window(conv: &Conv, x: &Shape, out: &Shape) -> Option<Window> {
    let size = |n: u32| usize::try_from(n).expect("32 bits fit an address");
    let pair = |list: &[u32], lone: usize| match *list {
        [width] => Some([lone, size(width)]),
        [height, width] => Some([size(height), size(width)]),
        _ => None,
    };
    let spatial = |dims: &Shape| match **dims {
        [_, width, _] => Some([1, index(width)]),
        [_, height, width, _] => Some([index(height), index(width)]),
        _ => None,
    };
    let window = Window {
        image: spatial(x)?,
        channels: index(x.last()),
        kernel: pair(&conv.kernel, 1)?,
        strides: pair(&conv.strides, 1)?,
        dilations: pair(&conv.dilations, 1)?,
        before: pair(&conv.before, 0)?,
        after: pair(&conv.after, 0)?,
        output: spatial(out)?,
    };
    (!window.is_empty() && x.elements() != Some(0)).then_some(window)
}
