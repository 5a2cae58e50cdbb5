//! Encoding: error no worse than llama.cpp's on real weights, bounded on any, defined on all.

use ledge_tensor::{BlockType, DType, F16, TensorType, decode_row, encode_row};
use proptest::prelude::*;

/// Encodes and decodes a row.
fn recode(ty: TensorType, row: &[f32]) -> Vec<f32> {
    let mut stored = vec![0xa5; usize::try_from(ty.row_bytes(row.len() as u64).unwrap()).unwrap()];
    encode_row(ty, row, &mut stored);
    let mut values = vec![0.0; row.len()];
    decode_row(ty, &stored, &mut values);
    values
}

/// Root mean square of the differences.
fn rmse(a: &[f32], b: &[f32]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>() / a.len() as f64).sqrt()
}

#[test]
fn error_on_real_weights_is_at_most_that_of_llama_cpp() {
    let file = include_bytes!("../goldens/encode.bin");
    let (rows, mut rest) = file.split_at(16 * 256 * 2);
    let rows: Vec<f32> =
        rows.as_chunks().0.iter().map(|b| F16::from_le_bytes(*b).to_f32()).collect();
    let mut seen = Vec::new();
    while let Some((&name_len, tail)) = rest.split_first() {
        let (name, tail) = tail.split_at(name_len.into());
        let (theirs, tail) = tail.split_first_chunk().unwrap();
        rest = tail;
        let ty: TensorType = str::from_utf8(name).unwrap().parse().unwrap();
        let (ours, theirs) = (rmse(&rows, &recode(ty, &rows)), f64::from_le_bytes(*theirs));
        assert!(ours <= theirs, "{ty}: {ours:e}, llama.cpp {theirs:e}");
        seen.push(ty);
    }
    assert!(BlockType::ALL.iter().all(|block| seen.contains(&(*block).into())));
}

/// Worst error of a block type: relative to the largest magnitude of the row, and absolute, where
/// the scale of scales is a subnormal half.
fn bound(block: BlockType) -> (f64, f64) {
    let half_step = 2f64.powi(-25);
    match block {
        BlockType::Q4_0 => (1.0 / 8.0, 8.0 * half_step),
        BlockType::Q4_1 => (1.0 / 15.0, 16.0 * half_step),
        BlockType::Q5_0 => (1.0 / 16.0, 16.0 * half_step),
        BlockType::Q5_1 => (1.0 / 31.0, 32.0 * half_step),
        BlockType::Q8_0 => (1.0 / 254.0, 127.0 * half_step),
        BlockType::Q2_K => (1.0 / 3.0, 4.0 * 15.0 * half_step),
        BlockType::Q3_K => (1.0 / 4.0, 4.0 * 32.0 * half_step),
        BlockType::Q4_K => (1.0 / 15.0, 16.0 * 63.0 * half_step),
        BlockType::Q5_K => (1.0 / 31.0, 32.0 * 63.0 * half_step),
        BlockType::Q6_K => (1.0 / 32.0, 32.0 * 128.0 * half_step),
        BlockType::IQ4_NL => (1.0 / 7.0, 127.0 * half_step),
        BlockType::IQ4_XS => (1.0 / 7.0, 127.0 * 32.0 * half_step),
        BlockType::MXFP4 => (1.0 / 6.0, 0.0),
    }
}

/// Rows of 256 numbers of one magnitude, some with outliers, an offset or runs of zeros.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let shape = (-1.0f32..1.0, prop_oneof![Just(0.0f32), Just(1.0), Just(-4.0)], 1u32..64);
    (prop::collection::vec(shape, 256), -12i32..4, 0u32..4).prop_map(|(row, exponent, kind)| {
        let unit = 10f32.powi(exponent);
        row.iter()
            .map(|&(v, offset, rare)| match kind {
                0 => v * unit,
                1 => (v + offset) * unit,
                2 if rare == 1 => 20.0 * v * unit,
                2 => v * v * v * unit,
                _ if rare > 8 => 0.0,
                _ => v * unit,
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn error_is_bounded(row in rows()) {
        let peak = row.iter().fold(0.0, |peak: f64, v| peak.max(f64::from(v.abs())));
        for block in BlockType::ALL {
            let error = rmse(&row, &recode(block.into(), &row));
            let (relative, absolute) = bound(block);
            prop_assert!(
                error <= 1.01 * relative * peak + absolute,
                "{block}: {error:e} of {peak:e}"
            );
        }
    }

    #[test]
    fn any_bits_encode_to_finite_blocks(bits in prop::collection::vec(any::<u32>(), 256)) {
        let row: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
        for block in BlockType::ALL {
            for (k, v) in recode(block.into(), &row).iter().enumerate() {
                prop_assert!(v.is_finite(), "{block} element {k}: {:e} became {v}", row[k]);
            }
        }
    }
}

#[test]
fn special_rows_have_defined_results() {
    for block in BlockType::ALL {
        let code = |row: [f32; 256]| recode(block.into(), &row);
        for (fill, want) in [(0.0, 0.0), (f32::NAN, 0.0), (f32::from_bits(1), 0.0)] {
            let got = code([fill; 256]);
            assert!(got.iter().all(|v| (v - want).abs() < 1e-37), "{block} of {fill:e}: {got:?}");
        }
        for fill in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let got = code([fill; 256]);
            let sound = |v: &f32| v.is_finite() && v.signum() == fill.signum() && v.abs() > 6e4;
            assert!(got.iter().all(sound), "{block} of {fill:e}: {got:?}");
        }
        let mut row = [0.25; 256];
        row[3] = f32::NAN;
        let mut clean = row;
        clean[3] = 0.0;
        assert_eq!(code(row), code(clean), "{block}: a NaN is a zero");
    }
}

#[test]
fn plain_numbers_round_and_saturate() {
    let bits = |row: &[f32]| row.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let row =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.5, 1.5, -2.5, 127.5, 8_388_609.0];
    let want: [(DType, [f32; 9]); 5] = [
        (DType::F32, row),
        (DType::F64, row),
        (DType::I8, [0.0, 127.0, -128.0, 0.0, 0.0, 2.0, -2.0, 127.0, 127.0]),
        (DType::U16, [0.0, 65535.0, 0.0, 0.0, 0.0, 2.0, 0.0, 128.0, 65535.0]),
        (DType::Bool, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ];
    for (dtype, want) in want {
        let got = recode(dtype.into(), &row);

        assert_eq!(bits(&got), bits(&want), "{dtype}: {got:?}");
    }
    for dtype in [DType::F16, DType::BF16] {
        let got = recode(dtype.into(), &row);
        assert!(got[0].is_nan() && got[1] == f32::INFINITY && got[2] == f32::NEG_INFINITY);
        assert_eq!(got[7].to_bits(), 127.5f32.to_bits(), "{dtype}");
    }
}
