//! The layer of definitions: a tar of regular files, compressed. Written so that the same files make the same bytes, read so
//! that no archive takes more memory than [`bounds`] say or names what is no file of a pack.
//!
//! Knows tar and gzip. Must not know what is in a file.

use crate::bounds;
use crate::error::{PackError, Result};
use crate::paths;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use tar::{Archive, Builder, EntryType, Header};

/// Files by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What everybody may read and its owner may write, as files of a project are.
const MODE: u32 = 0o644;

/// Packs files: in the order of their paths, of nobody and of no time.
pub fn pack(files: &Files) -> Result<Vec<u8>> {
    let failed = |error: io::Error| PackError::external(format!("cannot pack the definitions: {error}"));
    let zipped = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(6));
    let mut builder = Builder::new(zipped);
    for (path, bytes) in files {
        append(&mut builder, path, bytes).map_err(failed)?;
    }
    builder.into_inner().and_then(flate2::write::GzEncoder::finish).map_err(failed)
}

/// Adds a regular file.
pub(crate) fn append<W: Write>(builder: &mut Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(MODE);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, path, bytes)
}

/// Unpacks what a pack's layer holds; every path in it is one that a pack may have.
pub fn unpack(layer: &[u8]) -> Result<Files> {
    let what = "the layer of definitions";
    let files = read_tar(what, GzDecoder::new(layer), bounds::UNPACKED_BYTES, |path| {
        paths::check(path)?;
        if paths::is_component(path) {
            return Err(PackError::user(format!(
                "{what} holds {path}, and components have layers of their own"
            )));
        }
        Ok(())
    })?;
    Ok(files)
}

/// Reads the regular files of a tar that ends within so many bytes. What is neither a file nor a folder is refused, and so
/// are two files of one path.
pub(crate) fn read_tar(
    what: &str,
    reader: impl Read,
    limit: u64,
    allowed: impl Fn(&str) -> Result<()>,
) -> Result<Files> {
    let broken = |error: io::Error| broken(what, &error);
    let mut archive = Archive::new(Bounded { reader, left: limit, limit });
    let mut files = Files::new();
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        if number >= bounds::FILES {
            return Err(PackError::user(format!(
                "{what} has more than {} entries; it is refused",
                bounds::FILES
            )));
        }
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .map_err(|_| PackError::user(format!("{what} has a path that is not UTF-8; it is refused")))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::Directory {
            continue;
        }
        if kind != EntryType::Regular {
            let message = format!(
                "{what} has `{}`, which is a link or a device, and packs have files alone; it is refused",
                path.escape_debug()
            );
            return Err(PackError::user(message));
        }
        allowed(&path)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if files.insert(path.clone(), bytes).is_some() {
            return Err(PackError::user(format!("{what} has {path} twice; it is refused")));
        }
    }
    Ok(files)
}

fn broken(what: &str, error: &io::Error) -> PackError {
    // The tar's reader wraps what the one below it says.
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(TooMuch(limit)) = found.downcast_ref::<TooMuch>() {
            return PackError::user(format!(
                "{what} unpacks to more than {}, which no pack has; it is refused",
                bounds::shown(*limit)
            ));
        }
        let inner = found.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| found.source());
    }
    PackError::user(format!(
        "{what} is not a sound archive ({error}); it was damaged, or something else made it"
    ))
}

#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
struct TooMuch(u64);

/// Fails where a reader goes on behind so many bytes.
struct Bounded<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(into)?;
        self.left =
            self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooMuch(self.limit)))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(named: &[(&str, &str)]) -> Files {
        named.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    /// A compressed tar of entries that no builder of ours would make.
    fn made(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (kind, path, bytes) in entries {
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o777);
            header.set_size(bytes.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name_literal("/etc/passwd").unwrap();
            }
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(bytes);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        zipped(&tar)
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
        zip.write_all(bytes).unwrap();
        zip.finish().unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_bytes_and_come_back() {
        let long = format!("data/{}/x.jsonl", "long-name-".repeat(20));
        let all = files(&[("streams/a.yaml", "1"), ("jobs/b.yaml", "2"), (&long, "3"), ("data/empty", "")]);
        let packed = pack(&all).unwrap();
        assert_eq!(packed, pack(&all.clone().into_iter().rev().collect()).unwrap());
        assert_eq!(unpack(&packed).unwrap(), all);
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        let file = EntryType::Regular;
        for (entries, part) in [
            (vec![(file, "../jobs/a.yaml", &b"x"[..])], "leads out"),
            (vec![(file, "/etc/passwd", &b"x"[..])], "paths start at"),
            (vec![(file, "jobs/../../x", &b"x"[..])], "leads out"),
            (vec![(file, "weir.yaml", &b"x"[..])], "alone"),
            (vec![(file, ".weir/state/db", &b"x"[..])], "begins with a dot"),
            (vec![(file, "plugins/geo.wasm", &b"x"[..])], "layers of their own"),
            (vec![(EntryType::Symlink, "jobs/a.yaml", &b""[..])], "is a link or a device"),
            (vec![(EntryType::Link, "jobs/a.yaml", &b""[..])], "is a link or a device"),
            (vec![(EntryType::Char, "jobs/a.yaml", &b""[..])], "is a link or a device"),
            (vec![(EntryType::Fifo, "jobs/a.yaml", &b""[..])], "is a link or a device"),
            (vec![(file, "jobs/a.yaml", &b"1"[..]), (file, "jobs/a.yaml", &b"2"[..])], "twice"),
        ] {
            let said = unpack(&made(&entries)).unwrap_err().message;
            assert!(said.contains(part), "{entries:?}: {said}");
        }
        assert_eq!(unpack(&made(&[(EntryType::Directory, "jobs/", b"")])).unwrap(), Files::new());
    }

    #[test]
    fn a_bomb_and_what_is_no_archive_end_early() {
        let zeros = vec![0; 1 << 20];
        let mut bomb = Vec::new();
        let mut header = Header::new_gnu();
        header.set_path("data/zeros").unwrap();
        header.set_entry_type(EntryType::Regular);
        header.set_size(1 << 40);
        header.set_cksum();
        let mut zip = flate2::write::GzEncoder::new(&mut bomb, Compression::fast());
        zip.write_all(header.as_bytes()).unwrap();
        (0..200).for_each(|_| zip.write_all(&zeros).unwrap());
        zip.finish().unwrap();
        assert!(bomb.len() < 2 << 20);
        let said = unpack(&bomb).unwrap_err().message;
        assert!(said.contains("unpacks to more than 128.0 MiB"), "{said}");

        let many: Vec<(EntryType, String)> =
            (0..=bounds::FILES).map(|number| (EntryType::Regular, format!("data/{number}"))).collect();
        let many: Vec<(EntryType, &str, &[u8])> =
            many.iter().map(|(kind, path)| (*kind, path.as_str(), &b""[..])).collect();
        assert!(unpack(&made(&many)).unwrap_err().message.contains("entries"));

        for junk in [&b""[..], b"junk", &zipped(b"junk"), &zipped(&[7; 2048])] {
            assert!(unpack(junk).is_err(), "{junk:?}");
        }
        let cut = pack(&files(&[("jobs/a.yaml", "text")])).unwrap();
        assert!(unpack(&cut[..cut.len() / 2]).is_err());
    }
}
