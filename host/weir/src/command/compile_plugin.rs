//! `weir compile-plugin IN OUT`: what the server starts to compile a component, so that the compiler can be
//! limited and killed. Not for people.

use crate::failure::Failure;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    component: PathBuf,
    output: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    weir_plugin::compile_to_file(&arguments.component, &arguments.output).map_err(|error| {
        let reasons = error.reasons.join("; ");
        match error.fault {
            weir_event::Fault::User => Failure::user(reasons),
            weir_event::Fault::External => Failure::external(reasons),
            weir_event::Fault::Weir => Failure::weir(reasons),
        }
    })
}
