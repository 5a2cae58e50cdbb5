//! The program as its users meet it: arguments in, text, JSON and exit codes out.
#![expect(clippy::disallowed_methods, reason = "tests write files and read the results")]

mod devices;
mod errors;
mod files;
mod media;
mod networks;
mod terminal;
mod text;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The model of the repository, which is also inside the program.
fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../assets/house.gguf")
}

/// A folder for one test.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

fn words(path: &Path) -> &str {
    path.to_str().expect("the paths of tests are UTF-8")
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ledge"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ledge(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the program starts")
}

fn ledge_reading(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // A program that refuses its arguments may be gone before it reads.
    drop(stdin.write_all(input));
    drop(stdin);
    child.wait_with_output().expect("the program ends")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("results are UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("messages are UTF-8")
}

/// The result of a run that must succeed.
fn good(arguments: &[&str]) -> String {
    let output = ledge(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
