//! A chat on a terminal: `script` (util-linux) gives the program one.

use super::*;
use std::{
    io::Read,
    process::{Child, ChildStdin, ChildStdout},
    thread,
    time::Duration,
};

const CTRL_C: &[u8] = b"\x03";

/// A program on a terminal of its own, and what it has shown so far.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Terminal {
    fn open(arguments: &str) -> Self {
        // Not every shell makes way for its last command by itself, and one that stays is killed by
        // Ctrl-C, too: its code would be told instead.
        let line = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_ledge"));
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux is there");
        let keys = child.stdin.take().expect("a pipe");
        let screen = child.stdout.take().expect("a pipe");
        Self { child, keys, screen, shown: String::new() }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).and_then(|()| self.keys.flush()).expect("keys arrive");
    }

    /// Reads until `text` is on the screen, and gives what came up to it.
    fn until(&mut self, text: &str) -> String {
        let mut bytes = [0; 256];
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            let count = self.screen.read(&mut bytes).expect("the screen can be read");
            assert!(count > 0, "ended before `{text}`: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// The exit code, once the program has ended.
    fn end(mut self) -> Option<i32> {
        std::io::copy(&mut self.screen, &mut std::io::sink()).expect("the screen can be read");
        self.child.wait().expect("it ends").code()
    }
}

/// A chat that says a lot after `Go`.
fn talker() -> Terminal {
    let template = scratch("terminal").join("plain.jinja");
    let source = "{% for m in messages %}{{ m.content }} {% endfor %}";
    std::fs::write(&template, source).expect("written");
    let options = "--ignore-eos --temp 1 --seed 1";
    let mut chat = Terminal::open(&format!("chat --template {} {options}", template.display()));
    chat.until("> ");
    chat
}

#[test]
fn ctrl_c_stops_an_answer_and_leaves_the_chat_usable() {
    let mut chat = talker();
    for _ in 0..2 {
        chat.press(b"The sea was\n");
        chat.until("The sea was\r\n");
        // The answer has begun.
        while chat.until(" ").trim().is_empty() {}
        chat.press(CTRL_C);
        let rest = chat.until("> ");
        assert!(rest.contains("promised") && rest.contains("cancelled"), "{rest}");
    }
    chat.press(b"/quit\n");
    assert_eq!(chat.end(), Some(0));
}

#[test]
fn a_second_ctrl_c_leaves() {
    let mut chat = talker();
    chat.press(b"The sea was\n");
    chat.until("The sea was\r\n");
    while chat.until(" ").trim().is_empty() {}
    chat.press(CTRL_C);
    chat.until("> ");
    chat.press(CTRL_C);
    assert_eq!(chat.end(), Some(8));
    // While it waits for the first line, too: the first clears the line, the second leaves.
    let mut chat = talker();
    chat.press(CTRL_C);
    thread::sleep(Duration::from_millis(100));
    chat.press(CTRL_C);
    assert_eq!(chat.end(), Some(8));
}

#[test]
fn a_person_sees_progress_and_the_prompt_before_its_continuation() {
    let mut run = Terminal::open("run 'The sea was' -n 4 --temp 0");
    let shown = run.until("promised");
    assert!(shown.contains("loading") && shown.contains("The sea was"), "{shown}");
    assert_eq!(run.end(), Some(0));
}
