//! The mixes against what llama.cpp does with the same names and shapes.

use super::*;
use formats::gguf::{Gguf, Writer};
use tensor::{Bytes, Shape};

/// One model of `tests/goldens/mixes.txt`; its lines are described in `tools/goldens/mixes.py`.
struct Golden {
    name: String,
    facts: Facts,
    tensors: Vec<(String, Vec<u64>)>,
}

impl Golden {
    fn new(line: &str) -> Self {
        let [name, architecture, numbers @ ..] = &*line.split(' ').collect::<Vec<_>>() else {
            panic!("a model has a name and an architecture: {line}")
        };
        let numbers: Vec<u64> = numbers.iter().map(|n| n.parse().unwrap()).collect();
        let &[layers, heads, kv_heads, experts] = &*numbers else { panic!("{line}") };
        let architecture = (*architecture).to_owned();
        let facts = Facts { architecture, layers, heads, kv_heads, experts };
        Self { name: (*name).to_owned(), facts, tensors: Vec::new() }
    }

    fn add(&mut self, line: &str) {
        let (name, dims) = line.split_once(' ').unwrap();
        let dims: Vec<u64> = dims.split(' ').map(|dim| dim.parse().unwrap()).collect();
        let layers = if name.contains('*') { self.facts.layers } else { 1 };
        for layer in 0..layers {
            self.tensors.push((name.replace('*', &layer.to_string()), dims.clone()));
        }
    }

    /// A file's table of these tensors, all of single precision.
    fn table(&self) -> TensorTable {
        let mut writer = Writer::new(Metadata::new());
        for (name, dims) in &self.tensors {
            writer.tensor(name, TensorType::F32, Shape::new(dims).unwrap()).unwrap();
        }
        writer.layout().unwrap().tensors().clone()
    }
}

/// Spells out `3AB` as `AAAB`.
fn runs(codes: &str) -> String {
    let (mut out, mut count) = (String::new(), String::new());
    for c in codes.chars() {
        if c.is_ascii_digit() {
            count.push(c);
        } else {
            out.extend(std::iter::repeat_n(c, count.parse().unwrap_or(1)));
            count.clear();
        }
    }
    out
}

#[test]
fn every_tensor_of_every_mix_gets_the_type_that_llama_cpp_gives_it() {
    let mut types: Vec<TensorType> = Vec::new();
    let mut golden: Option<(Golden, TensorTable)> = None;
    let mut checked = 0;
    for line in include_str!("../../../tests/goldens/mixes.txt").lines() {
        let (what, rest) = line.split_once(' ').unwrap();
        match what {
            "types" => types = rest.split(' ').map(|name| name.parse().unwrap()).collect(),
            "model" => golden = Some((Golden::new(rest), TensorTable::default())),
            "tensor" => {
                let (golden, table) = golden.as_mut().unwrap();
                golden.add(rest);
                *table = TensorTable::default();
            }
            "mix" => {
                let (golden, table) = golden.as_mut().unwrap();
                if table.is_empty() {
                    *table = golden.table();
                }
                let (name, codes) = rest.split_once(' ').unwrap();
                let ours = super::types(name.parse().unwrap(), &golden.facts, table);
                let theirs = runs(codes);
                assert_eq!(ours.len(), theirs.len(), "{} {name}", golden.name);
                for ((ours, code), tensor) in ours.iter().zip(theirs.bytes()).zip(table.iter()) {
                    let want = types[usize::from(code - b'A')];
                    let place = format_args!("{} {name} {}", golden.name, tensor.name);
                    assert_eq!(*ours, StoredType::Known(want), "{place}");
                }
                checked += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(checked, 22 * ROWS.len(), "models × mixes");
}

#[test]
fn every_name_reads_back() {
    for (idx, mix) in Mix::all().enumerate() {
        assert_eq!(mix as usize, idx, "rows stand in the order of the enum");
        assert_eq!(mix.name().parse(), Ok(mix));
        assert_eq!(mix.name().to_uppercase().parse(), Ok(mix));
    }
    assert_eq!("Q4_K".parse(), Ok(Mix::Q4_K_M));
    assert!("q9".parse::<Mix>().unwrap_err().to_string().contains("q4_k_m"));
}

#[test]
fn facts_come_from_the_settings() {
    let mut metadata = Metadata::new();
    metadata
        .set("general.architecture", "llama")
        .set("llama.block_count", 80u32)
        .set("llama.attention.head_count", vec![64i32, 32])
        .set("llama.attention.head_count_kv", 8u32);
    let layout = Writer::new(metadata).layout().unwrap();
    let mut file = Vec::new();
    layout.write(&mut file, |_, _| Ok::<_, formats::FormatError>(())).unwrap();
    let gguf = Gguf::parse(&file, Bytes(file.len() as u64)).unwrap();
    let facts = Facts::from_metadata(gguf.metadata());
    assert_eq!((facts.group(), facts.is_70b(), facts.experts), (8, true, 0));
}
