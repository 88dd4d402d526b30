//! `weir compile-plugin IN OUT`: what the server starts to compile a component, so that the compiler can be
//! limited and killed. Not for people, so the command line does not know it.

use crate::failure::Failure;
use clap::Parser;
use std::path::PathBuf;

/// The word behind `weir`.
pub(super) const NAME: &str = "compile-plugin";

#[derive(Debug, Parser)]
#[command(name = "weir")]
struct Child {
    /// [`NAME`].
    _command: String,
    component: PathBuf,
    output: PathBuf,
}

pub(super) fn run() -> Result<(), Failure> {
    let child = Child::try_parse().map_err(|error| Failure::user(error.render().to_string().trim_end()))?;
    weir_plugin::compile_to_file(&child.component, &child.output).map_err(|error| {
        let reasons = error.reasons.join("; ");
        match error.fault {
            weir_event::Fault::User => Failure::user(reasons),
            weir_event::Fault::External => Failure::external(reasons),
            weir_event::Fault::Weir => Failure::weir(reasons),
        }
    })
}
