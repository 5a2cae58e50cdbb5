//! One file for each verb: what it does with its arguments.
//!
//! A verb reads its arguments, asks the engine, and writes a result; formatting for people and for
//! scripts stands beside each other.

mod bench;
mod chat;
mod embed;
mod eval;
mod inspect;
mod listen;
mod manual;
mod network;
mod plan;
mod quantize;
mod run;
mod template;
mod tokenize;

use crate::{
    args::{Cli, Manner, Verb},
    failure::Result,
    signals::Interrupt,
};

/// What every verb is given beside its arguments.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) manner: Manner,
    pub(crate) interrupt: Interrupt,
}

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let scene = Scene { manner: cli.manner, interrupt: Interrupt::install() };
    match cli.verb {
        Verb::Run(args) => run::run(&args, &scene),
        Verb::Chat(args) => chat::run(&args, &scene),
        Verb::Plan(args) => plan::run(&args, &scene),
        Verb::Inspect(args) => inspect::run(&args, &scene),
        Verb::Tokenize(args) => tokenize::run(&args, &scene),
        Verb::Template(args) => template::run(&args, &scene),
        Verb::Quantize(args) => quantize::run(&args, &scene),
        Verb::Embed(args) => embed::run(&args, &scene),
        Verb::Eval(args) => eval::run(&args, &scene),
        Verb::Bench(args) => bench::run(&args, &scene),
        Verb::Listen(args) => listen::run(&args, &scene),
        Verb::Completions(args) => manual::completions(&args),
        Verb::Man(args) => manual::man(&args),
    }
}
