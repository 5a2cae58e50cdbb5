//! Functions of two elements, and the choice between two.

use crate::number::{Numbers, Wide, by_domain};
use crate::walk::{Out, place, repeated};
use crate::{Inputs, dtype};
use plan::array::Zip;
use tensor::DType;

#[expect(clippy::float_cmp, reason = "equality is what the operator means")]
pub(crate) fn zip(zip: Zip, inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let (a, b) = (inputs.at(0), inputs.at(1));
    let steps = [repeated(&a.shape(), &out.dims), repeated(&b.shape(), &out.dims)];
    if zip == Zip::Power && crate::number::is_float(dtype(&a)) != crate::number::is_float(dtype(&b))
    {
        let (a, b): (Numbers<'_, f64>, Numbers<'_, f64>) = (Numbers::of(a), Numbers::of(b));
        return out.fill(&steps, |[i, j]| a.at(place(i)).powf(b.at(place(j))));
    }
    let bits = 8 * dtype(&a).bytes();
    by_domain!(dtype(&a), W => {
        let (a, b): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(a), Numbers::of(b));
        if out.dtype == DType::Bool {
            let test = |a: W, b: W| match zip {
                Zip::Equal => a == b,
                Zip::NotEqual | Zip::Xor => a != b,
                Zip::Less => a < b,
                Zip::LessOrEqual => a <= b,
                Zip::Greater => a > b,
                Zip::GreaterOrEqual => a >= b,
                Zip::And => a != W::ZERO && b != W::ZERO,
                Zip::Or => a != W::ZERO || b != W::ZERO,
                other => unreachable!("{other:?} gives no truth value"),
            };
            out.fill(&steps, |[i, j]| i128::from(test(a.at(place(i)), b.at(place(j)))));
        } else {
            out.fill(&steps, |[i, j]| W::zip(zip, bits, a.at(place(i)), b.at(place(j))));
        }
    });
}

/// What a domain's functions of pairs are; `bits` is the width of the elements.
trait Zipped: Wide {
    fn zip(zip: Zip, bits: u64, a: Self, b: Self) -> Self;
}

impl Zipped for f64 {
    fn zip(zip: Zip, _bits: u64, a: Self, b: Self) -> Self {
        match zip {
            Zip::Add => a + b,
            Zip::Subtract => a - b,
            Zip::Multiply => a * b,
            Zip::Divide => a / b,
            Zip::Power => a.powf(b),
            Zip::Modulo => {
                let rest = a % b;
                if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
            }
            Zip::Remainder => a % b,
            Zip::Minimum => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Zip::Maximum => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Zip::Prelu => {
                if a < 0.0 {
                    a * b
                } else {
                    a
                }
            }
            Zip::Atan2 => a.atan2(b),
            Zip::SquaredDifference => (a - b) * (a - b),
            Zip::FloorDivide => (a / b).floor(),
            other => unreachable!("{other:?} takes no floats"),
        }
    }
}

impl Zipped for i128 {
    fn zip(zip: Zip, bits: u64, a: Self, b: Self) -> Self {
        // By all bits or more (negative amounts count so): nothing stays but the sign.
        let by = u32::try_from(b).ok().filter(|&by| u64::from(by) < bits);
        match zip {
            Zip::Add => a + b,
            Zip::Subtract => a - b,
            Zip::Multiply => a.wrapping_mul(b),
            Zip::Divide => a.checked_div(b).unwrap_or(0),
            Zip::Power => power(a, b),
            Zip::Modulo => {
                let rest = a.checked_rem(b).unwrap_or(0);
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            }
            Zip::Remainder => a.checked_rem(b).unwrap_or(0),
            Zip::Minimum => a.min(b),
            Zip::Maximum => a.max(b),
            Zip::Prelu => {
                if a < 0 {
                    a.wrapping_mul(b)
                } else {
                    a
                }
            }
            Zip::BitAnd => a & b,
            Zip::BitOr => a | b,
            Zip::BitXor => a ^ b,
            Zip::ShiftLeft => by.map_or(0, |by| a << by),
            Zip::ShiftRight => a >> by.unwrap_or(127),
            Zip::SquaredDifference => (a - b).wrapping_mul(a - b),
            Zip::FloorDivide => match a.checked_div(b) {
                Some(quotient) if a % b != 0 && (a < 0) != (b < 0) => quotient - 1,
                Some(quotient) => quotient,
                None => 0,
            },
            other => unreachable!("{other:?} takes no integers"),
        }
    }
}

/// `a` to the power of `b`, wrapped; the truncated fraction for negative `b`.
fn power(a: i128, b: i128) -> i128 {
    match (a, b) {
        (1, _) => 1,
        (-1, _) => {
            if b % 2 == 0 {
                1
            } else {
                -1
            }
        }
        (_, ..0) => 0,
        _ => {
            let (mut base, mut rest, mut all) = (a, b, 1i128);
            while rest > 0 {
                if rest & 1 == 1 {
                    all = all.wrapping_mul(base);
                }
                base = base.wrapping_mul(base);
                rest >>= 1;
            }
            all
        }
    }
}

pub(crate) fn select(inputs: &Inputs<'_, '_>, out: &mut Out<'_>) {
    let [condition, a, b] = [inputs.at(0), inputs.at(1), inputs.at(2)];
    let steps = [condition, a, b].map(|x| repeated(&x.shape(), &out.dims));
    let condition = condition.bytes();
    by_domain!(out.dtype, W => {
        let (a, b): (Numbers<'_, W>, Numbers<'_, W>) = (Numbers::of(a), Numbers::of(b));
        out.fill(&steps, |[c, i, j]| {
            if condition[place(c)] != 0 { a.at(place(i)) } else { b.at(place(j)) }
        });
    });
}
