//! weir: the command line, and the wiring of everything behind it. The only crate that sees all others.
//!
//! Knows: arguments, the project folder, exit codes, which part is handed to which. Must not know how anything is
//! computed, stored, read or served: that is what the other crates are for.
//!
//! An event's way begins in [`wiring`]; each command is a file below [`command`].

mod client;
mod command;
mod definitions;
mod failure;
mod feeding;
mod kinds;
mod live;
mod log;
mod memory;
mod packing;
mod plugins;
mod process;
mod progress;
mod project;
#[cfg(test)]
mod reference;
mod runtime;
mod state;
mod table;
mod templates;
mod training;
mod trainings;
mod trying;
mod versions;
mod wiring;

use std::process::ExitCode;

fn main() -> ExitCode {
    memory::keep_between_batches();
    match command::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::from(failure.exit_code())
        }
    }
}
