//! A transform of real samples in 16-bit fixed point, as kissfft rounds it: factors of 4, each
//! stage divided so that nothing overflows, halves up.

/// A complex number of 15 fraction bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Complex {
    pub(super) re: i16,
    pub(super) im: i16,
}

/// The largest fraction.
const MOST: i16 = i16::MAX;

/// A product's upper bits, halves up.
fn rounded(x: i32) -> i16 {
    super::low16(x.wrapping_add(1 << 14) >> 15)
}

impl Complex {
    fn turned(phase: f64) -> Self {
        let part = |x: f64| super::whole((0.5 + f64::from(MOST) * x).floor());
        Self { re: part(phase.cos()), im: part(phase.sin()) }
    }

    fn plus(self, other: Self) -> Self {
        Self { re: self.re.wrapping_add(other.re), im: self.im.wrapping_add(other.im) }
    }

    fn minus(self, other: Self) -> Self {
        Self { re: self.re.wrapping_sub(other.re), im: self.im.wrapping_sub(other.im) }
    }

    fn times(self, other: Self) -> Self {
        let product = |a: i16, b: i16| i32::from(a) * i32::from(b);
        Self {
            re: rounded(product(self.re, other.re).wrapping_sub(product(self.im, other.im))),
            im: rounded(product(self.re, other.im).wrapping_add(product(self.im, other.re))),
        }
    }

    fn part(self, of: i16) -> Self {
        let scale = |x: i16| rounded(i32::from(x) * i32::from(MOST / of));
        Self { re: scale(self.re), im: scale(self.im) }
    }
}

/// Factors of a transform of one size.
#[derive(Clone, Debug)]
pub(super) struct Fourier {
    /// `exp(-2πik/n)` for the complex half of the points.
    twiddles: Vec<Complex>,
    /// What joins the halves into the spectrum of real samples.
    joins: Vec<Complex>,
}

impl Fourier {
    /// Of `points` real samples; half of them is a power of 4.
    pub(super) fn new(points: usize) -> Self {
        let half = points / 2;
        let twiddle =
            |i: usize| Complex::turned(-2.0 * std::f64::consts::PI * i as f64 / half as f64);
        let join = |i: usize| {
            let turn = (i + 1) as f64 / half as f64 + 0.5;
            Complex::turned(-std::f64::consts::PI * turn)
        };
        Self {
            twiddles: (0..half).map(twiddle).collect(),
            joins: (0..half / 2).map(join).collect(),
        }
    }

    /// The spectrum from 0 to half the rate, `points / 2 + 1` numbers.
    pub(super) fn real(&self, samples: &[i16]) -> Vec<Complex> {
        let half = self.twiddles.len();
        let (pairs, _) = samples.as_chunks::<2>();
        let pairs: Vec<Complex> = pairs.iter().map(|&[re, im]| Complex { re, im }).collect();
        let mut x = vec![Complex::default(); half];
        self.stage(&mut x, &pairs, 1);
        let mut spectrum = vec![Complex::default(); half + 1];
        let first = x[0].part(2);
        spectrum[0].re = first.re.wrapping_add(first.im);
        spectrum[half].re = first.re.wrapping_sub(first.im);
        for k in 1..=half / 2 {
            let low = x[k].part(2);
            let mirrored = Complex { re: x[half - k].re, im: x[half - k].im.wrapping_neg() };
            let high = mirrored.part(2);
            let (sum, difference) = (low.plus(high), low.minus(high));
            let turned = difference.times(self.joins[k - 1]);
            let halved = |a: i16, b: i32| super::low16((i32::from(a) + b) >> 1);
            spectrum[k].re = halved(sum.re, turned.re.into());
            spectrum[k].im = halved(sum.im, turned.im.into());
            spectrum[half - k].re = halved(sum.re, -i32::from(turned.re));
            spectrum[half - k].im = super::low16((i32::from(turned.im) - i32::from(sum.im)) >> 1);
        }
        spectrum
    }

    /// The transform of every `stride`-th number, by four transforms of a quarter.
    fn stage(&self, out: &mut [Complex], x: &[Complex], stride: usize) {
        let quarter = out.len() / 4;
        if quarter == 1 {
            for (i, out) in out.iter_mut().enumerate() {
                *out = x[i * stride];
            }
        } else {
            for (i, out) in out.chunks_exact_mut(quarter).enumerate() {
                self.stage(out, &x[i * stride..], stride * 4);
            }
        }
        for k in 0..quarter {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| out[k + i * quarter].part(4));
            let b = b.times(self.twiddles[k * stride]);
            let c = c.times(self.twiddles[k * stride * 2]);
            let d = d.times(self.twiddles[k * stride * 3]);
            let (near, far) = (a.plus(c), a.minus(c));
            let (sum, difference) = (b.plus(d), b.minus(d));
            // A quarter turn back.
            let turned = Complex { re: difference.im, im: difference.re.wrapping_neg() };
            out[k] = near.plus(sum);
            out[k + quarter] = far.plus(turned);
            out[k + 2 * quarter] = near.minus(sum);
            out[k + 3 * quarter] = far.minus(turned);
        }
    }
}
