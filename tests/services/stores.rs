//! Real servers of keyed stores: Redis and PostgreSQL, each with data of its own, which outlives a kill. The script `stores`
//! fetches them where they are not installed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::certificates::Certificates;
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
    /// Where it speaks TLS only.
    certificates: Option<Certificates>,
}

/// The password of every server here: what no message may show.
pub(crate) const PASSWORD: &str = "hidden-from-all";

impl Redis {
    pub(crate) fn start() -> Redis {
        Redis::start_with(None)
    }

    /// One that speaks TLS only, with its authority.
    pub(crate) fn start_secure() -> (Redis, PathBuf) {
        let certificates = Certificates::make();
        let authority = certificates.authority();
        (Redis::start_with(Some(certificates)), authority)
    }

    fn start_with(certificates: Option<Certificates>) -> Redis {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut redis = Redis { folder, port, child: None, certificates };
        redis.restart();
        redis
    }

    /// Starts it, at first or after [`Redis::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        let port = self.port.to_string();
        let mut server = program("redis-server");
        match &self.certificates {
            None => server.args(["--port", &port]),
            Some(certificates) => server
                .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"])
                .arg(certificates.certificate())
                .arg("--tls-key-file")
                .arg(certificates.key())
                .arg("--tls-ca-cert-file")
                .arg(certificates.authority()),
        };
        let child = server
            .args(["--bind", "127.0.0.1", "--save", "", "--requirepass", PASSWORD])
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
        self.url_of("", PASSWORD)
    }

    /// The same for another login.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// Its own client, as who may do everything.
    pub(crate) fn client(&self) -> Command {
        let mut command = program("redis-cli");
        command.env("REDISCLI_AUTH", PASSWORD).args(["-p", &self.port.to_string()]).stderr(Stdio::null());
        if let Some(certificates) = &self.certificates {
            command.arg("--tls").arg("--cacert").arg(certificates.authority());
        }
        command
    }

    fn ask(&self, words: &[&str]) -> Option<Value> {
        let output = self.client().arg("--json").args(words).output().unwrap();
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
    is_secure: bool,
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
        let mut postgres = Postgres::made();
        postgres.restart();
        postgres
    }

    /// One that takes TLS and passwords only, with its authority.
    pub(crate) fn start_secure() -> (Postgres, PathBuf) {
        let (mut postgres, certificates) = (Postgres::made(), Certificates::make());
        let data = postgres.data();
        for (from, name) in [(certificates.certificate(), "server.crt"), (certificates.key(), "server.key")] {
            // It wants its key to be its own.
            text(
                unprivileged("install").args(["-m", "600"]).arg(from).arg(data.join(name)).output().unwrap(),
            );
        }
        let authority = postgres.folder.path().join("ca.pem");
        std::fs::copy(certificates.authority(), &authority).unwrap();
        postgres.restart();
        postgres.run(&format!("ALTER USER postgres PASSWORD '{PASSWORD}'"));
        postgres.kill();
        std::fs::write(data.join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 scram-sha-256\n").unwrap();
        postgres.is_secure = true;
        postgres.restart();
        (postgres, authority)
    }

    fn made() -> Postgres {
        let folder = tempfile::tempdir().unwrap();
        Command::new("chmod").arg("777").arg(folder.path()).status().unwrap();
        let postgres = Postgres { folder, port: free_port(), child: None, is_secure: false };
        let mut initdb = unprivileged("initdb");
        initdb.arg("-D").arg(postgres.data()).args(["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8"]);
        text(initdb.arg("--locale=C.UTF-8").output().unwrap());
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
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "shared_buffers=16MB"])
            .args(["-c", if self.is_secure { "ssl=on" } else { "ssl=off" }, "-k"])
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
        self.url_of("postgres", PASSWORD)
    }

    /// The same for another login.
    pub(crate) fn url_of(&self, user: &str, password: &str) -> String {
        let mode = if self.is_secure { "require" } else { "disable" };
        format!("postgres://{user}:{password}@127.0.0.1:{}/postgres?sslmode={mode}", self.port)
    }

    /// Its own client, which does what statements say.
    pub(crate) fn client(&self, statements: &str) -> Command {
        let mut psql = program("psql");
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres", "-qAt"]);
        psql.env("PGPASSWORD", PASSWORD).args(["-v", "ON_ERROR_STOP=1", "-c", statements]);
        psql
    }

    /// Begins to do what statements say.
    pub(crate) fn spawn(&self, statements: &str) -> Child {
        self.client(statements).stdout(Stdio::null()).spawn().unwrap()
    }

    fn ask(&self, statements: &str) -> Result<String, String> {
        let output = self.client(statements).output().unwrap();
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
