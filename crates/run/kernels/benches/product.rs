//! Speed of products, cache-resident, one thread: GMAC/s and share of the probed peak.
//!
//! `cargo bench -p ledge-kernels --bench product [-- TYPE… ISA…]`. The peak is probed beside it by the
//! same dot-product operation without unpacking or scales. Each figure is the best of many bursts
//! shorter than a time slice, so that other work on the machine does not spoil it; memory is not
//! measured here.
#![expect(clippy::disallowed_methods, reason = "a bench is a program")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::{hint::black_box, time::Instant};

use ledge_kernels::{
    ActKind, Acts, Isa, Panels,
    isa::{Kernel, LANES, Simd, UpTo},
    panel, product_each,
};
use tensor::TensorType;

/// Elements of a row: Llama-3.2-1B's model width.
const K: usize = 2048;

/// Bytes of a cache line, which panels and tokens begin at.
const LINE: usize = 64;

/// Bursts of a measurement.
const BURSTS: usize = 300;

/// Dot products of sixteen rows and eight tokens out of registers, nothing else.
struct Peak<'a>(&'a [[u8; 64]; 4]);

/// Rounds of the probe in one burst.
const ROUNDS: usize = 2000;

impl Kernel for Peak<'_> {
    type Output = i32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> i32 {
        let mut acc = [[s.splat_i(0); 8]; 2];
        // Constants, so that they stay in registers; each token another, so that none is shared.
        let tokens = [[1; 32], [2; 32], [3; 32], [4; 32], [5; 32], [6; 32], [7; 32], [8; 32]];
        for _ in 0..ROUNDS {
            let [a, b, c, d] = black_box(self.0);
            let w = [s.load_b(a), s.load_b(b), s.load_b(c), s.load_b(d)];
            // Two lots of sums: eight do not hide the latency of two instructions a cycle.
            acc[0] = s.dot16::<8, UpTo<15>>(acc[0], w, &tokens, 0);
            acc[1] = s.dot16::<8, UpTo<15>>(acc[1], [w[1], w[2], w[3], w[0]], &tokens, 0);
        }
        let mut sum = s.splat_i(0);
        for one in acc.into_iter().flatten() {
            sum = s.add_i(sum, one);
        }
        s.sum_i(sum)
    }
}

/// Seconds of the quickest burst.
fn best(mut burst: impl FnMut()) -> f64 {
    (0..BURSTS)
        .map(|_| {
            let start = Instant::now();
            burst();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<TensorType> = args.iter().filter_map(|name| name.parse().ok()).collect();
    let mut sets: Vec<Isa> = args.iter().filter_map(|name| name.parse().ok()).collect();
    if sets.is_empty() {
        sets = Isa::available().skip(1).collect();
    }
    let all = ["Q4_0", "Q8_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4"]
        .into_iter()
        .chain(["Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_XS", "F32", "F16", "BF16"]);
    let all = all.filter_map(|name| name.parse().ok());
    let types: Vec<TensorType> = if wanted.is_empty() { all.collect() } else { wanted };
    for isa in sets {
        let probe = best(|| {
            black_box(isa.run_dots(Peak(&[[3; 64]; 4])));
        });
        let peak = (2 * ROUNDS * 8 * 16 * LANES) as f64 / probe / 1e9;
        println!("{isa}: peak {peak:.0} GMAC/s");
        for &ty in &types {
            print!("  {:7}", ty.name());
            for tokens in [1, 2, 4, 8, 128, 512] {
                let (speed, _) = measure(isa, ty, tokens);
                print!("  {tokens}: {speed:5.1} ({:2.0} %)", 100.0 * speed / peak);
            }
            let (_, quantise) = measure(isa, ty, 8);
            println!("  quantise {:.2} ns an element", quantise * 1e9 / (8 * K) as f64);
        }
    }
}

/// A number spread nearly normally: the sum of eight bytes of scrambled bits.
///
/// Kernels take a slower way where many numbers of a block are near the largest one.
fn activation(i: usize) -> f32 {
    let mut bits = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let sum: u16 = bits.to_le_bytes().into_iter().map(u16::from).sum();
    f32::from(sum) - 1020.0
}

/// GMAC/s of four panels times `tokens`, and seconds of quantising the tokens.
fn measure(isa: Isa, ty: TensorType, tokens: usize) -> (f64, f64) {
    let rows = 4 * LANES;
    let bytes = panel::packed_bytes(ty, rows, K).expect("a type with panels");
    // Any bytes do: the speed does not depend on them as long as scales are ordinary numbers.
    let packed: Vec<u8> = (0x30..0x40).cycle().take(bytes + LINE).collect();
    let packed = &packed[packed.as_ptr().align_offset(LINE)..][..bytes];
    let x: Vec<f32> = (0..tokens * K).map(activation).collect();
    let kind = ActKind::of(ty).expect("a type with a product");
    let bytes = kind.bytes(K, tokens);
    let mut buffer = vec![0; bytes + LINE];
    let start = buffer.as_ptr().align_offset(LINE);
    let buffer = &mut buffer[start..start + bytes];
    let quantise = best(|| {
        Acts::quantise(isa, kind, K, black_box(&x), buffer);
    });
    let acts = Acts::from_bytes(isa, kind, K, tokens, buffer);
    let panels = Panels::new(ty, rows, K, packed);
    let mut last = 0.0;
    let seconds = best(|| {
        product_each(black_box(&panels), 0..panels.count(), &acts, |_, _, values| {
            last += values[0];
        });
    });
    black_box(last);
    ((rows * K * tokens) as f64 / seconds / 1e9, quantise)
}
