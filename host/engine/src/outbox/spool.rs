//! The files of an outbox: rows that wait for a sink, where they survive the end of the process. Blocking.
//!
//! A file is only appended to, by the attempt that began it, whose number is in its name: a write that an earlier
//! attempt left behind cannot reach a file of this one. Which part of which file still counts is in the job's manifest;
//! files that it does not name are removed. Must not know when rows are written.

use super::frame::{self, HEAD_BYTES, Head};
use crate::manifest::Stretch;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::{ConnectError, SinkRows, make_folder};

/// A file that has grown so long is left for the next, however much may wait.
pub(super) const LONGEST_FILE_BYTES: u64 = 64 << 20;
/// How names of the files end.
const ENDING: &str = ".rows";

/// The files.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    attempt: u64,
    /// A file that has grown so long is left for the next.
    file_bytes: u64,
    begun: u64,
    current: Option<Current>,
    names: BTreeSet<Arc<str>>,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    name: Arc<str>,
    file: File,
    bytes: u64,
    is_synced: bool,
}

impl Spool {
    /// Knows the files of these names and all others that are there.
    pub(super) fn open(folder: PathBuf, attempt: u64, file_bytes: u64, keep: BTreeSet<Arc<str>>) -> Spool {
        // A folder that cannot be listed says so when something is to be written.
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().to_str().map(Arc::from));
        let ours = names.filter(|name: &Arc<str>| name.ends_with(ENDING)).chain(keep).collect();
        let file_bytes = file_bytes.min(LONGEST_FILE_BYTES);
        Spool { folder, attempt, file_bytes, begun: 0, current: None, names: ours }
    }

    /// Appends batches of rows; gives the place of each, and why the rest was not taken.
    pub(super) fn append(&mut self, batches: &[Arc<SinkRows>]) -> (Vec<Stretch>, Option<io::Error>) {
        let mut places = Vec::with_capacity(batches.len());
        for rows in batches {
            match self.append_one(rows) {
                Ok(place) => places.push(place),
                Err(error) => return (places, Some(error)),
            }
        }
        (places, None)
    }

    fn append_one(&mut self, rows: &SinkRows) -> io::Result<Stretch> {
        let mut bytes = Vec::new();
        frame::push(rows, &mut bytes).map_err(io::Error::other)?;
        let current = self.current()?;
        let from = current.bytes;
        if let Err(error) = current.file.write_all(&bytes) {
            // Half a frame must not stay before the next one; a file that cannot be cut is left as it is.
            if current.file.set_len(from).is_err() {
                self.current = None;
            }
            return Err(error);
        }
        current.bytes += bytes.len() as u64;
        current.is_synced = false;
        Ok(Stretch { file: current.name.clone(), from, to: current.bytes })
    }

    /// Everything appended survives the loss of power when this returns.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(current) = self.current.as_mut().filter(|current| !current.is_synced) {
            current.file.sync_all()?;
            current.is_synced = true;
        }
        Ok(())
    }

    /// Whether there are files beside these.
    pub(super) fn has_others(&self, needed: &BTreeSet<Arc<str>>) -> bool {
        self.names.iter().any(|name| !needed.contains(name))
    }

    /// Removes all files except these.
    pub(super) fn keep_only(&mut self, needed: &BTreeSet<Arc<str>>) {
        self.current.take_if(|current| !needed.contains(&current.name));
        self.names.retain(|name| {
            if needed.contains(name) {
                return true;
            }
            let path = self.folder.join(&**name);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(file = %path.display(), %error, "a file of an outbox could not be removed");
            }
            false
        });
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        if self.current.as_ref().is_some_and(|current| current.bytes >= self.file_bytes) {
            self.sync()?;
            self.current = None;
        }
        if self.current.is_none() {
            let begun = self.begin()?;
            self.current = Some(begun);
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("no file was begun"))
    }

    fn begin(&mut self) -> io::Result<Current> {
        make_folder(&self.folder)?;
        let (name, file) = loop {
            self.begun += 1;
            let name: Arc<str> = format!("{}-{}{ENDING}", self.attempt, self.begun).into();
            match OpenOptions::new().append(true).create_new(true).open(self.folder.join(&*name)) {
                // Attempts are counted anew when the job's state is reset.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => break (name, file?),
            }
        };
        self.names.insert(name.clone());
        // The name is durable before anything relies on it.
        File::open(&self.folder)?.sync_all()?;
        Ok(Current { name, file, bytes: 0, is_synced: true })
    }
}

