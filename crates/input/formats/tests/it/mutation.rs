//! Good files damaged everywhere: cut at every byte, every field overwritten, bytes shuffled.
//!
//! Whatever happens to a file, reading it ends, without a panic, within the memory limit, and
//! what is accepted keeps the promises of the table: extents inside the file, none overlapping.

use ledge_formats::{
    FormatError, TensorTable,
    gguf::Gguf,
    json, limits,
    npy::Npy,
    onnx,
    safetensors::{Index, Safetensors},
    tflite,
};
use proptest::{collection::vec, prelude::*};
use tensor::Bytes;

use crate::{alloc, raw, samples};

/// A reader that gives the extents which it accepted.
type Read = fn(&[u8], Bytes) -> Result<Vec<(u64, u64)>, FormatError>;

fn extents(table: &TensorTable) -> Vec<(u64, u64)> {
    table.iter().map(|tensor| (tensor.offset, tensor.end())).collect()
}

const READERS: [(&str, Read); 7] = [
    ("gguf", |prefix, file| {
        let gguf = Gguf::parse(prefix, file)?;
        gguf.split()?;
        Ok(extents(gguf.tensors()))
    }),
    ("safetensors", |prefix, file| Ok(extents(Safetensors::parse(prefix, file)?.tensors()))),
    ("npy", |prefix, file| {
        Npy::parse(prefix, file).map(|npy| vec![(npy.offset, npy.offset + npy.bytes.0)])
    }),
    ("index", |text, _| Index::parse(text).map(|_| Vec::new())),
    ("json", |text, _| json::parse(text, "config.json").map(|_| Vec::new())),
    ("onnx", |file, _| {
        let model = onnx::Model::parse(file)?;
        model.for_each_tensor(&mut |tensor| drop(tensor.bytes()));
        Ok(Vec::new())
    }),
    ("tflite", |file, _| {
        let model = tflite::Model::parse(file)?;
        for tensor in model.subgraphs.iter().flat_map(|graph| &graph.tensors) {
            drop(model.expand(tensor)?);
        }
        Ok(Vec::new())
    }),
];

/// A good file for each of [`READERS`].
fn files() -> [Vec<u8>; 7] {
    let npy = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
    let index = br#"{"metadata":{},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    let config = br#"{"hidden_size": 256, "rope": {"factor": 8.0}, "arch": ["Llama", null, true]}"#;
    [
        samples::gguf_file(),
        samples::safetensors_file(),
        raw::npy(npy, 24),
        index.to_vec(),
        config.to_vec(),
        samples::onnx_file(),
        samples::tflite_file(),
    ]
}

/// Reads damaged bytes and checks what must always hold; gives the end of what was accepted.
fn check(reader: usize, bytes: &[u8], file: u64) -> Result<u64, FormatError> {
    let (name, read) = READERS[reader];
    let (result, peak) = alloc::peak(|| read(bytes, Bytes(file)));
    let limit = limits::MEMORY_FACTOR * bytes.len() as u64 + limits::MEMORY_BYTES;
    assert!(peak <= limit, "{name}: {peak} bytes for {}", bytes.len());
    let mut extents = result.inspect_err(|error| {
        let text = error.to_string();
        assert!(
            text.chars().count() <= 300 && !text.contains(char::is_control),
            "{name}: {text:?}"
        );
        if let FormatError::NeedMore { at_least } = error {
            assert!((bytes.len() as u64) < at_least.0 && at_least.0 <= file, "{name}: {at_least}");
        }
    })?;
    extents.sort_unstable();
    assert!(extents.iter().all(|&(start, end)| start <= end && end <= file), "{name}");
    assert!(extents.is_sorted_by(|former, later| former.1 <= later.0), "{name}");
    Ok(extents.last().map_or(file, |last| last.1))
}

