//! Rows that a store refuses for ever, set aside with the reason: JSON lines in a folder of the sink.
//!
//! A line may be there twice, as the rows behind the last checkpoint are written again after a crash. A full file is
//! rotated once and then replaced, so that a flood of refused rows costs a bounded amount of disk. Must not know any store.

use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, Encoder, SinkRows, make_folder};
use weir_event::EventTime;
use weir_format::json::JsonEncoder;

/// The file that is appended to.
const CURRENT: &str = "refused.jsonl";
/// The full one before it.
const EARLIER: &str = "refused.earlier.jsonl";

/// The folder of one sink's refused rows.
#[derive(Debug, Clone)]
pub(crate) struct RefusedRows {
    job: String,
    sink: String,
    folder: PathBuf,
    limit_bytes: u64,
    /// Whether it was told in the log that there are some.
    is_told: Arc<AtomicBool>,
}

impl RefusedRows {
    /// Of a sink of a job, below the folder of weir's own data; both files together take at most about so many bytes.
    pub(crate) fn new(data_dir: &Path, job: &str, sink: &str, limit_bytes: u64) -> RefusedRows {
        let folder = data_dir.join("refused").join(job).join(sink);
        RefusedRows {
            job: job.to_owned(),
            sink: sink.to_owned(),
            folder,
            limit_bytes,
            is_told: Arc::default(),
        }
    }

    /// Appends lines, each with its end, and syncs them.
    pub(crate) fn append(&self, lines: &[u8]) -> Result<(), ConnectError> {
        self.try_append(lines).map_err(|error| ConnectError {
            fault: weir_event::Fault::External,
            retry: true,
            message: format!("refused rows cannot be kept in `{}`: {error}", self.folder.display()),
        })?;
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.tell(lines);
        }
        Ok(())
    }

    /// Says in the log that rows are refused, with the reason of the first.
    fn tell(&self, lines: &[u8]) {
        let first = lines.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let first: Value = serde_json::from_slice(first).unwrap_or_default();
        let (job, sink, folder) = (&self.job, &self.sink, self.folder.display());
        tracing::warn!(
            job,
            sink,
            reason = first["reason"].as_str().unwrap_or_default(),
            "rows are refused for ever and set aside; those and the reason of each are in {folder}"
        );
    }

    fn try_append(&self, lines: &[u8]) -> io::Result<()> {
        make_folder(&self.folder)?;
        let path = self.folder.join(CURRENT);
        let length = path.metadata().map_or(0, |about| about.len());
        if length > 0 && length + lines.len() as u64 > self.limit_bytes / 2 {
            std::fs::rename(&path, self.folder.join(EARLIER))?;
        }
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        if !ends_in_line_break(&mut file)? {
            // A line that a crash tore must not swallow the next.
            file.write_all(b"\n")?;
        }
        file.write_all(lines)?;
        file.sync_data()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn ends_in_line_break(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// A refused row as a line, with its end; `key` is what its key comes to, for a person.
pub(crate) fn refused_line(rows: &SinkRows, row: usize, key: &[String], reason: &str) -> Vec<u8> {
    let meta = &rows.meta;
    let window = meta.windows.get(row).map(|(start, end)| {
        json!({"start": EventTime::from_millis(*start).to_string(), "end": EventTime::from_millis(*end).to_string()})
    });
    let about = json!({
        "reason": reason,
        "key": key,
        "window": window,
        "position": meta.identities.get(row),
        "revision": meta.revision,
        "op": meta.op,
    });
    let one = SinkRows { columns: rows.columns.slice(row, 1), meta: RowMeta::default() };
    let mut columns = Vec::new();
    let is_encoded = JsonEncoder::new(false).encode(&one, &mut columns).is_ok();
    line_of(&about, if is_encoded { columns.trim_ascii_end() } else { b"null" })
}

/// A line of what is said of a row and of its columns, an object each.
pub(crate) fn line_of(about: &Value, columns: &[u8]) -> Vec<u8> {
    let mut line = about.to_string().into_bytes();
    line.pop();
    line.extend_from_slice(b",\"row\":");
    line.extend_from_slice(columns);
    line.extend_from_slice(b"}\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_does_not_swallow_the_next_and_a_full_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let rows = RefusedRows::new(folder.path(), "j", "redis-2", 40);
        let at = |name: &str| folder.path().join("refused/j/redis-2").join(name);
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap_or_default();
        rows.append(b"{\"a\":1}\n").unwrap();
        OpenOptions::new().append(true).open(at(CURRENT)).unwrap().write_all(b"{\"tor").unwrap();
        rows.append(b"{}\n").unwrap();
        assert_eq!(read(CURRENT), "{\"a\":1}\n{\"tor\n{}\n");
        rows.append(b"{\"b\":2}\n").unwrap();
        assert_eq!((read(CURRENT).as_str(), read(EARLIER).lines().count()), ("{\"b\":2}\n", 3));
    }
}
