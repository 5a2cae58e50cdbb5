//! From samples to a network's inputs.

use crate::{
    failure::{Exit, Failure, Result},
    notes::Listen,
};
use engine::Network;
use formats::onnx::ElementType;
use import::onnx::{Declared, Extent};
use ledge::{Array, Scale};
use media::{Micro, Wave};
use std::{collections::VecDeque, time::Duration};
use tensor::{DType, TensorRef};

/// How sound is heard.
pub(super) struct Ear {
    input: String,
    dims: Vec<u64>,
    dtype: DType,
    scale: Option<Scale>,
    rate: u32,
    /// New numbers of each run: samples, or channels of frames.
    chunk: usize,
    /// Numbers of before that are given again.
    context: usize,
    /// Samples between runs.
    step: usize,
    front: Option<Micro>,
    /// An input that is told the rate.
    told: Option<(String, Array)>,
    held: VecDeque<f32>,
    samples: u64,
    runs: u64,
}

/// What a run is given.
pub(super) struct Heard {
    array: Array,
    /// When the last sample was over.
    pub(super) end: Duration,
}

fn refuse(network: &Network, what: impl std::fmt::Display, hint: &str) -> Failure {
    Failure::new(Exit::Usage, what).at(network.label()).hint(hint)
}

/// Extents with 1 where they are free, if their number is known.
fn fixed(declared: &Declared) -> Option<Vec<u64>> {
    let extent = |dim: &Extent| match dim {
        Extent::Fixed(n) => *n,
        Extent::Named(_) | Extent::Free => 1,
    };
    Some(declared.dims.as_ref()?.iter().map(extent).collect())
}

const NOTES_HINT: &str =
    "say it in notes beside the network: [listen] with features, rate, chunk and context";

impl Ear {
    /// What a network's first input that is no state wants; the sound has this rate, if that is
    /// known.
    pub(super) fn of(network: &Network, notes: &Listen, rate: Option<u32>) -> Result<Self> {
        let Some(first) = network.inputs().first() else {
            return Err(refuse(network, "the network takes nothing", "name one that hears"));
        };
        let dims = fixed(first).unwrap_or_default();
        let dtype = match first.element {
            Some(ElementType::Float) => DType::F32,
            Some(ElementType::Int8) => DType::I8,
            Some(ElementType::Uint8) => DType::U8,
            Some(ElementType::Int16) => DType::I16,
            _ => {
                let what = format!("the input `{}` takes no sound", first.name);
                return Err(refuse(network, what, "name a network that hears"));
            }
        };
        let channels = Micro::CHANNELS as u64;
        let is_micro = match notes.features.as_deref() {
            None => dims.len() >= 2 && dims.last() == Some(&channels),
            Some("micro") => true,
            Some("none") => false,
            Some(other) => {
                let what = format!("there are no features `{other}`");
                return Err(refuse(network, what, "features are `micro` or `none`"));
            }
        };
        let takes_rate = network
            .inputs()
            .iter()
            .find(|input| input.name == "sr" && input.element == Some(ElementType::Int64));
        let size = usize::try_from(dims.iter().product::<u64>()).unwrap_or(0);
        let mut ear = Self {
            input: first.name.clone(),
            dims,
            dtype,
            scale: network.input_scale(0),
            rate: notes.rate.unwrap_or(16_000),
            chunk: size,
            context: 0,
            step: size,
            front: None,
            told: None,
            held: VecDeque::new(),
            samples: 0,
            runs: 0,
        };
        if is_micro {
            if size == 0 || !size.is_multiple_of(Micro::CHANNELS) {
                let what = format!("the input `{}` is no whole frames", first.name);
                return Err(refuse(network, what, NOTES_HINT));
            }
            ear.rate = Micro::RATE;
            ear.step = size / Micro::CHANNELS * Micro::STEP;
            ear.front = Some(Micro::new());
            return Ok(ear);
        }
        if let Some(told) = takes_rate {
            // Silero: 32 ms behind the last 4 ms of the chunk before.
            ear.rate = notes.rate.or(rate.filter(|&rate| rate == 8_000)).unwrap_or(16_000);
            (ear.chunk, ear.context) = if ear.rate == 8_000 { (256, 32) } else { (512, 64) };
            let dims = fixed(told).unwrap_or_default();
            let array = Array::new(DType::I64, &dims, i64::from(ear.rate).to_le_bytes().to_vec());
            let array = array.map_err(|error| refuse(network, error, NOTES_HINT))?;
            ear.told = Some((told.name.clone(), array));
        }
        if let Some(context) = notes.context {
            ear.context = context;
        }
        if let Some(chunk) = notes.chunk {
            ear.chunk = chunk;
        } else if ear.told.is_none() {
            ear.chunk = size.saturating_sub(ear.context);
        }
        let free = |dim: &Extent| !matches!(dim, Extent::Fixed(_));
        let open = first.dims.as_ref().is_some_and(|dims| dims.iter().any(free));
        let whole = ear.chunk + ear.context;
        // Sound has one extent; pictures have several.
        let wide = |dim: &&Extent| !matches!(dim, Extent::Fixed(0 | 1));
        let is_sound = first.dims.as_ref().is_none_or(|dims| dims.iter().filter(wide).count() <= 2);
        if !is_sound || ear.chunk < 2 || whole > 1 << 24 || !open && whole != size {
            let what = format!(
                "the input `{}` takes {size} numbers, which is no chunk of {} samples behind {}",
                first.name, ear.chunk, ear.context
            );
            return Err(refuse(network, what, NOTES_HINT));
        }
        if open && let Some(last) = ear.dims.last_mut() {
            *last = whole as u64;
        }
        ear.step = ear.chunk;
        ear.held.extend(std::iter::repeat_n(0.0, ear.context));
        Ok(ear)
    }

