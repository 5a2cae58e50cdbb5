//! Packed weights that are kept between starts: used only while they are what they were.

use crate::{continued, house, ids, request};
use ledge_engine::{EngineError, LanguageModel, ModelFile, Request, WeightPlace};
use plan::{BufferKind, Uncontrolled};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};
use tensor::Bytes;

/// An empty folder, and a copy of the model in it that did not change a moment ago.
fn scratch(name: &str) -> (PathBuf, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let model = folder.join("model.gguf");
    fs::copy(house(), &model).unwrap();
    age(&model);
    (folder.join("cache"), model)
}

/// Makes a file a minute older, so that its times can be trusted.
fn age(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let time = fs::metadata(path).unwrap().modified().unwrap();
    file.set_modified(time - std::time::Duration::from_mins(1)).unwrap();
}

fn mapped(cache: &Path) -> Request {
    Request {
        weights: WeightPlace::Mapped,
        cache: Some(cache.to_owned()),
        program: Some(Bytes::mib(16)),
        ..request(2, 64)
    }
}

fn load(model: &Path, request: &Request) -> Result<LanguageModel, EngineError> {
    Arc::new(ModelFile::open(model)?).fit(request)?.load(&Uncontrolled)
}

fn text(lm: &LanguageModel) -> String {
    let mut session = lm.session().unwrap();
    session.append(&ids(lm, "The old woman"), &Uncontrolled).unwrap();
    continued(lm, &mut session, 12)
}

