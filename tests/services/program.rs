//! A server that a script beside this file runs: started at an address of its own, killed, and started there again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::file;
use crate::harness::free_port;
use std::process::{Child, Command, Stdio};

/// Killed with its test.
#[derive(Debug)]
pub(crate) struct Program {
    /// The script's name, and what it is to run.
    script: &'static str,
    command: &'static str,
    /// Where it has its data; those that are in memory have none.
    folder: Option<tempfile::TempDir>,
    pub(crate) port: u16,
    child: Option<Child>,
}

impl Program {
    /// One with data of its own, which stay while it is away; not yet started.
    pub(crate) fn with_data(script: &'static str, command: &'static str) -> Program {
        let mut program = Program::in_memory(script, command);
        program.folder = Some(tempfile::tempdir().unwrap());
        program
    }

    /// One that keeps nothing; not yet started.
    pub(crate) fn in_memory(script: &'static str, command: &'static str) -> Program {
        Program { script, command, folder: None, port: free_port(), child: None }
    }

    /// Starts it, at first or after [`Program::kill`], at the same address. It may not answer at once.
    pub(crate) fn start(&mut self) {
        let mut script = Command::new(file("services").join(self.script));
        script.arg(self.command);
        if let Some(folder) = &self.folder {
            script.arg(folder.path());
        }
        let child = script.arg(self.port.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
    }

    /// Where it has its data.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.as_ref().unwrap().path()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
