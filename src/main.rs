//! Parses the command line, runs the verb, prints what went wrong, and sets the exit status.

use std::process::ExitCode;

use clap::Parser;
use scflow::Error;
use scflow::cli::Cli;

fn main() -> ExitCode {
    let Err(error) = Cli::parse().run() else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    if let Some(hint) = known.and_then(Error::hint) {
        eprintln!("hint: {hint}");
    }
    ExitCode::from(if known.is_some_and(Error::is_mistake) { 2 } else { 1 })
}
