//! Moved elements against `reference`, for shapes that take every way.

use super::*;
use crate::pool::Pool;
use core::num::NonZeroUsize;
use kernels::Isa;
use plan::array::List;
use tensor::{DType, Shape, TensorRef};

fn place(dtype: DType, dims: &[u64], start: usize) -> Place {
    let dims = Shape::new(dims).expect("few dimensions");
    let len = index(dims.elements().expect("a small array") * dtype.bytes());
    Place { bytes: start..start + len, dtype, dims }
}

/// Runs `op` on arrays of counted bytes, here and by `reference`.
fn check(op: &ArrayOp, dtype: DType, operands: &[&[u64]], dims: &[u64]) {
    let mut values = Vec::new();
    let mut sources = Vec::new();
    for dims in operands {
        let place = place(dtype, dims, values.len());
        let bytes = place.bytes.len();
        values.extend((0..bytes).map(|i| u8::try_from((i * 7 + sources.len()) % 251).unwrap_or(0)));
        sources.push(Source::Value(place));
    }
    let out = place(dtype, dims, values.len());
    let moves = Moves::new(op, &sources, &out).expect("an operator that is done here");
    let pool = Pool::new(NonZeroUsize::new(2).expect("two")).expect("threads");
    let mut have = vec![0xee; out.bytes.len()];
    let operands = Operands {
        sources: &sources,
        before: &values,
        after: &[],
        shift: 0,
        weights: &[],
        over: None,
        pitch: None,
    };
    let mut team = pool.team();
    let worker = &mut Worker { team: &mut team, isa: Isa::detect(), scratch: &mut [] };
    moves.run(worker, operands, &mut have);
    let inputs: Vec<Option<TensorRef<'_>>> =
        (0..sources.len()).map(|i| operands.tensor(i)).collect();
    let want = reference::evaluate(op, &inputs, dtype, out.dims).expect("a valid operator");
    assert!(have == want, "{op:?} of {dtype}");
}

fn view(dims: &[u64], strides: &[i64], offset: u64) -> ArrayOp {
    let dims = Shape::new(dims).expect("few dimensions");
    ArrayOp::View(View { dims, strides: List::new(strides).expect("few dimensions"), offset })
}

#[test]
fn views_are_those_of_the_reference() {
    for dtype in [DType::I8, DType::F16, DType::F32, DType::F64] {
        let cases: &[(&[u64], ArrayOp, &[u64])] = &[
            (&[2, 3, 4], view(&[2, 3, 4], &[12, 4, 1], 0), &[2, 3, 4]),
            (&[2, 3, 4], view(&[2, 4, 3], &[12, 1, 4], 0), &[2, 4, 3]),
            (&[5, 6], view(&[5, 2], &[6, 1], 3), &[5, 2]),
            (&[5, 6], view(&[5, 6], &[-6, -1], 29), &[5, 6]),
            (&[5, 6], view(&[3, 5, 6], &[0, 6, 1], 0), &[3, 5, 6]),
            (&[5, 6], view(&[6, 4], &[1, 0], 6), &[6, 4]),
            (&[5, 6], view(&[2, 3], &[12, 2], 1), &[2, 3]),
            (&[1, 7], view(&[1, 1], &[7, 1], 4), &[1, 1]),
            (&[3, 5, 70, 2], view(&[3, 5, 2, 70], &[700, 140, 1, 2], 0), &[3, 5, 2, 70]),
            (&[3, 5, 4, 17], view(&[3, 5, 17, 4], &[340, 68, 1, 17], 0), &[3, 5, 17, 4]),
            (&[4, 3, 50, 60], view(&[4, 50, 60, 3], &[9000, 60, 1, 3000], 0), &[4, 50, 60, 3]),
            (&[5, 60, 90], view(&[60, 80, 5], &[90, 1, 5400], 10), &[60, 80, 5]),
            (&[2, 50, 37], view(&[2, 37, 50], &[1850, 1, 37], 0), &[2, 37, 50]),
            (&[3, 400, 300], view(&[3, 300, 400], &[120_000, 1, 300], 0), &[3, 300, 400]),
            (&[700, 300], view(&[699, 299], &[300, 1], 301), &[699, 299]),
        ];
        for (from, op, to) in cases {
            check(op, dtype, &[from], to);
        }
    }
}

#[test]
fn joins_and_borders_are_those_of_the_reference() {
    for dtype in [DType::U8, DType::F32] {
        check(&ArrayOp::Concat { axis: 1 }, dtype, &[&[2, 3, 4], &[2, 1, 4]], &[2, 4, 4]);
        check(&ArrayOp::Concat { axis: 0 }, dtype, &[&[2, 3], &[0, 3], &[1, 3]], &[3, 3]);
        check(&ArrayOp::Concat { axis: 2 }, dtype, &[&[2, 3, 4], &[2, 3, 5]], &[2, 3, 9]);
        let dims = Shape::new(&[3, 8]).expect("few dimensions");
        check(&ArrayOp::Reshape { dims }, dtype, &[&[2, 3, 4]], &[3, 8]);
        for (before, after, dims) in [
            ([0, 0, 0], [0, 0, 0], [2, 3, 4]),
            ([1, 0, 0], [0, 2, 0], [3, 5, 4]),
            ([0, 1, 2], [0, 1, 1], [2, 5, 7]),
            ([0, 0, 1], [1, 0, 0], [3, 3, 5]),
        ] {
            let list = |items: &[i64]| List::new(items).expect("few dimensions");
            let pad = Pad { mode: PadMode::Constant, before: list(&before), after: list(&after) };
            check(&ArrayOp::Pad(pad), dtype, &[&[2, 3, 4]], &dims);
            check(&ArrayOp::Pad(pad), dtype, &[&[2, 3, 4], &[]], &dims);
        }
    }
}
