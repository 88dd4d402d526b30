//! `weir plugin check`: whether a server would take a component, and whether its functions keep the laws that weir relies
//! on. Needs no server. Knows how a report is shown; what is tried is the plugin host's business.

use super::report;
use crate::command::{print, print_json};
use crate::failure::Failure;
use crate::plugins;
use clap::Args;
use sonic_rs::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_plan::is_name;
use weir_plugin::{CompileWith, LabSettings, Limits, Plugin, PluginHost};

/// Say whether a server would take a component, and try its functions on made-up rows
///
/// Aggregates must give the same value however their rows are cut into stretches, calls and keys, and keyed logic must make
/// the same of a key's events; scalar functions must look at nothing except their row, and decoders at nothing except a
/// payload. Where that is not so, the smallest case is shown. Exit code 1: refused, or a law is broken.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir plugin check tip_percent/dist/tip_percent.wasm\n  \
                  weir plugin check trip.wasm --cases 1000 --html trip.html")]
pub(crate) struct Check {
    /// The component, a .wasm file
    file: PathBuf,
    /// Made-up histories for each law
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cases: u32,
    /// What they are made of: the same for the same number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Payloads of yours for a decoder, one a line
    #[arg(long, value_name = "FILE")]
    payloads: Option<PathBuf>,
    /// Write the report to this file too, as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The report as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Check) -> Result<(), Failure> {
    let (_compiled, plugin) = admitted(arguments)?;
    eprintln!("weir: trying {} function(s)", plugin.exports().len());
    let settings = LabSettings { cases: arguments.cases, seed: arguments.seed };
    let payloads = arguments.payloads.as_deref().map_or(Ok(Vec::new()), payloads)?;
    let tried = plugin.try_laws(settings, &payloads).map_err(Failure::user)?;
    let shown = arguments.file.display().to_string();
    if arguments.json {
        let ignored = plugin.ignored();
        let body = json!({"file": shown, "sha256": plugin.sha256(), "functions": &tried, "ignored": ignored});
        print_json(&body)?;
    } else {
        print(report::text(&shown, &plugin, &tried).trim_end())?;
    }
    if let Some(html) = &arguments.html {
        fs::write(html, report::html(&shown, &plugin, &tried))
            .map_err(|error| Failure::external(format!("cannot write {}: {error}", html.display())))?;
    }
    if tried.iter().all(weir_plugin::Tried::is_sound) {
        return Ok(());
    }
    Err(Failure::user("a law is broken: values would depend on how weir cuts and orders the work"))
}

/// The lines of a file that are not empty.
fn payloads(file: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = fs::read(file)
        .map_err(|error| Failure::user(format!("cannot read --payloads {}: {error}", file.display())))?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

/// The component, taken as a server takes it; its compiled code is in a folder that goes with the first of the two.
fn admitted(arguments: &Check) -> Result<(tempfile::TempDir, Arc<Plugin>), Failure> {
    let shown = arguments.file.display();
    let bytes = fs::read(&arguments.file)
        .map_err(|error| Failure::user(format!("cannot read {shown}: {error}; give a .wasm file")))?;
    let name = arguments.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = if is_name(&name) { name } else { "plugin".to_owned() };
    let compiled = tempfile::tempdir()
        .map_err(|error| Failure::external(format!("cannot make a temporary folder: {error}")))?;
    let compile_with = CompileWith::Child { program: plugins::this_program()? };
    eprintln!("weir: compiling {shown}");
    let clock = Arc::new(SystemClock::new());
    let limits = Limits { taken_names: weir_sql::taken, ..Limits::default() };
    let host = PluginHost::new(compiled.path(), limits, compile_with, clock);
    let plugin = host.admit(&name, &bytes)?;
    Ok((compiled, plugin))
}
