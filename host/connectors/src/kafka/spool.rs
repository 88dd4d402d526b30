//! Messages that wait for the transaction that makes them visible: numbered files of one sink. Blocking.
//!
//! A file holds messages of one checkpoint, as many as a transaction can carry, is synced before the checkpoint names it, with its length and a sum over
//! it, and is removed once its messages are in the topic. Numbers rise over the life of a sink, so that the highest
//! number that is in the topic says which files are. Must not know Kafka or rows.

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher as _, RandomState};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use weir_connect::{ConnectError, make_folder};

/// The file that holds the name that the sink writes under.
const NAME: &str = "name";
/// Ends the names of files.
const ENDING: &str = ".messages";
/// A file is whole when it has about so many bytes: what a slow line carries well before a transaction times out.
const FILE_BYTES: u64 = 8 << 20;
/// In place of a length: there is no key, or no value.
const NONE: u32 = u32::MAX;

/// A file that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spooled {
    /// Its number, from 1.
    pub(super) number: u64,
    bytes: u64,
    /// Over all of it.
    sum: u32,
}

/// The files of one sink.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// Files that are whole and not known to be in the topic.
    pending: Vec<Spooled>,
    growing: Option<Growing>,
    next: u64,
    file_bytes: u64,
}

/// A file that is being written.
#[derive(Debug)]
struct Growing {
    number: u64,
    file: BufWriter<File>,
    bytes: u64,
    sum: Hasher,
}

impl Spool {
    /// In a folder of the sink's own, which is made where it is missing.
    pub(super) fn open(folder: PathBuf) -> Result<Spool, ConnectError> {
        let spool = Spool { folder, pending: Vec::new(), growing: None, next: 1, file_bytes: FILE_BYTES };
        make_folder(&spool.folder).map_err(|error| failed("make", &spool.folder, &error))?;
        Ok(spool)
    }

