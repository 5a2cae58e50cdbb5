//! What goes wrong: the code, three lines, the place.

use super::*;

/// The messages of a run that must end with `code`.
fn refused(arguments: &[&str], code: i32) -> String {
    let output = ledge(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch("errors").join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn bad_files_end_with_three_lines_and_code_3() {
    let whole = std::fs::read(house()).expect("the model");
    let cases = [
        (PathBuf::from("/nowhere/model.gguf"), "no such file"),
        (scratch("empty-folder"), ""),
        (file("page.gguf", b"<!DOCTYPE html><html><body>Not found</body></html>"), "web page"),
        (file("empty.gguf", b""), ""),
        (file("cut.gguf", &whole[..whole.len() / 2]), ""),
        (file("header.gguf", &whole[..1000]), ""),
    ];
    for (path, word) in &cases {
        for arguments in [&["run", words(path), "Hello"][..], &["plan", words(path)]] {
            let said = refused(arguments, 3);
            let lines: Vec<&str> = said.lines().collect();
            assert_eq!(lines.len(), 3, "{said}");
            assert!(lines[0].starts_with("error: ") && said.contains(word), "{said}");
            assert!(lines[1].starts_with("  where: ") && lines[1].contains(words(path)), "{said}");
            assert!(lines[2].starts_with("  try: "), "{said}");
        }
    }
}

#[test]
fn an_unknown_architecture_is_named_and_still_inspected() {
    let mut model = std::fs::read(house()).expect("the model");
    let key = b"general.architecture";
    let at = model.windows(key.len()).position(|window| window == key).expect("the key");
    let value = at + key.len() + 4 + 8;
    assert_eq!(&model[value..value + 5], b"llama");
    model[value..value + 5].copy_from_slice(b"zebra");
    let path = file("zebra.gguf", &model);
    let said = refused(&["run", words(&path), "Hello"], 3);
    assert!(said.contains("zebra") && said.contains("qwen2"), "{said}");
    let shown = good(&["inspect", words(&path)]);
    assert!(shown.contains("zebra") && shown.contains("unsupported"), "{shown}");
    let ids = good(&["tokenize", words(&path), "Hello", "--ids"]);
    assert_eq!(ids, good(&["tokenize", "Hello", "--ids"]));
}

#[test]
fn wrong_values_name_the_flag_and_end_with_code_2() {
    let cases: &[(&[&str], &str)] = &[
        (&["run", "x", "--temp", "NaN"], "--temp"),
        (&["run", "x", "--temp", "-1"], "--temp"),
        (&["run", "x", "--top-p", "0"], "--top-p"),
        (&["run", "x", "--min-p", "2"], "--min-p"),
        (&["run", "x", "--dry", "NaN"], "--dry"),
        (&["run", "x", "--stop", ""], "--stop"),
        (&["run", "x", "--logit-bias", "99999=1"], "--logit-bias"),
        (&["run", "x", "--ctx", "0"], "--ctx"),
        (&["run", "x", "--memory", "much"], "--memory"),
        (&["run", "x", "--threads", "0"], "--threads"),
        (&["run", "x", "--kv", "int7"], "--kv"),
        (&["run", "x", "--now", "yesterday"], "--now"),
        (&["run", "x", "--tmep", "1"], "--temp"),
        (&["frobnicate"], "frobnicate"),
        (&["quantize", "in", "out", "q9_x"], "q4_k_m"),
        (&["tokenize", "--decode", "5000000"], "vocabulary"),
    ];
    for (arguments, word) in cases {
        let said = refused(arguments, 2);
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_place() {
    let output = ledge_reading(&["run", "-", "-n", "1"], b"ab\xffcd");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("byte 2"), "{}", stderr(&output));
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    let said = refused(&["run", "x", "--memory", "1MiB"], 4);
    assert!(said.contains("1.0 MiB"), "{said}");
    let output = ledge(&["plan", "--memory", "1MiB", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let object = json(&stdout(&output));
    assert_eq!(object["fits"], false);
    assert!(object["promised"]["total"].as_u64() > object["memory"].as_u64());
}

#[test]
fn a_long_prompt_is_refused_with_both_numbers_or_cut_when_asked() {
    let prompt = "word ".repeat(100);
    let arguments = ["run", &prompt, "--ctx", "32", "-n", "1"];
    let said = refused(&arguments, 4);
    assert!(said.contains("the context holds 32") && said.contains("--truncate"), "{said}");
    let cut = ledge(&[&arguments[..], &["--truncate"]].concat());
    assert_eq!(cut.status.code(), Some(0), "{}", stderr(&cut));
    assert!(stderr(&cut).contains("dropped"), "{}", stderr(&cut));
}

#[test]
fn errors_are_objects_for_scripts() {
    let object = json(&stdout(&ledge(&["run", "/nowhere/model.gguf", "x", "--json"])));
    assert_eq!(object["error"]["exit"], 3);
    assert!(object["error"]["where"].as_str().is_some_and(|place| place.contains("/nowhere")));
}

#[test]
fn a_model_without_a_template_is_not_guessed_at() {
    let said = refused(&["run", "--chat", "Hello"], 3);
    assert!(said.contains("no chat template") && said.contains("--template"), "{said}");
    assert_eq!(ledge_reading(&["chat"], b"Hello\n").status.code(), Some(3));
}

/// The embedded model with other bytes behind the description of a tensor, or in the tensor.
fn damaged(name: &str, tensor: &str, change: impl FnOnce(&mut [u8], usize)) -> PathBuf {
    let mut model = std::fs::read(house()).expect("the model");
    let found = model.windows(tensor.len()).position(|window| window == tensor.as_bytes());
    let after = found.expect("the tensor is described") + tensor.len();
    change(&mut model, after);
    file(name, &model)
}

#[test]
fn a_type_that_is_not_supported_is_named_with_its_tensor() {
    // Behind the name: the number of dimensions, two of 8 bytes, the type. 16 is IQ2_XXS.
    let path = damaged("iq2.gguf", "blk.0.ffn_up.weight", |model, after| {
        model[after + 4 + 16..][..4].copy_from_slice(&16u32.to_le_bytes());
    });
    let said = refused(&["run", words(&path), "Hello"], 3);
    assert!(said.contains("IQ2_XXS") && said.contains("blk.0.ffn_up.weight"), "{said}");
}

#[test]
fn weights_that_are_not_numbers_end_the_run_with_code_3() {
    let bytes = std::fs::read(house()).expect("the model");
    let tables = formats::gguf::Gguf::parse(&bytes, tensor::Bytes(bytes.len() as u64));
    let norm = tables.expect("it is good").tensors().get("output_norm.weight").cloned();
    let at = usize::try_from(norm.expect("it has a norm").offset).expect("a small file");
    let mut model = bytes;
    model[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = file("nan.gguf", &model);
    let said = refused(&["run", words(&path), "Hello"], 3);
    assert!(said.contains("NaN"), "{said}");
    let said = refused(&["run", words(&path), "Hello", "--temp", "0", "--json"], 3);
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_model_that_may_not_be_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = file("secret.gguf", &std::fs::read(house()).expect("the model"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).expect("changed");
    // The administrator may read anything.
    let code = if std::fs::File::open(&path).is_ok() { 0 } else { 3 };
    let output = ledge(&["run", words(&path), "Hello", "-n", "1"]);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    std::fs::remove_file(&path).expect("the folder is ours");
}

#[test]
fn a_model_that_is_cut_while_it_is_used_does_no_harm() {
    use std::io::{BufRead as _, BufReader};
    let path = file("shrinks.gguf", &std::fs::read(house()).expect("the model"));
    let template = file("plain.jinja", b"{% for m in messages %}{{ m.content }} {% endfor %}");
    let arguments = ["chat", words(&path), "--template", words(&template), "-n", "4", "--json"];
    let mut child = command(&arguments).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut turn = || {
        stdin.write_all(b"The sea was\n").expect("it listens");
        lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"report\""))
    };
    assert!(turn().is_some());
    let opened = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
    opened.set_len(1000).expect("cut");
    let report = json(&turn().expect("it goes on: weights are packed when it is loaded"));
    assert_eq!(report["report"]["tokens"]["produced"], 4);
    drop(stdin);
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_window_that_is_not_used_is_told_where_it_would_matter() {
    let whole = std::fs::read(house()).expect("the model");
    let key = b"llama.attention.layer_norm_rms_epsilon";
    let at = whole.windows(key.len()).position(|window| window == key).expect("the key") - 8;
    let mut entry = Vec::new();
    let name = b"llama.attention.sliding_window";
    entry.extend((name.len() as u64).to_le_bytes());
    entry.extend(name);
    entry.extend(4u32.to_le_bytes());
    entry.extend(64u32.to_le_bytes());
    // A multiple of the alignment keeps the tensors where the header says.
    entry.extend(8u64.to_le_bytes());
    entry.extend(b"test.pad");
    entry.extend(8u32.to_le_bytes());
    let text = (entry.len() + 8).next_multiple_of(32) - entry.len() - 8;
    entry.extend((text as u64).to_le_bytes());
    entry.extend(vec![b'x'; text]);
    let mut model = whole;
    model.splice(at..at, entry);
    let count = u64::from_le_bytes(model[16..24].try_into().expect("eight bytes"));
    model[16..24].copy_from_slice(&(count + 2).to_le_bytes());
    let path = file("window.gguf", &model);
    let told = ledge(&["run", words(&path), "Hello", "-n", "1", "--ctx", "128"]);
    assert!(stderr(&told).contains("sliding window of 64"), "{}", stderr(&told));
    let within = ledge(&["run", words(&path), "Hello", "-n", "1", "--ctx", "64"]);
    assert!(!stderr(&within).contains("sliding window"), "{}", stderr(&within));
}

#[test]
fn a_context_beyond_the_models_own_is_told_before_and_while_it_is_used() {
    let beyond = "2049 is more than the 2048 positions";
    for words in [&["plan"][..], &["run", "Hello", "-n", "1"]] {
        let told = ledge(&[words, &["--ctx", "2049"]].concat());
        assert!(stderr(&told).contains(beyond), "{}", stderr(&told));
        let within = ledge(&[words, &["--ctx", "2048"]].concat());
        assert!(!stderr(&within).contains("positions"), "{}", stderr(&within));
    }
    let object = ledge(&["plan", "--ctx", "2049", "--json"]);
    assert!(stdout(&object).contains(beyond), "{}", stdout(&object));
}

#[test]
fn whoever_stops_reading_does_no_harm() {
    let cases: [(&[&str], i32); 4] = [
        (&["run", "The sea was", "-n", "2"], 0),
        (&["plan", "--memory", "1MiB"], 4),
        (&["run", "/nowhere/model.gguf", "Hello"], 3),
        (&["run", "--no-such-flag"], 2),
    ];
    for (arguments, code) in cases {
        let mut child = command(arguments).spawn().expect("the program starts");
        drop(child.stderr.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let mut child = command(arguments).spawn().expect("the program starts");
        drop((child.stdout.take(), child.stderr.take()));
        let code = child.wait().expect("it ends").code();
        assert!(code.is_some_and(|code| code < 5), "{arguments:?}: {code:?}");
    }
}
