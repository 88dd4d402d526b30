//! Texts of a project's files -> checked definitions, with everything that is wrong at once.
//!
//! A text is parsed to a tree of values with places (`node`), references to the environment are replaced
//! (`environment`), and a reader per kind of file takes the keys that it knows (`report` collects what is wrong).
//! Knows every key of every definition. Must not know: files and folders (the caller reads them), SQL, kinds of
//! connectors and their settings ([`ConnectorKinds`] judges them).

mod archive;
mod bootstrap;
mod connectors;
mod environment;
mod features;
mod hidden;
mod job;
mod keys;
mod names;
mod node;
mod pins;
mod query;
mod report;
mod server;
mod stream;
mod survey;
#[cfg(test)]
mod tests;
mod times;
mod transform;
mod variables;

pub use connectors::{ConnectorKinds, FormatProblem, RecordKind, SettingProblem};
pub use environment::Environment;
pub use keys::{FILES, FileKeys, Section};
pub use names::is_name;
pub use survey::{Survey, survey};
pub use transform::LOOKUP_PARAMETERS;
pub use variables::{Variable, place_of_variable, server_variables};

use crate::definition::{JobDefinition, ServerDefinition, StreamDefinition};
use crate::diagnostic::Diagnostic;
use node::{Node, Place, Value};
use report::Report;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path from the project folder, with `/` between names; empty for what came over HTTP.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Everything that a project's definitions are made of.
#[derive(Debug, Clone, Default)]
pub struct ProjectFiles {
    /// `weir.yaml`, if there is one.
    pub server: Option<SourceFile>,
    /// Everything in `streams/` that ends in `.yaml`, `.yml`, `.json` or `.sql`.
    pub streams: Vec<SourceFile>,
    /// Everything in `jobs/` that ends in `.yaml`, `.yml` or `.json`.
    pub jobs: Vec<SourceFile>,
    /// By path: every `.sql` file in `jobs/`, and what [`needed_query_files`] names, as far as there are such files.
    pub queries: BTreeMap<String, String>,
}

/// Files by their paths, as a project's folder has them: what is neither `weir.yaml` nor in `streams/` or `jobs/` can be
/// the query of a job that names it.
impl<P: Into<String>, T: Into<String>> FromIterator<(P, T)> for ProjectFiles {
    fn from_iter<I: IntoIterator<Item = (P, T)>>(texts: I) -> Self {
        let mut files = ProjectFiles::default();
        for (path, text) in texts {
            let file = SourceFile { path: path.into(), text: text.into() };
            match file.path.split_once('/') {
                None if file.path == "weir.yaml" => files.server = Some(file),
                Some(("streams", _)) => files.streams.push(file),
                Some(("jobs", _)) if !has_ending(&file.path, "sql") => files.jobs.push(file),
                _ => drop(files.queries.insert(file.path, file.text)),
            }
        }
        files
    }
}

/// What definitions are read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Values for `${NAME}`; over HTTP one that knows no name, lest a definition show the server's secrets.
    pub environment: &'a Environment<'a>,
    /// Judges connectors.
    pub kinds: &'a dyn ConnectorKinds,
}

/// A definition, and all that is to be said of it.
#[derive(Debug, Clone)]
pub struct Outcome<T> {
    /// The definition; `None` exactly if there is an error among the diagnostics.
    pub value: Option<T>,
    /// Errors, warnings and notices in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// The name that it gives itself and its place, also where the rest is wrong.
    name: Option<(String, Place)>,
}

/// A project's definitions, as far as they could be read.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Settings of the server; `None` if something is wrong with them.
    pub server: Option<ServerDefinition>,
    /// Streams without errors, in the order of their files.
    pub streams: Vec<Arc<StreamDefinition>>,
    /// Jobs without errors, in the order of their files.
    pub jobs: Vec<JobDefinition>,
    /// Streams that have errors, by name with their files: a query that names one of them has no error of its own in
    /// that.
    pub refused_streams: BTreeMap<String, String>,
    /// Jobs that have errors, by name with their files.
    pub refused_jobs: BTreeMap<String, String>,
    /// Everything to say, in the order of files and places.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a whole project.
pub fn check_project(
    files: &ProjectFiles,
    environment: &Environment<'_>,
    kinds: &dyn ConnectorKinds,
) -> Checked {
    let context = Context { environment, kinds };
    let no_file = SourceFile { path: "weir.yaml".to_owned(), text: String::new() };
    let server = check_server(files.server.as_ref().unwrap_or(&no_file), &context);
    let mut streams: Vec<_> =
        files.streams.iter().map(|file| check_stream(file, names::stem(&file.path), &context)).collect();
    refuse_repeated("stream", &files.streams, &mut streams);
    let mut jobs: Vec<_> = files
        .jobs
        .iter()
        .map(|file| check_job(file, names::stem(&file.path), &files.queries, &context))
        .collect();
    refuse_repeated("job", &files.jobs, &mut jobs);

    let mut diagnostics = server.diagnostics;
    diagnostics.extend(streams.iter().flat_map(|outcome| outcome.diagnostics.clone()));
    diagnostics.extend(jobs.iter().flat_map(|outcome| outcome.diagnostics.clone()));
    diagnostics.extend(unused_queries(files, &context));
    let refused_streams = refused(&files.streams, &streams);
    let refused_jobs = refused(&files.jobs, &jobs);
    Checked {
        server: server.value,
        streams: streams.into_iter().filter_map(|outcome| outcome.value).map(Arc::new).collect(),
        jobs: jobs.into_iter().filter_map(|outcome| outcome.value).collect(),
        refused_streams,
        refused_jobs,
        diagnostics,
    }
}

