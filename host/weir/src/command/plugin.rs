//! `weir plugin ..`: the life of a plugin. `new` and `build` work on folders, the others ask a running server.

use super::init::{fill, write};
use super::{print, print_json};
use crate::client::{Client, ServerArguments, encode};
use crate::failure::Failure;
use crate::table;
use clap::{Args, Subcommand, ValueEnum};
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    New(New),
    Build(Build),
    Push(Push),
    List(List),
    Activate(Activate),
    Rollback(Rollback),
}

/// Make the folder of a plugin in Rust
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir plugin new tip_percent\n  weir plugin new fare_rise --kind aggregate --dir plugins/fare_rise"
)]
pub(crate) struct New {
    /// Its name, and that of its function
    name: String,
    /// What its function does
    #[arg(long, value_enum, default_value_t = PluginKind::Scalar)]
    kind: PluginKind,
    /// The folder to make (default: NAME)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where the kit is (default: guest-sdk/rust of the checkout around this folder or this program)
    #[arg(long, value_name = "PATH", env = "WEIR_SDK")]
    sdk: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PluginKind {
    /// One value from the arguments of each row
    Scalar,
    /// One value from many rows
    Aggregate,
}

/// Build a plugin's folder into a component
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin build tip_percent")]
pub(crate) struct Build {
    /// The plugin's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where the component goes (default: DIR/dist)
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The script that builds (default: plugins/build of the checkout around this folder or this program)
    #[arg(long, value_name = "PATH", env = "WEIR_PLUGIN_BUILD")]
    script: Option<PathBuf>,
}

/// Upload a component as the next version of a plugin
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin push tip_percent tip_percent/dist/tip_percent.wasm")]
pub(crate) struct Push {
    /// The plugin
    name: String,
    /// The component, a .wasm file
    file: PathBuf,
    #[command(flatten)]
    answer: Answer,
}

/// The plugins of a server and their versions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin list")]
pub(crate) struct List {
    #[command(flatten)]
    answer: Answer,
}

/// Make a version of a plugin the one that queries see
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin activate tip_percent 2")]
pub(crate) struct Activate {
    /// The plugin
    name: String,
    /// The version
    version: u32,
    #[command(flatten)]
    answer: Answer,
}

/// Go back to the version that was active before
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin rollback tip_percent")]
pub(crate) struct Rollback {
    /// The plugin
    name: String,
    #[command(flatten)]
    answer: Answer,
}

/// Whom to ask, and how to show the answer.
#[derive(Debug, Args)]
pub(crate) struct Answer {
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New(arguments) => new(&arguments),
        PluginCommand::Build(arguments) => build(&arguments),
        PluginCommand::Push(arguments) => push(&arguments),
        PluginCommand::List(arguments) => list(&arguments),
        PluginCommand::Activate(arguments) => activate(&arguments),
        PluginCommand::Rollback(arguments) => rollback(&arguments),
    }
}

const MANIFEST: &str = include_str!("../../templates/plugin/Cargo.toml");
const SCALAR: &str = include_str!("../../templates/plugin/scalar.rs");
const AGGREGATE: &str = include_str!("../../templates/plugin/aggregate.rs");
const SERDE: &str = "serde = { version = \"1\", default-features = false, features = [\"derive\"] }\n";

fn new(arguments: &New) -> Result<(), Failure> {
    let name = &arguments.name;
    check_name(name)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let shown = folder.display();
    if folder.join("Cargo.toml").exists() {
        return Err(Failure::user(format!("{shown} holds a crate already; give another --dir")));
    }
    let missing = "no kit found for plugins in Rust; give --sdk, or set WEIR_SDK, to the folder guest-sdk/rust of \
                   weir's sources";
    let sdk = find(arguments.sdk.as_deref(), "guest-sdk/rust", missing)?;
    let (source, serde) = match arguments.kind {
        PluginKind::Scalar => (SCALAR, ""),
        PluginKind::Aggregate => (AGGREGATE, SERDE),
    };
    let marks = [
        ("{{NAME}}", name.clone()),
        ("{{TYPE}}", type_name(name)),
        ("{{SDK}}", sdk.display().to_string()),
        ("{{SERDE}}\n", serde.to_owned()),
    ];
    write(&folder.join("Cargo.toml"), &fill(MANIFEST, &marks))?;
    write(&folder.join("src/lib.rs"), &fill(source, &marks))?;
    print(&format!(
        "made {shown}\n\n  cargo test --manifest-path {shown}/Cargo.toml\n  weir plugin build {shown}\n  \
         weir plugin push {name} {shown}/dist/{name}.wasm"
    ))
}

