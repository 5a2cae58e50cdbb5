//! What TFLite files say of pictures and labels: the table `TFLITE_METADATA`, and the files that are
//! packed behind the network as a zip archive.
//!
//! Only what is stored as it is can be taken out of the archive; names are compared, never used as
//! paths. Follows `metadata_schema.fbs` version 1 of TensorFlow Lite and APPNOTE 6.3 of zip.

use super::Model;
use crate::{FormatError, Label, Place, flatbuffer::Table};

/// Facts about the network's first graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata<'a> {
    /// The inputs, in their order; what is not described may be missing at the end.
    pub inputs: Vec<Described<'a>>,
    /// The outputs, in their order.
    pub outputs: Vec<Described<'a>>,
}

/// Facts about an input or output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described<'a> {
    /// What it is called.
    pub name: &'a str,
    /// What bytes of pixels are made less by, for each colour or for all; before the division.
    pub mean: Vec<f32>,
    /// What they are divided by.
    pub deviation: Vec<f32>,
    /// The packed file that names its elements along an axis, or its values.
    pub labels: Option<&'a str>,
}

impl<'a> Model<'a> {
    /// Reads the facts, where the file has some.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn described(&self) -> Result<Option<Metadata<'a>>, FormatError> {
        let Some(bytes) = self.metadata("TFLITE_METADATA") else { return Ok(None) };
        let root = Table::root("ModelMetadata", bytes)?;
        let graphs = root.tables(3, "SubGraphMetadata")?;
        let Some(graph) = graphs.iter().next() else { return Ok(None) };
        let graph = graph?;
        let list = |field| -> Result<Vec<Described<'a>>, FormatError> {
            let tensors = graph.tables(field, "TensorMetadata")?;
            tensors.iter().map(|tensor| Described::read(&tensor?)).collect()
        };
        Ok(Some(Metadata { inputs: list(2)?, outputs: list(3)? }))
    }
}

impl<'a> Described<'a> {
    fn read(table: &Table<'a>) -> Result<Self, FormatError> {
        /// `NormalizationOptions` among the kinds of process units.
        const NORMALISATION: u8 = 1;
        /// Labels along an axis, and of values, among the kinds of files.
        const LABELS: [i8; 2] = [2, 3];
        let mut read = Self { name: table.name(0, "name")?, ..Self::default() };
        for unit in table.tables(4, "ProcessUnit")?.iter() {
            let unit = unit?;
            if unit.scalar(0, 0u8)? == NORMALISATION
                && let Some(options) = unit.table(1, "NormalizationOptions")?
            {
                read.mean = options.list::<f32>(0)?.iter().collect();
                read.deviation = options.list::<f32>(1)?.iter().collect();
            }
        }
        for file in table.tables(6, "AssociatedFile")?.iter() {
            let file = file?;
            if LABELS.contains(&file.scalar(2, 0i8)?) && read.labels.is_none() {
                read.labels = Some(file.name(0, "name")?);
            }
        }
        Ok(read)
    }
}

/// A little-endian number at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn place(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(number::<4>(bytes, at)?).ok()
}

/// The bytes of a file that is packed behind a network.
///
/// # Errors
/// If it is compressed, or its place lies outside.
pub fn packed<'a>(file: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, FormatError> {
    /// Bytes of the record that ends an archive, and the longest note behind it.
    const END_BYTES: usize = 22;
    const NOTE_BYTES_MAX: usize = 0xffff;
    let first = file.len().saturating_sub(END_BYTES + NOTE_BYTES_MAX);
    let tail = file.get(first..).unwrap_or_default();
    let Some(end) = tail.windows(4).rposition(|four| four == b"PK\x05\x06") else {
        return Ok(None);
    };
    let end = first.saturating_add(end);
    let damaged = || {
        let place = Place::at(format_args!("archive behind the network"), end as u64);
        FormatError::invalid(place, "an archive within the file", format_args!("something else"))
    };
    let inside = || -> Option<Option<(u64, &'a [u8])>> {
        let count = number::<2>(file, end.checked_add(10)?)?;
        let (size, start) =
            (place(file, end.checked_add(12)?)?, place(file, end.checked_add(16)?)?);
        let mut at = end.checked_sub(size)?;
        // Archives may count from their own beginning.
        let moved = at.checked_sub(start)?;
        for _ in 0..count {
            let entry = file.get(at..)?;
            if !entry.starts_with(b"PK\x01\x02") {
                return None;
            }
            let method = number::<2>(entry, 10)?;
            let size = place(entry, 20)?;
            let lengths = [28, 30, 32].map(|field| number::<2>(entry, field));
            let [Some(called), Some(more), Some(note)] = lengths else { return None };
            let called = usize::try_from(called).ok()?;
            let head = place(entry, 42)?.checked_add(moved)?;
            if entry.get(46..)?.get(..called)? == name.as_bytes() {
                let local = file.get(head..)?;
                if !local.starts_with(b"PK\x03\x04") {
                    return None;
                }
                let skipped = number::<2>(local, 26)?.checked_add(number::<2>(local, 28)?)?;
                let begin = usize::try_from(skipped.checked_add(30)?).ok()?;
                return Some(Some((method, local.get(begin..)?.get(..size)?)));
            }
            let skipped = usize::try_from(more.checked_add(note)?).ok()?;
            at = at.checked_add(46)?.checked_add(called)?.checked_add(skipped)?;
        }
        Some(None)
    };
    match inside().ok_or_else(damaged)? {
        None => Ok(None),
        Some((0, bytes)) => Ok(Some(bytes)),
        Some((method, _)) => Err(FormatError::Unsupported {
            place: Place::at(format_args!("archive behind the network"), end as u64),
            got: Label::from(format_args!("compression {method}")),
            instead: "files that are stored as they are can be read",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of one stored file behind some bytes.
    fn archive(method: u8) -> Vec<u8> {
        let mut file = b"network".to_vec();
        let mut local = b"PK\x03\x04".to_vec();
        local.extend([0; 22]);
        local.extend([5, 0, 0, 0]);
        local.extend(b"l.txtcat\ndog");
        let mut entry = b"PK\x01\x02".to_vec();
        entry.extend([0; 6]);
        entry.extend([method, 0]);
        entry.extend([0; 8]);
        entry.extend([7, 0, 0, 0, 7, 0, 0, 0, 5, 0, 0, 0, 0, 0]);
        entry.extend([0; 8]);
        entry.extend([0; 4]);
        entry.extend(b"l.txt");
        let start = u8::try_from(local.len()).unwrap();
        let size = u8::try_from(entry.len()).unwrap();
        file.extend(local);
        file.extend(entry);
        file.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
        file.extend([size, 0, 0, 0, start, 0, 0, 0, 0, 0]);
        file
    }

    #[test]
    fn a_packed_file_is_found_and_damage_told() {
        let file = archive(0);
        assert_eq!(packed(&file, "l.txt").unwrap(), Some(&b"cat\ndog"[..]));
        assert_eq!(packed(&file, "m.txt").unwrap(), None);
        assert_eq!(packed(b"no archive", "l.txt").unwrap(), None);
        assert!(packed(&archive(8), "l.txt").is_err());
        for at in 7..file.len() {
            for byte in [0, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = byte;
                // Whatever it is, it is an answer.
                drop(packed(&damaged, "l.txt"));
            }
        }
    }
}
