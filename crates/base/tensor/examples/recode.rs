//! Encodes and decodes again: `recode TYPE IN OUT` reads f32 values (a whole number of rows of
//! 256) and writes them as they come back. Prints the rate of encoding, of f32 input on one core.
#![expect(clippy::disallowed_methods, reason = "an example is a program")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::{env, fs, process::ExitCode, time::Instant};

use ledge_tensor::{TensorType, cast, decode_row, encode_row};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [ty, input, output] = args.as_slice() else {
        eprintln!("usage: recode TYPE IN OUT");
        return ExitCode::from(2);
    };
    match recode(ty, input, output) {
        Ok(rate) => {
            println!("{rate:.1}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(3)
        }
    }
}

/// Does the work; returns megabytes of input encoded a second.
fn recode(ty: &str, input: &str, output: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let ty: TensorType = ty.parse()?;
    let bytes = fs::read(input)?;
    let mut values: Vec<f32> =
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let stored = ty.row_bytes(values.len() as u64).ok_or("no whole number of blocks")?;
    let mut stored = vec![0; usize::try_from(stored)?];
    let begin = Instant::now();
    encode_row(ty, &values, &mut stored);
    let seconds = begin.elapsed().as_secs_f64();
    decode_row(ty, &stored, &mut values);
    fs::write(output, cast::to_bytes(&values))?;
    Ok(bytes.len() as f64 / seconds / 1e6)
}
