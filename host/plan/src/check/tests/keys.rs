//! What the tables of keys say is true: a default, written out, changes nothing, and no key lacks its words.

use super::*;
use crate::check::keys::Section;
use crate::definition::PluginBounds;
use weir_connect::key::{NONE, REQUIRED};

/// The least that a definition of each file needs for its other keys to be allowed.
const BASES: [(&str, &str); 3] = [
    ("weir.yaml", "token: t\n"),
    ("streams/*.yaml", "fields: {id: string, t: timestamp}\nevent_time: t\nevent_id: id\n"),
    ("jobs/*.yaml", "query: SELECT 1\n"),
];

/// What a mapping needs beside any other key of it.
const NEEDED: [(&str, &str); 1] = [("archive.", "source: {file: {path: a}}, ")];

/// Everything that a text says, shown; the default of what it does not say included.
fn meaning(path: &str, text: &str) -> String {
    match path {
        "weir.yaml" => format!("{:?}", check_server(&file("weir.yaml", text), &context()).value),
        "streams/*.yaml" => format!("{:?}", stream(text)),
        _ => format!("{:?}", job(text)),
    }
}

/// Whether a default is one that can be written, and not one that is told in words.
fn is_written(default: &str) -> bool {
    ![NONE, REQUIRED].contains(&default) && (!default.contains(' ') || default.starts_with('{'))
}

#[test]
fn defaults_that_are_written_out_change_nothing() {
    let mut written = 0;
    for (path, base) in BASES {
        let keys = FILES.iter().find(|keys| keys.path == path).unwrap();
        // Below a name or a kind, which stand there in capitals, nothing is by default.
        let is_above = |section: &&Section| !section.prefix.contains(char::is_uppercase);
        for section in keys.sections.iter().filter(is_above) {
            let needed =
                NEEDED.iter().find(|(prefix, _)| *prefix == section.prefix).map_or("", |(_, needed)| needed);
            let above = section.prefix.trim_end_matches('.');
            let alone = if needed.is_empty() { String::new() } else { format!("{above}: {{{needed}}}\n") };
            let plain = meaning(path, &format!("{base}{alone}"));
            for row in section.keys.iter().filter(|row| is_written(row.default)) {
                let line = match section.prefix.strip_suffix('.') {
                    Some(above) => format!("{above}: {{{needed}{}: {}}}\n", row.name, row.default),
                    None => format!("{}: {}\n", row.name, row.default),
                };
                assert_eq!(meaning(path, &format!("{base}{line}")), plain, "{path}: {line}");
                written += 1;
            }
        }
    }
    assert!(written > 20, "only {written} defaults were written");
}

#[test]
fn every_key_has_its_words() {
    for section in FILES.iter().flat_map(|file| file.sections) {
        for row in section.keys {
            let words = [row.value, row.default, row.does];
            assert!(words.iter().all(|words| !words.is_empty()), "{}{}", section.prefix, row.name);
            assert!(!row.does.contains('|') && !row.does.ends_with('.'), "{}: {}", row.name, row.does);
        }
    }
}

#[test]
fn a_plugin_has_bounds_of_its_own() {
    let bounds = "plugins: {geo_py: {memory: 128MiB, output: 1MiB, state: 2KiB, log_lines: 0}}\n";
    let bounded = project(&[("weir.yaml", bounds)]).server.unwrap();
    let bounds = PluginBounds {
        memory_bytes: Some(128 << 20),
        fuel_per_call: None,
        output_bytes: Some(1 << 20),
        state_bytes: Some(2 << 10),
        log_lines: Some(0),
    };
    let long = project(&[("weir.yaml", "plugins: {geo_py: {state: 65KiB}}\n")]).diagnostics;
    assert!(long[0].to_string().contains("a state has up to 64KiB"), "{long:?}");
    assert_eq!(bounded.plugins, [("geo_py".to_owned(), bounds)].into());
}
