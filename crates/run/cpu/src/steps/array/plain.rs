//! Functions of elements that are not all floats: comparisons, whole numbers, casts, choices.
//!
//! Plain loops that compilers turn into vectors, one for each operator and type that networks use
//! around their products: masks, positions, codes of characters. Results are those of `reference`,
//! bit for bit; what is not here is computed by it.

use super::elementwise::Broadcast;
use super::facts::Facts;
use super::{Operands, Worker};
use crate::layout::{index, numbers, numbers_mut};
use crate::pool::{Parts, Split, Tiles};
use plan::ArrayOp;
use plan::array::Zip;
use tensor::DType;
use tensor::cast::Number;

/// Elements that one thread takes at a time.
const CHUNK: usize = 1 << 13;

/// Elements below which dividing work costs more than it saves.
const SMALL: usize = 1 << 14;

/// `out[i] = f(x[i])`, of bytes.
type Each = fn(&[u8], &mut [u8]);

/// `out[i] = f(a[i], b[i])`, of bytes; an operand of fewer elements is repeated.
type Pairs = fn([&[u8]; 2], &mut [u8]);

/// A function of elements.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    kind: Kind,
    /// Bytes of an element of the operands that are not conditions, and of the result.
    widths: [usize; 2],
}

#[derive(Clone, Debug)]
enum Kind {
    Each(Each),
    Pairs(Pairs, Broadcast<2>),
    Select(Broadcast<3>),
}

impl Plain {
    /// The function that a step is, if it is one of those here.
    pub(super) fn new(facts: &Facts<'_>) -> Option<Self> {
        let to = facts.out.dtype;
        let widths = |from: DType| [index(from.bytes()), index(to.bytes())];
        match *facts.op {
            ArrayOp::Cast { .. } => {
                let from = facts.input(0)?.dtype;
                Some(Self { kind: Kind::Each(cast(from, to)?), widths: widths(from) })
            }
            ArrayOp::Zip(zip) => {
                let (a, b) = (facts.input(0)?, facts.input(1)?);
                if a.dtype != b.dtype {
                    return None;
                }
                let pairs = if to == DType::Bool {
                    match a.dtype {
                        DType::F32 => compare::<f32>(zip),
                        DType::I32 => compare::<i32>(zip),
                        DType::I64 => compare::<i64>(zip),
                        DType::U8 => compare::<u8>(zip),
                        DType::Bool => logic(zip),
                        _ => None,
                    }
                } else {
                    match a.dtype {
                        DType::I32 => whole_i32(zip),
                        DType::I64 => whole_i64(zip),
                        _ => None,
                    }
                };
                let blocks = Broadcast::new([&a, &b], &facts.out);
                Some(Self { kind: Kind::Pairs(pairs?, blocks), widths: widths(a.dtype) })
            }
            ArrayOp::Select => {
                let operands = [facts.input(0)?, facts.input(1)?, facts.input(2)?];
                let blocks = Broadcast::new(operands.each_ref(), &facts.out);
                Some(Self { kind: Kind::Select(blocks), widths: widths(to) })
            }
            _ => None,
        }
    }

    pub(super) fn run(&self, worker: &mut Worker<'_, '_>, operands: Operands<'_>, out: &mut [u8]) {
        let [from, to] = self.widths;
        let x = |i: usize| operands.get(i).map_or(&[][..], |(_, bytes)| bytes);
        let len = out.len() / to;
        let split = if len < SMALL { Split::Caller } else { Split::Runs(1) };
        let (block, piece) = match &self.kind {
            Kind::Each(_) => (len, CHUNK),
            Kind::Pairs(_, blocks) => (blocks.block, blocks.piece(CHUNK)),
            Kind::Select(blocks) => (blocks.block, blocks.piece(CHUNK)),
        };
        let mut tiles = [Tiles::new(out, block * to, 1, piece * to)];
        worker.team.tiles(&mut tiles, &Parts::none(), split, |_, _, mut tile| {
            let columns = tile.columns().start / to..tile.columns().end / to;
            for row in tile.rows() {
                let out = tile.row(row);
                match &self.kind {
                    Kind::Each(each) => {
                        each(&x(0)[columns.start * from..columns.end * from], out);
                    }
                    Kind::Pairs(pairs, blocks) => {
                        let parts = blocks.parts(row, &columns);
                        let part = |i: usize| &x(i)[parts[i].start * from..parts[i].end * from];
                        pairs([part(0), part(1)], out);
                    }
                    Kind::Select(blocks) => {
                        let parts = blocks.parts(row, &columns);
                        let part = |i: usize| &x(i)[parts[i].start * from..parts[i].end * from];
                        let condition = &x(0)[parts[0].clone()];
                        match to {
                            1 => select::<1>(condition, [part(1), part(2)], out),
                            2 => select::<2>(condition, [part(1), part(2)], out),
                            4 => select::<4>(condition, [part(1), part(2)], out),
                            _ => select::<8>(condition, [part(1), part(2)], out),
                        }
                    }
                }
            }
        });
    }
}

