//! Networks from the data folder: every file of every archive is read, where `LEDGE_DATA` points
//! at one; without it these tests say so and pass. Archives are unpacked by the system's `xz`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ledge_formats::{
    onnx::{self, Contents},
    tflite,
};

/// The folder with networks, if there is one.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LEDGE_DATA").map(|path| PathBuf::from(path).join("networks"));
    if folder.is_none() {
        println!("skipped: LEDGE_DATA is not set");
    }
    folder
}

/// The files of a `.tar.xz`, by name.
fn unpack(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let run = Command::new("xz").arg("-dc").arg(archive).stdin(Stdio::null()).output();
    let Ok(run) = run.inspect_err(|error| println!("skipped: xz: {error}")) else {
        return Vec::new();
    };
    assert!(run.status.success(), "{}: {}", archive.display(), run.status);
    let (mut rest, mut files) = (run.stdout.as_slice(), Vec::new());
    let text = |bytes: &[u8]| {
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    };
    while let Some((header, after)) = rest.split_first_chunk::<512>() {
        if header[0] == 0 {
            break;
        }
        let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
        let name = format!("{}/{}", text(&header[345..500]), text(&header[..100]));
        if matches!(header[156], b'0' | 0) {
            files.push((name, after[..size].to_vec()));
        }
        rest = &after[size.next_multiple_of(512)..];
    }
    files
}

/// Decodes what can be decoded.
fn check_tensor(tensor: &onnx::Tensor<'_>) {
    match &tensor.contents {
        Contents::Bytes(_) | Contents::Typed(_) => {
            assert_eq!(Some(tensor.bytes().unwrap().len() as u64), tensor.byte_len());
        }
        Contents::Strings(strings) => assert_eq!(strings.len() as u64, tensor.elements()),
        Contents::External(_) => {}
    }
}

#[test]
fn every_onnx_node_test_is_read() {
    let Some(folder) = folder() else { return };
    let (mut models, mut tensors) = (0, 0);
    for (name, file) in unpack(&folder.join("onnx_node_tests.tar.xz")) {
        let ending = Path::new(&name).extension().and_then(|ending| ending.to_str());
        if ending == Some("onnx") {
            let model = onnx::Model::parse(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
            model.for_each_tensor(&mut |tensor| check_tensor(tensor));
            assert!(!model.opset_imports.is_empty(), "{name}");
            models += 1;
        } else if ending == Some("pb") {
            match onnx::Tensor::parse(&file) {
                Ok(tensor) => check_tensor(&tensor),
                // Sequences and optionals are messages of other kinds.
                Err(error) => println!("{name}: {error}"),
            }
            tensors += 1;
        }
    }
    if models + tensors > 0 {
        assert_eq!(models, 1884);
    }
}

fn check_onnx(name: &str, file: &[u8]) {
    let model = onnx::Model::parse(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    model.for_each_tensor(&mut |tensor| check_tensor(tensor));
    assert!(!model.graph.outputs.is_empty(), "{name}");
}

/// Reads a file and everything in it that is read on demand.
fn check_tflite(name: &str, file: &[u8]) {
    let model = tflite::Model::parse(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    for graph in &model.subgraphs {
        for tensor in &graph.tensors {
            if let Some(bytes) = model.expand(tensor).unwrap_or_else(|e| panic!("{name}: {e}")) {
                let need = tensor.ty.packed_bytes(tensor.elements());
                assert_eq!(need.unwrap_or(bytes.len() as u64), bytes.len() as u64, "{name}");
            }
        }
        for operator in &graph.operators {
            assert!(model.code(operator).name().is_some(), "{name}");
        }
    }
}

/// Reads every network below a folder; gives how many there are of each format.
fn check_folder(folder: &Path, depth: usize) -> [usize; 2] {
    let mut counts = [0; 2];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && depth > 0 {
            let inner = check_folder(&path, depth - 1);
            counts = [counts[0] + inner[0], counts[1] + inner[1]];
            continue;
        }
        let name = path.display().to_string();
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("onnx") => {
                check_onnx(&name, &fs::read(&path).unwrap());
                counts[0] += 1;
            }
            Some("tflite") => {
                check_tflite(&name, &fs::read(&path).unwrap());
                counts[1] += 1;
            }
            _ => {}
        }
    }
    counts
}

#[test]
fn every_network_of_the_data_folder_is_read() {
    let Some(folder) = folder() else { return };
    // Fetched models lie in folders of their own beside this one.
    let [onnx, tflite] = check_folder(folder.parent().unwrap(), 8);
    assert!(onnx >= 2 && tflite >= 5, "{onnx} {tflite}");
    println!("{onnx} ONNX and {tflite} TFLite files");
    for (name, file) in unpack(&folder.join("tflite_op_goldens.tar.xz")) {
        if Path::new(&name).extension().is_some_and(|ending| ending == "tflite") {
            check_tflite(&name, &file);
        }
    }
}
