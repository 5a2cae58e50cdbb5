//! Decoding of every element type, bit by bit, against gguf-py.

use ledge_tensor::{DType, TensorType, decode_row};

/// Stored row and expected values of one type.
struct Golden<'a> {
    ty: TensorType,
    stored: &'a [u8],
    values: Vec<u32>,
}

/// Takes one record of the file, see `tools/goldens/blocks.py`.
fn record<'a>(rest: &mut &'a [u8]) -> Golden<'a> {
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at(n);
        *rest = tail;
        head
    };
    let name_len = usize::from(take(1)[0]);
    let name = str::from_utf8(take(name_len)).unwrap();
    let mut count = || u32::from_le_bytes(take(4).try_into().unwrap()) as usize;
    let (elements, bytes) = (count(), count());
    let stored = take(bytes);
    let values = take(4 * elements).as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
    Golden { ty: name.parse().unwrap(), stored, values }
}

#[test]
fn every_type_decodes_to_the_bits_of_the_reference() {
    let mut file = include_bytes!("../goldens/blocks.bin").as_slice();
    let mut seen = Vec::new();
    while !file.is_empty() {
        let golden = record(&mut file);
        let mut values = vec![1.5f32; golden.values.len()];
        decode_row(golden.ty, golden.stored, &mut values);
        for (k, (value, &want)) in values.iter().zip(&golden.values).enumerate() {
            let same_nan = value.is_nan()
                && f32::from_bits(want).is_nan()
                && matches!(golden.ty, TensorType::Block(_));
            assert!(
                value.to_bits() == want || same_nan,
                "{} element {k}: {value:e}, expected {:e}",
                golden.ty,
                f32::from_bits(want)
            );
        }
        seen.push(golden.ty);
    }
    seen.sort();
    // gguf-py has no floats of 8 bits; ONNX's node tests hold those.
    let float8 = [DType::F8E4M3, DType::F8E5M2].map(TensorType::Plain);
    let mut all: Vec<_> = TensorType::all().filter(|ty| !float8.contains(ty)).collect();
    all.sort();
    assert_eq!(seen, all, "the file covers every type");
}
