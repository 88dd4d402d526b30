//! Which files of a project make a pack: its definitions, their queries, its plugins, and what its streams name of the
//! folders for that; never its settings or its state.

use super::{View, planned};
use crate::definitions;
use crate::failure::Failure;
use crate::project::Project;
use glob::Pattern;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_pack::archive::Files;
use weir_pack::bounds;
use weir_pack::paths::{self, NAMED_FOLDERS};
use weir_pack::{Digest, PackVariable};
use weir_plan::{Diagnostic, ProjectFiles, Severity, SourceFile, Survey, survey};

/// What may be data to try a pack with; more is somebody's events.
const DATA_BYTES: u64 = 16 << 20;
/// Where components are.
const PLUGINS: &str = "plugins";

/// Which of a project's files are meant.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Of these alone, and what they need; of all where there is none.
    pub(crate) include: Vec<Pattern>,
    /// And none of these.
    pub(crate) exclude: Vec<Pattern>,
    /// Also those that have secrets written out.
    pub(crate) allow_secrets: bool,
}

impl Choice {
    /// Reads patterns of paths, from the project's folder.
    pub(crate) fn of(include: &[String], exclude: &[String], allow_secrets: bool) -> Result<Choice, Failure> {
        let pattern = |text: &String| {
            Pattern::new(text.strip_prefix("./").unwrap_or(text))
                .map_err(|error| Failure::user(format!("`{text}` is not a pattern of paths: {error}")))
        };
        let patterns = |texts: &[String]| texts.iter().map(pattern).collect::<Result<Vec<_>, _>>();
        Ok(Choice { include: patterns(include)?, exclude: patterns(exclude)?, allow_secrets })
    }

    fn is_meant(&self, path: &str) -> bool {
        let is_among = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(path));
        (self.include.is_empty() || is_among(&self.include)) && !is_among(&self.exclude)
    }

    fn is_excluded(&self, path: &str) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(path))
    }
}

/// The files of a pack, and what is said of them.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) files: Files,
    pub(crate) variables: Vec<PackVariable>,
    /// What the pack does not have and its definitions name.
    pub(crate) notices: Vec<String>,
}

/// Takes the files that are meant, after the project's definitions were checked.
pub(crate) fn select(
    project: &Project,
    choice: &Choice,
    overrides: &BTreeMap<String, String>,
) -> Result<Selection, Failure> {
    let definitions = chosen(project, choice)?;
    let surveys: Vec<(&SourceFile, Survey)> =
        definitions.streams.iter().chain(&definitions.jobs).map(|file| (file, survey(file))).collect();
    let secrets: Vec<Diagnostic> = surveys.iter().flat_map(|(_, survey)| survey.secrets.clone()).collect();
    if !secrets.is_empty() && !choice.allow_secrets {
        let more =
            "a pack is for others, so it holds no secrets; --allow-secrets packs what only looks like one";
        Failure::all(vec![Failure::definitions(&secrets), Failure::user(more)])?;
    }
    let mut selection =
        Selection { files: texts(&definitions)?, variables: variables(&surveys), notices: Vec::new() };
    for (file, survey) in &surveys {
        for text in &survey.texts {
            take_named(project, choice, (&file.path, text), &mut selection)?;
        }
    }
    if !choice.include.is_empty() {
        take_included(project, choice, &mut selection)?;
    }
    check_data(&selection.files)?;
    take_plugins(project, choice, overrides, &mut selection.files)?;
    if selection.files.is_empty() {
        return Err(Failure::user("nothing is left to be packed; --include says which paths are meant"));
    }
    Ok(selection)
}

