//! `weir pack install`: a pack into a project, after it was shown, its signature judged, and the project that would come of it
//! checked as a whole.

use super::show::{contents, head};
use super::source::Source;
use super::trust::{Trust, TrustArguments};
use crate::command::print;
use crate::failure::Failure;
use crate::packing::{SoundProject, View, planned, variables};
use crate::project::Project;
use crate::state::{self, StateCheck};
use crate::{definitions, kinds::RegisteredKinds, table};
use clap::Args;
use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_pack::config::version;
use weir_pack::install::{Change, Changes, clear, compare};
use weir_pack::paths::FOLDERS;
use weir_pack::signature::Signed;
use weir_pack::{Pack, PackVariable, bounds};
use weir_plan::{Diagnostic, ServerDefinition};

/// Put the files of a pack into a project, after showing what they are and checking what comes of it
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is written before the project with the pack in it has no errors, as `weir check` has them. A file that \
                  is there and differs is never replaced without --replace, except what an earlier version of the pack wrote and \
                  nobody has changed. What is installed is recorded in packs/NAME.json, which belongs to the project. An \
                  installation that was killed is completed by typing it again. A server takes what is new at its next \
                  start.\n\nExamples:\n  weir pack install user-risk-1.2.0.tar --project my-features\n  weir pack install user-risk-1.2.0.tar \
                  --dry-run --set BROKERS=127.0.0.1:9092"
)]
pub(crate) struct InstallPack {
    #[command(flatten)]
    source: Source,
    /// The project's folder, made where it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// A variable as the server's environment will have it, for the check; nothing of it is written; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    trust: TrustArguments,
    /// Replace files that differ
    #[arg(long)]
    replace: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(arguments: &InstallPack) -> Result<(), Failure> {
    let artifact = arguments.source.read()?;
    let pack = artifact.open()?;
    let folder = &arguments.project;
    let overrides = variables(&arguments.set)?;
    let server = settings(folder, &overrides)?;
    let signed = Trust::of(&arguments.trust)?.within(&server.packs)?.judge(&artifact)?;
    refuse_in_data(&pack, &server)?;
    let signed_by = match &signed {
        Signed::By(key, _) => Some(key.to_string()),
        Signed::No | Signed::Unknown(_) => None,
    };
    let changes = compare(&pack, folder, signed_by)?;
    if changes.is_nothing() {
        return print(&format!(
            "{} is installed in {}: nothing to do",
            pack.config.title(),
            folder.display()
        ));
    }
    print(&format!(
        "{}\n{}\n\n{}\n",
        head(&pack, &signed),
        contents(&pack.config),
        shown(&pack, &changes, arguments.replace)
    ))?;
    let conflicts: Vec<&str> = changes.conflicts().collect();
    if !conflicts.is_empty() && !arguments.replace {
        return Err(Failure::user(format!(
            "{}: something else is there under {}; --replace replaces it, or move it elsewhere",
            folder.display(),
            if conflicts.len() == 1 {
                "that name".to_owned()
            } else {
                format!("these {} names", conflicts.len())
            }
        ))
        .map_lines(|line| format!("{}\n{line}", conflicts.join("\n"))));
    }
    checked(arguments, &pack, &changes, &server, overrides)?;
    if arguments.dry_run {
        return print("nothing was written, because of --dry-run");
    }
    if !arguments.yes && !agreed()? {
        return print("nothing was written");
    }
    clear(folder)?;
    changes.apply(&pack, folder)?;
    print(&format!(
        "installed {} in {}; a server takes it at its next start",
        pack.config.title(),
        folder.display()
    ))
}

/// The settings of the project; those of a server where there is none yet. A folder that holds something else is refused.
fn settings(folder: &Path, overrides: &BTreeMap<String, String>) -> Result<ServerDefinition, Failure> {
    // What the environment says of a server holds for a new project too.
    let view;
    let project = if is_new(folder)? {
        view = View::of(&BTreeMap::new())?;
        view.project(overrides.clone())?
    } else {
        Project::read_with(folder, overrides.clone())?
    };
    let checked = definitions::check(&project, Arc::new(SystemClock::new()));
    let of_settings = |found: &&Diagnostic| found.file == "weir.yaml" || found.file.contains(' ');
    let wrong: Vec<Diagnostic> = checked.diagnostics.iter().filter(of_settings).cloned().collect();
    checked.server.ok_or_else(|| Failure::definitions(&wrong))
}

/// Whether a folder is to become a project: there is none, or it is empty, or it has what an installation that was killed has
/// left there.
fn is_new(folder: &Path) -> Result<bool, Failure> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(Failure::user(format!("cannot read {}: {error}", folder.display()))),
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    let is_project = names.iter().any(|name| ["weir.yaml", "streams", "jobs"].contains(&name.as_str()));
    Ok(!is_project && names.iter().all(|name| FOLDERS.contains(&name.as_str())))
}

