//! The audio front end of TensorFlow Lite Micro: 40 channels from each 10 ms of sound.
//!
//! Windows of 30 ms pass a 512-point transform, a bank of 40 filters between 125 Hz and 7,500 Hz on
//! the mel scale, noise reduction, gain control and a logarithm, all in whole numbers, so that every
//! device gives the same features. What a frame gives depends on the frames before it: noise is
//! estimated as it goes. The settings are those that streaming wake words are trained with; the
//! steps, roundings and overflows follow `microfrontend` of TensorFlow Lite and kissfft in 16 bits.

mod bank;
mod fourier;
mod gain;
mod logarithm;

use bank::Bank;
use fourier::{Complex, Fourier};
use gain::Gain;

/// Samples a second.
const RATE: u32 = 16_000;
/// Samples of a window.
const WINDOW: usize = 480;
/// Samples between the beginnings of two windows.
const STEP: usize = 160;
/// Points of the transform.
const POINTS: usize = 512;
/// Channels of a frame.
const CHANNELS: usize = 40;
/// Fraction bits of the window's weights.
const WINDOW_BITS: u32 = 12;
/// Bits by which the bank's results are too small for the gain and the logarithm.
const CORRECTION_BITS: u32 = 3;

/// The front end with what it remembers.
#[derive(Clone, Debug)]
pub struct Micro {
    window: Vec<i16>,
    fourier: Fourier,
    bank: Bank,
    noise: Noise,
    gain: Gain,
    /// Samples that are still part of a window.
    held: Vec<i16>,
}

impl Default for Micro {
    fn default() -> Self {
        Self::new()
    }
}

impl Micro {
    /// Samples a second that it takes.
    pub const RATE: u32 = RATE;
    /// Channels that each frame has.
    pub const CHANNELS: usize = CHANNELS;
    /// Samples for each frame, after the first.
    pub const STEP: usize = STEP;
    /// What a unit of a feature is in the numbers that models are trained on.
    pub const SCALE: f32 = 0.039_062_5;

    /// A front end that has heard nothing.
    pub fn new() -> Self {
        let weight = |i: usize| {
            let turn = single(std::f64::consts::TAU / WINDOW as f64);
            let height = 0.5 - 0.5 * single(f64::from(turn * (i as f32 + 0.5)).cos());
            whole((f64::from(height * (1 << WINDOW_BITS) as f32) + 0.5).floor())
        };
        Self {
            window: (0..WINDOW).map(weight).collect(),
            fourier: Fourier::new(POINTS),
            bank: Bank::new(RATE, POINTS / 2 + 1, CHANNELS, [125.0, 7500.0]),
            noise: Noise { estimates: [0; CHANNELS] },
            gain: Gain::new(),
            held: Vec::with_capacity(WINDOW),
        }
    }

    /// Hears samples; gives the frames that they complete.
    pub fn hear(&mut self, samples: &[i16]) -> Vec<[u16; CHANNELS]> {
        let mut frames = Vec::new();
        let mut rest = samples;
        while let Some(taken) = rest.split_at_checked((WINDOW - self.held.len()).min(rest.len())) {
            self.held.extend_from_slice(taken.0);
            rest = taken.1;
            if self.held.len() < WINDOW {
                break;
            }
            frames.push(self.frame());
            self.held.drain(..STEP);
        }
        frames
    }

    fn frame(&mut self) -> [u16; CHANNELS] {
        let mut windowed = [0i16; POINTS];
        let mut loudest = 0i16;
        for ((out, x), weight) in windowed.iter_mut().zip(&self.held).zip(&self.window) {
            *out = low16((i32::from(*x) * i32::from(*weight)) >> WINDOW_BITS);
            loudest = loudest.max(out.wrapping_abs());
        }
        // As loud as 16 bits hold, so that the transform loses least.
        let shift = 15u32.saturating_sub(bits(u64::from(loudest.unsigned_abs())));
        for x in &mut windowed {
            *x = x.wrapping_shl(shift);
        }
        let spectrum = self.fourier.real(&windowed);
        let energies: Vec<i32> = spectrum.iter().copied().map(energy).collect();
        let mut channels = self.bank.apply(&energies, shift);
        self.noise.reduce(&mut channels);
        self.gain.apply(&mut channels, &self.noise.estimates);
        channels.map(|x| logarithm::scaled(x << CORRECTION_BITS))
    }
}

fn energy(x: Complex) -> i32 {
    let (re, im) = (i32::from(x.re), i32::from(x.im));
    (re * re).wrapping_add(im * im)
}

/// Bits of a number without leading zeros.
fn bits(x: u64) -> u32 {
    64 - x.leading_zeros()
}

/// The lower half, whatever the upper one holds.
#[expect(clippy::cast_possible_truncation, reason = "the number is cut on purpose, as C does")]
fn low16(x: i32) -> i16 {
    x as i16
}

/// A number in single precision: functions are computed in double and rounded, so that all devices
/// agree.
#[expect(clippy::cast_possible_truncation, reason = "single precision is part of the algorithm")]
fn single(x: f64) -> f32 {
    x as f32
}

#[expect(clippy::cast_possible_truncation, reason = "tables of numbers below 2^15")]
fn whole(x: f64) -> i16 {
    x as i16
}

/// The noise of each channel: what is always there is taken away.
#[derive(Clone, Debug)]
struct Noise {
    /// In units of 2^-10.
    estimates: [u32; CHANNELS],
}

impl Noise {
    const SMOOTHING_BITS: u32 = 10;
    const FRACTION_BITS: u32 = 14;
    /// How fast estimates follow, of even and odd channels: 0.025 and 0.06.
    const FOLLOW: [u64; 2] = [409, 983];
    /// What remains of a signal at least: 0.05.
    const LEAST: u64 = 819;

    fn reduce(&mut self, channels: &mut [u32; CHANNELS]) {
        for (i, (signal, estimate)) in channels.iter_mut().zip(&mut self.estimates).enumerate() {
            let follow = Self::FOLLOW[i % 2];
            let wide = *signal << Self::SMOOTHING_BITS;
            let blend = u64::from(wide) * follow
                + u64::from(*estimate) * ((1 << Self::FRACTION_BITS) - follow);
            *estimate = low32(blend >> Self::FRACTION_BITS);
            let noise = (*estimate).min(wide);
            let floor = low32((u64::from(*signal) * Self::LEAST) >> Self::FRACTION_BITS);
            *signal = ((wide - noise) >> Self::SMOOTHING_BITS).max(floor);
        }
    }
}

/// The lower half, whatever the upper one holds.
#[expect(clippy::cast_possible_truncation, reason = "the number is cut on purpose, as C does")]
fn low32(x: u64) -> u32 {
    x as u32
}

#[cfg(test)]
mod tests;
