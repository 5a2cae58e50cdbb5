//! Completions and manual pages, made of the definition that also parses.

use crate::{
    args::{Completions, Man, definition},
    failure::{Failure, Result},
    output::Output,
};
use std::fs;

/// Prints the completions of a shell.
pub(crate) fn completions(args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition(), "ledge", &mut script);
    let mut output = Output::stdout();
    output.bytes(&script)?;
    output.finish()
}

/// Writes a page for the program and one for each verb.
pub(crate) fn man(args: &Man) -> Result<()> {
    let failed = |error: &std::io::Error| Failure::writing(args.folder.display(), error);
    fs::create_dir_all(&args.folder).map_err(|error| failed(&error))?;
    let mut command = definition();
    command.build();
    pages(&command, args)
}

fn pages(command: &clap::Command, args: &Man) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command.clone()).render(&mut page);
    rendered.map_err(|error| Failure::writing(&name, &error))?;
    let mut output = Output::open(Some(&args.folder.join(format!("{name}.1"))))?;
    output.bytes(&page)?;
    output.finish()?;
    command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help")
        .try_for_each(|verb| pages(verb, args))
}