/// Files of a folder with this ending.
fn files(cache: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[test]
fn kept_weights_give_the_same_text_and_are_found_again() {
    let (cache, model) = scratch("packs-found");
    let expected = text(&load(&model, &request(2, 64)).unwrap());
    for _ in 0..2 {
        let lm = load(&model, &mapped(&cache)).unwrap();
        assert_eq!((text(&lm), lm.notices()), (expected.clone(), &[][..]));
        assert_eq!(lm.plan().bytes_of(BufferKind::PackedWeights), Bytes::ZERO);
    }
    let (packs, notes) = (files(&cache, ".pack"), files(&cache, ".note"));
    assert_eq!((packs.len(), notes.len(), files(&cache, ".part").len()), (1, 1, 0));
    // Another name for the same bytes needs no other pack.
    let other = model.with_file_name("other.gguf");
    fs::copy(&model, &other).unwrap();
    assert_eq!(text(&load(&other, &mapped(&cache)).unwrap()), expected);
    assert_eq!(files(&cache, ".pack"), packs);
}

/// What happens to a file's bytes.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn damaged_packs_and_notes_are_made_anew_and_said_so() {
    let (cache, model) = scratch("packs-damaged");
    let expected = text(&load(&model, &mapped(&cache)).unwrap());
    let pack = files(&cache, ".pack").remove(0);
    let whole = fs::read(&pack).unwrap();
    let middle = whole.len() / 2;
    let damages: [(&str, Damage<'_>); 7] = [
        ("a bit of the weights", &|bytes| bytes[middle] ^= 16),
        ("the last byte", &|bytes| *bytes.last_mut().unwrap() ^= 1),
        ("the head", &|bytes| bytes[3] ^= 1),
        ("the sum", &|bytes| bytes[50] ^= 1),
        ("cut", &|bytes| bytes.truncate(middle)),
        ("longer", &|bytes| bytes.push(0)),
        ("empty", &Vec::clear),
    ];
    for (what, damage) in damages {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        fs::write(&pack, &bytes).unwrap();
        let lm = load(&model, &mapped(&cache)).unwrap();
        assert_eq!(text(&lm), expected, "{what}");
        assert!(lm.notices().iter().any(|notice| notice.contains("made anew")), "{what}");
        assert_eq!(fs::read(&pack).unwrap(), whole, "{what}");
    }
    let note = files(&cache, ".note").remove(0);
    let said = fs::read_to_string(&note).unwrap();
    for damaged in [
        "",
        "zz",
        said.trim_start_matches(char::is_alphanumeric),
        &said.replacen(['a', '1'], "b", 1),
    ] {
        fs::write(&note, damaged).unwrap();
        let lm = load(&model, &mapped(&cache)).unwrap();
        assert_eq!((text(&lm), lm.notices().len()), (expected.clone(), 0), "{damaged}");
    }
}

#[test]
fn a_model_that_changed_is_packed_again_and_its_old_pack_goes() {
    let (cache, model) = scratch("packs-changed");
    load(&model, &mapped(&cache)).unwrap();
    let before = files(&cache, ".pack");
    // The same size and the same time of change: only the weights differ.
    let time = fs::metadata(&model).unwrap().modified().unwrap();
    let mut bytes = fs::read(&model).unwrap();
    let place = bytes.len() - 5000;
    bytes[place..place + 64].fill(1);
    fs::write(&model, &bytes).unwrap();
    fs::File::options().write(true).open(&model).unwrap().set_modified(time).unwrap();
    let expected = text(&load(&model, &request(2, 64)).unwrap());
    let lm = load(&model, &mapped(&cache)).unwrap();
    assert_eq!(text(&lm), expected);
    let after = files(&cache, ".pack");
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
}

#[test]
fn where_nothing_can_be_kept_weights_take_memory_if_the_budget_has_room() {
    let (cache, model) = scratch("packs-nowhere");
    fs::write(&cache, "a file where the folder should be").unwrap();
    let lm = load(&model, &mapped(&cache)).unwrap();
    assert!(lm.notices()[0].contains("packed into memory"), "{:?}", lm.notices());
    let fit = Arc::new(ModelFile::open(&model).unwrap()).fit(&mapped(&cache)).unwrap();
    let memory = Some(fit.promise().private);
    let tight = Request { memory, ..mapped(&cache) };
    let refused = load(&model, &tight).map(drop).unwrap_err();
    assert!(matches!(refused, EngineError::Load(plan::LoadError::NotKept { .. })), "{refused}");
}

#[test]
fn the_budget_chooses_the_place() {
    let (cache, model) = scratch("packs-budget");
    let model = Arc::new(ModelFile::open(&model).unwrap());
    let auto = Request { weights: WeightPlace::Auto, ..mapped(&cache) };
    let fit = model.fit(&auto).unwrap();
    let [(_, packed), (_, mapped)] = fit.choices();
    assert_eq!((fit.place(), fit.promise()), (WeightPlace::Packed, packed));
    assert_eq!((packed.total(), packed.mapped), (mapped.total(), Bytes::ZERO));
    let tight = Request { memory: Some(mapped.private), ..auto.clone() };
    let fit = model.fit(&tight).unwrap();
    assert_eq!((fit.place(), fit.promise()), (WeightPlace::Mapped, mapped));
    // Without a folder there is no choice.
    let none = Request { cache: None, ..tight };
    assert!(matches!(model.fit(&none), Err(EngineError::DoesNotFit(_))));
    let embedded = ModelFile::from_memory(Box::leak(fs::read(house()).unwrap().into())).unwrap();
    let wanted = Request { weights: WeightPlace::Mapped, ..auto };
    assert!(matches!(Arc::new(embedded).fit(&wanted), Err(EngineError::Lacks { .. })));
}

#[test]
fn several_at_once_and_dead_ones_before_do_no_harm() {
    let (cache, model) = scratch("packs-race");
    fs::create_dir_all(&cache).unwrap();
    let dead = cache.join(".dead.part");
    fs::write(&dead, vec![7; 100_000]).unwrap();
    age(&dead);
    age(&dead);
    let expected = text(&load(&model, &request(2, 64)).unwrap());
    std::thread::scope(|scope| {
        let starts: Vec<_> =
            (0..4).map(|_| scope.spawn(|| text(&load(&model, &mapped(&cache)).unwrap()))).collect();
        for start in starts {
            assert_eq!(start.join().unwrap(), expected);
        }
    });
    assert_eq!((files(&cache, ".pack").len(), files(&cache, ".part").len()), (1, 0));
    assert_eq!(text(&load(&model, &mapped(&cache)).unwrap()), expected);
}
