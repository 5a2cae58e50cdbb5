//! Continues a text with the embedded model, or with the GGUF file of the first argument.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{Plan, Sampling};
use std::{env, io::Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan = match env::args().nth(1) {
        Some(path) => Plan::for_file(path)?,
        None => Plan::for_embedded()?,
    };
    let lm = plan.context(256).solve()?.load()?;
    let mut text = lm.text()?;
    text.push("The sea was")?;
    for token in text.stream(Sampling { seed: 1, ..Sampling::default() })? {
        print!("{}", token?.text);
        std::io::stdout().flush()?;
    }
    println!();
    Ok(())
}
