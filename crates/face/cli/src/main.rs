//! The `ledge` program: arguments in, text or JSON out, an exit code that tells what happened.
//!
//! Results go to stdout, everything else to stderr. Only this crate prints, reads the environment
//! and the clock, and takes signals; what it does with a model is done by `ledge` and `engine`.
//! A reader who goes away (a closed pipe) ends the program quietly with code 0.
#![expect(
    clippy::disallowed_methods,
    reason = "the program is what reads files, clock and environment"
)]

mod args;
mod arrays;
mod devices;
mod failure;
mod model;
mod notes;
mod output;
mod prompt;
mod report;
mod generate;
mod signals;
mod trace;
mod verbs;
mod watch;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let printed = error.print();
            // Nobody need read help or an error for the code to tell what happened.
            drop(printed);
            return ExitCode::from(if error.use_stderr() { failure::Exit::Usage as u8 } else { 0 });
        }
    };
    let manner = cli.manner.clone();
    match verbs::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.show(&manner);
            ExitCode::from(failure.exit as u8)
        }
    }
}