    /// The name that the sink writes under: `known` where a checkpoint says it, or else what the folder says, or else a new
    /// one that begins so and that nobody else has.
    pub(super) fn name(&self, known: Option<&str>, begin: &str) -> Result<String, ConnectError> {
        let path = self.folder.join(NAME);
        let kept = match fs::read_to_string(&path) {
            Ok(kept) => Some(kept),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let name = match (known, kept.as_deref()) {
            (Some(known), _) => known.to_owned(),
            (None, Some(kept)) => kept.to_owned(),
            // Seeded by the system anew for each of its kind.
            (None, None) => format!("{begin}{:016x}", RandomState::new().build_hasher().finish()),
        };
        if kept.as_deref() != Some(name.as_str()) {
            write_whole(&path, name.as_bytes()).map_err(|error| failed("write", &path, &error))?;
        }
        Ok(name)
    }

    /// Goes on where a checkpoint named these files, of which those up to `produced` are in the topic: others go.
    pub(super) fn resume(&mut self, named: &[Spooled], produced: u64) -> Result<(), ConnectError> {
        (self.growing, self.pending) = (None, named.to_vec());
        self.pending.retain(|file| file.number > produced);
        self.next = named.iter().map(|file| file.number).max().unwrap_or(0).max(produced) + 1;
        let entries = fs::read_dir(&self.folder).map_err(|error| failed("list", &self.folder, &error))?;
        let mut found: Vec<u64> = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed("list", &self.folder, &error))?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
        }
        for number in &found {
            if !self.pending.iter().any(|file| file.number == *number) {
                self.remove(*number)?;
            }
        }
        match self.pending.iter().find(|file| !found.contains(&file.number)) {
            None => Ok(()),
            Some(missing) => Err(ConnectError::external(format!(
                "`{}` holds messages of the last checkpoint and is gone; restore it, or reset the job",
                self.path(missing.number).display()
            ))),
        }
    }

    /// Appends a message.
    pub(super) fn append(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), ConnectError> {
        if self.growing.as_ref().is_some_and(|growing| growing.bytes >= self.file_bytes) {
            self.finish()?;
        }
        let mut growing = match self.growing.take() {
            Some(growing) => growing,
            None => self.begin()?,
        };
        let written = growing.append(key, value);
        let path = self.path(growing.number);
        // Half a message must not stay: the file is begun anew by who takes everything again after the error.
        if written.is_ok() {
            self.growing = Some(growing);
        }
        written.map_err(|error| failed("write to", &path, &error))
    }

    fn begin(&mut self) -> Result<Growing, ConnectError> {
        let number = self.next;
        let path = self.path(number);
        let file = File::create(&path).map_err(|error| failed("make", &path, &error))?;
        self.next += 1;
        Ok(Growing { number, file: BufWriter::new(file), bytes: 0, sum: Hasher::new() })
    }

    /// Makes everything so far durable; all files that are not in the topic.
    pub(super) fn prepare(&mut self) -> Result<Vec<Spooled>, ConnectError> {
        self.finish()?;
        Ok(self.pending.clone())
    }

    /// Makes the file that is being written whole and durable.
    fn finish(&mut self) -> Result<(), ConnectError> {
        let Some(Growing { number, file, bytes, sum }) = self.growing.take() else { return Ok(()) };
        let path = self.path(number);
        let synced =
            file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        let synced = synced.and_then(|()| File::open(&self.folder)?.sync_all());
        synced.map_err(|error| failed("sync", &path, &error))?;
        self.pending.push(Spooled { number, bytes, sum: sum.finalize() });
        Ok(())
    }

    /// Gives the messages of a file to `each`, in their order, and compares them with what was written.
    pub(super) fn read(
        &self,
        file: &Spooled,
        mut each: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), ConnectError>,
    ) -> Result<(), ConnectError> {
        let path = self.path(file.number);
        let damaged = || {
            ConnectError::internal(format!(
                "`{}` is damaged: it is not what was written there before the last checkpoint; restore it, or reset the job",
                path.display()
            ))
        };
        let opened = File::open(&path).map_err(|error| failed("open", &path, &error))?;
        let length = opened.metadata().map_err(|error| failed("open", &path, &error))?.len();
        if length != file.bytes {
            return Err(damaged());
        }
        let mut input = Summed { input: BufReader::new(opened), left: file.bytes, sum: Hasher::new() };
        while input.left > 0 {
            let key = input.part().map_err(|error| failed("read", &path, &error))?.ok_or_else(damaged)?;
            let value = input.part().map_err(|error| failed("read", &path, &error))?.ok_or_else(damaged)?;
            each(key.as_deref(), value.as_deref())?;
        }
        if input.sum.finalize() == file.sum { Ok(()) } else { Err(damaged()) }
    }

    /// Forgets the files up to this number: their messages are in the topic.
    pub(super) fn produced(&mut self, number: u64) -> Result<(), ConnectError> {
        let is_produced = |file: &Spooled| file.number <= number;
        let gone: Vec<u64> =
            self.pending.iter().filter(|file| is_produced(file)).map(|file| file.number).collect();
        self.pending.retain(|file| !is_produced(file));
        gone.into_iter().try_for_each(|number| self.remove(number))
    }

    fn remove(&self, number: u64) -> Result<(), ConnectError> {
        let path = self.path(number);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path, &error)),
            _ => Ok(()),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}{ENDING}"))
    }
}

