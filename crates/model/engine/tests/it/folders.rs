//! Folders as transformers writes them, against its own logits; `tools/goldens/folders.py` made both.

use import::Output;
use ledge_engine::{ModelFile, Request, eval::each_row};
use plan::Uncontrolled;
use std::{fs, path::Path, sync::Arc};
use text::TokenId;

/// Largest difference over the golden's spread, as for GGUF files.
const ERROR_MAX: f32 = 1e-3;

#[test]
fn folders_give_the_logits_of_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../testdata/folders");
    let mut names: Vec<_> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 9);
    for name in names {
        let folder = root.join(&name);
        let golden = fs::read(folder.join("golden.npy")).unwrap();
        let (npy, golden) = formats::npy::Npy::from_bytes(&golden).unwrap();
        let golden: Vec<f32> =
            golden.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let positions = u32::try_from(npy.shape.dims()[0]).unwrap();
        let model = Arc::new(ModelFile::open(&folder).unwrap());
        let settings = &model.model().settings;
        let vocabulary = u32::try_from(settings.vocabulary).unwrap();
        let encoder = model.model().family.encoder;
        let ids: Vec<TokenId> =
            (0..positions).map(|i| TokenId((i * 37 + 11) % vocabulary)).collect();
        // An encoder sees all positions at once; the others are run in two chunks and a rest.
        let chunk = if encoder { u64::from(positions) } else { 20 };
        let request = Request {
            kv: plan::KvType::F32,
            chunk,
            rows: chunk,
            output: if encoder { Output::Hidden } else { Output::Logits },
            ..Request::default()
        };
        let lm = model.fit(&request).unwrap().load(&Uncontrolled).unwrap();
        let mut session = lm.session().unwrap();
        let mut rows = Vec::new();
        if encoder {
            rows.extend_from_slice(session.run(&ids, 0..ids.len(), &Uncontrolled).unwrap());
        } else {
            each_row(&mut session, &ids, &Uncontrolled, |_, row| rows.extend_from_slice(row))
                .unwrap();
        }
        assert_eq!(rows.len(), golden.len(), "{}", name.display());
        let bound = |pick: fn(f32, f32) -> f32| golden.iter().copied().reduce(pick).unwrap();
        let spread = bound(f32::max) - bound(f32::min);
        let far = rows.iter().zip(&golden).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= ERROR_MAX * spread, "{}: {far} of {spread}", name.display());
    }
}