/// How elements of one type become those of another.
#[expect(clippy::cast_possible_truncation, reason = "casts round, wrap and truncate")]
fn cast(from: DType, to: DType) -> Option<Each> {
    Some(match (from, to) {
        (DType::Bool, DType::F32) => |x, out| each(x, out, |x: u8| f32::from(u8::from(x != 0))),
        (DType::Bool, DType::I32) => |x, out| each(x, out, |x: u8| i32::from(x != 0)),
        (DType::Bool, DType::I64) => |x, out| each(x, out, |x: u8| i64::from(x != 0)),
        (DType::U8, DType::F32) => |x, out| each::<u8, f32>(x, out, f32::from),
        (DType::I8, DType::F32) => |x, out| each::<i8, f32>(x, out, f32::from),
        (DType::I32, DType::F32) => |x, out| each(x, out, |x: i32| f64::from(x) as f32),
        (DType::I64, DType::F32) => |x, out| each(x, out, |x: i64| x as f64 as f32),
        (DType::I32, DType::I64) => |x, out| each::<i32, i64>(x, out, i64::from),
        (DType::I64, DType::I32) => |x, out| each(x, out, |x: i64| x as i32),
        (DType::I32, DType::Bool) => |x, out| each(x, out, |x: i32| u8::from(x != 0)),
        (DType::I64, DType::Bool) => |x, out| each(x, out, |x: i64| u8::from(x != 0)),
        (DType::F32, DType::Bool) => |x, out| each(x, out, |x: f32| u8::from(x != 0.0)),
        _ => return None,
    })
}

fn each<A: Number, B: Number>(x: &[u8], out: &mut [u8], f: impl Fn(A) -> B) {
    let (x, out): (&[A], &mut [B]) = (numbers(x), numbers_mut(out));
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f(x);
    }
}

/// A comparison of two elements.
fn compare<T: Number + PartialOrd>(zip: Zip) -> Option<Pairs> {
    Some(match zip {
        Zip::Equal => |x, out| pairs(x, out, |a: T, b: T| u8::from(a == b)),
        Zip::NotEqual => |x, out| pairs(x, out, |a: T, b: T| u8::from(a != b)),
        Zip::Less => |x, out| pairs(x, out, |a: T, b: T| u8::from(a < b)),
        Zip::LessOrEqual => |x, out| pairs(x, out, |a: T, b: T| u8::from(a <= b)),
        Zip::Greater => |x, out| pairs(x, out, |a: T, b: T| u8::from(a > b)),
        Zip::GreaterOrEqual => |x, out| pairs(x, out, |a: T, b: T| u8::from(a >= b)),
        _ => return None,
    })
}

/// A function of two truth values.
fn logic(zip: Zip) -> Option<Pairs> {
    Some(match zip {
        Zip::And => |x, out| pairs(x, out, |a: u8, b: u8| u8::from(a != 0) & u8::from(b != 0)),
        Zip::Or => |x, out| pairs(x, out, |a: u8, b: u8| u8::from((a | b) != 0)),
        Zip::Xor | Zip::NotEqual => |x, out| {
            pairs(x, out, |a: u8, b: u8| u8::from((a != 0) != (b != 0)));
        },
        Zip::Equal => |x, out| pairs(x, out, |a: u8, b: u8| u8::from((a != 0) == (b != 0))),
        _ => return None,
    })
}

macro_rules! whole {
    ($name:ident, $t:ty) => {
        /// A function of two whole numbers.
        fn $name(zip: Zip) -> Option<Pairs> {
            Some(match zip {
                Zip::Add => |x, out| pairs(x, out, <$t>::wrapping_add),
                Zip::Subtract => |x, out| pairs(x, out, <$t>::wrapping_sub),
                Zip::Multiply => |x, out| pairs(x, out, <$t>::wrapping_mul),
                Zip::Minimum => |x, out| pairs(x, out, <$t>::min),
                Zip::Maximum => |x, out| pairs(x, out, <$t>::max),
                _ => return None,
            })
        }
    };
}

whole!(whole_i32, i32);
whole!(whole_i64, i64);

/// Elements of a result that no operand begins anew in, unless it is one element.
fn row(operands: &[usize], len: usize) -> usize {
    operands.iter().copied().filter(|&own| own > 1).min().unwrap_or(len).clamp(1, len.max(1))
}

fn pairs<A: Number, B: Number>([a, b]: [&[u8]; 2], out: &mut [u8], f: impl Fn(A, A) -> B) {
    let (a, b, out): (&[A], &[A], &mut [B]) = (numbers(a), numbers(b), numbers_mut(out));
    let (len, row) = (out.len(), row(&[a.len(), b.len()], out.len()));
    for (n, out) in out.chunks_mut(row).enumerate() {
        let own = |x: &'_ [A]| if x.len() == len { n * row } else { 0 };
        let (a_own, b_own) = (&a[own(a)..], &b[own(b)..]);
        match (a.len() == 1, b.len() == 1) {
            (false, true) => out.iter_mut().zip(a_own).for_each(|(out, &a)| *out = f(a, b[0])),
            (true, false) => out.iter_mut().zip(b_own).for_each(|(out, &b)| *out = f(a[0], b)),
            (true, true) => out.fill(f(a[0], b[0])),
            (false, false) => {
                for ((out, &a), &b) in out.iter_mut().zip(a_own).zip(b_own) {
                    *out = f(a, b);
                }
            }
        }
    }
}

/// `condition ? a : b` of elements of `W` bytes.
fn select<const W: usize>(condition: &[u8], [a, b]: [&[u8]; 2], out: &mut [u8]) {
    let (a, b, out) = (a.as_chunks::<W>().0, b.as_chunks::<W>().0, out.as_chunks_mut::<W>().0);
    let (len, row) = (out.len(), row(&[condition.len(), a.len(), b.len()], out.len()));
    // How far an operand goes on with each element, and where it begins.
    let step = |own: usize| usize::from(own > 1);
    for (n, out) in out.chunks_mut(row).enumerate() {
        let first = |own: usize| if own == len && own > 1 { n * row } else { 0 };
        let [c_at, a_at, b_at] = [condition.len(), a.len(), b.len()].map(first);
        let [c_step, a_step, b_step] = [condition.len(), a.len(), b.len()].map(step);
        for (i, out) in out.iter_mut().enumerate() {
            let from_a = condition[c_at + i * c_step] != 0;
            *out = if from_a { a[a_at + i * a_step] } else { b[b_at + i * b_step] };
        }
    }
}