/// The definitions that are meant and the streams that they read, of a project whose definitions have no errors. What is
/// wrong with its settings is nothing that a pack has.
fn chosen(project: &Project, choice: &Choice) -> Result<ProjectFiles, Failure> {
    let checked = definitions::check(project, Arc::new(SystemClock::new()));
    let files = project.files();
    let of_definitions = |found: &&Diagnostic| {
        let is_definition = ["streams", "jobs"].iter().any(|folder| found.file.starts_with(folder));
        found.severity == Severity::Error && (is_definition || files.queries.contains_key(&found.file))
    };
    let errors: Vec<Diagnostic> = checked.diagnostics.iter().filter(of_definitions).cloned().collect();
    if !errors.is_empty() {
        return Err(Failure::definitions(&errors));
    }
    let jobs: Vec<SourceFile> =
        files.jobs.iter().filter(|file| choice.is_meant(&file.path)).cloned().collect();
    let is_chosen = |file: &str| jobs.iter().any(|job| job.path == file);
    let of_chosen = checked.jobs.iter().filter(|job| is_chosen(&job.file));
    let read: BTreeSet<String> =
        of_chosen.flat_map(|job| weir_sql::tables(&job.query).unwrap_or_default()).collect();
    // Without errors there is a definition for each file, in their order.
    let streams = files.streams.iter().zip(&checked.streams);
    let streams = streams.filter(|(file, stream)| {
        choice.is_meant(&file.path) || read.contains(&stream.name) && !choice.is_excluded(&file.path)
    });
    let streams = streams.map(|(file, _)| file.clone()).collect();
    let chosen = ProjectFiles { server: None, streams, jobs, queries: BTreeMap::new() };
    let query = |path: String| Some((path.clone(), files.queries.get(&path)?.clone()));
    let queries = project.query_files(&chosen).into_iter().filter_map(query).collect();
    Ok(ProjectFiles { queries, ..chosen })
}

/// The texts of definitions and of their queries.
fn texts(definitions: &ProjectFiles) -> Result<Files, Failure> {
    let files = definitions.streams.iter().chain(&definitions.jobs).map(|file| (&file.path, &file.text));
    let all = files.chain(&definitions.queries);
    let checked =
        all.map(|(path, text)| paths::check(path).map(|()| (path.clone(), text.clone().into_bytes())));
    Ok(checked.collect::<Result<Files, _>>()?)
}

/// The variables that definitions name, each with the files that do.
fn variables(surveys: &[(&SourceFile, Survey)]) -> Vec<PackVariable> {
    let mut found: BTreeMap<String, PackVariable> = BTreeMap::new();
    for (file, survey) in surveys {
        for (name, default) in &survey.variables {
            let new = || PackVariable { name: name.clone(), default: default.clone(), files: Vec::new() };
            let known = found.entry(name.clone()).or_insert_with(new);
            known.files.push(file.path.clone());
            if default.is_none() {
                known.default = None;
            }
        }
    }
    found.into_values().collect()
}

/// Takes the files that a text of a definition names, if it is a path or a pattern of paths.
fn take_named(
    project: &Project,
    choice: &Choice,
    (definition, text): (&str, &str),
    selection: &mut Selection,
) -> Result<(), Failure> {
    let text = text.strip_prefix("./").unwrap_or(text);
    if text.is_empty() || text.contains("${") || text.contains("://") {
        return Ok(());
    }
    let not_taken = |why: &str| format!("{definition} names {text}, which is not in the pack: {why}");
    if Path::new(text).is_absolute() {
        if Path::new(text).exists() {
            selection.notices.push(not_taken("it is a path of this machine"));
        }
        return Ok(());
    }
    for path in matching(project.folder(), text) {
        let top = path.split('/').next().unwrap_or_default();
        if !NAMED_FOLDERS.contains(&top) {
            let folders = paths::in_words(&NAMED_FOLDERS);
            selection.notices.push(not_taken(&format!("what definitions name is packed from {folders}")));
            return Ok(());
        }
        if choice.is_excluded(&path) {
            continue;
        }
        if let Some(folder) =
            path.strip_suffix(".proto").and_then(|stem| stem.rsplit_once('/')).map(|(folder, _)| folder)
        {
            // Its imports are beside it.
            for beside in matching(project.folder(), &format!("{folder}/**/*.proto")) {
                take(project, &beside, &mut selection.files)?;
            }
        }
        take(project, &path, &mut selection.files)?;
    }
    Ok(())
}

