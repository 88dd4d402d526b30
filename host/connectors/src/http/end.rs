//! The note beside a log of how far it was durable, by which a loss at its end is told from a write that a crash tore.
//!
//! One line, replaced as a whole: name, version, the log's id, the offset after the last row, a CRC32 of those. It is
//! written when jobs make checkpoints and when the log is closed, so it may lag behind and is never ahead.

use super::identity::LogIdentity;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

const NAME: &str = "end";

fn line(log: &LogIdentity, end: u64) -> String {
    let said = format!("weir-log-end 1 {log} {end}");
    let crc = crc32fast::hash(said.as_bytes());
    format!("{said} {crc:08x}\n")
}

/// The end that was noted of this log; `None` where none was, or the note is not whole: it is no part of the log.
pub(super) fn read(dir: &Path, log: &LogIdentity) -> Option<u64> {
    let text = fs::read_to_string(dir.join(NAME)).ok()?;
    let end = text.split_whitespace().nth(3)?.parse().ok()?;
    (text == line(log, end)).then_some(end)
}

/// Notes that the log is durable up to `end`.
pub(super) fn write(dir: &Path, log: &LogIdentity, end: u64) -> io::Result<()> {
    let (path, aside) = (dir.join(NAME), dir.join("end.new"));
    let mut file = File::create(&aside)?;
    file.write_all(line(log, end).as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, &path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_of_one_log_and_whole_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (log, other) = (LogIdentity::new(0), LogIdentity::new(0));
        assert_eq!(read(dir.path(), &log), None);
        write(dir.path(), &log, 7).unwrap();
        write(dir.path(), &log, 12).unwrap();
        assert_eq!((read(dir.path(), &log), read(dir.path(), &other)), (Some(12), None));
        let whole = fs::read(dir.path().join(NAME)).unwrap();
        for cut in 0..whole.len() {
            fs::write(dir.path().join(NAME), &whole[..cut]).unwrap();
            assert_eq!(read(dir.path(), &log), None, "cut at {cut}");
        }
    }
}
