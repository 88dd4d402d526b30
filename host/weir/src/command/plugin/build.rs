//! `weir plugin build` and `weir plugin test`: work on a plugin's folder, in the language that it is written in. The
//! tool-chains are started from here and known elsewhere.

use super::{check_name, kit};
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
}

/// Run the tests of a plugin's folder, without WebAssembly
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir plugin test tip_percent")]
pub(crate) struct Test {
    /// The plugin's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// What plugins are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    /// A crate with weir-guest
    Rust,
    /// A module plugin.py with weir.plugin
    Python,
    /// A module plugin.js or plugin.ts with what is in its folder weir/
    Js,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Language::Rust => "Rust",
            Language::Python => "Python",
            Language::Js => "JavaScript",
        })
    }
}

impl Language {
    /// That of the plugin in a folder.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let has = |file: &str| folder.join(file).is_file();
        let files = [
            ("Cargo.toml", Language::Rust),
            ("plugin.py", Language::Python),
            ("plugin.js", Language::Js),
            ("plugin.ts", Language::Js),
        ];
        files.into_iter().find(|(file, _)| has(file)).map(|(_, language)| language)
    }
}

/// The folder of a plugin, and what it is written in.
fn open(folder: &Path) -> Result<(PathBuf, Language), Failure> {
    let shown = folder.display();
    let found = folder
        .canonicalize()
        .map_err(|error| Failure::user(format!("{shown}: {error}; give a plugin's folder")))?;
    let language = Language::of(&found).ok_or_else(|| {
        let make = "`weir plugin new NAME --lang python` makes one";
        Failure::user(format!(
            "{shown} has no Cargo.toml, plugin.py or plugin.js, so it is not a plugin's folder; {make}"
        ))
    })?;
    Ok((found, language))
}

pub(super) fn run(arguments: &Build) -> Result<(), Failure> {
    build(&arguments.folder, arguments.out.as_deref())
}

/// Builds a plugin's folder; gives the component's path.
pub(super) fn folder(folder: &Path) -> Result<PathBuf, Failure> {
    build(folder, None)?;
    let dist = folder.join("dist");
    let built = fs::read_dir(&dist).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let components = built.filter(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    // The one that was just written.
    let newest = components.max_by_key(|path| fs::metadata(path).and_then(|about| about.modified()).ok());
    newest.ok_or_else(|| Failure::user(format!("{} holds no component; see above", dist.display())))
}

fn build(folder: &Path, out: Option<&Path>) -> Result<(), Failure> {
    let (folder, language) = open(folder)?;
    let built = match language {
        Language::Rust => in_rust(&folder, out),
        Language::Python | Language::Js => {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            check_name(&name)?;
            by_kit(language, "build", &folder, out)
        }
    };
    ended(built?, "the plugin was not built; see above")
}

pub(super) fn test(arguments: &Test) -> Result<(), Failure> {
    let (folder, language) = open(&arguments.folder)?;
    let tested = match language {
        Language::Rust => {
            let mut cargo = Command::new("cargo");
            cargo.arg("test").arg("--manifest-path").arg(folder.join("Cargo.toml"));
            status(cargo, "install Rust from https://rustup.rs")
        }
        Language::Python | Language::Js => by_kit(language, "test", &folder, None),
    };
    ended(tested?, "tests of the plugin failed; see above")
}

/// Lets the kit's script do its work; what it compiles is kept beside the kit.
fn in_rust(folder: &Path, out: Option<&Path>) -> Result<Option<i32>, Failure> {
    let kit = kit::unpacked()?;
    let mut command = Command::new("bash");
    command.arg(kit.join("plugins/build"));
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    command.arg(folder);
    if std::env::var_os("WEIR_TARGET_DIR").is_none() {
        command.env("WEIR_TARGET_DIR", kit::cache()?.join("plugins-target"));
    }
    status(command, "the script that builds plugins in Rust needs it")
}

/// Lets the kit's own program do its work, in the language of the plugin.
fn by_kit(language: Language, verb: &str, folder: &Path, out: Option<&Path>) -> Result<Option<i32>, Failure> {
    let kit = kit::unpacked()?;
    let interpreter =
        |variable: &str, usual: &str| std::env::var_os(variable).unwrap_or_else(|| usual.into());
    let (mut command, cure) = if language == Language::Js {
        let mut node = Command::new(interpreter("WEIR_NODE", "node"));
        node.arg(kit.join("guest-sdk/js/build.mjs")).arg(verb);
        (node, "install Node 20 or newer, or set WEIR_NODE to it")
    } else {
        let mut python = Command::new(interpreter("WEIR_PYTHON", "python3"));
        python.args(["-m", "weir.plugin", verb]);
        python.env("PYTHONPATH", kit.join("guest-sdk/python")).env("PYTHONDONTWRITEBYTECODE", "1");
        (python, "install Python 3.10 or newer, or set WEIR_PYTHON to it")
    };
    command.arg(folder);
    if let Some(out) = out {
        command.arg("--out").arg(out);
    }
    status(command, cure)
}

fn status(mut command: Command, cure: &str) -> Result<Option<i32>, Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status();
    let status =
        status.map_err(|error| Failure::external(format!("cannot start {program}: {error}; {cure}")))?;
    Ok(status.code())
}

/// Exit codes of the tool-chains: 1 is the plugin's fault.
fn ended(code: Option<i32>, failed: &str) -> Result<(), Failure> {
    match code {
        Some(0) => Ok(()),
        Some(1 | 101) => Err(Failure::user(failed)),
        _ => Err(Failure::external(failed)),
    }
}
