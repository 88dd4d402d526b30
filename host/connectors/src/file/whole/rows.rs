//! The rows of a file of Parquet: row group by row group, each handed out in several blocks that share its bytes.

use super::place::WholePlace;
use super::read::WholeReading;
use super::{Shelf, WholeFile};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use weir_connect::{ConnectError, Framing};
use weir_format::parquet::{Footer, TAIL_BYTES, footer_bytes};

/// Enough rows that what every block has to find again in its row group does not show, few enough that several blocks
/// fit into memory.
const BLOCK_ROWS: u64 = 1 << 16;

/// Reads what was not read of a file.
pub(super) async fn read(
    reading: &mut WholeReading,
    place: &mut WholePlace,
    file: &WholeFile,
) -> Result<(), ConnectError> {
    let shelf = reading.shelf.clone();
    let path = shelf.path(&file.name);
    let may_be_written = reading.follow;
    let damaged = |reason: String| damaged(&path, &reason, may_be_written);
    let footer = footer(&*shelf, file).await?.map_err(&damaged)?;
    let partitions = partitions(&path);
    // Rows of the file before the present group.
    let mut before = 0;
    for group in 0..footer.groups() {
        let count = footer.rows(group);
        let read = place.at.saturating_sub(before).min(count);
        before += count;
        if read == count {
            continue;
        }
        let range = footer.range(group).map_err(&damaged)?;
        if range.end > file.bytes {
            return Err(damaged("its footer tells of more than there is".to_owned()));
        }
        reading.taken().await;
        let content = shelf.read(file, range).await?;
        let data = footer.alone(group, &content, &partitions).map_err(&damaged)?;
        drop(content);
        let mut start = read;
        while start < count {
            let end = (start + BLOCK_ROWS).min(count);
            place.at += end - start;
            place.is_done = end == count && group + 1 == footer.groups();
            let base = reading.next - start;
            let framing = Framing::Container { head: Bytes::new(), base, first: reading.next };
            reading.hand_out((data.clone(), framing), end - start, None, place).await;
            start = end;
        }
    }
    place.is_done = true;
    Ok(())
}

async fn footer(shelf: &dyn Shelf, file: &WholeFile) -> Result<Result<Footer, String>, ConnectError> {
    let Some(tail) = file.bytes.checked_sub(TAIL_BYTES) else {
        return Ok(Err("it is too short for a file of Parquet".to_owned()));
    };
    let length = match footer_bytes(&shelf.read(file, tail..file.bytes).await?) {
        Ok(length) => length,
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(start) = tail.checked_sub(length) else {
        return Ok(Err("its footer is longer than the file".to_owned()));
    };
    Ok(Footer::parse(&shelf.read(file, start..tail).await?))
}

/// Under `follow` somebody may still be writing the file.
fn damaged(path: &str, reason: &str, may_be_written: bool) -> ConnectError {
    let message = format!("`{path}` cannot be read: {reason}");
    if may_be_written {
        return ConnectError::unavailable(format!(
            "{message}; it is tried again, as somebody may be writing it"
        ));
    }
    ConnectError::external(format!("{message}; restore the file, or take it away"))
}

/// The folders of a path that are partitions, with their values.
fn partitions(path: &str) -> Vec<(String, String)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let partition = |folder: &str| {
        let (name, value) = folder.split_once('=')?;
        Some((unescaped(name), unescaped(value)))
    };
    folders.split('/').filter_map(partition).collect()
}

/// What Hive escapes as `%3A` in names of partitions.
fn unescaped(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
