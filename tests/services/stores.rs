//! Real servers of keyed stores: Redis and PostgreSQL, each with data of its own, which outlives a kill. The script `stores`
//! fetches them where they are not installed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{free_port, wait_for};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folders that hold programs: those of the system, then those that were fetched.
fn folders() -> Vec<PathBuf> {
    let cache = std::env::var_os("WEIR_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/weir"));
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for root in [PathBuf::from("/"), cache.join("stores")] {
        folders.push(root.join("usr/bin"));
        let versions = std::fs::read_dir(root.join("usr/lib/postgresql")).into_iter().flatten();
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    folders
}

fn program(name: &str) -> Command {
    let found = folders().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    let path = found.unwrap_or_else(|| panic!("{name} is missing: run tests/setup"));
    let mut command = Command::new(&path);
    // What was fetched has its libraries beside it.
    if let Some(root) = path.ancestors().find(|folder| folder.ends_with("stores")) {
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    }
    command
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A Redis server with a password, which has on its disk what it has answered for.
pub(crate) struct Redis {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// The password of every server here: what no message may show.
pub(crate) const PASSWORD: &str = "hidden-from-all";

impl Redis {
    pub(crate) fn start() -> Redis {
        let mut redis = Redis { folder: tempfile::tempdir().unwrap(), port: free_port(), child: None };
        redis.restart();
        redis
    }

    /// Starts it, at first or after [`Redis::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        let port = self.port.to_string();
        let child = program("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait_for("redis to answer", PATIENCE, || (self.ask(&["PING"])? == "PONG").then_some(()));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    fn ask(&self, words: &[&str]) -> Option<Value> {
        let mut command = program("redis-cli");
        command.env("REDISCLI_AUTH", PASSWORD).args(["--json", "-p", &self.port.to_string()]).args(words);
        let output = command.stderr(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The answer to a command.
    pub(crate) fn answer(&self, words: &[&str]) -> Value {
        self.ask(words).unwrap_or_else(|| panic!("redis does not answer {words:?}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A PostgreSQL server; it refuses to run as root, so that a root's runs as nobody.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// A program of PostgreSQL, run as somebody who may.
fn unprivileged(name: &str) -> Command {
    let command = program(name);
    let is_root = text(Command::new("id").arg("-u").output().unwrap()).trim() == "0";
    if !is_root {
        return command;
    }
    let mut as_nobody = Command::new("setpriv");
    as_nobody.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(command.get_program());
    for (name, value) in command.get_envs() {
        as_nobody.env(name, value.unwrap());
    }
    as_nobody
}

impl Postgres {
    pub(crate) fn start() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let mut postgres = Postgres { folder, port: free_port(), child: None };
        let mut initdb = unprivileged("initdb");
        initdb.arg("-D").arg(postgres.data()).args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8"]);
        text(initdb.arg("--locale=C.UTF-8").output().unwrap());
        postgres.restart();
        postgres
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it, at first or after [`Postgres::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        let child = unprivileged("postgres")
            .arg("-D")
            .arg(self.data())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "shared_buffers=16MB", "-k"])
            .arg(self.folder.path())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait_for("postgres to answer", PATIENCE, || self.ask("SELECT 1").ok());
    }

    /// As a loss of power would: what is not on the disk is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = child.id().to_string();
            Command::new("kill").args(["-QUIT", &pid]).status().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    fn ask(&self, statements: &str) -> Result<String, String> {
        let mut psql = program("psql");
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-qAt"]);
        let output = psql.args(["-v", "ON_ERROR_STOP=1", "-c", statements]).output().unwrap();
        let told = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        if output.status.success() { Ok(told(output.stdout)) } else { Err(told(output.stderr)) }
    }

    /// Does what statements say, and gives the lines of the answer.
    pub(crate) fn run(&self, statements: &str) -> Vec<String> {
        let answer = self.ask(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
        answer.lines().map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}
