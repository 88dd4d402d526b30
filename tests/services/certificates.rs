//! Certificates for servers on this machine, of an authority that nobody else trusts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, and a server's certificate by it; gone when this is dropped.
pub(crate) struct Certificates {
    folder: tempfile::TempDir,
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

impl Certificates {
    pub(crate) fn make() -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let (path, days) = (folder.path(), ["-days", "3650"]);
        let authority = ["req", "-x509", "-subj", "/CN=weir's tests", "-keyout", "ca.key", "-out", "ca.pem"];
        openssl(path, &[&authority[..], &NEW_KEY, &days].concat());
        let server = ["req", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem"];
        openssl(path, &[&server[..], &NEW_KEY].concat());
        std::fs::write(path.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let signed =
            ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        openssl(path, &[&signed[..], &["-extfile", "names", "-out", "cert.pem"], &days].concat());
        // Servers run as somebody else.
        Command::new("chmod").args(["-R", "a+rX"]).arg(path).status().unwrap();
        Certificates { folder }
    }

    /// What a client trusts.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
