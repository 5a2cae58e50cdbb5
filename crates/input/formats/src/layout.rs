//! A file whose every byte has its place, written front to back.
//!
//! The writers of GGUF and safetensors both end here: a finished header, the table that a reader
//! will find, and the file's size. Tensor bytes are asked for one tensor at a time and never
//! collected; gaps between tensors are zeros.

use std::{fmt, io};

use tensor::Bytes;

use crate::{FormatError, Label, Place, StoredTensor, TensorTable};

/// A file to be.
#[derive(Clone, Debug)]
pub struct Layout {
    header: Vec<u8>,
    tensors: TensorTable,
    file_bytes: Bytes,
}

impl Layout {
    /// A header, what our reader found in it, and the size that the file will have.
    pub(crate) fn new(header: Vec<u8>, tensors: TensorTable, file_bytes: Bytes) -> Self {
        Self { header, tensors, file_bytes }
    }

    /// The tensors, with the offsets that they will have, in file order.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> Bytes {
        self.file_bytes
    }

    /// Writes the file front to back. `fill` is called once for each tensor, in order, and writes
    /// exactly [`StoredTensor::bytes`] into the sink.
    ///
    /// # Errors
    /// If `out` fails, `fill` fails, or it writes fewer or more bytes than the tensor has.
    pub fn write<W: io::Write, E: From<FormatError>>(
        &self,
        out: &mut W,
        mut fill: impl FnMut(&StoredTensor, &mut TensorSink<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        out.write_all(&self.header).map_err(FormatError::from)?;
        let mut at = self.header.len() as u64;
        for tensor in &self.tensors {
            pad(out, tensor.offset.saturating_sub(at))?;
            let mut sink = TensorSink { out, left: tensor.bytes.0 };
            fill(tensor, &mut sink)?;
            sink.finish(tensor)?;
            at = tensor.end();
        }
        pad(out, self.file_bytes.0.saturating_sub(at))?;
        out.flush().map_err(FormatError::from)?;
        Ok(())
    }
}

/// Takes the bytes of one tensor, no more and no fewer than it has.
pub struct TensorSink<'a> {
    out: &'a mut dyn io::Write,
    left: u64,
}

impl TensorSink<'_> {
    /// Checks that the tensor is complete.
    fn finish(&self, tensor: &StoredTensor) -> Result<(), FormatError> {
        if self.left == 0 {
            return Ok(());
        }
        let place = Place::named(format_args!("bytes of tensor `{}`", Label::new(&tensor.name)));
        let got = tensor.bytes.0.saturating_sub(self.left);
        Err(FormatError::invalid(place, tensor.bytes.0.to_string(), format_args!("{got}")))
    }
}

impl fmt::Debug for TensorSink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TensorSink {{ left: {} }}", self.left)
    }
}

impl io::Write for TensorSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            let why = format!("{} bytes more than the tensor has", bytes.len() as u64);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let written = self.out.write(bytes)?;
        self.left = self.left.saturating_sub(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes `count` zeros.
fn pad(out: &mut dyn io::Write, count: u64) -> Result<(), FormatError> {
    io::copy(&mut io::Read::take(io::repeat(0), count), out)?;
    Ok(())
}
