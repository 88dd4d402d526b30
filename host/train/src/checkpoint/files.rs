//! The files of a checkpoint: each is written once, from its beginning to its end, with a checksum that says later whether it
//! is whole.
//!
//! Must not know what they hold.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write};
use std::path::Path;

const BUFFER_BYTES: usize = 1 << 18;
/// Nothing that is kept as one part is longer; what says so is damaged.
const PART_BYTES: u64 = 1 << 32;

/// A file as it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Its name in the folder.
    pub(crate) name: String,
    bytes: u64,
    check: u32,
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Out {
    file: BufWriter<File>,
    written: Written,
}

impl Out {
    /// One of this name, in place of any that is there.
    pub(crate) fn named(folder: &Path, name: String) -> io::Result<Out> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(folder.join(&name))?;
        Ok(Out::of(file, name))
    }

    /// One that nobody finds again.
    pub(crate) fn nameless(folder: &Path) -> io::Result<Out> {
        Ok(Out::of(tempfile::tempfile_in(folder)?, String::new()))
    }

    fn of(file: File, name: String) -> Out {
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        Out { file, written: Written { name, bytes: 0, check: 0 } }
    }

    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut check = crc32fast::Hasher::new_with_initial_len(self.written.check, self.written.bytes);
        check.update(bytes);
        self.written.check = check.finalize();
        self.written.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Appends bytes that [`Parts`] gives back as they are.
    pub(crate) fn put_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(&(bytes.len() as u64).to_le_bytes())?;
        self.put(bytes)
    }

    /// What stands in it by now is on the disk.
    pub(crate) fn sync(&mut self) -> io::Result<Written> {
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        Ok(self.written.clone())
    }

    /// It, to be read from its beginning.
    pub(crate) fn into_file(self) -> io::Result<(File, Written)> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok((file, self.written))
    }
}

/// Whether a file is still as it was when it was written; what was appended to it since counts for nothing.
pub(crate) fn is_whole(folder: &Path, written: &Written) -> bool {
    let check = || {
        let mut file = File::open(folder.join(&written.name))?.take(written.bytes);
        let (mut buffer, mut check, mut bytes) = (vec![0; BUFFER_BYTES], crc32fast::Hasher::new(), 0);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return io::Result::Ok(bytes == written.bytes && check.finalize() == written.check);
            }
            bytes += read as u64;
            check.update(&buffer[..read]);
        }
    };
    check().unwrap_or(false)
}

/// A file as far as it was written.
pub(crate) fn open(folder: &Path, written: &Written) -> io::Result<io::Take<BufReader<File>>> {
    let file = File::open(folder.join(&written.name))?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, file).take(written.bytes))
}

/// The parts of a file in their order.
pub(crate) struct Parts(io::Take<BufReader<File>>);

impl Parts {
    pub(crate) fn of(folder: &Path, written: &Written) -> io::Result<Parts> {
        open(folder, written).map(Parts)
    }

    /// The next one, which is there.
    pub(crate) fn take(&mut self) -> io::Result<Vec<u8>> {
        self.next()?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// The next one; `None` behind the last.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.0.limit() == 0 {
            return Ok(None);
        }
        let mut length = [0; 8];
        self.0.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > PART_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut part = Vec::new();
        if (&mut self.0).take(length).read_to_end(&mut part)? as u64 != length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(part))
    }
}

/// Has a file appear in place of another at once, or not at all.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_data()?;
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes what is in a folder and none of these.
pub(super) fn retain(folder: &Path, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_kept(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_read_back_and_every_torn_or_changed_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = Out::named(folder.path(), "a".to_owned()).unwrap();
        for part in [&b"one"[..], b"", b"three"] {
            out.put_part(part).unwrap();
        }
        let written = out.sync().unwrap();
        out.put(b"what no checkpoint knows of").unwrap();
        drop(out);
        assert!(is_whole(folder.path(), &written));
        let mut parts = Parts::of(folder.path(), &written).unwrap();
        let read: Vec<Vec<u8>> = std::iter::from_fn(|| parts.next().unwrap()).collect();
        assert_eq!(read, [&b"one"[..], b"", b"three"]);
        assert!(parts.take().is_err());
        let path = folder.path().join("a");
        let whole = fs::read(&path).unwrap();
        for at in 0..written.bytes as usize {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert!(!is_whole(folder.path(), &written), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(!is_whole(folder.path(), &written), "{at} bytes");
        }
        fs::remove_file(&path).unwrap();
        assert!(!is_whole(folder.path(), &written));
    }
}
