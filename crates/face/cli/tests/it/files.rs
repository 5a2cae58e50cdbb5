//! Where results go, and what ends a run from outside.

use super::*;
use std::{
    fs,
    io::Read as _,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
};

const SHORT: [&str; 8] = ["run", "The sea was", "-n", "2", "--seed", "1", "-q", "--output"];

fn to(path: &str) -> Output {
    ledge(&[&SHORT[..], &[path]].concat())
}

fn holds_text(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.len() > 2 && text != "old")
}

fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).expect("the folder can be read").count()
}

#[test]
fn a_file_appears_whole_and_alone() {
    let folder = scratch("whole");
    let path = folder.join("story.txt");
    fs::write(&path, "old").expect("written");
    let output = to(words(&path));
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
    assert!(holds_text(&path));
    // A run that fails leaves the old file as it was, and nothing beside it.
    let long = "word ".repeat(100);
    let failed = ["run", &long, "--ctx", "8", "--output", words(&path)];
    assert_eq!(ledge(&failed).status.code(), Some(4));
    assert!(holds_text(&path));
    assert_eq!(entries(&folder), 1);
}

#[test]
fn devices_pipes_and_links_are_written_to_and_never_replaced() {
    assert_eq!(to("/dev/null").status.code(), Some(0));
    assert!(fs::metadata("/dev/null").expect("it is there").file_type().is_char_device());
    assert!(stdout(&to("/dev/stdout")).len() > 2);
    let folder = scratch("pipes");
    let (pipe, target, link) = (folder.join("fifo"), folder.join("target"), folder.join("link"));
    for path in [&pipe, &target, &link] {
        drop(fs::remove_file(path));
    }
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let child = command(&[&SHORT[..], &[words(&pipe)]].concat()).spawn();
    assert!(holds_text(&pipe));
    assert!(child.expect("the program starts").wait().expect("it ends").success());
    assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo());
    fs::write(&target, "old").expect("written");
    symlink(&target, &link).expect("linked");
    assert_eq!(to(words(&link)).status.code(), Some(0));
    assert!(fs::symlink_metadata(&link).expect("it is there").file_type().is_symlink());
    assert!(holds_text(&target));
}

#[test]
fn a_full_disk_is_an_error_of_the_system() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = command(&["run", "The sea", "-n", "2"]).stdout(full).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("make room"), "{}", stderr(&output));
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_leaves_nothing() {
    let folder = scratch("limit");
    let (path, ids) = (folder.join("logits.npy"), folder.join("ids"));
    fs::write(&ids, "1 2 3 4").expect("written");
    let program = env!("CARGO_BIN_EXE_ledge");
    let (from, out) = (ids.display(), path.display());
    let script = format!("ulimit -f 8; exec {program} eval logits --ids {from} --out {out}");
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("ulimit"), "{}", stderr(&output));
    assert_eq!(entries(&folder), 1);
}

#[test]
fn places_that_cannot_be_written_are_refused() {
    assert_eq!(to("/nowhere/story.txt").status.code(), Some(3));
    let folder = scratch("closed");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).expect("changed");
    let output = to(words(&folder.join("story.txt")));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("changed");
    // The administrator may write anywhere.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", stderr(&output));
}

#[test]
fn a_reader_who_leaves_ends_the_run_quietly() {
    let arguments = ["run", "The sea was", "-n", "2000", "--ignore-eos", "-q"];
    let mut child = command(&arguments).spawn().expect("the program starts");
    let mut reader = child.stdout.take().expect("a pipe");
    reader.read_exact(&mut [0; 20]).expect("some text");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn ctrl_c_stops_with_a_report_and_code_8() {
    let arguments = ["run", "The sea was", "-n", "2000", "--ignore-eos"];
    let mut child = command(&arguments).spawn().expect("the program starts");
    let mut reader = child.stdout.take().expect("a pipe");
    reader.read_exact(&mut [0; 16]).expect("some text");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let mut rest = String::new();
    reader.read_to_string(&mut rest).expect("the rest is text");
    let output = child.wait_with_output().expect("it ends");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("cancelled") && said.contains("promised"), "{said}");
}
