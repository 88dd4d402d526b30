//! What independent readers of Parquet find, by the script of the same name. The first use on a machine fetches them.

use super::{file, said};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// The rows of all files of Parquet below a folder, as pyarrow and DuckDB read them alike.
#[track_caller]
pub(crate) fn rows(folder: &Path) -> Vec<Value> {
    values(&said(readers("rows").arg(folder)))
}

/// The rows of a folder as one table with its partitions, `dt` and `hour` among them, as a program reads it.
#[track_caller]
pub(crate) fn table(program: &str, folder: &Path) -> Vec<Value> {
    values(&said(readers("table").arg(program).arg(folder)))
}

/// Lets pyarrow write files of Parquet into folders by day, and beside them `rows.jsonl` with the same rows.
#[track_caller]
pub(crate) fn write(folder: &Path) {
    said(readers("write").arg(folder));
}

/// A table of Apache Iceberg that vanishes with its test.
#[derive(Debug)]
pub(crate) struct Iceberg {
    home: tempfile::TempDir,
}

impl Iceberg {
    /// An empty one with the columns of a file, by the days of a time.
    #[track_caller]
    pub(crate) fn like(file: &Path, time: &str) -> Iceberg {
        let home = tempfile::tempdir().expect("a temporary folder");
        said(readers("iceberg-make").arg(home.path()).arg(file).arg(time));
        Iceberg { home }
    }

    /// Adds the files of a folder as they are.
    #[track_caller]
    pub(crate) fn add(&self, folder: &Path) {
        said(readers("iceberg-add").arg(self.home.path()).arg(folder));
    }

    /// The rows that a condition finds, and how many files it needs.
    #[track_caller]
    pub(crate) fn rows(&self, condition: &str) -> (Vec<Value>, usize) {
        let told = said(readers("iceberg-rows").arg(self.home.path()).arg(condition));
        let (files, rows) = told.split_once('\n').expect("a line says how many files");
        (values(rows), files.parse().expect("a number of files"))
    }
}

fn readers(command: &str) -> Command {
    let mut readers = Command::new(file("services/readers"));
    readers.arg(command);
    readers
}

fn values(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("a row is JSON")).collect()
}