/// `fare_rise` -> `FareRise`
fn type_name(name: &str) -> String {
    let words = name.split('_').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| first.to_ascii_uppercase() + rest).collect()
}

fn check_name(name: &str) -> Result<(), Failure> {
    if weir_plan::is_name(name) {
        return Ok(());
    }
    let rule = "a name is a lower-case letter and then at most 63 of a-z, 0-9 and _";
    Err(Failure::user(format!("`{name}` is not a name of a plugin; {rule}")))
}

/// What was given, or else a part of the checkout.
fn find(given: Option<&Path>, part: &str, missing: &str) -> Result<PathBuf, Failure> {
    match given {
        Some(given) => {
            given.canonicalize().map_err(|error| Failure::user(format!("{}: {error}", given.display())))
        }
        None => in_checkout(part).ok_or_else(|| Failure::user(missing)),
    }
}

/// A part of weir's sources, if the working folder or this program is inside them.
pub(super) fn in_checkout(part: &str) -> Option<PathBuf> {
    let around = [std::env::current_dir(), std::env::current_exe()];
    let mut folders = around.iter().flatten().flat_map(|start| start.ancestors());
    // The interfaces of plugins are what makes a folder weir's: `plugins/` alone may be anybody's.
    let root = folders.find(|folder| folder.join("wit/aggregate.wit").exists())?;
    Some(root.join(part)).filter(|found| found.exists())
}

fn build(arguments: &Build) -> Result<(), Failure> {
    let missing = "the script that builds plugins was not found; give --script, or set WEIR_PLUGIN_BUILD, to \
                   plugins/build of weir's sources";
    let script = find(arguments.script.as_deref(), "plugins/build", missing)?;
    let mut command = std::process::Command::new(&script);
    if let Some(out) = &arguments.out {
        command.arg("--out").arg(out);
    }
    let folder = arguments.folder.canonicalize().map_err(|error| {
        Failure::user(format!("{}: {error}; give a plugin's folder", arguments.folder.display()))
    })?;
    let status = command.arg(folder).status();
    let status =
        status.map_err(|error| Failure::external(format!("cannot start {}: {error}", script.display())))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::user("the plugin was not built; see above")),
        _ => Err(Failure::external("the plugin was not built; see above")),
    }
}

fn push(arguments: &Push) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let bytes = fs::read(&arguments.file)
        .map_err(|error| Failure::user(format!("cannot read {}: {error}", arguments.file.display())))?;
    let client = Client::new(&arguments.answer.server)?;
    let path = format!("/v1/plugins?name={}", encode(&arguments.name));
    let stored = client.post(&path, "application/wasm", &bytes)?;
    if arguments.answer.json {
        return print_json(&stored);
    }
    let version = stored.get("version").map_or_else(|| "?".to_owned(), ToString::to_string);
    let exports = stored.get("exports").and_then(JsonContainerTrait::as_array).into_iter().flatten();
    let name = &arguments.name;
    let mut lines = vec![format!("{name} version {version}")];
    lines.extend(exports.filter_map(JsonValueTrait::as_str).map(|export| format!("  {export}")));
    let lost = stored.get("lost").and_then(JsonContainerTrait::as_array).into_iter().flatten();
    lines.extend(lost.filter_map(JsonValueTrait::as_str).map(|lost| {
        format!(
            "  without `{lost}`, which the active version has: a job that calls it keeps this from activation"
        )
    }));
    lines.push(format!("\n  weir plugin activate {name} {version}"));
    print(&lines.join("\n"))
}

fn list(arguments: &List) -> Result<(), Failure> {
    let listed = Client::new(&arguments.answer.server)?.get("/v1/plugins")?;
    if arguments.answer.json { print_json(&listed) } else { print(&listing(&listed)) }
}

