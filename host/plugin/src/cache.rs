//! Compiled code on disk, by the sha256 of the component and the settings it was compiled with. Written by weir
//! alone (whole or not at all), checked before it is run; a file that does not check is compiled again. Must not
//! know how code is compiled.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Opens every file here; the digit is the version of this layout.
const MAGIC: &[u8; 12] = b"weir-cwasm-1";
const DIGEST_BYTES: usize = 32;

pub(crate) struct CompiledCache {
    folder: PathBuf,
    settings: u64,
}

impl CompiledCache {
    /// The cache in `folder` for code that `engine` can run.
    pub(crate) fn new(folder: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        CompiledCache { folder: folder.to_owned(), settings: hasher.finish() }
    }

    /// Where the code of a component belongs; the folder exists afterwards.
    pub(crate) fn place(&self, sha256: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        Ok(self.folder.join(format!("{sha256}-{:016x}.cwasm", self.settings)))
    }

    /// The component, if its code is here, whole and fit for this engine.
    pub(crate) fn load(&self, engine: &Engine, sha256: &str) -> Option<wasmtime::Result<Component>> {
        let file = fs::read(self.place(sha256).ok()?).ok()?;
        Some(load_compiled(engine, code_of(&file)?))
    }
}

/// Writes compiled code so that it is there whole or not at all.
pub(crate) fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file = Vec::with_capacity(MAGIC.len() + DIGEST_BYTES + code.len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&Sha256::digest(code));
    file.extend_from_slice(code);
    write_whole(path, &file)
}

/// Writes a file aside, syncs it and renames it into its place.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{number}.part", std::process::id()));
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // Whatever was left aside is of no use; the error that matters is the first.
        let _ = fs::remove_file(&aside);
        return written;
    }
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The code in a file of the cache, if the file is as it was written.
fn code_of(file: &[u8]) -> Option<&[u8]> {
    let (digest, code) = file.strip_prefix(MAGIC.as_slice())?.split_at_checked(DIGEST_BYTES)?;
    (Sha256::digest(code).as_slice() == digest).then_some(code)
}

/// Makes compiled code runnable; an error if it is of another wasmtime or other settings.
#[allow(unsafe_code, reason = "wasmtime trusts compiled code, and nothing but this can load it")]
fn load_compiled(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the code was compiled by this program from a validated component into a folder that only this
    // program writes, and its checksum shows that it is as it was written. Code of another version or other
    // settings is refused by wasmtime itself. Uploaded bytes never come here: admission takes components only.
    unsafe { Component::deserialize(engine, code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_holds_no_code() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cwasm");
        write(&path, b"code").unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!(code_of(&file), Some(&b"code"[..]));
        for i in 0..file.len() {
            let mut damaged = file.clone();
            damaged[i] ^= 1;
            assert_eq!(code_of(&damaged), None, "byte {i}");
            assert_eq!(code_of(&file[..i]), None, "cut at {i}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left aside");
    }
}
