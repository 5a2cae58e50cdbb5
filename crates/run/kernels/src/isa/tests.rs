//! Every operation of every set against the scalar one, on awkward values.

#![expect(clippy::cast_possible_truncation, reason = "random bits are cut to size")]

use super::*;
use crate::acts::ANCHOR;
use crate::samples::Bits;

/// One operation on each line, its result as 64 bytes a register.
struct All {
    seed: u64,
}

#[derive(Default)]
struct Results(Vec<(&'static str, Kind, [u8; 64])>);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Float,
    Half,
    Bits,
}

impl Results {
    fn f<S: Simd>(&mut self, name: &'static str, s: S, a: S::F) {
        let mut out = [0.0; 16];
        s.store(a, &mut out);
        self.0.push((name, Kind::Float, bytes(out.map(f32::to_le_bytes))));
    }
    fn i<S: Simd>(&mut self, name: &'static str, s: S, a: S::I) {
        let mut out = [0; 16];
        s.store_i(a, &mut out);
        self.0.push((name, Kind::Bits, bytes(out.map(i32::to_le_bytes))));
    }
    fn b<S: Simd>(&mut self, name: &'static str, s: S, a: S::B) {
        let mut out = [0; 64];
        s.store_b(a, &mut out);
        self.0.push((name, Kind::Bits, out));
    }
}

fn bytes(lanes: [[u8; 4]; 16]) -> [u8; 64] {
    core::array::from_fn(|i| lanes[i / 4][i % 4])
}

/// A float of awkward kinds: any pattern, specials, small integers, halves between integers.
fn float(bits: &mut Bits) -> f32 {
    let n = bits.next();
    match n % 5 {
        0 => f32::from_bits((n >> 32) as u32),
        1 => {
            let special =
                [0.0, -0.0, f32::NAN, f32::INFINITY, -f32::INFINITY, 65520.0, 6e-8, 1e-40];
            special[(n >> 32) as usize % 8]
        }
        2 => f32::from((n >> 40) as i16),
        _ => f32::from((n >> 40) as i16) / 2048.0,
    }
}

/// Whether multiply-adds round once: the product's last bit decides.
pub(super) struct Fuses;

impl Kernel for Fuses {
    type Output = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let near = core::hint::black_box(f32::EPSILON);
        let (a, b) = (s.splat(1.0 + near), s.splat(1.0 - near));
        s.max_lane(s.sub(s.splat(0.0), s.fma(a, b, s.splat(-1.0)))) > 0.0
    }
}

