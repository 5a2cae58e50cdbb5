//! Spectra and windows. What depends on sizes alone is computed here in double precision.

use super::super::{
    call::{Call, Outputs, one},
    constant,
};
use crate::network::{
    Builder, Fault, Tensor,
    emit::{contiguous, dim},
};
use plan::{ArrayOp, array::Dft};
use std::f64::consts::TAU;
use tensor::DType;

/// The longest window that is computed.
const WINDOW_MAX: i64 = 1 << 24;

fn number(b: &mut Builder<'_>, x: &Tensor) -> Result<f64, Fault> {
    let list = b.floats(x)?;
    list.first().copied().ok_or_else(|| Fault::invalid("a number is missing"))
}

fn whole(b: &mut Builder<'_>, x: &Tensor) -> Result<i64, Fault> {
    let list = b.ints(x)?;
    list.first().copied().ok_or_else(|| Fault::invalid("a number is missing"))
}

/// The type that `output_datatype` names, single precision by default.
fn datatype(call: &Call<'_>) -> Result<DType, Fault> {
    let code = call.int("output_datatype", 1)?;
    Ok(constant::element(super::elementwise::code(code)?)?.0)
}

/// A sum of cosines with these coefficients.
fn window(b: &mut Builder<'_>, call: &Call<'_>, coefficients: [f64; 3]) -> Outputs {
    let size = whole(b, call.tensor(0)?)?;
    if !(0..=WINDOW_MAX).contains(&size) {
        return Err(Fault::invalid(format!("a window of {size}")));
    }
    let period = if call.flag("periodic", true)? { size } else { (size - 1).max(1) };
    let dtype = datatype(call)?;
    let value = |i: i64| {
        let turn = TAU * i as f64 / period as f64;
        let [a, b, c] = coefficients;
        a - b * turn.cos() + c * (2.0 * turn).cos()
    };
    let list: Vec<f64> = (0..size).map(value).collect();
    one(b.numbers(dtype, &[list.len() as u64], &list)?)
}

pub(super) fn hann(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    window(b, call, [0.5, 0.5, 0.0])
}

pub(super) fn hamming(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    window(b, call, [25.0 / 46.0, 21.0 / 46.0, 0.0])
}

pub(super) fn blackman(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    window(b, call, [0.42, 0.5, 0.08])
}

pub(super) fn dft(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let x = call.tensor(0)?;
    let axis = match (call.version, call.optional(2)?) {
        (..=19, _) => call.int("axis", 1)?,
        (_, Some(axis)) => whole(b, axis)?,
        (_, None) => -2,
    };
    let axis = x.axis(axis)?;
    let inverse = call.flag("inverse", false)?;
    let onesided = call.flag("onesided", false)?;
    let points = x.dims[axis];
    let length = match call.optional(1)? {
        Some(length) => u64::try_from(whole(b, length)?).unwrap_or(0),
        None if inverse && onesided => points.saturating_sub(1) * 2,
        None => points,
    };
    let op = Dft { axis: dim(axis), length, inverse, onesided };
    one(b.apply(ArrayOp::Dft(op), &[Some(x)])?)
}

pub(super) fn stft(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let signal = call.tensor(0)?;
    let signal = if signal.rank() == 2 { b.unsqueeze(signal, 2)? } else { signal.clone() };
    let &[batch, len, parts] = &signal.dims[..] else {
        return Err(Fault::invalid(format!("a signal of {}", signal.dims)));
    };
    let step = u64::try_from(whole(b, call.tensor(1)?)?).unwrap_or(0);
    let window = call.optional(2)?;
    let length = match (call.optional(3)?, window) {
        (Some(length), _) => u64::try_from(whole(b, length)?).unwrap_or(0),
        (None, Some(window)) => window.elements(),
        (None, None) => return Err(Fault::invalid("neither a window nor a length is given")),
    };
    if step == 0 || length == 0 || length > len {
        return Err(Fault::invalid(format!("frames of {length}, {step} apart, of {len}")));
    }
    let frames = (len - length) / step + 1;
    let strides = contiguous(&signal.dims);
    let hop = i64::try_from(step).unwrap_or(i64::MAX).saturating_mul(strides[1]);
    let mut framed = b.view(
        &signal,
        &[batch, frames, length, parts],
        &[strides[0], hop, strides[1], strides[2]],
        0,
    )?;
    if let Some(window) = window {
        let column = b.reshape(window, &[window.elements(), 1])?;
        framed = b.mul(&framed, &column)?;
    }
    let onesided = call.flag("onesided", true)?;
    let op = Dft { axis: 2, length, inverse: false, onesided };
    one(b.apply(ArrayOp::Dft(op), &[Some(&framed)])?)
}

pub(super) fn mel_weights(b: &mut Builder<'_>, call: &Call<'_>) -> Outputs {
    let bands = whole(b, call.tensor(0)?)?;
    let length = whole(b, call.tensor(1)?)?;
    let rate = number(b, call.tensor(2)?)?;
    let low = number(b, call.tensor(3)?)?;
    let high = number(b, call.tensor(4)?)?;
    let dtype = datatype(call)?;
    let fits = (1..=1 << 16).contains(&bands) && (1..=1 << 20).contains(&length) && rate > 0.0;
    let bins = usize::try_from(length / 2 + 1).ok().filter(|_| fits);
    let (Some(bins), Ok(bands)) = (bins, usize::try_from(bands)) else {
        return Err(Fault::invalid(format!("{bands} bands of {length} points at {rate}")));
    };
    let mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let step = (mel(high) - mel(low)) / (bands + 2) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "frequencies up to half the rate")]
    let edge = |i: usize| {
        let hertz = 700.0 * (10f64.powf((i as f64 * step + mel(low)) / 2595.0) - 1.0);
        ((length + 1) as f64 * hertz / rate).floor() as i64
    };
    b.room((bins as u64).saturating_mul(bands as u64), DType::F64)?;
    let mut weights = vec![0.0; bins * bands];
    let mut put = |bin: i64, band: usize, value: f64| {
        if let Ok(bin) = usize::try_from(bin)
            && bin < bins
        {
            weights[bin * bands + band] = value;
        }
    };
    let last = length / 2;
    for band in 0..bands {
        let (from, peak, to) = (edge(band), edge(band + 1), edge(band + 2));
        if peak == from {
            put(peak, band, 1.0);
        } else {
            (from.max(0)..=peak.min(last))
                .for_each(|j| put(j, band, (j - from) as f64 / (peak - from) as f64));
        }
        (peak.max(0)..to.min(last + 1))
            .for_each(|j| put(j, band, (to - j) as f64 / (to - peak) as f64));
    }
    one(b.numbers(dtype, &[bins as u64, bands as u64], &weights)?)
}
