//! A project folder of a test, and what the `weir` command makes of it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository is there")
}

/// The `weir` command that was built beside these tests.
pub(crate) fn weir() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let built = test.parent().and_then(Path::parent).expect("tests live in target/PROFILE/deps").join("weir");
    assert!(built.is_file(), "{} is missing: build it first, as `make test` does", built.display());
    built
}

/// A folder that vanishes with the test.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
    /// A folder of it that is a disk of its own, for whoever is started in it, and what it holds.
    small_disk: Option<(PathBuf, &'static str)>,
}

impl Project {
    pub(crate) fn new() -> Project {
        Project {
            folder: tempfile::tempdir().expect("a temporary folder"),
            environment: Vec::new(),
            small_disk: None,
        }
    }

    /// Whoever is started in it finds these variables.
    pub(crate) fn with_environment(mut self, variables: &[(&'static str, &str)]) -> Project {
        self.environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self
    }

    /// Whoever is started in it finds a disk of this size at this folder, which is gone with the process. `None` where this
    /// machine lets nobody do that.
    pub(crate) fn with_small_disk(mut self, folder: &str, size: &'static str) -> Option<Project> {
        let path = self.path().join(folder);
        std::fs::create_dir_all(&path).expect("folders can be made");
        self.small_disk = Some((path, size));
        let is_allowed = self.wrapped(Path::new("true")).status().is_ok_and(|status| status.success());
        is_allowed.then_some(self)
    }

    /// A command that starts this program where the small disk is.
    fn wrapped(&self, program: &Path) -> Command {
        let Some((path, size)) = &self.small_disk else { return Command::new(program) };
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size={size} none \"$0\" && exec \"$@\""));
        command.arg(path).arg(program);
        command
    }

    /// What whoever is started in it finds.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        self.environment.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the project.
    pub(crate) fn file(&self, path: &str, text: &str) -> &Project {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folders can be made");
        std::fs::write(path, text).expect("files can be written");
        self
    }

    /// `weir COMMAND FOLDER ARGUMENTS..`, not yet started.
    pub(crate) fn command(&self, command: &str, arguments: &[&str]) -> Command {
        let mut weir = self.wrapped(&weir());
        weir.arg(command)
            .arg(self.path())
            .args(arguments)
            .env_remove("RUST_BACKTRACE")
            .envs(self.environment());
        weir
    }

    /// Runs `weir COMMAND FOLDER ARGUMENTS..` to its end.
    pub(crate) fn weir(&self, command: &str, arguments: &[&str]) -> Output {
        self.command(command, arguments).output().expect("weir starts")
    }

    /// `weir run --until-end`, which must succeed.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let output = self.weir("run", &[&["--until-end"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Rows of a file sink's finished files, in order of writing.
    pub(crate) fn rows(&self, folder: &str) -> Vec<Value> {
        rows(&self.path().join(folder))
    }
}

/// Rows of the finished `.jsonl` files of a folder, in order of writing.
pub(crate) fn rows(folder: &Path) -> Vec<Value> {
    let lines = result_lines(folder);
    lines.iter().map(|line| serde_json::from_str(line).expect("a result is JSON")).collect()
}

/// The finished `.jsonl` files of a folder, in order of writing.
pub(crate) fn result_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

/// Lines of the finished `.jsonl` files of a folder, in order of writing.
pub(crate) fn result_lines(folder: &Path) -> Vec<String> {
    let text = |file: &PathBuf| std::fs::read_to_string(file).expect("a result file is text");
    result_files(folder)
        .iter()
        .flat_map(|file| {
            let lines = text(file);
            lines.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The last row of each identity, told by the `_weir` member, which is taken off; in no order. An identity whose last
/// row is a delete has none.
pub(crate) fn last_rows(rows: Vec<Value>) -> Vec<Value> {
    last_of(rows, |meta| format!("{} {} {}", meta["key"], meta["window"], meta["position"]))
}

/// The same for sessions, which their start tells apart: their end moves.
pub(crate) fn last_sessions(rows: Vec<Value>) -> Vec<Value> {
    last_of(rows, |meta| format!("{} {}", meta["key"], meta["window"]["start"]))
}

fn last_of(rows: Vec<Value>, identity: impl Fn(&Value) -> String) -> Vec<Value> {
    let mut last: BTreeMap<String, (u64, Option<Value>)> = BTreeMap::new();
    for mut row in rows {
        let meta =
            row.as_object_mut().and_then(|row| row.remove("_weir")).expect("the sink has `meta: true`");
        let revision = meta["revision"].as_u64().expect("a revision");
        let known = last.entry(identity(&meta)).or_insert((revision, None));
        if revision >= known.0 {
            *known = (revision, (meta["op"] != "delete").then_some(row));
        }
    }
    last.into_values().filter_map(|(_, row)| row).collect()
}