/// Definitions with errors: the names that they give themselves, or else those of their files, and their files (of
/// several that have one name the last, whose error names the others).
fn refused<T>(files: &[SourceFile], outcomes: &[Outcome<T>]) -> BTreeMap<String, String> {
    let refused = files.iter().zip(outcomes).filter(|(_, outcome)| outcome.value.is_none());
    let named = refused.map(|(file, outcome)| {
        let name = outcome.name.as_ref().map_or_else(|| names::stem(&file.path), |(name, _)| name);
        (name.to_owned(), file.path.clone())
    });
    named.collect()
}

/// Reads `weir.yaml`, and what the environment gives in place of its settings.
pub fn check_server(file: &SourceFile, context: &Context<'_>) -> Outcome<ServerDefinition> {
    let mut outcome = check(file, names::stem(&file.path), context, |root, _, report| {
        server::read(&variables::with_variables(root, context.environment), report)
    });
    variables::name_variables(&mut outcome.diagnostics);
    outcome
}

/// Reads a stream; `default_name` is its name unless it gives itself another.
pub fn check_stream(
    file: &SourceFile,
    default_name: &str,
    context: &Context<'_>,
) -> Outcome<StreamDefinition> {
    if has_ending(&file.path, "sql") {
        let message = "CREATE TABLE: weir 0.1 does not have this yet; declare the stream in a .yaml file";
        let diagnostics = vec![Diagnostic::error(&*file.path, 1, 1, message)];
        return Outcome { value: None, diagnostics, name: Some((default_name.to_owned(), node::START)) };
    }
    check(file, default_name, context, |root, name, report| {
        stream::read(root, default_name, context, name, report)
    })
}

/// Reads a job; `default_name` is its name unless it gives itself another, `queries` are texts of files by path.
pub fn check_job(
    file: &SourceFile,
    default_name: &str,
    queries: &BTreeMap<String, String>,
    context: &Context<'_>,
) -> Outcome<JobDefinition> {
    check(file, default_name, context, |root, name, report| {
        job::read(root, &file.path, default_name, queries, context, name, report)
    })
}

/// Paths of all files that may hold the query of a job: those that jobs name, and `NAME.sql` beside each. Some of
/// the latter need not be there.
pub fn needed_query_files(files: &ProjectFiles, environment: &Environment<'_>) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for file in &files.jobs {
        if let Ok(mut root) = node::parse(&file.path, &file.text) {
            environment::substitute(&mut root, environment, &mut Report::new(&file.path));
            paths.extend(query::candidates(&root, &file.path));
        }
    }
    paths.into_iter().collect()
}

fn check<T>(
    file: &SourceFile,
    default_name: &str,
    context: &Context<'_>,
    read: impl FnOnce(&Node, &mut Option<(String, Place)>, &mut Report) -> Option<T>,
) -> Outcome<T> {
    let mut root = match node::parse(&file.path, &file.text) {
        Ok(root) => root,
        Err(diagnostic) => {
            let name = Some((default_name.to_owned(), node::START));
            return Outcome { value: None, diagnostics: vec![diagnostic], name };
        }
    };
    let (mut report, mut name) = (Report::new(&file.path), None);
    environment::substitute(&mut root, context.environment, &mut report);
    let unread = std::mem::take(&mut report.diagnostics);
    if let Value::List(_) = root.value {
        report.error(
            root.place,
            "expected a mapping of keys and values, found a list; a file holds one definition",
        );
        return Outcome { value: None, diagnostics: report.diagnostics, name };
    }
    let value = read(&root, &mut name, &mut report);
    // What a value is wrong for is not known where its reference could not be replaced.
    let same_place =
        |left: &Diagnostic, right: &Diagnostic| (left.line, left.column) == (right.line, right.column);
    report.diagnostics.retain(|found| !unread.iter().any(|earlier| same_place(earlier, found)));
    report.diagnostics.extend(unread);
    let value = if report.has_errors() { None } else { value };
    let mut diagnostics = report.diagnostics;
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    Outcome { value, diagnostics, name }
}

/// Definitions of one name: none of them counts, as which one was meant is not for the order of their files to say.
fn refuse_repeated<T>(noun: &str, files: &[SourceFile], outcomes: &mut [Outcome<T>]) {
    let mut holders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (file, outcome) in files.iter().zip(&*outcomes) {
        if let Some((name, _)) = &outcome.name {
            holders.entry(name.clone()).or_default().push(&file.path);
        }
    }
    for (file, outcome) in files.iter().zip(outcomes) {
        let Some((name, (line, column))) = outcome.name.clone() else { continue };
        let others = holders.get(&name).into_iter().flatten().filter(|other| **other != file.path);
        let others: Vec<&str> = others.copied().collect();
        if !others.is_empty() {
            let others = others.join(", ");
            let message = format!("{noun} `{name}` is in {others} as well; give each a name of its own");
            outcome.diagnostics.push(Diagnostic::error(&*file.path, line, column, message));
            outcome.value = None;
        }
    }
}

/// A query in `jobs/` that no job has is a job whose file is missing or called otherwise.
fn unused_queries(files: &ProjectFiles, context: &Context<'_>) -> Vec<Diagnostic> {
    let used = needed_query_files(files, context.environment);
    let stray = files.queries.keys().filter(|path| path.starts_with("jobs/") && !used.contains(path));
    let warn = |path: &String| {
        let message =
            "no job has this query; add a .yaml file of the same name, or name it as a `query_file`";
        Diagnostic::warning(path, 1, 1, message)
    };
    stray.map(warn).collect()
}

fn has_ending(path: &str, ending: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, found)| found.eq_ignore_ascii_case(ending))
}