impl Growing {
    fn append(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> io::Result<()> {
        for part in [key, value] {
            let length = part.map_or(Ok(NONE), |part| match u32::try_from(part.len()) {
                Ok(length) if length != NONE => Ok(length),
                _ => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            });
            self.put(&length?.to_le_bytes())?;
            self.put(part.unwrap_or_default())?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// A file as it is read back.
struct Summed {
    input: BufReader<File>,
    /// Bytes that are left.
    left: u64,
    sum: Hasher,
}

impl Summed {
    /// A key or a value; `None` where the file cannot hold what it says.
    fn part(&mut self) -> io::Result<Option<Option<Vec<u8>>>> {
        let mut length = [0; 4];
        if !self.take(&mut length)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes(length);
        if length == NONE {
            return Ok(Some(None));
        }
        if u64::from(length) > self.left {
            return Ok(None);
        }
        let mut part = vec![0; length as usize];
        Ok(self.take(&mut part)?.then_some(Some(part)))
    }

    fn take(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else { return Ok(false) };
        self.left = left;
        self.input.read_exact(bytes)?;
        self.sum.update(bytes);
        Ok(true)
    }
}

/// Puts a file in place of one that is there.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn failed(what: &str, path: &Path, error: &io::Error) -> ConnectError {
    ConnectError::unavailable(format!("the kafka sink cannot {what} `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Message = (Option<Vec<u8>>, Option<Vec<u8>>);

    fn read(spool: &Spool, file: &Spooled) -> Result<Vec<Message>, ConnectError> {
        let mut all = Vec::new();
        let each = |key: Option<&[u8]>, value: Option<&[u8]>| {
            all.push((key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
            Ok(())
        };
        spool.read(file, each).map(|()| all)
    }

    #[test]
    fn messages_come_back_as_they_were_and_go_when_they_are_in_the_topic() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path().join("a/b")).unwrap();
        spool.append(Some(b"k"), Some(b"v")).unwrap();
        spool.append(None, Some(b"")).unwrap();
        spool.append(Some(b""), None).unwrap();
        let first = spool.prepare().unwrap();
        assert_eq!(spool.prepare().unwrap(), first, "nothing new was written");
        spool.append(None, Some(b"w")).unwrap();
        let both = spool.prepare().unwrap();
        assert_eq!((first.len(), both.len()), (1, 2));
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            read(&spool, &both[0]).unwrap(),
            [(some("k"), some("v")), (None, some("")), (some(""), None)]
        );
        spool.append(None, Some(b"never named")).unwrap();

        let mut again = Spool::open(folder.path().join("a/b")).unwrap();
        again.resume(&both, 1).unwrap();
        assert_eq!(again.prepare().unwrap(), both[1..]);
        again.append(None, Some(b"x")).unwrap();
        assert_eq!(again.prepare().unwrap().last().map(|file| file.number), Some(3));
        again.produced(2).unwrap();
        assert!(read(&again, &both[1]).is_err());
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
        let name = again.name(None, "weir-").unwrap();
        assert_eq!(again.name(None, "other-").unwrap(), name);
        assert_eq!(again.name(Some("known"), "weir-").unwrap(), "known");
        assert_eq!(again.name(None, "weir-").unwrap(), "known");
        let error = again.resume(&both, 1).unwrap_err();
        assert!(error.message.contains("is gone"), "{error}");
    }

    #[test]
    fn what_no_transaction_could_carry_is_in_several_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool { file_bytes: 64, ..Spool::open(folder.path().to_owned()).unwrap() };
        let message = |number: u8| (Some(vec![number; 30]), Some(vec![number]));
        for number in 0..7 {
            let (key, value) = message(number);
            spool.append(key.as_deref(), value.as_deref()).unwrap();
        }
        let files = spool.prepare().unwrap();
        assert_eq!(files.iter().map(|file| file.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let all: Vec<Message> = files.iter().flat_map(|file| read(&spool, file).unwrap()).collect();
        assert_eq!(all, (0..7).map(message).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_was_changed_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path().to_owned()).unwrap();
        spool.append(Some(b"key"), Some(b"value")).unwrap();
        let file = spool.prepare().unwrap().remove(0);
        let path = spool.path(file.number);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x81;
            fs::write(&path, &changed).unwrap();
            assert!(read(&spool, &file).unwrap_err().message.contains("damaged"), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(read(&spool, &file).unwrap_err().message.contains("damaged"), "cut at {at}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(read(&spool, &file).is_ok());
    }
}
