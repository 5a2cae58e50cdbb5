//! How alike two sentences are: `embed MODEL "a cat" "a kitten"`.
#![expect(clippy::print_stdout, reason = "examples print")]

use ledge::{Embedder, Normalize};
use std::env;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, first, second] = arguments.as_slice() else {
        println!("usage: embed MODEL TEXT TEXT");
        return Ok(());
    };
    let mut embedder = Embedder::open(model)?.normalize(Normalize::Unit);
    let (a, b) = (embedder.embed(first)?, embedder.embed(second)?);
    let cosine: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
    println!("{cosine:.4}");
    Ok(())
}
