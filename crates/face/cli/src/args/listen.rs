//! The flags of `ledge listen`.

use super::Arithmetic;
use clap::Args;
use std::{num::NonZeroUsize, path::PathBuf};

/// Tell what is heard, while it is heard
///
/// Runs a network that remembers (a wake word, a voice detector) chunk by chunk over a recording or
/// over sound that comes in on stdin, as a WAV file or as plain 16-bit samples with --raw. Prints a
/// line when something begins and ends; with --json, a line for each run. On a terminal the score
/// is shown as it changes.
///
/// Streaming wake words (input of 40 channels) hear through the front end of TensorFlow Lite
/// Micro, bit for bit; Silero's voice detectors get the samples they want; other networks of one
/// input of samples get chunks of its size. Notes beside the network (NAME.toml or NAME.json,
/// section [listen]) may say: features, rate, chunk, context, threshold, smooth, states.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  ledge listen --model okay_nabu.tflite recording.wav
  ledge listen --model silero_vad.onnx speech.wav --json
  arecord -q -f S16_LE -r 16000 -c 1 -t raw | ledge listen --model wake.tflite --raw
  ledge listen --model wake.tflite recording.wav --budget 60   # as if it came in now")]
pub(crate) struct Listen {
    /// The network
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// The recording; `-` or nothing reads stdin
    #[arg(value_name = "AUDIO", default_value = "-")]
    pub(crate) audio: PathBuf,
    /// The sound is 16-bit little-endian samples of one channel, without a head
    #[arg(long)]
    pub(crate) raw: bool,
    /// Samples a second of --raw [default: what the network takes]
    #[arg(long, value_name = "N", requires = "raw")]
    pub(crate) rate: Option<u32>,
    /// The score from which on something is heard [default: the notes', or 0.5]
    #[arg(long, value_name = "SCORE")]
    pub(crate) threshold: Option<f32>,
    /// Runs over which scores are averaged [default: the notes', or 1]
    #[arg(long, value_name = "N")]
    pub(crate) smooth: Option<NonZeroUsize>,
    /// Names of the scores, one a line [default: the notes', or the network's name]
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Make an output of each run an input of the next, where names do not tell
    #[arg(long, value_name = "INPUT=OUTPUT")]
    pub(crate) state: Vec<String>,
    /// Keep up with the clock: results may be this late, chunks that would be later are skipped
    #[arg(long, value_name = "MS")]
    pub(crate) budget: Option<u64>,
    /// Whose integer arithmetic a quantised TFLite network follows, to the byte
    #[arg(long, value_enum, default_value = "tflm")]
    pub(crate) profile: Arithmetic,
    /// Threads to use
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroUsize,
}
