//! Seeded weights: the same bytes here and in `tools/goldens/families_gguf.py`.
//!
//! The head of that script is the specification; a golden's SHA-256 of the whole file holds the two
//! together. Streams are `SplitMix64` (Steele et al. 2014) started at the FNV-1a hash of
//! `"<seed>:<name>"`; no state is shared, so that tensors may be made in any order.

use tensor::{BF16, BlockType, DType, F16, TensorType};

/// A counter-based stream of 64-bit words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream(u64);

impl Stream {
    /// The stream of `name` under `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let text = format!("{seed}:{name}");
        let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Self(hash)
    }

    /// Word `idx`.
    pub(super) fn word(self, idx: u64) -> u64 {
        let z = self.0.wrapping_add((idx + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Word `idx` as a number in [-1, 1), exact in 24 bits.
    fn unit(self, idx: u64) -> f32 {
        (self.word(idx) >> 40) as f32 / 8_388_608.0 - 1.0
    }
}

/// One tensor of a case.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// Its name in the file.
    pub(crate) name: String,
    /// Its stored type.
    pub(crate) ty: TensorType,
    /// Its dimensions, outermost first.
    pub(crate) dims: Vec<u64>,
    /// Middle of plain elements.
    pub(crate) mean: f32,
    /// Reach of plain elements; the scale of quantised blocks.
    pub(crate) amp: f32,
}

impl Recipe {
    /// The tensor's bytes as the file stores them.
    pub(crate) fn bytes(&self, seed: u64) -> Vec<u8> {
        let stream = Stream::new(seed, &self.name);
        let elements: u64 = self.dims.iter().product();
        match self.ty {
            TensorType::Plain(dtype) => self.plain(stream, dtype, elements),
            TensorType::Block(block) => {
                let scales = Stream::new(seed, &format!("{}:scale", self.name));
                self.quantised(stream, scales, block, elements)
            }
        }
    }

    /// `mean + amp * unit`, rounded twice in single precision and then to `dtype`.
    fn plain(&self, stream: Stream, dtype: DType, elements: u64) -> Vec<u8> {
        let values = (0..elements).map(|idx| self.mean + self.amp * stream.unit(idx));
        match dtype {
            DType::F16 => values.flat_map(|x| F16::from_f32(x).to_le_bytes()).collect(),
            DType::BF16 => values.flat_map(|x| BF16::from_f32(x).to_le_bytes()).collect(),
            _ => values.flat_map(f32::to_le_bytes).collect(),
        }
    }

    /// Random codes under tame scales.
    fn quantised(&self, stream: Stream, scales: Stream, block: BlockType, n: u64) -> Vec<u8> {
        let (at, second) = scale_places(block);
        let blocks = n / block.elements();
        let size = usize::try_from(block.bytes()).expect("a block is some hundred bytes");
        let total = usize::try_from(blocks).expect("a case's tensor fits in memory") * size;
        let mut bytes: Vec<u8> = (0..(total as u64).div_ceil(8))
            .flat_map(|idx| stream.word(idx).to_le_bytes())
            .take(total)
            .collect();
        for (idx, bytes) in (0..blocks).zip(bytes.chunks_exact_mut(size)) {
            if block == BlockType::MXFP4 {
                bytes[0] = exponent(self.amp) - u8::from(scales.word(idx) & 1 == 1);
                continue;
            }
            if block == BlockType::Q8_0 {
                // Its writers never make -128.
                bytes[2..].iter_mut().filter(|code| **code == 0x80).for_each(|code| *code = 0x81);
            }
            let d = F16::from_f32(self.amp * (1.0 + 0.25 * scales.unit(idx)));
            bytes[at..at + 2].copy_from_slice(&d.to_le_bytes());
            if let Some((at, ratio)) = second {
                let m = F16::from_f32(ratio * d.to_f32());
                bytes[at..at + 2].copy_from_slice(&m.to_le_bytes());
            }
        }
        bytes
    }
}

/// A whole number written as a float.
#[expect(clippy::cast_possible_truncation, reason = "cases hold exponents between 100 and 130")]
fn exponent(amp: f32) -> u8 {
    amp as u8
}

/// Where a block's scale is, and its second scale with the factor that centres the weights.
fn scale_places(block: BlockType) -> (usize, Option<(usize, f32)>) {
    match block {
        BlockType::Q4_1 => (0, Some((2, -7.5))),
        BlockType::Q5_1 => (0, Some((2, -15.5))),
        BlockType::Q2_K => (80, Some((82, 1.5))),
        BlockType::Q3_K => (108, None),
        BlockType::Q4_K => (0, Some((2, 7.5))),
        BlockType::Q5_K => (0, Some((2, 15.5))),
        BlockType::Q6_K => (208, None),
        BlockType::Q4_0
        | BlockType::Q5_0
        | BlockType::Q8_0
        | BlockType::IQ4_NL
        | BlockType::IQ4_XS
        | BlockType::MXFP4 => (0, None),
    }
}
