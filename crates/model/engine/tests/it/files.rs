//! Bad files and bad times: an error that names the place, never a fault.

use crate::{house, ids, load, request};
use ledge_engine::{EngineError, ModelFile, Request};
use plan::Uncontrolled;
use std::{error::Error, fs, path::PathBuf, sync::Arc};

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ledge-engine-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn told(error: &dyn Error) -> String {
    let cause = error.source().map(told).unwrap_or_default();
    format!("{error}: {cause}")
}

#[test]
fn what_is_no_model_is_told_by_name() {
    let house = fs::read(house()).unwrap();
    let cases: [(&str, &[u8], &str); 6] = [
        ("empty.gguf", b"", "empty"),
        ("page.gguf", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        ("pointer.gguf", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS"),
        ("cut.gguf", &house[..house.len() / 2], "needs"),
        ("cut-header.gguf", &house[..1000], "needs"),
        ("noise.gguf", &[0xA5; 4096], "noise.gguf"),
    ];
    for (name, bytes, reason) in cases {
        let path = scratch(name);
        fs::write(&path, bytes).unwrap();
        let error = told(&ModelFile::open(&path).unwrap_err());
        assert!(error.contains(reason) && error.contains(name), "{name}: {error}");
        fs::remove_file(path).unwrap();
    }
    let folder = scratch("folder");
    fs::create_dir_all(&folder).unwrap();
    assert!(told(&ModelFile::open(&folder).unwrap_err()).contains("config.json"));
    let missing = ModelFile::open(&scratch("missing.gguf")).unwrap_err();
    assert!(matches!(missing, EngineError::Store(_)));
}

#[test]
fn an_unknown_architecture_is_named_with_the_known_ones() {
    let mut bytes = fs::read(house()).unwrap();
    let key = b"general.architecture";
    let place = bytes.windows(key.len()).position(|window| window == key).unwrap();
    let name = place + key.len() + 4 + 8;
    assert_eq!(&bytes[name..name + 5], b"llama");
    bytes[name..name + 5].copy_from_slice(b"zebra");
    let path = scratch("zebra.gguf");
    fs::write(&path, bytes).unwrap();
    let error = told(&ModelFile::open(&path).unwrap_err());
    assert!(error.contains("`zebra`") && error.contains("gemma3"), "{error}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let path = scratch("shrinks.gguf");
    fs::copy(house(), &path).unwrap();
    let model = Arc::new(ModelFile::open(&path).unwrap());
    let fit = model.fit(&request(2, 16)).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(400_000).unwrap();
    let error = told(&fit.load(&Uncontrolled).unwrap_err());
    assert!(error.contains("changed while it was in use"), "{error}");
    fs::remove_file(path).unwrap();
}

#[test]
fn weights_that_are_not_numbers_give_an_error() {
    let mut bytes = fs::read(house()).unwrap();
    let model = ModelFile::open(&house()).unwrap();
    let norm = model.model().tensors.table().get("output_norm.weight").unwrap();
    let place = usize::try_from(norm.offset).unwrap();
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = scratch("nan.gguf");
    fs::write(&path, bytes).unwrap();
    let lm = load(&path, &request(2, 16));
    let mut session = lm.session().unwrap();
    session.append(&ids(&lm, "The sea"), &Uncontrolled).unwrap();
    let sampling = ledge_engine::llm::sampler::Sampling::default();
    let mut generation = crate::generation(&lm, sampling, 4);
    let error = generation.next(&mut session, &Uncontrolled).unwrap_err();
    assert!(matches!(error, EngineError::NonFinite { .. }), "{error}");
    fs::remove_file(path).unwrap();
}

#[test]
fn a_prompt_longer_than_the_context_leaves_the_session_as_it_was() {
    let lm = load(&house(), &Request { context: Some(32), ..request(1, 16) });
    let mut session = lm.session().unwrap();
    let long = ids(&lm, &"word ".repeat(60));
    let error = session.append(&long, &Uncontrolled).unwrap_err();
    assert!(matches!(error, EngineError::PromptTooLong { have: 32, .. }), "{error}");
    assert!(session.history().is_empty());
    session.append(&long[..32], &Uncontrolled).unwrap();
    assert_eq!(session.left(), 0);
}