    /// Whether every other input is a state.
    pub(super) fn check(&self, network: &Network, carried: &[String]) -> Result<()> {
        let told = self.told.as_ref().map(|(name, _)| name);
        let open = network.inputs().iter().find(|input| {
            input.name != self.input && Some(&input.name) != told && !carried.contains(&input.name)
        });
        match open {
            None => Ok(()),
            Some(input) => Err(refuse(
                network,
                format!("nothing is known about the input `{}`", input.name),
                "if it is what an output was in the run before: --state INPUT=OUTPUT",
            )),
        }
    }

    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    fn time(&self, samples: u64) -> Duration {
        Duration::from_micros(samples.saturating_mul(1_000_000) / u64::from(self.rate.max(1)))
    }

    /// Time between runs.
    pub(super) fn step(&self) -> Duration {
        self.time(self.step as u64)
    }

    /// Samples before the first run.
    pub(super) fn least(&self) -> usize {
        // The front end's first window is three steps long.
        if self.front.is_some() { self.step + 2 * Micro::STEP } else { self.chunk }
    }

    /// How much was heard.
    pub(super) fn heard(&self) -> Duration {
        self.time(self.samples)
    }

    /// Takes samples.
    pub(super) fn hear(&mut self, samples: &[f32]) {
        self.samples += samples.len() as u64;
        match &mut self.front {
            None => self.held.extend(samples),
            Some(front) => {
                let whole: Vec<i16> = samples.iter().map(|&x| Wave::whole(x)).collect();
                for frame in front.hear(&whole) {
                    self.held.extend(frame.map(|x| f32::from(x) * Micro::SCALE));
                }
            }
        }
    }

    /// What the next run is given, if it was heard in full.
    pub(super) fn next(&mut self) -> Option<Heard> {
        let whole = self.chunk + self.context;
        if self.held.len() < whole {
            return None;
        }
        let numbers: Vec<f32> = self.held.iter().take(whole).copied().collect();
        self.held.drain(..self.chunk);
        self.runs += 1;
        let before = self.least().saturating_sub(self.step) as u64;
        let end = self.time(self.runs * self.step as u64 + before);
        let array = Array::new(self.dtype, &self.dims, self.stored(&numbers)).ok()?;
        Some(Heard { array, end })
    }

    /// Numbers in the input's type.
    fn stored(&self, numbers: &[f32]) -> Vec<u8> {
        // Samples without a scale are what they are in a file of 16 bits.
        let by = self.scale.unwrap_or(Scale { scale: 1.0 / 32768.0, zero: 0 });
        #[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is what is wanted")]
        let code = |x: &f32| ((x / by.scale).round_ties_even() as i32).saturating_add(by.zero);
        match self.dtype {
            DType::I8 => {
                numbers.iter().map(|x| code(x).clamp(-128, 127).to_le_bytes()[0]).collect()
            }
            DType::U8 => numbers.iter().map(|x| code(x).clamp(0, 255).to_le_bytes()[0]).collect(),
            DType::I16 => numbers
                .iter()
                .flat_map(|x| {
                    let [a, b, ..] = code(x).clamp(-32768, 32767).to_le_bytes();
                    [a, b]
                })
                .collect(),
            _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }

    /// The inputs of a run.
    pub(super) fn inputs<'a>(&'a self, heard: &'a Heard) -> Vec<(&'a str, TensorRef<'a>)> {
        let mut list = vec![(self.input.as_str(), heard.array.view())];
        if let Some((name, array)) = &self.told {
            list.push((name, array.view()));
        }
        list
    }
}
