//! A real registry of OCI artifacts, and minisign, by the script `oci`. The first start on a machine fetches both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::program::Program;
use super::{file, said};
use crate::harness::wait_for;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A registry with data of its own; killed with its test.
#[derive(Debug)]
pub(crate) struct Registry {
    program: Program,
}

impl Registry {
    /// One for everybody.
    pub(crate) fn open() -> Registry {
        Registry::start("open")
    }

    /// One for `weir` with the password `sesame` alone.
    pub(crate) fn guarded() -> Registry {
        Registry::start("guarded")
    }

    fn start(command: &'static str) -> Registry {
        said(Command::new(file("services/oci")).arg("fetch"));
        let mut program = Program::with_data("oci", command);
        program.start();
        let url = format!("http://127.0.0.1:{}/v2/", program.port);
        wait_for("the registry to answer", Duration::from_secs(60), || super::web::ask("GET", &url, ""));
        Registry { program }
    }

    /// An address of it.
    pub(crate) fn address(&self, rest: &str) -> String {
        format!("oci://127.0.0.1:{}/{rest}", self.program.port)
    }

    /// What it answers to a GET of a path.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        super::web::ask("GET", &format!("http://127.0.0.1:{}{path}", self.program.port), "")
    }

    /// The file in which it keeps a blob.
    pub(crate) fn blob(&self, digest: &str) -> std::path::PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let below = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        self.program.folder().join(below)
    }
}

/// Runs minisign.
pub(crate) fn minisign(arguments: &[&str]) -> Output {
    minisign_told(arguments, "")
}

/// The same, with what it asks for.
pub(crate) fn minisign_told(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(file("services/oci"));
    command.arg("minisign").args(arguments);
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // It may have no question, and be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}
