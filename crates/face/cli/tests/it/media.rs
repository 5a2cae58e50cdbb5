//! Networks over pictures and sound.

use super::*;
use std::fs;

/// `y = GlobalAveragePool(x)`, `[1, 3, 2, 2]` to `[1, 3, 1, 1]`, as an ONNX file.
const COLOURS: &[u8] = b"\x08\x08\x12\x00:X\x0a\x19\x0a\x01x\x12\x01y\x22\x11GlobalAveragePool\x12\x01gZ\x1b\
    \x0a\x01x\x12\x16\x0a\x14\x08\x01\x12\x10\x0a\x02\x08\x01\x0a\x02\x08\x03\x0a\x02\x08\x02\x0a\x02\x08\x02\
    b\x1b\x0a\x01y\x12\x16\x0a\x14\x08\x01\x12\x10\x0a\x02\x08\x01\x0a\x02\x08\x03\x0a\x02\x08\x01\x0a\x02\
    \x08\x01B\x04\x0a\x00\x10\x11";

/// `y = ReduceMax(x)`, `[1, 160]` to `[1, 1]`.
const LOUDEST: &[u8] = b"\x08\x08\x12\x00:_\x0a/\x0a\x01x\x12\x01y\x22\x09ReduceMax*\x0b\x0a\x04axes@\x01\
    \xa0\x01\x07*\x0f\x0a\x08keepdims\x18\x01\xa0\x01\x02\x12\x01gZ\x14\x0a\x01x\x12\x0f\x0a\x0d\x08\x01\x12\
    \x09\x0a\x02\x08\x01\x0a\x03\x08\xa0\x01b\x13\x0a\x01y\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\
    \x0a\x02\x08\x01B\x04\x0a\x00\x10\x11";

fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../input/media/tests/goldens");
    folder.join(name)
}

/// Checks code and words of a run that must fail.
fn refused(arguments: &[&str], code: i32, said: &str) {
    let output = ledge(arguments);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(said), "{arguments:?}: {told}");
    assert!(told.contains("try:"), "{told}");
}

#[test]
fn a_picture_is_classified() {
    let folder = scratch("picture");
    let (model, labels) = (folder.join("colours.onnx"), folder.join("labels.txt"));
    fs::write(&model, COLOURS).expect("written");
    fs::write(&labels, "red\ngreen\nblue\n").expect("written");
    let (model, labels, png) = (words(&model), words(&labels), picture("small.png"));
    let seen = ["run", model, "--image", words(&png)];
    // What Pillow and NumPy give.
    let text = good(&[&seen[..], &["--labels", labels, "--top", "2"]].concat());
    assert_eq!(text, "  0.5382  red\n  0.5039  blue\n");
    let with = |more: &[&str]| json(&good(&[&seen[..], &["--json"], more].concat()));
    let found = with(&[]);
    assert_eq!(found["labels"][2]["index"], 1);
    assert_eq!(found["image"]["width"], 23);
    let found = with(&["--image-colours", "bgr", "--image-scale", "1", "--image-mean", "100,0,0"]);
    assert_eq!(found["labels"][0]["score"], 137.25);
    assert_eq!(found["labels"][2]["score"], 28.5);
    // Notes beside the network say the same, and flags win.
    let notes = folder.join("colours.toml");
    fs::write(&notes, "labels = [\"r\", \"g\", \"b\"]\n[image]\nscale = 1\nsoftmax = true")
        .expect("written");
    let found = with(&[]);
    assert_eq!(found["labels"][0]["label"], "r");
    assert!(found["labels"][0]["score"].as_f64().is_some_and(|score| score > 0.99), "{found}");
    fs::write(&notes, "[image]\nmaen = 3").expect("written");
    refused(&seen, 3, "maen");
    fs::remove_file(&notes).expect("removed");
}

