//! What is written reads back as it was, and getters convert or refuse.

use std::io::Write as _;

use ledge_formats::{
    FormatError, TensorTable,
    gguf::{Gguf, Metadata, Version, Writer, split},
    npy::{self, Npy},
    safetensors::{self, Index, Safetensors},
};
use tensor::{Bytes, DType};

use crate::samples::{self, fill, shape};

fn gguf(file: &[u8]) -> Gguf {
    Gguf::parse(file, Bytes(file.len() as u64)).unwrap()
}

/// Each tensor's bytes are where the table says.
fn assert_filled(tensors: &TensorTable, files: &[Vec<u8>]) {
    for tensor in tensors {
        let [start, end] = [tensor.offset, tensor.end()].map(|at| usize::try_from(at).unwrap());
        assert_eq!(files[tensor.file as usize][start..end], fill(tensor), "{}", tensor.name);
    }
}

#[test]
fn gguf_of_every_value_type_reads_back_in_both_versions() {
    for version in [Version::V2, Version::V3] {
        let layout = samples::gguf_writer().version(version).layout().unwrap();
        let file = samples::write(&layout);
        let read = gguf(&file);
        assert_eq!((read.version(), read.metadata()), (version, &samples::metadata()));
        assert_filled(read.tensors(), &[file]);
        let names: Vec<_> = read.tensors().iter().map(|tensor| &*tensor.name).collect();
        assert_eq!(names, ["token_embd.weight", "output_norm.weight", "blk.0.x", "blk.0.k"]);
        let tensor = read.tensors().require("blk.0.x").unwrap();
        assert_eq!((tensor.shape, tensor.ty.name()), (shape(&[2, 3, 1, 2]), "F16"));
        assert!(read.tensors().iter().all(|tensor| tensor.offset % 32 == 0));
    }
}

