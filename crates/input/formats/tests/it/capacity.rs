//! Large headers: what they cost in memory and time, up to the limits.

use std::time::Instant;

use ledge_formats::{
    FormatError,
    gguf::{Gguf, Metadata, StrArray, Writer},
    json, limits,
    safetensors::{Index, Safetensors},
};
use tensor::Bytes;

use crate::{alloc, raw};

/// Reads a header and checks its memory against the promise: 4 × its bytes + 16 MiB.
fn measure<T>(what: &str, bytes: &[u8], read: impl FnOnce(&[u8]) -> Result<T, FormatError>) -> T {
    let start = Instant::now();
    let (result, peak) = alloc::peak(|| read(bytes));
    let limit = limits::MEMORY_FACTOR * bytes.len() as u64 + limits::MEMORY_BYTES;
    println!("{what}: {} bytes, {peak} on the heap, {:?}", bytes.len(), start.elapsed());
    assert!(peak <= limit, "{what}: {peak} bytes on the heap for {}", bytes.len());
    result.unwrap()
}

fn gguf(bytes: &[u8]) -> Result<Gguf, FormatError> {
    Gguf::parse(bytes, Bytes(1 << 40))
}

#[test]
fn vocabulary_of_262144_tokens_takes_little_more_than_its_bytes() {
    const TOKENS: usize = 262_144;
    let names: Vec<String> = (0..TOKENS).map(|i| format!("▁{i:x}")).collect();
    let mut metadata = Metadata::new();
    metadata
        .set("tokenizer.ggml.tokens", StrArray::new(names.iter().map(|s| &**s)).unwrap())
        .set("tokenizer.ggml.scores", vec![0.0f32; TOKENS])
        .set("tokenizer.ggml.token_type", vec![1i32; TOKENS]);
    let mut header = Vec::new();
    let layout = Writer::new(metadata).layout().unwrap();
    layout.write(&mut header, |_, _| Ok::<_, FormatError>(())).unwrap();
    let (result, peak) = alloc::peak(|| gguf(&header));
    let read = result.unwrap();
    let tokens = read.metadata().get_str_array("tokenizer.ggml.tokens").unwrap();
    assert_eq!((tokens.len(), tokens.get(17)), (TOKENS, Some("▁11")));
    assert!(peak < header.len() as u64 * 5 / 4, "{peak} bytes for {}", header.len());
}

#[test]
fn headers_at_the_limits_stay_within_their_memory() {
    let keys = limits::GGUF_KEYS;
    let mut many = raw::Gguf::counts(0, keys);
    for key in 0..keys {
        many = many.key(&format!("{key:x}"), 7).byte(1);
    }
    let read = measure("smallest keys", &many.bytes(), gguf);
    assert_eq!(read.metadata().len() as u64, keys);

    let count = limits::TENSORS;
    let mut many = raw::Gguf::counts(count, 0);
    for tensor in 0..count {
        many = many.tensor(&format!("{tensor:x}"), &[], 0, tensor * 32);
    }
    let read = measure("smallest tensors", &many.header(), gguf);
    assert_eq!(read.tensors().len() as u64, count);

    let strings = raw::Gguf::counts(0, 1).key("k", 9).u32s(&[8]).u64s(&[1 << 20]).zeros(8 << 20);
    measure("empty strings", &strings.header(), gguf);

    let entry = |i: u64| {
        format!("\"{i:x}\":{{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[{i},{}]}}", i + 1)
    };
    let entries: Vec<_> = (0..count).map(entry).collect();
    let file = raw::safetensors(&format!("{{{}}}", entries.join(",")), 0);
    let length = file.len() as u64 + count;
    let read = measure("smallest safetensors entries", &file, |bytes| {
        Safetensors::parse(bytes, Bytes(length))
    });
    assert_eq!(read.tensors().len() as u64, count);

    let text = format!("[\"{}\"]", "ab\\n".repeat(1 << 20));
    measure("escaped text", text.as_bytes(), |text| json::parse(text, "config.json"));
    let file = raw::safetensors(
        &format!("{{\"__metadata__\":{{\"a\":{}}}}}", text.trim_matches(['[', ']'])),
        0,
    );
    measure("escaped metadata", &file, |file| Safetensors::parse(file, Bytes(file.len() as u64)));

    let entry = |i: u32| format!("\"layers.{i}.weight\":\"m-{:05}-of-00099.safetensors\"", i % 99);
    let entries: Vec<_> = (0..100_000).map(entry).collect();
    let text = format!("{{\"weight_map\":{{{}}}}}", entries.join(","));
    let index = measure("index", text.as_bytes(), Index::parse);
    assert_eq!((index.tensors_len(), index.file_names().len()), (100_000, 99));
}

#[test]
fn counts_that_a_longer_file_may_hold_ask_for_it_before_memory() {
    let array = |ty: u32| raw::Gguf::counts(0, 1).key("k", 9).u32s(&[ty]).u64s(&[1 << 24]);
    let cases = [
        (raw::Gguf::counts(limits::TENSORS, 0), 16 + 25 * limits::TENSORS),
        (raw::Gguf::counts(0, limits::GGUF_KEYS), 24 + 14 * limits::GGUF_KEYS),
        (array(8), 49 + (8 << 24)),
        (array(12), 49 + (8 << 24)),
    ];
    for (start, want) in cases {
        let (result, peak) = alloc::peak(|| gguf(&start.header()).map(drop));
        let Err(FormatError::NeedMore { at_least }) = result else { panic!("{result:?}") };
        assert!(at_least.0 == want && peak < 1024, "{at_least:?} {peak}");
    }
}
