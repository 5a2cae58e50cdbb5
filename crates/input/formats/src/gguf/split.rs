//! Models split over several GGUF files: `name-00001-of-00003.gguf` and its siblings.
//!
//! The first file holds the settings; each file holds `split.no` (from 0), `split.count` and
//! `split.tensors.count` (of the whole model). Follows llama.cpp's `gguf-split`.

use super::{Gguf, Metadata};
use crate::{FormatError, Label, Place, TensorTable, limits, memory};

/// Key of a file's number, from 0.
pub const KEY_NO: &str = "split.no";
/// Key of the number of files.
pub const KEY_COUNT: &str = "split.count";
/// Key of the number of tensors in all files.
pub const KEY_TENSORS: &str = "split.tensors.count";

/// What a file says about the split that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// The file's number, from 0; below `count`.
    pub no: u32,
    /// Number of files; at least 1.
    pub count: u32,
    /// Number of tensors in all files.
    pub tensors: u64,
}

impl Split {
    /// Reads the three keys; `None` for a model in one file.
    ///
    /// # Errors
    /// If one of the keys is missing while another is there, or the numbers cannot be.
    pub fn of(metadata: &Metadata) -> Result<Option<Self>, FormatError> {
        if metadata.get(KEY_COUNT).is_none() && metadata.get(KEY_NO).is_none() {
            return Ok(None);
        }
        let count = metadata.get_u32(KEY_COUNT)?;
        let place = || Place::named(format_args!("{KEY_COUNT}"));
        if u64::from(count) > limits::GGUF_FILES {
            let (got, limit) = (count.into(), limits::GGUF_FILES);
            return Err(FormatError::Limit { place: place(), got, limit });
        }
        // A count of 0 is what single files of some writers say.
        if count <= 1 {
            return Ok(None);
        }
        let no = metadata.get_u32(KEY_NO)?;
        if no >= count {
            let place = Place::named(format_args!("{KEY_NO}"));
            return Err(FormatError::invalid(
                place,
                format!("below {count}"),
                format_args!("{no}"),
            ));
        }
        Ok(Some(Self { no, count, tensors: metadata.get_u64(KEY_TENSORS)? }))
    }

    /// The names of all files, first to last, from the name of the one that says this.
    ///
    /// # Errors
    /// If the name does not end in `-0000N-of-0000M.gguf` with this file's numbers.
    pub fn file_names(&self, own_name: &str) -> Result<Vec<String>, FormatError> {
        let own = self.no.saturating_add(1);
        let ending = ending(own, self.count);
        let stem = own_name.strip_suffix(&ending).ok_or_else(|| {
            FormatError::invalid(
                Place::named(format_args!("name of the split file")),
                format!("one that ends in {ending}"),
                format_args!("\"{}\"", Label::new(own_name)),
            )
        })?;
        Ok((1..=self.count).map(|no| file_name(stem, no, self.count)).collect())
    }
}

/// The name of file `no`, counted from 1, of `count` files.
pub fn file_name(stem: &str, no: u32, count: u32) -> String {
    format!("{stem}{}", ending(no, count))
}

fn ending(no: u32, count: u32) -> String {
    format!("-{no:05}-of-{count:05}.gguf")
}

impl Gguf {
    /// What the file says about a split; `None` for a model in one file.
    ///
    /// # Errors
    /// If the keys contradict each other.
    pub fn split(&self) -> Result<Option<Split>, FormatError> {
        Split::of(&self.metadata)
    }

    /// Puts the files of a split model together: settings of the first, tensors of all, with
    /// [`file`](crate::StoredTensor::file) set to the index in `parts`.
    ///
    /// # Errors
    /// If a part is missing, out of order or from another model, a tensor occurs in two parts,
    /// or there are not as many tensors as announced.
    pub fn merge(parts: Vec<Self>) -> Result<Self, FormatError> {
        let count = parts.len();
        let mut tensors = memory::table(parts.iter().map(|part| part.tensors.len()).sum())?;
        let mut first: Option<(Self, Split)> = None;
        for (file, part) in (0u32..).zip(parts) {
            let own = part.split()?;
            let place =
                Place::named(format_args!("{KEY_COUNT} of file {}", file.saturating_add(1)));
            let Some(own) = own.filter(|own| u64::from(own.count) == count as u64) else {
                let got = own.map_or(1, |own| own.count);
                return Err(FormatError::invalid(place, format!("{count}"), format_args!("{got}")));
            };
            if own.no != file {
                let place = Place::named(format_args!("{KEY_NO}"));
                return Err(FormatError::invalid(
                    place,
                    format!("{file}"),
                    format_args!("{}", own.no),
                ));
            }
            let (part, table) = part.without_tensors();
            tensors.extend(table.into_vec().into_iter().map(|mut tensor| {
                tensor.file = file;
                tensor
            }));
            if first.is_none() {
                first = Some((part, own));
            }
        }
        let Some((mut whole, split)) = first else {
            let place = Place::named(format_args!("number of files"));
            return Err(FormatError::invalid(place, "at least 2", format_args!("0")));
        };
        if tensors.len() as u64 != split.tensors {
            let (place, got) = (Place::named(format_args!("{KEY_TENSORS}")), split.tensors);
            let want = format!("the {} of all files together", tensors.len());
            return Err(FormatError::invalid(place, want, format_args!("{got}")));
        }
        whole.tensors = TensorTable::new(tensors)?;
        whole.files = split.count;
        Ok(whole)
    }

    fn without_tensors(mut self) -> (Self, TensorTable) {
        let tensors = std::mem::take(&mut self.tensors);
        (self, tensors)
    }
}
