//! Says what the embedded model will take, and what happens when that is too much.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{Bytes, Error, Plan};

fn main() -> Result<(), Error> {
    let solved = Plan::for_embedded()?.context(512).solve()?;
    println!("{} for {} positions", solved.promise().total(), solved.context());
    for buffer in solved.buffers().iter().filter(|buffer| buffer.bytes > Bytes::kib(512)) {
        println!("  {:<14} {:>10}  {}", buffer.kind.name(), buffer.bytes.to_string(), buffer.name);
    }
    match Plan::for_embedded()?.memory(Bytes::mib(1)).solve() {
        Ok(_) => println!("it fits into 1 MiB"),
        Err(refusal) => println!("refused: {refusal}"),
    }
    Ok(())
}
