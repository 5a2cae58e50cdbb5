//! Repeatable test data: bits, numbers, and stored rows of every type with ordinary or extreme
//! contents. Only compiled for tests.
#![expect(clippy::cast_possible_truncation, reason = "random bits are cut to size")]

use tensor::{BlockType, DType, F16, TensorType};

/// A small generator of repeatable bits (Steele and others 2014, `SplitMix64`).
pub(crate) struct Bits(pub u64);

impl Bits {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from −1 to 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    /// One of a few.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() >> 32) as usize % from.len()]
    }
}

/// Numbers from −1 to 1.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut bits = Bits(seed);
    (0..len).map(|_| bits.unit()).collect()
}

/// What stored rows and tokens hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Contents {
    /// Random quants, scales of trained models' size.
    Ordinary,
    /// Quants all at one end, ordinary scales.
    Ends,
    /// Scales zero, subnormal, largest, infinite or NaN.
    Scales,
}

/// Types that have panels.
pub(crate) fn types() -> impl Iterator<Item = TensorType> {
    let plain = [DType::F32, DType::F16, DType::BF16].map(TensorType::Plain);
    plain.into_iter().chain(BlockType::ALL.map(TensorType::Block))
}

/// Where a block's half-precision scales stand.
fn scales_at(block: BlockType) -> &'static [usize] {
    match block {
        BlockType::Q4_0
        | BlockType::Q5_0
        | BlockType::Q8_0
        | BlockType::IQ4_NL
        | BlockType::IQ4_XS => &[0],
        BlockType::Q4_1 | BlockType::Q5_1 | BlockType::Q4_K | BlockType::Q5_K => &[0, 2],
        BlockType::Q2_K => &[80, 82],
        BlockType::Q3_K => &[108],
        BlockType::Q6_K => &[208],
        BlockType::MXFP4 => &[],
    }
}

/// One stored row of `k` elements.
pub(crate) fn row(ty: TensorType, k: usize, contents: Contents, bits: &mut Bits) -> Vec<u8> {
    let bytes = ty.row_bytes(k as u64).expect("a whole row") as usize;
    let mut row: Vec<u8> = (0..bytes).map(|_| bits.next() as u8).collect();
    let number = |bits: &mut Bits| match contents {
        Contents::Ordinary | Contents::Ends => bits.unit() * 0.01,
        Contents::Scales => {
            bits.pick(&[0.0, -0.0, 6e-8, -3e-6, 65504.0, -65504.0, 1.0, f32::INFINITY, f32::NAN])
        }
    };
    match ty {
        TensorType::Plain(dtype) => {
            for element in row.chunks_exact_mut(dtype.bytes() as usize) {
                let value = number(bits);
                match dtype {
                    DType::F32 => element.copy_from_slice(&value.to_le_bytes()),
                    DType::F16 => element.copy_from_slice(&F16::from_f32(value).to_le_bytes()),
                    _ => element.copy_from_slice(&tensor::BF16::from_f32(value).to_le_bytes()),
                }
            }
        }
        TensorType::Block(block) => {
            for stored in row.chunks_exact_mut(block.bytes() as usize) {
                if contents == Contents::Ends {
                    // Q8_0 has its ends at 0x80 and 0x7f.
                    stored.fill(bits.pick(&[0, 0xff, 0x80, 0x7f]));
                }
                for &at in scales_at(block) {
                    stored[at..at + 2].copy_from_slice(&F16::from_f32(number(bits)).to_le_bytes());
                }
                if block == BlockType::MXFP4 {
                    stored[0] = match contents {
                        Contents::Scales => bits.pick(&[0, 1, 2, 127, 254, 255]),
                        _ => 118 + (bits.next() % 4) as u8,
                    };
                }
            }
        }
    }
    row
}

/// One token of `k` elements.
pub(crate) fn token(k: usize, contents: Contents, bits: &mut Bits) -> Vec<f32> {
    let scale = bits.pick(&[1.0, 0.01, 30.0]);
    let end = bits.pick(&[1.0, -1.0]);
    (0..k)
        .map(|i| match contents {
            Contents::Ordinary => scale * bits.unit() * bits.unit(),
            Contents::Ends => {
                // Alternating blocks of one sign each: sums of products are as large as they get.
                if (i / 256).is_multiple_of(2) { end } else { bits.pick(&[1.0, -1.0]) }
            }
            Contents::Scales => match i / 256 % 4 {
                0 => bits.unit() * 1e-42,
                1 => bits.unit() * 1e37,
                2 => 0.0,
                _ => bits.unit(),
            },
        })
        .collect()
}

/// Equal bits, or both NaN.
pub(crate) fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}