/// State is the server's alone, wherever it is.
fn refuse_in_data(pack: &Pack, server: &ServerDefinition) -> Result<(), Failure> {
    let in_data = |path: &&String| Path::new(path).starts_with(&server.data_dir);
    match pack.files.keys().find(in_data) {
        Some(path) => Err(Failure::user(format!(
            "the pack has {path}, and {} is where the server keeps its state (`data_dir` of weir.yaml); it cannot be \
             installed here",
            server.data_dir
        ))),
        None => Ok(()),
    }
}

/// What becomes of each file.
fn shown(pack: &Pack, changes: &Changes, replace: bool) -> String {
    let words = |change: Change| match change {
        Change::New => "new",
        Change::Same => "there already",
        Change::Updated => "updated",
        Change::Conflict if replace => "replaced",
        Change::Conflict => "differs from what is there",
    };
    let size = |path: &str| bounds::shown(pack.files.get(path).map_or(0, |bytes| bytes.len() as u64));
    let mut rows: Vec<Vec<String>> = changes
        .files
        .iter()
        .map(|(path, change)| vec![path.clone(), size(path), words(*change).to_owned()])
        .collect();
    let row = |path: &String, what: &str| vec![path.clone(), String::new(), what.to_owned()];
    rows.extend(changes.gone.iter().map(|path| row(path, "removed: this version does not have it")));
    rows.extend(
        changes
            .left
            .iter()
            .map(|path| row(path, "stays: this version does not have it, and somebody changed it")),
    );
    let files = table::render(&["file", "size", ""], &rows);
    match &changes.earlier {
        Some(earlier) if earlier.version == pack.config.version => files,
        Some(earlier) => format!("{} {}\n\n{files}", direction(&earlier.version, pack), earlier.version),
        None => files,
    }
}

fn direction(earlier: &str, pack: &Pack) -> &'static str {
    match (version(earlier), version(&pack.config.version)) {
        (Ok(earlier), Ok(own)) if own < earlier => "takes the place of the newer version",
        _ => "takes the place of version",
    }
}

/// Checks the project that would come of it, and says what is worth knowing.
fn checked(
    arguments: &InstallPack,
    pack: &Pack,
    changes: &Changes,
    server: &ServerDefinition,
    overrides: BTreeMap<String, String>,
) -> Result<(), Failure> {
    refuse_unset(pack, &overrides)?;
    let folder = &arguments.project;
    let view = View::over(folder, &server.data_dir, &pack.files, &changes.gone)?;
    let project = view.project(overrides.clone())?;
    let definitions = planned(&project)
        .map_err(|failure| in_its_place(view.told(failure, folder), folder, overrides.clone()))?;
    for warning in definitions.warnings() {
        eprintln!("{warning}");
    }
    if folder.is_dir() {
        say_of_state(folder, server, &definitions, overrides)?;
    }
    Ok(())
}

/// A variable that nobody set would be found by the check too, in one place after the other.
fn refuse_unset(pack: &Pack, overrides: &BTreeMap<String, String>) -> Result<(), Failure> {
    let is_set = |name: &str| overrides.contains_key(name) || std::env::var_os(name).is_some();
    let unset: Vec<&PackVariable> =
        pack.config.required().filter(|variable| !is_set(&variable.name)).collect();
    if unset.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        unset.iter().map(|variable| format!("{} ({})", variable.name, variable.files.join(", "))).collect();
    Err(Failure::user(format!(
        "the pack needs variables that are not set: {}; set them in the server's environment, and here too, or give \
         --set NAME=VALUE",
        named.join(", ")
    )))
}

/// Says which of the errors the project has without the pack: those are not for the pack's maker.
fn in_its_place(failure: Failure, folder: &Path, overrides: BTreeMap<String, String>) -> Failure {
    let own: BTreeSet<String> = Project::read_with(folder, overrides)
        .and_then(|project| planned(&project))
        .err()
        .map(|failure| failure.lines().iter().cloned().collect())
        .unwrap_or_default();
    failure.map_lines(
        |line| {
            if own.contains(&line) { format!("{line} (so it is without the pack)") } else { line }
        },
    )
}

/// What of the server's state would not fit any more: it is the user's to decide, and the server says it again.
fn say_of_state(
    folder: &Path,
    server: &ServerDefinition,
    definitions: &SoundProject,
    overrides: BTreeMap<String, String>,
) -> Result<(), Failure> {
    let Ok(project) = Project::read_with(folder, overrides) else { return Ok(()) };
    let kinds = RegisteredKinds::new(project.folder(), Arc::new(SystemClock::new()));
    if let StateCheck::Seen { unfit, .. } =
        state::look(&project, server)?.check(definitions.running(), &kinds)
    {
        unfit.iter().for_each(|reason| eprintln!("warning: {reason}"));
    }
    Ok(())
}

/// Asks whoever types; where nobody does, --yes says it.
fn agreed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user("nobody can be asked here; --yes installs it, --dry-run only shows it"));
    }
    eprint!("install it? [y/N] ");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::external(format!("cannot read an answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