#[test]
fn getters_convert_what_fits_and_refuse_the_rest() {
    let file = samples::gguf_file();
    let gguf = gguf(&file);
    let read = gguf.metadata();
    assert_eq!(read.get_u32("a.u8").unwrap(), 200);
    assert_eq!(read.get_u64("a.u64").unwrap(), u64::MAX);
    assert_eq!(read.get_i32("a.i8").unwrap(), -100);
    assert_eq!(read.get_f32("a.f32").unwrap().to_bits(), 1.5f32.to_bits());
    assert_eq!(*read.get_i32_array("b.u8").unwrap(), [1, 2]);
    assert_eq!(*read.get_u32_array("b.u32").unwrap(), [1, 2, 3]);
    assert_eq!(*read.get_f32_array("b.f64").unwrap(), [0.25]);
    assert!(read.get_i32_array("b.empty").is_err());
    let tokens = read.get_str_array("b.text").unwrap();
    assert_eq!(tokens.iter().collect::<Vec<_>>(), ["<s>", "", "日本", "▁the"]);
    let message = |result: Result<(), FormatError>| result.unwrap_err().to_string();
    for (error, want) in [
        (
            message(read.get_u32("a.i8").map(drop)),
            "`a.i8`: must be an integer from 0 to 4294967295, is i8 -100",
        ),
        (message(read.get_u32("a.u64").map(drop)), "is u64 18446744073709551615"),
        (message(read.get_u32("a.text").map(drop)), "is string \"grüße\""),
        (message(read.get_str("a.bool").map(drop)), "must be a string, is bool true"),
        (message(read.get_i32_array("b.u64").map(drop)), "is array of 1 u64"),
        (message(read.get_f32("none").map(drop)), "key `none` is missing"),
        (message(gguf.tensors().require("x").map(drop)), "tensor `x` is missing"),
    ] {
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn keys_keep_their_order_when_set_and_removed() {
    let mut metadata = Metadata::new();
    metadata.set("c", 1u8).set("a", 2u8).set("b", 3u8).set("c", 4u8);
    assert_eq!(metadata.remove("a"), Some(2u8.into()));
    assert_eq!(metadata.remove("a"), None);
    let keys: Vec<_> =
        metadata.iter().map(|(key, value)| (key, value.as_integer().unwrap())).collect();
    assert_eq!(keys, [("c", 4), ("b", 3)]);
    assert_eq!((metadata.get_u32("b").unwrap(), metadata.get_u32("c").unwrap()), (3, 4));
}

#[test]
fn split_model_is_put_together() {
    let layouts = samples::gguf_writer().split(Bytes(150)).unwrap();
    assert_eq!(layouts.len(), 3);
    let files: Vec<_> = layouts.iter().map(samples::write).collect();
    let parts: Vec<_> = files.iter().map(|file| gguf(file)).collect();
    let split = parts[1].split().unwrap().unwrap();
    assert_eq!((split.no, split.count, split.tensors), (1, 3, 4));
    let names = split.file_names("m-00002-of-00003.gguf").unwrap();
    assert_eq!(names, ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]);
    assert_eq!(names[2], split::file_name("m", 3, 3));
    assert!(split.file_names("m-00001-of-00003.gguf").is_err());
    let whole = Gguf::merge(parts.clone()).unwrap();
    assert_eq!((whole.files(), whole.tensors().len()), (3, 4));
    assert_eq!(whole.metadata().get_str("a.text").unwrap(), "grüße");
    assert_filled(whole.tensors(), &files);
    let [a, b, c] = [0, 1, 2].map(|i| parts[i].clone());
    for (wrong, want) in [
        (vec![a.clone(), c.clone(), b.clone()], "split.no: must be 1, is 2"),
        (vec![a.clone(), b.clone()], "split.count of file 1: must be 2, is 3"),
        (vec![a.clone(), b.clone(), b], "split.no: must be 2, is 1"),
        (vec![], "at least 2"),
    ] {
        let error = Gguf::merge(wrong).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn writer_refuses_what_readers_would() {
    let mut twice = samples::gguf_writer();
    twice.tensor("blk.0.k", DType::F32, shape(&[1])).unwrap();
    assert!(twice.layout().unwrap_err().to_string().contains("`blk.0.k` occurs twice"));
    let mut writer = Writer::new(Metadata::new());
    assert!(writer.tensor("x", DType::Bool, shape(&[1])).is_err());
    assert!(writer.tensor("x", DType::F32, shape(&[1; 5])).is_err());
    assert!(writer.tensor("x", tensor::BlockType::Q4_K, shape(&[2, 128])).is_err());
    writer.tensor("zero", DType::F32, shape(&[0])).unwrap();
    assert!(writer.layout().is_err());
    let layout = samples::gguf_writer().layout().unwrap();
    for (count, want) in [(1, "must be 136, is 1"), (137, "1 bytes more")] {
        let error = layout
            .write::<_, FormatError>(&mut std::io::sink(), |_, sink| {
                Ok((0..count).try_for_each(|_| sink.write_all(&[0]))?)
            })
            .unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[test]
fn safetensors_read_back() {
    let file = samples::safetensors_file();
    let read = Safetensors::parse(&file, Bytes(file.len() as u64)).unwrap();
    let metadata: Vec<_> = read.metadata().collect();
    assert_eq!(metadata, [("format", "pt"), ("note", "a \"b\"")]);
    let flag = read.tensors().require("flag").unwrap();
    assert_eq!((flag.ty, flag.shape), (DType::Bool.into(), shape(&[])));
    assert_eq!(read.tensors().len(), 4);
    assert_filled(read.tensors(), &[file]);
}

#[test]
fn shards_are_put_together_by_their_index() {
    let shard = |names: &[&str]| {
        let mut writer = safetensors::Writer::new();
        for name in names {
            writer.tensor(name, DType::F32, shape(&[2])).unwrap();
        }
        let file = samples::write(&writer.layout().unwrap());
        (Safetensors::parse(&file, Bytes(file.len() as u64)).unwrap(), file)
    };
    let index = |pairs: &[(&str, &str)]| {
        let map: Vec<_> = pairs.iter().map(|(t, f)| format!("\"{t}\": \"{f}\"")).collect();
        let text = format!("{{\"metadata\": {{}}, \"weight_map\": {{{}}}}}", map.join(","));
        Index::parse(text.as_bytes())
    };
    let (one, two) = ("m-1.safetensors", "m-2.safetensors");
    let (a, file_a) = shard(&["a", "b"]);
    let (c, file_c) = shard(&["c"]);
    let parts = || vec![a.clone(), c.clone()];
    let good = index(&[("a", one), ("c", two), ("b", one)]).unwrap();
    assert_eq!(good.file_names().iter().map(|name| &**name).collect::<Vec<_>>(), [one, two]);
    let whole = good.merge(parts()).unwrap();
    assert_eq!((whole.files(), whole.tensors().len()), (2, 3));
    assert_filled(whole.tensors(), &[file_a, file_c]);
    for (pairs, want) in [
        (vec![("a", one), ("b", two), ("c", two)], "must be \"m-1.safetensors\""),
        (vec![("a", one), ("c", two)], "tensor `b` in the index"),
        (vec![("a", one), ("b", one), ("c", two), ("d", two)], "tensor `d` is missing"),
    ] {
        let error = index(&pairs).unwrap().merge(parts()).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    assert!(good.merge(vec![a.clone()]).is_err());
}

#[test]
fn arrays_read_back() {
    let mut file = Vec::new();
    for (dims, text) in [(&[3, 2][..], "(3, 2)"), (&[6], "(6,)"), (&[1, 6, 1], "(1, 6, 1)")] {
        file.clear();
        npy::write(&mut file, shape(dims), &[1.0f32, 2.0, 3.0, 4.0, 5.0, -6.5]).unwrap();
        let header = String::from_utf8_lossy(&file[10..128]);
        assert!(header.contains(text) && header.ends_with('\n'), "{header}");
        let (npy, data) = Npy::from_bytes(&file).unwrap();
        assert_eq!((npy.dtype, npy.shape, npy.offset), (DType::F32, shape(dims), 128));
        assert_eq!(data[20..], (-6.5f32).to_le_bytes());
    }
    file.clear();
    npy::write(&mut file, shape(&[]), &[7i64]).unwrap();
    assert_eq!(Npy::from_bytes(&file).unwrap().0.shape, shape(&[]));
    assert!(npy::write(&mut file, shape(&[2]), &[7i64]).is_err());
    assert!(npy::write_header(&mut file, DType::BF16, shape(&[2])).is_err());
}