/// Reads the first frame of a stretch; gives its rows and where it ends.
pub(super) fn read(folder: &Path, stretch: &Stretch) -> Result<(SinkRows, u64), ConnectError> {
    let path = folder.join(&*stretch.file);
    let damaged = |what: &str| {
        ConnectError::internal(format!(
            "`{}` holds rows that wait for this sink, and {what}; restore it, or reset the job, which gives all results \
             anew",
            path.display()
        ))
    };
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => damaged("is gone"),
        _ => ConnectError::unavailable(format!("`{}` cannot be opened: {error}", path.display())),
    })?;
    let unread = |error: io::Error| damaged(&format!("cannot be read at byte {}: {error}", stretch.from));
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, stretch.from).map_err(unread)?;
    let head = Head::read(head);
    let begin = stretch.from + HEAD_BYTES as u64;
    let end = begin + u64::from(head.length);
    if end > stretch.to {
        return Err(damaged(&format!("is damaged at byte {}: what follows is too short", stretch.from)));
    }
    let mut payload = vec![0; head.length as usize];
    file.read_exact_at(&mut payload, begin).map_err(unread)?;
    let rows = frame::rows(head, payload);
    let rows = rows.map_err(|what| damaged(&format!("is damaged at byte {}: {what}", stretch.from)))?;
    Ok((rows, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use weir_connect::sink::RowMeta;

    fn batch(numbers: &[i64]) -> Arc<SinkRows> {
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let columns = RecordBatch::try_from_iter([("n", column)]).unwrap();
        Arc::new(SinkRows { columns, meta: RowMeta::default() })
    }

    #[test]
    fn frames_are_read_back_one_by_one_from_a_stretch_of_several() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job").join("sink");
        let mut spool = Spool::open(path.clone(), 1, 1 << 20, BTreeSet::new());
        let batches = [batch(&[1, 2]), batch(&[3])];
        let (places, refused) = spool.append(&batches);
        assert!(refused.is_none());
        spool.sync().unwrap();
        let mut whole = Stretch { to: places[1].to, ..places[0].clone() };
        for (batch, place) in batches.iter().zip(&places) {
            let (rows, end) = read(&path, &whole).unwrap();
            assert_eq!((rows.columns, end), (batch.columns.clone(), place.to));
            whole.from = end;
        }
        let cut = Stretch { to: places[1].to - 1, ..places[1].clone() };
        assert!(read(&path, &cut).unwrap_err().message.contains("too short"));
        fs::write(path.join(&*places[0].file), b"nothing").unwrap();
        assert!(read(&path, &places[0]).unwrap_err().message.contains("cannot be read at byte 0"));
    }

    #[test]
    fn files_that_are_not_needed_go_and_a_later_attempt_writes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let open = |attempt, keep| Spool::open(path.clone(), attempt, 1 << 20, keep);
        let one = |spool: &mut Spool, number| spool.append(&[batch(&[number])]).0.remove(0);
        let mut spool = open(1, BTreeSet::new());
        let first = one(&mut spool, 1);
        let needed = BTreeSet::from([first.file.clone()]);
        assert!(!spool.has_others(&needed) && spool.has_others(&BTreeSet::new()));
        let mut later = open(2, needed.clone());
        let second = one(&mut later, 2);
        assert_ne!(second.file, first.file);
        assert!(path.join(&*first.file).exists(), "the manifest names it");
        later.keep_only(&BTreeSet::from([second.file.clone()]));
        assert!(!path.join(&*first.file).exists() && read(&path, &second).is_ok());

        // What no manifest names stays until the next one is safe, also where attempts are counted anew.
        let mut anew = open(2, BTreeSet::new());
        let third = one(&mut anew, 3);
        assert!(third.file != second.file && read(&path, &second).is_ok());
        let needed = BTreeSet::from([third.file.clone()]);
        assert!(anew.has_others(&needed));
        anew.keep_only(&needed);
        assert!(read(&path, &second).is_err() && read(&path, &third).is_ok());
    }

    #[test]
    fn a_file_that_has_grown_long_is_left_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path().to_owned(), 1, 1, BTreeSet::new());
        let (places, _) = spool.append(&[batch(&[1]), batch(&[2])]);
        assert_ne!(places[0].file, places[1].file);
    }
}
