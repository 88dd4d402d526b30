//! Files of Parquet that weir wrote, as other programs read them: every type, in partitions as Hive has them, and as a table
//! of Apache Iceberg.

use crate::every_type::{assert_same, project, texts};
use crate::harness::Project;
use crate::services::readers::{self, Iceberg};
use serde_json::{Value, json};
use std::path::Path;

const HIVE: &str = "  - file: {path: table, format: parquet, partition: [\"dt=%Y-%m-%d\", \"hour=%H\", \
                    \"country={country}\"], target_size: 4KiB}\n";

/// The rows of the lines, with their partitions, as a table of Hive has them.
fn expected(project: &Project) -> Vec<String> {
    let mut rows = project.rows("lines");
    for row in &mut rows {
        let time = row["t"].as_str().expect("a time").to_owned();
        row["dt"] = json!(time[..10]);
        row["hour"] = json!(time[11..13]);
        // Hive has one name for what is null and what is empty.
        if row["country"] == "" {
            row["country"] = Value::Null;
        }
    }
    texts(rows)
}

#[test]
fn pyarrow_and_duckdb_read_every_type_from_partitions() {
    let project = project(HIVE);
    project.run(&[]);
    let expected = expected(&project);
    for reader in ["pyarrow", "duckdb"] {
        let rows = readers::table(reader, &project.path().join("table"));
        assert_same(reader, &texts(rows), &expected);
    }
}

#[test]
#[ignore = "starts Apache Spark: `make test-services`"]
fn spark_reads_every_type_from_partitions() {
    let project = project(HIVE);
    project.run(&[]);
    let rows = readers::table("spark", &project.path().join("table"));
    assert_same("spark", &texts(rows), &expected(&project));
}

#[test]
#[ignore = "fetches Apache Iceberg for Python: `make test-services`"]
fn files_of_finished_partitions_are_added_to_a_table_of_iceberg() {
    let project = project(
        "  - file: {path: table, format: parquet, partition: [\"dt=%Y-%m-%d\"], target_size: 4KiB}\n",
    );
    project.run(&[]);
    let table = project.path().join("table");
    let all = texts(project.rows("lines"));
    let (old, new): (Vec<String>, Vec<String>) =
        all.iter().cloned().partition(|row| row.contains("\"t\":\"2025-12-31"));
    assert!(!old.is_empty() && !new.is_empty(), "rows of two days");
    let days = ["dt=2025-12-31", "dt=2026-01-01"].map(|day| table.join(day));
    let files = |day: &Path| {
        let names = std::fs::read_dir(day).expect("a folder").map(|file| file.expect("a file").path());
        names.collect::<Vec<_>>()
    };
    let iceberg = Iceberg::like(&files(&days[0])[0], "t");
    iceberg.add(&days[0]);
    assert_same("iceberg, a day", &texts(iceberg.rows("id >= 0").0), &old);
    iceberg.add(&days[1]);
    assert_same("iceberg", &texts(iceberg.rows("id >= 0").0), &all);
    // It knows which files have rows of the second day.
    let (rows, needed) = iceberg.rows("t >= '2026-01-01T00:00:00+00:00'");
    assert_same("iceberg, the other day", &texts(rows), &new);
    assert_eq!(needed, files(&days[1]).len());
}
