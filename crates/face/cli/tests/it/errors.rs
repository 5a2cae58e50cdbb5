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