fn listing(listed: &Value) -> String {
    let plugins = listed["plugins"].as_array().map_or(&[][..], |list| &**list);
    let mut rows = Vec::new();
    for plugin in plugins {
        let name = plugin.get("name").and_then(JsonValueTrait::as_str).unwrap_or_default();
        let active = plugin.get("active").and_then(JsonValueTrait::as_u64);
        for version in plugin.get("versions").and_then(JsonContainerTrait::as_array).into_iter().flatten() {
            let number = version.get("version").and_then(JsonValueTrait::as_u64);
            let exports = version.get("exports").and_then(JsonContainerTrait::as_array).into_iter().flatten();
            rows.push(vec![
                name.to_owned(),
                number.map_or_else(|| "?".to_owned(), |number| number.to_string()),
                if number.is_some() && number == active { "active".to_owned() } else { String::new() },
                exports.filter_map(JsonValueTrait::as_str).collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    table::render(&["plugin", "version", "", "functions"], &rows)
}

fn activate(arguments: &Activate) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let body = json!({"version": arguments.version}).to_string();
    let path = format!("/v1/plugins/{}/activate", encode(&arguments.name));
    let answer = Client::new(&arguments.answer.server)?.post(&path, "application/json", body.as_bytes())?;
    if arguments.answer.json {
        return print_json(&answer);
    }
    shown_effects(&answer, &format!("{} version {} is active", arguments.name, arguments.version))
}

fn rollback(arguments: &Rollback) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let path = format!("/v1/plugins/{}/rollback", encode(&arguments.name));
    let answer = Client::new(&arguments.answer.server)?.post(&path, "application/json", b"")?;
    if arguments.answer.json {
        return print_json(&answer);
    }
    shown_effects(&answer, &format!("{} version {} is active again", arguments.name, answer["active"]))
}

/// What is active, and for each job that it concerns whether it runs with it. One that does not is a failure.
fn shown_effects(answer: &Value, done: &str) -> Result<(), Failure> {
    let jobs = answer["jobs"].as_array().map_or(&[][..], |list| &**list);
    let name = |job: &Value| job["job"].as_str().unwrap_or("?").to_owned();
    let (applied, others): (Vec<&Value>, Vec<&Value>) = jobs.iter().partition(|job| job["applied"] == true);
    let with = match applied.iter().map(|job| name(job)).collect::<Vec<_>>() {
        names if names.is_empty() => String::new(),
        names => format!("; jobs that run with it now: {}", names.join(", ")),
    };
    print(&format!("{done}{with}"))?;
    let failed = others.iter().map(|job| {
        let reason = job["reason"].as_str().unwrap_or("?");
        Failure::user(format!("job {} does not use it: {reason}", name(job)))
    });
    Failure::all(failed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_after_plugins() {
        assert_eq!(type_name("fare_rise"), "FareRise");
        assert_eq!(type_name("a__b2"), "AB2");
    }

    #[test]
    fn a_new_plugin_is_complete_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let sdk = folder.path().join("sdk");
        write(&sdk.join("Cargo.toml"), "").unwrap();
        for kind in [PluginKind::Scalar, PluginKind::Aggregate] {
            let dir = folder.path().join(format!("{kind:?}"));
            let name = "fare_rise".to_owned();
            let arguments = New { name, kind, dir: Some(dir.clone()), sdk: Some(sdk.clone()) };
            new(&arguments).unwrap();
            let text = |path: &str| fs::read_to_string(dir.join(path)).unwrap();
            assert!(text("src/lib.rs").contains("fare_rise") && !text("src/lib.rs").contains("{{"));
            assert!(text("Cargo.toml").contains("sdk\" }") && !text("Cargo.toml").contains("{{"));
            assert_eq!(new(&arguments).unwrap_err().exit_code(), 1);
        }
    }

    #[test]
    fn names_are_checked_before_anything_is_made() {
        assert_eq!(check_name("Fare-Rise").unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_listing_has_a_row_per_version() {
        let listed = json!({"plugins": [{"name": "geo", "active": 2, "versions": [
            {"version": 1, "exports": ["scalar a"]}, {"version": 2, "exports": ["scalar a", "scalar b"]},
        ]}]});
        let lines: Vec<String> = listing(&listed).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("active") && lines[2].contains("scalar a, scalar b"), "{lines:?}");
    }
}