impl Kernel for All {
    type Output = Results;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Results {
        let mut bits = Bits(self.seed);
        let mut r = Results::default();
        let x: [f32; 16] = core::array::from_fn(|_| float(&mut bits));
        let y: [f32; 16] = core::array::from_fn(|_| float(&mut bits));
        let z: [f32; 16] = core::array::from_fn(|_| float(&mut bits));
        let small = x.map(|v| if v.abs() < 1e9 { v } else { 2.5 });
        let u: [i32; 16] = core::array::from_fn(|_| bits.next() as i32);
        let v: [i32; 16] = core::array::from_fn(|_| bits.next() as i32);
        let w: [[u8; 64]; 4] =
            core::array::from_fn(|_| core::array::from_fn(|_| bits.next() as u8));
        let halves: [u8; 32] = core::array::from_fn(|_| bits.next() as u8);
        let tokens: [[u8; 32]; 3] = core::array::from_fn(|_| {
            core::array::from_fn(|_| match bits.next() as i8 {
                i8::MIN => 127,
                value => value.cast_unsigned(),
            })
        });
        let (a, b, c) = (s.load(&x), s.load(&y), s.load(&z));
        r.f("splat", s, s.splat(x[3]));
        r.f("load_f16", s, s.load_f16(&halves));
        r.f("load_bf16", s, s.load_bf16(&halves));
        r.f("add", s, s.add(a, b));
        r.f("sub", s, s.sub(a, b));
        r.f("mul", s, s.mul(a, b));
        r.f("div", s, s.div(a, b));
        r.f("fma", s, s.fma(a, b, c));
        r.f("fnma", s, s.fnma(a, b, c));
        let anchored = s.add_i(s.bits(s.splat(ANCHOR)), s.load_i(&u.map(|u| u % (1 << 21))));
        // Few bits, as scales of blocks have, and all exponents.
        let scale = s.of_bits(s.and_i(s.bits(b), s.splat_i(0xfff0_0000_u32.cast_signed())));
        r.f("anchored", s, s.anchored(anchored, scale, s.mul(s.splat(-ANCHOR), scale)));
        r.f("max", s, s.max(a, b));
        r.f("min", s, s.min(a, b));
        r.f("sqrt", s, s.sqrt(a));
        r.f("select_lt", s, s.select_lt(a, b, b, c));
        r.i("round_to_i", s, s.round_to_i(s.load(&small)));
        r.i("trunc_to_i", s, s.trunc_to_i(s.load(&small)));
        let mut out = [0; 32];
        s.store_f16(a, &mut out);
        let mut padded = [0; 64];
        padded[..32].copy_from_slice(&out);
        r.0.push(("store_f16", Kind::Half, padded));
        let (i, j) = (s.load_i(&u), s.load_i(&v));
        r.f("to_f", s, s.to_f(i));
        r.i("bits", s, s.bits(a));
        r.f("of_bits", s, s.of_bits(i));
        r.i("splat_i", s, s.splat_i(u[5]));
        let sixteen = core::array::from_fn(|i| halves[i]);
        r.i("load_i8", s, s.load_i8(&sixteen));
        r.i("load_u8", s, s.load_u8(&sixteen));
        let mut stored = [0; 16];
        s.store_i8(s.load_i8(&sixteen), &mut stored);
        assert_eq!(stored, sixteen);
        r.i("add_i", s, s.add_i(i, j));
        r.i("sub_i", s, s.sub_i(i, j));
        r.i("mul_i", s, s.mul_i(i, j));
        let words = s.shr_i(i, 16);
        r.i("fold", s, s.fold(j, words, s.factor(s.load_i8(&sixteen))));
        r.i("and_i", s, s.and_i(i, j));
        r.i("or_i", s, s.or_i(i, j));
        r.i("max_i", s, s.max_i(i, j));
        r.i("shl_i", s, s.shl_i(i, 23));
        r.i("shr_i", s, s.shr_i(i, 7));
        r.i("sum_i", s, s.splat_i(s.sum_i(i)));
        r.i("max_lane_i", s, s.splat_i(s.max_lane_i(i)));
        r.f("sum", s, s.splat(s.sum(a)));
        r.f("max_lane", s, s.splat(s.max_lane(a)));
        let q = w.map(|w| s.load_b(&w));
        r.b("splat_b", s, s.splat_b(w[0][0]));
        r.b("and_b", s, s.and_b(q[0], q[1]));
        r.b("or_b", s, s.or_b(q[0], q[1]));
        r.b("sub_b", s, s.sub_b(q[0], q[1]));
        r.b("shl_b", s, s.and_b(s.shl_b(q[0], 3), s.splat_b(0xf8)));
        r.b("shr_b", s, s.and_b(s.shr_b(q[0], 2), s.splat_b(0x3f)));
        r.b("shr_b by 0", s, s.shr_b(q[0], 0));
        r.b("lookup", s, s.lookup(&sixteen, s.and_b(q[0], s.splat_b(15))));
        r.i("as_i", s, s.as_i(q[0]));
        r.b("as_b", s, s.as_b(i));
        r.b("widen_lo", s, s.widen_lo(q[0]));
        r.b("widen_hi", s, s.widen_hi(q[0]));
        r.i("dot_pairs", s, s.dot_pairs(i, s.widen_lo(q[1]), (u[2] & 0x0fff_0fff) - 0x700));
        r.i("min_i", s, s.min_i(i, j));
        r.i("greater_i", s, s.greater_i(i, j));
        r.i("shr_each", s, s.shr_each(i, s.and_i(j, s.splat_i(31))));
        r.i("mul_high", s, s.mul_high(i, j));
        let flip = u32::from(S::SHIFT ^ 0x80) * 0x0101_0101;
        let products = s.dot4(i, q[1], u[7] ^ flip.cast_signed());
        let ones = s.dot4(s.splat_i(0), q[1], 0x0101_0101);
        let excess = s.mul_i(ones, s.splat_i(i32::from(S::SHIFT) - 128));
        r.i("dot4", s, s.sub_i(products, excess));
        let acc = [i, j, i];
        for half in 0..2 {
            let mask = |max| q.map(|q| s.and_b(q, s.splat_b(max)));
            let dots = [
                s.dot16::<3, UpTo<15>>(acc, mask(15), &tokens, half),
                s.dot16::<3, UpTo<31>>(acc, mask(31), &tokens, half),
                s.dot16::<3, UpTo<63>>(acc, mask(63), &tokens, half),
                s.dot16::<3, UpTo<127>>(acc, mask(127), &tokens, half),
            ];
            for dot in dots.into_iter().flatten() {
                r.i("dot16", s, dot);
            }
            for dot in s.dot32::<3, UpTo<63>>(acc, mask(63), mask(31), &tokens) {
                r.i("dot32", s, dot);
            }
            let full = s.dot16::<3, UpTo<255>>(acc, q, &tokens, half);
            for t in 0..3 {
                let sum: i32 =
                    tokens[t][16 * half..][..16].iter().map(|&x| i32::from(x.cast_signed())).sum();
                let centre = s.splat_i(if S::CENTERED { 128 * sum } else { 0 });
                r.i("dot16 of whole bytes", s, s.add_i(full[t], centre));
            }
        }
        r
    }
}

/// Equal bits; NaNs are equal whatever their payload.
fn same(kind: Kind, a: &[u8; 64], b: &[u8; 64]) -> bool {
    let nan = |v: &[u8]| match kind {
        Kind::Float => f32::from_le_bytes([v[0], v[1], v[2], v[3]]).is_nan(),
        Kind::Half => tensor::F16::from_le_bytes([v[0], v[1]]).to_f32().is_nan(),
        Kind::Bits => false,
    };
    let width = if kind == Kind::Half { 2 } else { 4 };
    a.chunks(width).zip(b.chunks(width)).all(|(a, b)| a == b || nan(a) && nan(b))
}

#[test]
fn every_set_gives_the_scalar_bits() {
    for seed in 0..2000 {
        let scalar = Isa::SCALAR.run_dots(All { seed });
        for isa in Isa::available() {
            let got = isa.run_dots(All { seed });
            let other = isa.specification();
            let unfused = (other != Isa::SCALAR).then(|| other.run_dots(All { seed }));
            for (want, got) in unfused.as_ref().unwrap_or(&scalar).0.iter().zip(&got.0) {
                assert!(
                    same(want.1, &want.2, &got.2),
                    "{isa}, {}, seed {seed}: {:02x?} is not {:02x?}",
                    want.0,
                    got.2,
                    want.2
                );
            }
        }
    }
}

#[test]
fn names_read_back() {
    for isa in Isa::available() {
        assert_eq!(isa.name().parse(), Ok(isa));
    }
    assert_eq!("sse9".parse::<Isa>(), Err(ParseIsaError));
}
