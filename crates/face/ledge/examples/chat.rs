//! One question to a chat model: `chat MODEL.gguf "Why is the sky blue?"`.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{Plan, Sampling};
use std::{env, io::Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(path), Some(question)) = (arguments.next(), arguments.next()) else {
        println!("usage: chat MODEL.gguf QUESTION");
        return Ok(());
    };
    let lm = Plan::for_file(path)?.context(1024).solve()?.load()?;
    let mut chat = lm.chat()?;
    chat.user(&question);
    for token in chat.stream(Sampling { seed: 7, ..Sampling::default() })? {
        print!("{}", token?.text);
        std::io::stdout().flush()?;
    }
    println!();
    Ok(())
}
