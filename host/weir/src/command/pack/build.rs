//! `weir pack build [DIR]`: a project's definitions, plugins and sample data as an artifact in a file or a folder.

use crate::command::print;
use crate::failure::Failure;
use crate::packing::{Choice, Selection, View, planned, select, variables};
use crate::project::Project;
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;
use weir_pack::bounds;
use weir_pack::{Artifact, PackConfig, layout};

/// Make a pack of a project: its streams, jobs and plugins, and the data that they name
#[derive(Debug, Args)]
#[command(
    after_help = "A pack is an OCI image layout: a .tar, or a folder under any other name. The same files make the same bytes. \
                  The settings of the server (weir.yaml) and its state are never in it; ${NAME} stays as it is written, and \
                  whoever installs it is told what to set.\n\nExamples:\n  weir pack build my-features --name user-risk --version 1.2.0\n  \
                  weir pack build --name user-risk --version 1.2.0 --include jobs/risk*.yaml --sign team.key -o risk.tar"
)]
pub(crate) struct BuildPack {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// What the pack is called, such as user-risk
    #[arg(long)]
    name: String,
    /// Its version, such as 1.2.0
    #[arg(long)]
    version: String,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Where to write it: a .tar, which is replaced, or a folder  [default: NAME-VERSION.tar]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Only what matches, and the streams, queries and plugins that it needs; may be repeated
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Nothing that matches, such as 'data/*'; may be repeated
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// A variable that definitions name, as the check of the pack is to see it; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Pack also what looks like a secret that is written out
    #[arg(long)]
    allow_secrets: bool,
    /// Sign it with this key, a file that `weir pack keygen` or `minisign -G` made
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
}

pub(super) fn run(arguments: &BuildPack) -> Result<(), Failure> {
    weir_pack::config::check_name(&arguments.name)?;
    weir_pack::config::version(&arguments.version)?;
    let overrides = variables(&arguments.set)?;
    let project = Project::read_with(&arguments.folder, overrides.clone())?;
    let choice = Choice::of(&arguments.include, &arguments.exclude, arguments.allow_secrets)?;
    let selection = select(&project, &choice, &overrides)?;
    for notice in &selection.notices {
        eprintln!("notice: {notice}");
    }
    let config = described(arguments, &project, &selection, overrides)?;
    let mut artifact = Artifact::build(config, &selection.files)?;
    if let Some(key) = &arguments.sign {
        artifact.signatures.push(super::keygen::signing_key(key)?.sign(&artifact.manifest)?);
    }
    let output = arguments.output.clone();
    let output = output.unwrap_or_else(|| format!("{}-{}.tar", arguments.name, arguments.version).into());
    layout::write(&artifact, &output)?;
    let pack = artifact.open()?;
    let bytes = artifact.blobs.values().map(|bytes| bytes.len() as u64).sum();
    print(&format!(
        "{}: {}, {} files, {}\n{}",
        output.display(),
        pack.config.title(),
        pack.files.len(),
        bounds::shown(bytes),
        pack.digest
    ))
}

/// What is said of the pack, after it was checked as a project of its own, with the defaults of a server.
fn described(
    arguments: &BuildPack,
    project: &Project,
    selection: &Selection,
    overrides: BTreeMap<String, String>,
) -> Result<PackConfig, Failure> {
    let view = View::of(&selection.files)?;
    let definitions =
        planned(&view.project(overrides)?).map_err(|failure| view.told(failure, project.folder()))?;
    for warning in definitions.warnings() {
        eprintln!("{warning}");
    }
    Ok(PackConfig {
        name: arguments.name.clone(),
        version: arguments.version.clone(),
        description: arguments.description.clone(),
        weir: env!("CARGO_PKG_VERSION").to_owned(),
        streams: definitions.streams(),
        jobs: definitions.listed_jobs(),
        variables: selection.variables.clone(),
        ..PackConfig::default()
    })
}
