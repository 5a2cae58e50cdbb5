//! Writing a model anew in other types: a mix of block types, or plain floats.
//!
//! [`Conversion::new`] decides every tensor's type and the whole layout of the new file without
//! reading a weight; [`Conversion::write`] then streams it front to back, a few mebibytes at a time
//! whatever the model's size, with all threads of a pool. Tensors that keep their type are copied
//! byte for byte. The result is the same for any number of threads.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use cpu::pool::Pool;
use formats::{
    FormatError, Layout, StoredTensor, StoredType,
    gguf::{Gguf, Writer, split},
};
use plan::Control;
use tensor::{Bytes, TensorType, decode_row, encode_row};

pub mod mix;

pub use mix::{Facts, Mix, ParseMixError};

/// Version of the block layouts, GGUF's `general.quantization_version`.
const BLOCKS_VERSION: u32 = 2;
/// Elements read, converted and written at a time; whole pieces.
const BATCH: u64 = 4 << 20;
/// Elements that one thread holds in single precision: they stay in its cache.
const PIECE: usize = 16 << 10;

/// Why a model could not be converted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A tensor cannot be decoded, or the new file cannot be laid out.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A weight is NaN or infinite, which no block can hold.
    #[error("tensor `{tensor}`: element {element} is {value}")]
    NonFinite {
        /// The tensor.
        tensor: String,
        /// The element, counted from the tensor's first.
        element: u64,
        /// What it is.
        value: f32,
    },
    /// The caller asked to stop.
    #[error("stopped after {done} of {total}")]
    Cancelled {
        /// Bytes written.
        done: Bytes,
        /// Bytes of the whole file.
        total: Bytes,
    },
    /// The file could not be written.
    #[error("writing the model")]
    Write(#[from] io::Error),
}

/// Reads a file's bytes: which file of the model, the offset in it, what to fill.
pub type ReadAt<'a, E> = dyn FnMut(u32, u64, &mut [u8]) -> Result<(), E> + 'a;

/// A model's new file, decided in full.
#[derive(Clone, Debug)]
pub struct Conversion<'a> {
    source: &'a Gguf,
    layout: Layout,
    batch: u64,
}

/// What a conversion does, for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Tensors of the model.
    pub tensors: usize,
    /// Tensors that get another type.
    pub converted: usize,
    /// Those of them that were quantised already and so lose a second time.
    pub requantized: usize,
    /// Bytes of all tensors before.
    pub source_bytes: Bytes,
    /// Bytes of all tensors after.
    pub bytes: Bytes,
}

impl<'a> Conversion<'a> {
    /// Decides types and layout. Settings are copied; the file's type is set; a split model
    /// becomes one file.
    ///
    /// # Errors
    /// If a tensor that changes its type cannot be decoded, or the layout passes a limit.
    pub fn new(source: &'a Gguf, mix: Mix) -> Result<Self, QuantizeError> {
        let mut metadata = source.metadata().clone();
        metadata
            .set("general.quantization_version", BLOCKS_VERSION)
            .set("general.file_type", mix.file_type());
        for key in [split::KEY_NO, split::KEY_COUNT, split::KEY_TENSORS] {
            metadata.remove(key);
        }
        let facts = Facts::from_metadata(source.metadata());
        let types = mix::types(mix, &facts, source.tensors());
        let mut writer = Writer::new(metadata);
        for (tensor, ty) in source.tensors().iter().zip(types) {
            if ty != tensor.ty {
                tensor.tensor_type()?;
            }
            writer.tensor(&tensor.name, ty, tensor.shape)?;
        }
        Ok(Self { source, layout: writer.layout()?, batch: BATCH })
    }

    /// The new file's tensors and size.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What will be done.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { tensors: self.layout.tensors().len(), ..Summary::default() };
        for (before, after) in self.source.tensors().iter().zip(self.layout.tensors()) {
            if before.ty != after.ty {
                summary.converted += 1;
                let blocks = matches!(before.ty, StoredType::Known(TensorType::Block(_)));
                summary.requantized += usize::from(blocks);
            }
            summary.source_bytes.0 += before.bytes.0;
            summary.bytes.0 += after.bytes.0;
        }
        summary
    }

    /// Writes the file front to back, with the bytes of the source that `read` gives.
    ///
    /// # Errors
    /// If `read` or `out` fails, a weight is not finite, or `control` says to stop, asked every few
    /// mebibytes. What was written until then is no whole file. Progress counts bytes written.
    pub fn write<E: From<QuantizeError> + From<FormatError>>(
        &self,
        read: &mut ReadAt<'_, E>,
        pool: &Pool,
        out: &mut impl Write,
        control: &dyn Control,
    ) -> Result<(), E> {
        let mut sources = self.source.tensors().iter();
        let total = self.layout.file_bytes();
        let mut done = Bytes::ZERO;
        let mut buffers = Buffers::default();
        self.layout.write(out, |target, sink| {
            let source = sources.next().expect("the layout has the source's tensors, in order");
            let convert = Converter::new(source, target)?;
            let mut element = 0;
            while element < convert.elements {
                let count = convert.elements.min(element + self.batch) - element;
                convert.read(element, count, &mut buffers, read)?;
                let bytes = convert.run(element, count, &mut buffers, pool)?;
                sink.write_all(bytes).map_err(QuantizeError::Write)?;
                element += count;
                done.0 += bytes.len() as u64;
                control.progress(done.0, total.0);
                if control.cancelled() {
                    return Err(QuantizeError::Cancelled { done, total }.into());
                }
            }
            Ok(())
        })
    }
}

