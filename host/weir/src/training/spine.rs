//! The spine's file: which columns it has, of which types, and how it is read.

use super::sources::Sources;
use crate::failure::Failure;
use serde_json::json;
use std::path::Path;
use weir_connect::Fetch;
use weir_event::suggestion::instead_of;
use weir_event::{DataType, Field, StreamSchema};
use weir_format::Discovered;
use weir_plan::StreamOrigin;
use weir_train::{Job, Spine};

/// Ends of names, and the formats of such files.
pub(super) const ENDINGS: [(&str, &str); 5] =
    [(".csv", "csv"), (".jsonl", "json"), (".ndjson", "json"), (".json", "json"), (".parquet", "parquet")];
/// What a spine is called where streams have names.
const SPINE: &str = "spine";
/// The end of the names of files that are compressed.
const COMPRESSED: &str = ".gz";
/// What stands for other files in the paths of streams.
const PATTERN: [char; 3] = ['*', '?', '['];

/// The spine in this file. Columns of the jobs' keys and of what requests bring are read as these are; the others keep what
/// they hold.
pub(super) async fn open(path: &Path, time: &str, jobs: &[Job], sources: &Sources) -> Result<Spine, Failure> {
    let format = format(path)?;
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::user(format!("--spine {}: {error}", path.display())))?;
    if !absolute.is_file() {
        let what = if absolute.exists() { "that is not a file" } else { "there is no such file" };
        return Err(Failure::user(format!("--spine {}: {what}", path.display())));
    }
    if absolute.to_string_lossy().contains(PATTERN) {
        let message = "a path with *, ? or [ in it stands for several files; give it another name";
        return Err(Failure::user(format!("--spine {}: {message}", path.display())));
    }
    let origin = StreamOrigin { kind: "file".to_owned(), settings: json!({"path": absolute}) };
    let no_columns = StreamSchema { fields: Vec::new(), event_time: 0 };
    let layout = sources.format(SPINE, (format, &json!({})), &no_columns)?.layout();
    let source = sources.source(SPINE, &origin, layout)?;
    let wrong = |reason: String| Failure::user(format!("--spine {}: {reason}", path.display()));
    let failed = |error: weir_connect::ConnectError| wrong(error.to_string());
    let partitions = source.partitions(&[]).await.map_err(failed)?;
    let mut reader = source.open(0, &partitions, true).await.map_err(failed)?;
    let (mut found, mut refused, mut left) = (Discovered::default(), None, partitions.len());
    while left > 0 {
        match reader.next().await.map_err(failed)? {
            Fetch::Block(block) => {
                refused = refused.or_else(|| block.refused.first().map(|refused| refused.reason.clone()));
                if block.holds_data() {
                    found.look_at(&block, layout).map_err(wrong)?;
                }
            }
            Fetch::CaughtUp(_) | Fetch::Ended(_) => left -= 1,
            Fetch::Watermark(..) | Fetch::Appeared(..) => {}
        }
    }
    let found = found.columns();
    if found.is_empty() {
        return Err(wrong(refused.unwrap_or_else(|| "it has no rows".to_owned())));
    }
    let schema = schema(found, time, jobs).map_err(wrong)?;
    let columns: Vec<usize> = (0..schema.fields.len()).collect();
    let decoder = sources.format(SPINE, (format, &json!({})), &schema)?.decoder(&columns);
    Ok(Spine { source, decoder, schema })
}

/// The format that a file's name says.
fn format(path: &Path) -> Result<&'static str, Failure> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(COMPRESSED).unwrap_or(&name);
    let known = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    known.map(|(_, format)| *format).ok_or_else(|| {
        Failure::user(format!(
            "--spine {}: its name has to end in .csv, .jsonl or .parquet, which says what it is",
            path.display()
        ))
    })
}

fn schema(found: Vec<(String, DataType)>, time: &str, jobs: &[Job]) -> Result<StreamSchema, String> {
    let key_type = |name: &str| {
        let stages = jobs.iter().filter_map(|job| job.plan.stage.as_ref());
        let mut keys = stages.flat_map(|stage| stage.key_names.iter().zip(&stage.key_types));
        keys.find(|(key, _)| *key == name).and_then(|(_, arrow)| DataType::from_arrow(arrow))
    };
    let request_type = |name: &str| {
        let mut fields = jobs.iter().flat_map(Job::requested);
        fields.find(|field| field.name == name).map(|field| field.data_type.clone())
    };
    let field = |(name, data_type): &(String, DataType)| {
        let of = if name == time {
            Some(DataType::Timestamp)
        } else {
            key_type(name).or_else(|| request_type(name))
        };
        Field::named(name, of.unwrap_or_else(|| data_type.clone()))
    };
    let fields: Vec<Field> = found.iter().map(field).collect();
    let event_time = fields.iter().position(|field| field.name == time).ok_or_else(|| {
        let known = instead_of(time, fields.iter().map(|field| field.name.as_str()));
        format!("it has no column `{time}` that says when to ask; {known}, with --time COLUMN")
    })?;
    Ok(StreamSchema { fields, event_time })
}
