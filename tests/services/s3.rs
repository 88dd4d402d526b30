//! A real server that speaks S3, by the script `s3`. The first start on a machine fetches it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{file, said};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A server with data of its own; killed when the test's process ends.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    pub(crate) url: String,
}

/// The server of all tests.
pub(crate) fn shared() -> &'static Store {
    static SHARED: OnceLock<Store> = OnceLock::new();
    SHARED.get_or_init(|| {
        let dir = tempfile::Builder::new().prefix("weir-s3-").tempdir().unwrap().keep();
        let mut start = Command::new(file("services/s3"));
        start.arg("start").arg(&dir).env("S3_OWNER", std::process::id().to_string());
        Store { url: said(&mut start).trim().to_owned(), dir }
    })
}

/// Who may do everything.
const OWNER: (&str, &str) = ("weir", "weir-secret");

/// The variables by which whoever has a key uses a store at this address.
fn variables<'v>(url: &'v str, (key, secret): (&'v str, &'v str)) -> [(&'static str, &'v str); 5] {
    [
        ("AWS_ENDPOINT_URL", url),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1"),
        ("ALLOW_HTTP", "true"),
    ]
}

/// Lets a command use a store at this address as the one who may do everything.
pub(crate) fn with_key<'c>(command: &'c mut Command, url: &str) -> &'c mut Command {
    command.envs(variables(url, OWNER))
}

/// The same with another key.
pub(crate) fn with_other_key<'c>(
    command: &'c mut Command,
    url: &str,
    key: &str,
    secret: &str,
) -> &'c mut Command {
    command.envs(variables(url, (key, secret)))
}

impl Store {
    /// The variables by which its owner uses it.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 5] {
        variables(&self.url, OWNER)
    }

    pub(crate) fn bucket(&self, name: &str) {
        said(Command::new(file("services/s3")).arg("bucket").arg(&self.dir).arg(name));
    }

    /// Copies what stands below a prefix into a folder.
    pub(crate) fn get(&self, bucket: &str, prefix: &str, folder: &Path) {
        let mut command = Command::new(file("services/readers"));
        command.args(["get", &self.url, bucket, prefix]).arg(folder);
        said(with_key(&mut command, &self.url));
    }

    /// Copies what stands in a folder below a prefix.
    pub(crate) fn put(&self, folder: &Path, bucket: &str, prefix: &str) {
        let mut command = Command::new(file("services/readers"));
        command.arg("put").arg(folder).args([&self.url, bucket, prefix]);
        said(with_key(&mut command, &self.url));
    }
}