/// Bytes of one batch, before and after.
#[derive(Debug, Default)]
struct Buffers {
    source: Vec<u8>,
    target: Vec<u8>,
}

/// How one tensor is turned into its new form. A tensor is a sequence of blocks, rows or not: the
/// pieces that it is cut into hold whole blocks of either type.
#[derive(Debug)]
struct Converter<'a> {
    source: &'a StoredTensor,
    /// Both types, if the bytes change.
    types: Option<(TensorType, TensorType)>,
    /// Elements; bytes where these are only copied.
    elements: u64,
}

impl<'a> Converter<'a> {
    fn new(source: &'a StoredTensor, target: &StoredTensor) -> Result<Self, QuantizeError> {
        let types = if source.ty == target.ty {
            None
        } else {
            Some((source.tensor_type()?, target.tensor_type()?))
        };
        let elements = match types {
            None => source.bytes.0,
            Some(_) => source.shape.elements().expect("the size of the tensor was checked"),
        };
        Ok(Self { source, types, elements })
    }

    /// Reads `count` elements from `first` on.
    fn read<E>(
        &self,
        first: u64,
        count: u64,
        buffers: &mut Buffers,
        read: &mut ReadAt<'_, E>,
    ) -> Result<(), E> {
        let size = |elements: u64| match self.types {
            None => elements,
            Some((source, _)) => source.row_bytes(elements).expect("batches are whole blocks"),
        };
        buffers.source.resize(to_usize(size(count)), 0);
        read(self.source.file, self.source.offset + size(first), &mut buffers.source)
    }

    /// Converts the `count` elements that were read; `first` is the tensor's first of them.
    fn run<'b>(
        &self,
        first: u64,
        count: u64,
        buffers: &'b mut Buffers,
        pool: &Pool,
    ) -> Result<&'b [u8], QuantizeError> {
        let Some((from, to)) = self.types else { return Ok(&buffers.source) };
        let size = |ty: TensorType, elements: usize| {
            to_usize(ty.row_bytes(elements as u64).expect("pieces are whole blocks"))
        };
        let count = to_usize(count);
        buffers.target.resize(size(to, count), 0);
        // Each worker has one share, in whole pieces, and the place of the first bad number in it.
        // Fewer than all threads may take part just now; more than are counted find nothing to do.
        let mut team = pool.team();
        let share = count.div_ceil(PIECE).div_ceil(team.threads()) * PIECE;
        let sources = buffers.source.chunks(size(from, share));
        let targets = buffers.target.chunks_mut(size(to, share));
        let shares: Vec<_> =
            sources.zip(targets).map(|share| Mutex::new((share, Ok(())))).collect();
        team.run(&|worker| {
            let Some(slot) = shares.get(worker) else { return };
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let ((source, target), result) = &mut *slot;
            let mut values = vec![0.0; PIECE.min(count)];
            let sources = source.chunks(size(from, PIECE));
            for (idx, (source, target)) in
                sources.zip(target.chunks_mut(size(to, PIECE))).enumerate()
            {
                let start = worker * share + idx * PIECE;
                let values = &mut values[..PIECE.min(count - start)];
                decode_row(from, source, values);
                if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                    *result = Err(QuantizeError::NonFinite {
                        tensor: self.source.name.to_string(),
                        element: first + (start + at) as u64,
                        value: values[at],
                    });
                    return;
                }
                encode_row(to, values, target);
            }
        });
        for slot in shares {
            slot.into_inner().unwrap_or_else(PoisonError::into_inner).1?;
        }
        Ok(&buffers.target)
    }
}

/// A size within one batch.
fn to_usize(size: u64) -> usize {
    usize::try_from(size).expect("a batch is a few mebibytes")
}

#[cfg(test)]
mod tests;
