//! Each way of computing rows gives what `reference` gives, whatever is asked for.

use super::*;
use plan::array::{List, Map};

fn numbers(n: u64) -> Held {
    let numbers = (0..n).map(|i| i as f32 * 0.25 - 3.0);
    Held::Bytes(numbers.flat_map(f32::to_le_bytes).collect())
}

fn operand(dims: &[u64]) -> Operand {
    let dims = Shape::new(dims).expect("a few");
    (numbers(dims.iter().product()), DType::F32, dims)
}

fn view(dims: &[u64], strides: &[i64], offset: u64) -> ArrayOp {
    let dims = Shape::new(dims).expect("a few");
    ArrayOp::View(View { dims, strides: List::new(strides).expect("a few"), offset })
}

#[test]
fn any_range_is_what_the_reference_gives() {
    let filters = [70, 3, 2, 5];
    let turned = view(&[70, 2, 5, 3], &[30, 5, 1, 10], 0);
    let cases = [
        (
            ArrayOp::Zip(Zip::Multiply),
            vec![Some(operand(&filters)), Some(operand(&[70, 1, 1, 1]))],
            Way::Scaled,
        ),
        (
            ArrayOp::Zip(Zip::Divide),
            vec![Some(operand(&filters)), Some(operand(&[70, 1, 1, 1]))],
            Way::Rows,
        ),
        (
            ArrayOp::Zip(Zip::Multiply),
            vec![Some(operand(&filters)), Some(operand(&[3, 1, 1]))],
            Way::Rows,
        ),
        (ArrayOp::Map(Map::Negate), vec![Some(operand(&filters))], Way::Rows),
        (
            ArrayOp::Concat { axis: 0 },
            [1, 4, 60, 5].map(|n| Some(operand(&[n, 3, 2, 5]))).to_vec(),
            Way::Joined,
        ),
        (
            ArrayOp::Concat { axis: 1 },
            [1, 2].map(|n| Some(operand(&[70, n, 2, 5]))).to_vec(),
            Way::Whole,
        ),
        (turned, vec![Some(operand(&filters))], Way::Moved),
        (view(&[70, 30], &[30, 1], 0), vec![Some(operand(&[70, 30]))], Way::Moved),
        (view(&[70], &[1], 0), vec![Some(operand(&[70]))], Way::Moved),
        (view(&[7, 4], &[3, 0], 0), vec![Some(operand(&[7, 3]))], Way::Moved),
        (view(&[41, 70], &[1, 41], 0), vec![Some(operand(&[70, 41]))], Way::Turned),
        (view(&[40, 70], &[1, 41], 1), vec![Some(operand(&[70, 41]))], Way::Whole),
        (view(&[3, 70, 2, 5], &[10, 30, 5, 1], 0), vec![Some(operand(&filters))], Way::Whole),
    ];
    for (op, operands, way) in cases {
        let dims = match &op {
            ArrayOp::View(view) => view.dims,
            _ => Shape::new(&filters).expect("four"),
        };
        let whole =
            Derived { way: Way::Whole, ..Derived::new(op, operands.clone(), DType::F32, dims) };
        let derived = Derived::new(op, operands, DType::F32, dims);
        assert_eq!(derived.way, way, "{op:?}");
        let expected = whole.all().expect("in memory");
        assert_eq!(derived.all().expect("in memory"), expected, "{op:?}");
        let row = expected.len() / whole.split().0;
        for (start, len) in [(0, row), (3 * row, 4 * row), (4, 8), (row + 4, 2 * row + 4)] {
            let (start, len) = (start.min(expected.len()), len.min(expected.len() - start));
            let mut part = vec![0; len];
            derived.read(start, &mut part).expect("in memory");
            assert_eq!(part, expected[start..start + len], "{op:?} {start} {len}");
        }
    }
}

#[test]
fn a_chain_is_read_through() {
    let (filters, factors) = (Some(operand(&[20, 3, 4])), Some(operand(&[20, 1, 1])));
    let dims = Shape::new(&[20, 3, 4]).expect("three");
    let scaled =
        Derived::new(ArrayOp::Zip(Zip::Multiply), vec![filters, factors], DType::F32, dims);
    let expected = scaled.all().expect("in memory");
    let scaled = Some((Held::Derived(scaled.into()), DType::F32, dims));
    let dims = Shape::new(&[20, 4, 3]).expect("three");
    let turned = view(&[20, 4, 3], &[12, 1, 4], 0);
    let turned = Derived::new(turned, vec![scaled], DType::F32, dims).all().expect("in memory");
    for (row, from) in turned.chunks_exact(48).zip(expected.chunks_exact(48)) {
        for (i, element) in row.as_chunks::<4>().0.iter().enumerate() {
            assert_eq!(*element, from.as_chunks::<4>().0[i % 3 * 4 + i / 3]);
        }
    }
}
