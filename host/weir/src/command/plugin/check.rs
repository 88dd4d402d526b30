//! `weir plugin check`: whether a server would take a component, without one.

use crate::command::print;
use crate::failure::Failure;
use crate::plugins;
use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_plan::is_name;
use weir_plugin::{CompileWith, Limits, PluginHost};

/// Say whether a server would take a component, and what its functions are
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin check tip_percent/dist/tip_percent.wasm")]
pub(crate) struct Check {
    /// The component, a .wasm file
    file: PathBuf,
}

pub(super) fn run(arguments: &Check) -> Result<(), Failure> {
    let shown = arguments.file.display();
    let bytes = fs::read(&arguments.file)
        .map_err(|error| Failure::user(format!("cannot read {shown}: {error}; give a .wasm file")))?;
    let name = arguments.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = if is_name(&name) { name } else { "plugin".to_owned() };
    let compiled = tempfile::tempdir()
        .map_err(|error| Failure::external(format!("cannot make a temporary folder: {error}")))?;
    let compile_with = CompileWith::Child { program: plugins::this_program()? };
    eprintln!("weir: compiling {shown}");
    let host = PluginHost::new(compiled.path(), Limits::default(), compile_with, Arc::new(SystemClock::new()));
    let plugin = host.admit(&name, &bytes)?;
    let mut lines = vec![format!("{shown} is a plugin that a server takes:")];
    lines.extend(plugin.exports().iter().map(|export| format!("  {export}")));
    lines.extend(plugin.ignored().iter().map(|export| format!("  {export} is not weir's, and ignored")));
    print(&lines.join("\n"))
}
