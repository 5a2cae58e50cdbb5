//! Recordings: the head of a WAV file, and samples as they come.
//!
//! Works on streams: the head is read from any reader, after which bytes become samples in chunks
//! of any size. Whole numbers of 8, 16, 24 and 32 bits and floats of 32 are read; more than one
//! channel is averaged. Samples are held from -1 to 1, 16-bit ones exactly.

use std::io::{self, Read};

/// How samples follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Whole numbers of this many bits: 8 (unsigned), 16, 24 or 32.
    Whole(u16),
    /// Floats of 32 bits.
    Float,
}

impl Samples {
    fn bytes(self) -> usize {
        match self {
            Self::Whole(bits) => usize::from(bits / 8),
            Self::Float => 4,
        }
    }
}

/// What a recording's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Frames a second.
    pub rate: u32,
    /// Samples of a frame.
    pub channels: u16,
    /// What a sample is.
    pub samples: Samples,
    /// Bytes of samples; none where the file does not say, as when it was streamed.
    pub length: Option<u64>,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaveError {
    /// The source failed.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// It ends within its head.
    #[error("ends after {have} bytes, within the head of a WAV file")]
    Short {
        /// Bytes that there were.
        have: u64,
    },
    /// It is something else.
    #[error("is no WAV file: it begins with {begin}")]
    Other {
        /// The first bytes.
        begin: String,
    },
    /// A form of samples that is not read.
    #[error("holds {what}; whole numbers of 8, 16, 24 or 32 bits and floats of 32 are read")]
    Form {
        /// What it holds.
        what: String,
    },
    /// Settings that contradict each other.
    #[error("its head is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Bytes of a head before the samples, at most: what is larger is no head.
const HEAD_BYTES_MAX: u64 = 1 << 20;

impl Wave {
    /// Plain samples of 16 bits without a head.
    pub fn plain(rate: u32) -> Self {
        Self { rate, channels: 1, samples: Samples::Whole(16), length: None }
    }

    /// Reads the head of a WAV file; samples follow in `source`.
    ///
    /// # Errors
    /// If it is no WAV file, damaged, or holds samples of another form.
    pub fn read(source: &mut impl Read) -> Result<Self, WaveError> {
        let mut have = 0;
        let mut take = |buffer: &mut [u8]| -> Result<(), WaveError> {
            for slot in buffer.chunks_mut(4096) {
                let mut filled = 0;
                while filled < slot.len() {
                    match source.read(&mut slot[filled..]) {
                        Ok(0) => return Err(WaveError::Short { have }),
                        Ok(n) => {
                            filled += n;
                            have += n as u64;
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Ok(())
        };
        let mut begin = [0; 12];
        take(&mut begin)?;
        if &begin[..4] != b"RIFF" || &begin[8..] != b"WAVE" {
            let begin = begin[..4].escape_ascii().to_string();
            return Err(WaveError::Other { begin });
        }
        let mut form = None;
        let mut head = 12u64;
        loop {
            let mut chunk = [0; 8];
            take(&mut chunk)?;
            let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            if &chunk[..4] == b"data" {
                let form = form.ok_or(WaveError::Damaged { what: "samples before their form" })?;
                let known = !matches!(length, 0 | u32::MAX);
                return Ok(Self { length: known.then_some(length.into()), ..form });
            }
            let padded = u64::from(length) + u64::from(length % 2);
            head += 8 + padded;
            if head > HEAD_BYTES_MAX {
                return Err(WaveError::Damaged { what: "no samples within its first MiB" });
            }
            let mut body = vec![0; usize::try_from(padded).unwrap_or(0)];
            take(&mut body)?;
            if &chunk[..4] == b"fmt " {
                form = Some(Self::form(&body)?);
            }
        }
    }

    fn form(body: &[u8]) -> Result<Self, WaveError> {
        let short = |at: usize| -> Option<u16> {
            Some(u16::from_le_bytes([*body.get(at)?, *body.get(at + 1)?]))
        };
        let missing = || WaveError::Damaged { what: "its form is cut short" };
        let mut code = short(0).ok_or_else(missing)?;
        let channels = short(2).ok_or_else(missing)?;
        let rate = u32::from(short(4).ok_or_else(missing)?)
            | u32::from(short(6).ok_or_else(missing)?) << 16;
        let bits = short(14).ok_or_else(missing)?;
        // The extended form has the code where it would else be.
        if code == 0xfffe {
            code = short(24).ok_or_else(missing)?;
        }
        let samples = match (code, bits) {
            (1, 8 | 16 | 24 | 32) => Samples::Whole(bits),
            (3, 32) => Samples::Float,
            (1, bits) => return Err(WaveError::Form { what: format!("{bits}-bit numbers") }),
            (3, bits) => return Err(WaveError::Form { what: format!("{bits}-bit floats") }),
            (6 | 7, _) => {
                return Err(WaveError::Form { what: "telephone codes (A-law, µ-law)".into() });
            }
            (code, _) => {
                return Err(WaveError::Form { what: format!("compressed sound (form {code})") });
            }
        };
        if channels == 0 || channels > 64 {
            return Err(WaveError::Damaged { what: "it has no channels, or more than 64" });
        }
        if !(1..=1_000_000).contains(&rate) {
            return Err(WaveError::Damaged { what: "its rate is 0 or above a million" });
        }
        Ok(Self { rate, channels, samples, length: None })
    }

    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.samples.bytes() * usize::from(self.channels)
    }

    /// Appends the whole frames of `bytes`, channels averaged; gives how many bytes they were.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<f32>) -> usize {
        let frame = self.frame_bytes().max(1);
        let width = self.samples.bytes().max(1);
        let whole = bytes.len() / frame * frame;
        for frame in bytes[..whole].chunks_exact(frame) {
            let sum: f32 = frame.chunks_exact(width).map(|bytes| self.sample(bytes)).sum();
            out.push(sum / f32::from(self.channels.max(1)));
        }
        whole
    }

    fn sample(&self, bytes: &[u8]) -> f32 {
        match (self.samples, bytes) {
            (Samples::Whole(8), &[x]) => (f32::from(x) - 128.0) / 128.0,
            (Samples::Whole(16), &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32768.0,
            (Samples::Whole(24), &[a, b, c]) => {
                (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0
            }
            (Samples::Whole(32), &[a, b, c, d]) => {
                i32::from_le_bytes([a, b, c, d]) as f32 / 2f32.powi(31)
            }
            (Samples::Float, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
            _ => 0.0,
        }
    }

    /// A sample of 16 bits again.
    pub fn whole(sample: f32) -> i16 {
        #[expect(clippy::cast_possible_truncation, reason = "`as` clamps, which is what is wanted")]
        let whole = (sample * 32768.0).round() as i16;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(code: u16, bits: u16, channels: u16, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0".to_vec();
        file.extend(code.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(16_000u32.to_le_bytes());
        file.extend([0; 6]);
        file.extend(bits.to_le_bytes());
        file.extend(b"LIST\x03\0\0\0abc\0data");
        file.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn samples_of_every_form_are_read() {
        for (code, bits, channels, data, want) in [
            (1, 16, 1, &[0, 0x40, 0, 0x80][..], vec![0.5, -1.0]),
            (1, 8, 1, &[128, 192][..], vec![0.0, 0.5]),
            (1, 24, 1, &[0, 0, 0xc0][..], vec![-0.5]),
            (1, 32, 1, &[0, 0, 0, 0x40][..], vec![0.5]),
            (3, 32, 1, &0.25f32.to_le_bytes()[..], vec![0.25]),
            (1, 16, 2, &[0, 0x40, 0, 0][..], vec![0.25]),
        ] {
            let bytes = file(code, bits, channels, data);
            let mut source = &bytes[..];
            let wave = Wave::read(&mut source).unwrap();
            assert_eq!((wave.rate, wave.length), (16_000, Some(data.len() as u64)));
            let mut out = Vec::new();
            assert_eq!(wave.decode(source, &mut out), data.len());
            assert_eq!(out, want, "{code} {bits}");
        }
    }

    #[test]
    fn what_is_no_recording_is_told() {
        for (bytes, words) in [
            (b"RIFF".to_vec(), "ends after 4 bytes"),
            (b"OggS\0\0\0\0\0\0\0\0".to_vec(), "begins with OggS"),
            (file(7, 8, 1, &[]), "telephone"),
            (file(1, 12, 1, &[]), "12-bit"),
            (file(85, 0, 2, &[]), "compressed"),
            (file(1, 16, 0, &[]), "no channels"),
            (file(1, 16, 1, &[])[..40].to_vec(), "within the head"),
        ] {
            let error = Wave::read(&mut &bytes[..]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
