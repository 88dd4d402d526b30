//! The verbs of `weir plugin` that ask a running server: push, list, logs, activate, rollback, delete.

use super::{build, check_name};
use crate::client::{Client, ServerArguments, encode};
use crate::command::{print, print_json};
use crate::failure::Failure;
use crate::table;
use clap::Args;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// A watched folder is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

/// Upload a component as the next version of a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir plugin push tip_percent tip_percent/dist/tip_percent.wasm\n  \
                  weir plugin push tip_percent tip_percent --activate --watch")]
pub(crate) struct Push {
    /// The plugin
    name: String,
    /// The component, a .wasm file; or the plugin's folder, which is built first
    file: PathBuf,
    /// Make it the version that queries see
    #[arg(long)]
    activate: bool,
    /// Build and push again whenever a file of the folder has changed, until Ctrl-C
    #[arg(long)]
    watch: bool,
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

/// What a plugin has logged
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin logs tip_percent -f")]
pub(crate) struct Logs {
    /// The plugin
    name: String,
    /// Go on with new lines, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
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

/// Delete a plugin with all its versions, unless a job calls it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin delete tip_percent")]
pub(crate) struct Delete {
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

pub(super) fn push(arguments: &Push) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let path = &arguments.file;
    if !path.is_dir() {
        if arguments.watch {
            let shown = path.display();
            return Err(Failure::user(format!("--watch looks at a plugin's folder, and {shown} is not one")));
        }
        return push_file(arguments, path);
    }
    if arguments.watch { watch(arguments) } else { push_folder(arguments) }
}

/// Until a folder or a server is looked at again.
#[allow(clippy::disallowed_methods, reason = "people save files and servers log by the wall's time")]
fn pause() {
    thread::sleep(LOOK_AGAIN);
}

fn push_folder(arguments: &Push) -> Result<(), Failure> {
    push_file(arguments, &build::folder(&arguments.file)?)
}

/// Until Ctrl-C: what fails is said, and tried again after the next change.
fn watch(arguments: &Push) -> Result<(), Failure> {
    let mut pushed = None;
    loop {
        let written = last_written(&arguments.file);
        if written == pushed {
            pause();
            continue;
        }
        pushed = written;
        match push_folder(arguments) {
            Ok(()) => eprintln!("weir: watching {}", arguments.file.display()),
            Err(failure) => {
                eprintln!("error: {failure}\nweir: waiting for a change of {}", arguments.file.display())
            }
        }
    }
}

/// When a source was last written: the newest of the folder's files, except what building makes.
fn last_written(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let newest = entries.filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(['.', '_']) || matches!(&*name, "dist" | "target" | "Cargo.lock") {
            None
        } else if entry.path().is_dir() {
            last_written(&entry.path())
        } else {
            entry.metadata().ok()?.modified().ok()
        }
    });
    newest.max()
}

fn push_file(arguments: &Push, file: &Path) -> Result<(), Failure> {
    let bytes =
        fs::read(file).map_err(|error| Failure::user(format!("cannot read {}: {error}", file.display())))?;
    let client = Client::new(&arguments.answer.server)?;
    if !arguments.answer.json {
        eprintln!("weir: pushing {} ({:.1} MB)", file.display(), bytes.len() as f64 / 1e6);
    }
    let path = format!("/v1/plugins?name={}", encode(&arguments.name));
    let stored = client.post(&path, "application/wasm", &bytes)?;
    let name = &arguments.name;
    if !arguments.answer.json {
        print(&pushed(name, &stored, arguments.activate))?;
    } else if !arguments.activate {
        return print_json(&stored);
    }
    if !arguments.activate {
        return Ok(());
    }
    let version = stored["version"].as_u64().unwrap_or_default();
    activated(&client, name, version, arguments.answer.json)
}

/// What was taken, and what to type next.
fn pushed(name: &str, stored: &Value, activates: bool) -> String {
    let version = stored.get("version").map_or_else(|| "?".to_owned(), ToString::to_string);
    let exports = stored.get("exports").and_then(JsonContainerTrait::as_array).into_iter().flatten();
    let mut lines = vec![format!("{name} version {version}")];
    lines.extend(exports.filter_map(JsonValueTrait::as_str).map(|export| format!("  {export}")));
    let lost = stored.get("lost").and_then(JsonContainerTrait::as_array).into_iter().flatten();
    lines.extend(lost.filter_map(JsonValueTrait::as_str).map(|lost| {
        format!(
            "  `{lost}` is not in it as in the active version: a job that calls it keeps this from activation"
        )
    }));
    if !activates {
        lines.push(format!("\n  weir plugin activate {name} {version}"));
    }
    lines.join("\n")
}

pub(super) fn list(arguments: &List) -> Result<(), Failure> {
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

pub(super) fn logs(arguments: &Logs) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let client = Client::new(&arguments.answer.server)?;
    let mut after = 0;
    loop {
        let answer = client.get(&format!("/v1/plugins/{}/logs?after={after}", encode(&arguments.name)))?;
        for line in answer["lines"].as_array().map_or(&[][..], |lines| &**lines) {
            let number = line["number"].as_u64().unwrap_or_default();
            if after > 0 && number > after + 1 {
                print(&format!("({} lines came too fast to be kept)", number - after - 1))?;
            }
            after = number;
            print(&if arguments.answer.json { line.to_string() } else { log_line(line) })?;
        }
        if !arguments.follow {
            return Ok(());
        }
        pause();
    }
}

fn log_line(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let job = match text("job") {
        job if job.is_empty() => String::new(),
        job => format!(" [{job}]"),
    };
    format!("{} {:5}{job} {}", text("at"), text("level"), text("message"))
}

pub(super) fn activate(arguments: &Activate) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let client = Client::new(&arguments.answer.server)?;
    activated(&client, &arguments.name, arguments.version.into(), arguments.answer.json)
}

fn activated(client: &Client, name: &str, version: u64, json: bool) -> Result<(), Failure> {
    let body = json!({"version": version}).to_string();
    let path = format!("/v1/plugins/{}/activate", encode(name));
    let answer = client.post(&path, "application/json", body.as_bytes())?;
    if json {
        return print_json(&answer);
    }
    shown_effects(&answer, &format!("{name} version {version} is active"))
}

pub(super) fn delete(arguments: &Delete) -> Result<(), Failure> {
    check_name(&arguments.name)?;
    let path = format!("/v1/plugins/{}", encode(&arguments.name));
    let answer = Client::new(&arguments.answer.server)?.delete(&path)?;
    if arguments.answer.json {
        return print_json(&answer);
    }
    let versions = answer["versions"].as_array().map_or(0, sonic_rs::Array::len);
    print(&format!("{} is deleted, with {versions} version(s)", arguments.name))
}

pub(super) fn rollback(arguments: &Rollback) -> Result<(), Failure> {
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
    fn a_listing_has_a_row_per_version() {
        let listed = json!({"plugins": [{"name": "geo", "active": 2, "versions": [
            {"version": 1, "exports": ["scalar a"]}, {"version": 2, "exports": ["scalar a", "scalar b"]},
        ]}]});
        let lines: Vec<String> = listing(&listed).lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("active") && lines[2].contains("scalar a, scalar b"), "{lines:?}");
    }
}
