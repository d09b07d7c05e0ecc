//! Parses the command line, runs the verb, prints what went wrong, and sets the exit status.

use std::ffi::{c_int, c_long};
use std::process::ExitCode;

use clap::Parser;
use scflow::Error;
use scflow::cli::Cli;

/// Tensors come and go by the thousand; the system's allocator gives large ones back each time and clears their pages
/// again, which takes a tenth of a training step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Sets an option of the allocator (`mimalloc.h` of version 3).
    fn mi_option_set(option: c_int, value: c_long);
}

/// `mi_option_purge_delay`: milliseconds after which free memory goes back to the system; ten times so many for large pieces.
const PURGE_DELAY: c_int = 15;

fn main() -> ExitCode {
    // Blocks of a file and minibatches come again and again in the same sizes. SAFETY: the option takes any number.
    unsafe { mi_option_set(PURGE_DELAY, 500) };
    let Err(error) = Cli::parse().run() else { return ExitCode::SUCCESS };
    let place = error.chain().position(|cause| cause.is::<Error>());
    // Our own errors already say what is behind them.
    let told: Vec<String> =
        error.chain().take(place.map_or(usize::MAX, |at| at + 1)).map(ToString::to_string).collect();
    eprintln!("error: {}", told.join(": "));
    let known = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
    if let Some(hint) = known.and_then(Error::hint) {
        eprintln!("hint: {hint}");
    }
    match known {
        // What a shell reports of a program that a signal ended.
        Some(Error::Interrupted { signal, .. }) => ExitCode::from(128 + signal),
        Some(error) if error.is_mistake() => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