#[test]
fn cut_anywhere_is_an_error_and_a_prefix_asks_for_more() {
    for (reader, file) in files().iter().enumerate() {
        let (name, length) = (READERS[reader].0, file.len() as u64);
        // Networks are cut in a test of their own: some are whole without their last bytes.
        if matches!(name, "onnx" | "tflite") {
            continue;
        }
        let end = check(reader, file, length).unwrap();
        for cut in (0..file.len()).take_while(|&cut| (cut as u64) < end) {
            let error = check(reader, &file[..cut], cut as u64).unwrap_err();
            assert!(!matches!(error, FormatError::NeedMore { .. }), "{name} cut at {cut}");
            if !matches!(name, "json" | "index") {
                match check(reader, &file[..cut], length) {
                    Ok(_) | Err(FormatError::NeedMore { .. }) => {}
                    // Nothing can be told of no bytes, and little of half a magic number.
                    Err(error) => assert!(cut < 16, "{name} prefix of {cut}: {error}"),
                }
            }
        }
    }
}

#[test]
fn every_field_survives_every_awkward_number() {
    const NUMBERS: [u64; 12] = [
        0,
        1,
        3,
        9,
        255,
        1 << 31,
        1 << 32,
        (1 << 61) + 1,
        1 << 63,
        u64::MAX - 31,
        u64::MAX - 1,
        u64::MAX,
    ];
    for (reader, mut file) in files().into_iter().enumerate() {
        let length = file.len() as u64;
        for at in 0..file.len() {
            for width in [1, 4, 8] {
                let Some(field) = file.get(at..at + width) else { continue };
                let kept = field.to_vec();
                let mut old = [0; 8];
                old[..width].copy_from_slice(&kept);
                let old = u64::from_le_bytes(old);
                let near = [old.wrapping_add(1), old.wrapping_sub(1), old ^ 0x80];
                for number in NUMBERS.into_iter().chain(near) {
                    file[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
                    drop(check(reader, &file, length));
                }
                file[at..at + width].copy_from_slice(&kept);
            }
        }
    }
}

/// One damage done to a file; places are fractions of its length.
#[derive(Clone, Debug)]
enum Damage {
    Flip(f64, u8),
    Write(f64, Vec<u8>),
    Insert(f64, Vec<u8>),
    Remove(f64, usize),
    Copy(f64, f64, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || {
        prop_oneof![
            vec(any::<u8>(), 1..16),
            any::<u64>().prop_map(|n| n.to_le_bytes().to_vec()),
            (0u32..64).prop_map(|n| n.to_le_bytes().to_vec()),
            "[\\[\\]{}\",:0-9a-z\\\\-]{1,8}".prop_map(String::into_bytes),
        ]
    };
    let place = || 0.0..1.0f64;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        (place(), bytes()).prop_map(|(at, bytes)| Damage::Write(at, bytes)),
        (place(), bytes()).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (place(), 1..64usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (place(), place(), 1..64usize).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
    ]
}

#[expect(clippy::cast_possible_truncation, reason = "a fraction of a small length")]
fn apply(file: &mut Vec<u8>, damage: &Damage) {
    let at = |place: f64| (place * file.len() as f64) as usize;
    match damage {
        Damage::Flip(place, mask) => {
            let at = at(*place);
            if let Some(byte) = file.get_mut(at) {
                *byte ^= mask;
            }
        }
        Damage::Write(place, bytes) => {
            let at = at(*place);
            let end = (at + bytes.len()).min(file.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
        }
        Damage::Insert(place, bytes) => {
            let at = at(*place);
            file.splice(at..at, bytes.iter().copied());
        }
        Damage::Remove(place, count) => {
            let at = at(*place);
            file.drain(at..(at + count).min(file.len()));
        }
        Damage::Copy(from, to, count) => {
            let (from, to) = (at(*from), at(*to));
            let part = file[from..(from + count).min(file.len())].to_vec();
            file.splice(to..to, part);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn damaged_files_are_read_or_refused(
        reader in 0..READERS.len(),
        damages in vec(damage(), 1..6),
        longer in prop_oneof![Just(0), 0..4096u64, any::<u32>().prop_map(u64::from)],
    ) {
        let mut file = files()[reader].clone();
        for damage in &damages {
            apply(&mut file, damage);
        }
        drop(check(reader, &file, file.len() as u64 + longer));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        reader in 0..READERS.len(),
        magic in any::<bool>(),
        bytes in vec(any::<u8>(), 0..512),
    ) {
        let mut file = if magic { files()[reader][..8].to_vec() } else { Vec::new() };
        file.extend(bytes);
        drop(check(reader, &file, file.len() as u64));
    }
}
