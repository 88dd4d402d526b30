//! The benchmark: `make bench`, or `cargo bench --workspace --bench speed -- [EVENTS] [Q1 Q2 .. kafka kinesis lookups
//! parquet formats sinks]`. It prints and asserts nothing. It wants the release `weir` built, as `make bench` does first.

mod bare;
mod columns;
mod formats;
mod kafka;
mod kinesis;
mod lookups;
mod rides;
mod sinks;
mod takers;
mod visible;

#[path = "../../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "it is that of the tests, of which this needs a part")]
mod harness;
#[path = "../../services/mod.rs"]
#[allow(dead_code, reason = "they are those of the tests, of which this needs a part")]
mod services;

use std::path::{Path, PathBuf};

fn main() {
    // `cargo bench` adds flags of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let events: u64 = arguments.iter().find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let names: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|word| word.parse::<u64>().is_err()).collect();
    let is_wanted = |name: &str| names.is_empty() || names.contains(&name);
    if is_wanted("parquet") {
        columns::measure(events);
    }
    if is_wanted("formats") {
        formats::measure(events);
    }
    rides::measure(events, is_wanted);
    if is_wanted("kafka") {
        kafka::measure(events);
    }
    if is_wanted("kinesis") {
        kinesis::measure(events);
    }
    if is_wanted("lookups") {
        lookups::measure();
    }
    if is_wanted("sinks") {
        sinks::measure(events);
    }
}

/// The `weir` command that was built beside this benchmark.
fn weir() -> PathBuf {
    let bench = std::env::current_exe().expect("a running benchmark has a path");
    let built = bench.parent().and_then(Path::parent).expect("it lives in target/PROFILE/deps").join("weir");
    assert!(built.is_file(), "{} is missing: `cargo build --release` makes it", built.display());
    built
}

/// Writes the files of a project.
fn project(folder: &Path, files: &[(&str, String)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        std::fs::write(path, text).expect("files can be written");
    }
}