#[test]
fn what_is_wrong_with_a_picture_is_told() {
    let folder = scratch("picture-errors");
    let (model, two) = (folder.join("colours.onnx"), folder.join("two.txt"));
    let (cut, loud) = (folder.join("cut.png"), folder.join("loudest.onnx"));
    fs::write(&model, COLOURS).expect("written");
    fs::write(&loud, LOUDEST).expect("written");
    fs::write(&two, "one\ntwo\n").expect("written");
    let png = picture("small.png");
    let bytes = fs::read(&png).expect("it is there");
    fs::write(&cut, &bytes[..100]).expect("written");
    let (model, png) = (words(&model), words(&png));
    let run = |more: &[&str], code, said: &str| refused(&[&["run"], more].concat(), code, said);
    run(&[model, "--image", png, "--labels", words(&two)], 3, "2 labels, but `y` has 3");
    run(&[model, "--image", words(&cut)], 3, "damaged");
    run(&[model, "--image", words(&two)], 3, "is no picture");
    run(&[model, "--image", "nowhere.png"], 3, "nowhere.png");
    run(&[model, "--image", png, "--image-size", "8x8"], 2, "has a side of 2");
    run(&[model, "--image", png, "--image-colours", "grey"], 2, "takes 3 numbers");
    run(&[model, "--image", png, "--image-mean", "1,2"], 2, "2 numbers");
    run(&[words(&loud), "--image", png], 2, "no input takes a picture");
    run(&[words(&house()), "--image", png], 2, "language model");
}

/// 16-bit samples of one channel as a WAV file.
fn wav(rate: u32, samples: &[i16]) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend(rate.to_le_bytes());
    file.extend((rate * 2).to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend((u32::try_from(samples.len()).expect("a short sound") * 2).to_le_bytes());
    file.extend(samples.iter().flat_map(|x| x.to_le_bytes()));
    file
}

#[test]
fn sound_is_listened_to_from_files_and_pipes() {
    let folder = scratch("listen");
    let (model, file) = (folder.join("loudest.onnx"), folder.join("sound.wav"));
    fs::write(&model, LOUDEST).expect("written");
    let mut samples = vec![0i16; 1600];
    samples[700] = 24_576;
    fs::write(&file, wav(16_000, &samples)).expect("written");
    let listen = ["listen", "--model", words(&model)];
    let text = good(&[&listen[..], &[words(&file)]].concat());
    // The fifth chunk of 10 ms ends after 50 ms.
    assert_eq!(
        text,
        "    0.05 s  loudest  0.75\n    0.06 s  loudest ends after 0.01 s, at most 0.75\n"
    );
    let lines = good(&[&listen[..], &[words(&file), "--json", "--smooth", "2"]].concat());
    let lines: Vec<serde_json::Value> = lines.lines().map(json).collect();
    assert_eq!(lines.len(), 11);
    assert_eq!(
        (lines[4]["time_s"].as_f64(), lines[4]["score"].as_f64()),
        (Some(0.05), Some(0.375))
    );
    assert_eq!(lines[4]["heard"], false);
    assert_eq!(lines[10]["report"]["run"], 10);
    let plain: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let given = [&listen[..], &["--raw", "--json", "--budget", "1000"]].concat();
    let output = ledge_reading(&given, &plain);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let last = json(text.lines().last().expect("a report"));
    assert_eq!(last["report"]["frames"], 10);
}

#[test]
fn what_is_wrong_with_sound_is_told() {
    let folder = scratch("listen-errors");
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("written");
        words(&path).to_owned()
    };
    let model = path("loudest.onnx", LOUDEST);
    let seen = path("colours.onnx", COLOURS);
    let good = path("good.wav", &wav(16_000, &[0; 400]));
    let slow = path("slow.wav", &wav(8_000, &[0; 400]));
    let short = path("short.wav", &wav(16_000, &[0; 100]));
    let other = path("other.wav", b"OggS and more than twelve bytes");
    let labels = path("labels.txt", b"one\ntwo\n");
    let run = |model: &str, more: &[&str], code, said: &str| {
        refused(&[&["listen", "--model", model], more].concat(), code, said);
    };
    run(&model, &[&slow], 3, "8000 samples a second, the network takes 16000");
    run(&model, &[&other], 3, "no WAV file");
    run(&model, &[&short], 3, "shorter than 160 samples");
    run(&model, &["nowhere.wav"], 3, "nowhere.wav");
    run(&model, &[&good, "--labels", &labels], 3, "2 labels are given");
    run(&model, &[&good, "--state", "x=z"], 2, "there is no such output");
    run(&seen, &[&good], 2, "which is no chunk");
    run(words(&house()), &[&good], 3, "no network");
}

#[test]
fn the_memory_of_a_network_is_drawn() {
    let folder = scratch("memory-drawn");
    let (model, svg) = (folder.join("colours.onnx"), folder.join("plan.svg"));
    fs::write(&model, COLOURS).expect("written");
    let text = good(&["inspect", words(&model), "--memory", "--svg", words(&svg)]);
    assert!(text.contains("live at most"), "{text}");
    let drawn = fs::read_to_string(&svg).expect("it was drawn");
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    assert!(drawn.contains(": F32 [1, 3, 2, 2]"), "{drawn}");
}