/// Takes what else is meant of the folders of what definitions name.
fn take_included(project: &Project, choice: &Choice, selection: &mut Selection) -> Result<(), Failure> {
    for folder in NAMED_FOLDERS {
        for path in matching(project.folder(), &format!("{folder}/**/*")) {
            if choice.is_meant(&path) {
                take(project, &path, &mut selection.files)?;
            }
        }
    }
    Ok(())
}

/// The regular files of a project at a path or a pattern, in the order of their names.
fn matching(project: &Path, pattern: &str) -> Vec<String> {
    let exact = project.join(pattern);
    if exact.is_file() {
        return vec![pattern.to_owned()];
    }
    if !pattern.contains('/') || !pattern.contains(['*', '?', '[']) {
        return Vec::new();
    }
    // Only what stands behind the project's folder is a pattern.
    let below = format!("{}/{pattern}", Pattern::escape(&project.display().to_string()));
    let found = glob::glob(&below).into_iter().flatten().filter_map(Result::ok).filter(|path| path.is_file());
    let shown = found.filter_map(|path| Some(path.strip_prefix(project).ok()?.display().to_string()));
    shown.filter(|path| !path.split('/').any(|name| name.starts_with('.'))).collect()
}

/// Reads a file of the project into the pack.
fn take(project: &Project, path: &str, files: &mut Files) -> Result<(), Failure> {
    paths::check(path)?;
    let at = project.folder().join(path);
    let unreadable = |error: std::io::Error| Failure::user(format!("cannot read {path}: {error}"));
    let real = fs::canonicalize(&at).map_err(unreadable)?;
    if !real.starts_with(project.folder()) {
        return Err(Failure::user(format!(
            "{path} is a link that leads out of the project; put the file in its place"
        )));
    }
    let bytes = fs::metadata(&real).map_err(unreadable)?.len();
    if bytes > bounds::COMPONENT_BYTES {
        return Err(too_large(path, bytes));
    }
    files.insert(path.to_owned(), fs::read(&real).map_err(unreadable)?);
    Ok(())
}

fn too_large(path: &str, bytes: u64) -> Failure {
    Failure::user(format!(
        "{path} has {}, and a pack holds up to {} of data to try it with; leave it out with --exclude '{path}'",
        bounds::shown(bytes),
        bounds::shown(DATA_BYTES)
    ))
}

fn check_data(files: &Files) -> Result<(), Failure> {
    let is_data = |path: &str| NAMED_FOLDERS.contains(&path.split('/').next().unwrap_or_default());
    let data =
        || files.iter().filter(|(path, _)| is_data(path)).map(|(path, bytes)| (path, bytes.len() as u64));
    let largest = data().max_by_key(|(_, bytes)| *bytes);
    match largest {
        Some((path, _)) if data().map(|(_, bytes)| bytes).sum::<u64>() > DATA_BYTES => {
            Err(too_large(path, data().map(|(_, bytes)| bytes).sum()))
        }
        _ => Ok(()),
    }
}

/// Takes the plugins: all, or where only some files are meant, those among them and those whose functions the jobs call.
fn take_plugins(
    project: &Project,
    choice: &Choice,
    overrides: &BTreeMap<String, String>,
    files: &mut Files,
) -> Result<(), Failure> {
    let mut found = Files::new();
    for path in matching(project.folder(), &format!("{PLUGINS}/*.wasm")) {
        if !choice.is_excluded(&path) {
            take(project, &path, &mut found)?;
        }
    }
    if choice.include.is_empty() || found.is_empty() {
        files.extend(found);
        return Ok(());
    }
    let all: Files = files.clone().into_iter().chain(found.clone()).collect();
    let view = View::of(&all)?;
    let definitions =
        planned(&view.project(overrides.clone())?).map_err(|failure| view.told(failure, project.folder()))?;
    let called: BTreeSet<String> = definitions.jobs().flat_map(weir_plan::JobPlan::components).collect();
    files.extend(
        found
            .into_iter()
            .filter(|(path, bytes)| choice.is_meant(path) || called.contains(&Digest::of(bytes).hex())),
    );
    Ok(())
}

#[cfg(test)]
mod tests;
