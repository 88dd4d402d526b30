//! Packs in an OCI image layout: a folder of blobs by their digests beside `index.json`, or a `.tar` of one.
//!
//! What is read is bounded and compared with its digest. What is written is there as a whole or not at all.

use crate::archive::{Files, append, read_tar};
use crate::artifact::{self, Artifact};
use crate::bounds;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use crate::oci::{self, Descriptor, Index, Manifest};
use crate::signature;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use tar::Builder;

const MARK: &str = "oci-layout";
const MARK_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &str = "index.json";

/// Reads the pack of a layout. Its parts are compared with their digests, and not yet with each other.
pub fn read(path: &Path) -> Result<Artifact> {
    let layout = Layout::open(path)?;
    let shown = path.display();
    let index: Index = serde_json::from_slice(&layout.bytes(INDEX, bounds::MANIFEST_BYTES)?)
        .map_err(|error| PackError::user(format!("{shown}: its {INDEX} is not that of a layout: {error}")))?;
    let packs: Vec<&Descriptor> = index.manifests.iter().filter(|found| is_pack(found)).collect();
    let described = match packs.as_slice() {
        [one] => *one,
        // Another tool may say nothing of what a manifest is.
        [] => match index.manifests.as_slice() {
            [one] => one,
            _ => {
                return Err(PackError::user(format!(
                    "{shown} has no feature pack; `weir pack build` makes one"
                )));
            }
        },
        several => {
            let names: Vec<String> = several.iter().map(|found| name(found)).collect();
            return Err(PackError::user(format!(
                "{shown} has several packs ({}), and it has to be one; copy the one that is meant into a layout of its own",
                names.join(", ")
            )));
        }
    };
    let manifest = layout.blob(described, bounds::MANIFEST_BYTES)?;
    let parsed = artifact::manifest(&manifest)?;
    let mut blobs = BTreeMap::new();
    for part in artifact::parts(&parsed) {
        blobs.insert(part.digest, layout.blob(part, bounds::COMPONENT_BYTES)?);
    }
    let signatures = layout.signatures(&index, described)?;
    Ok(Artifact { manifest, blobs, signatures })
}

fn is_pack(descriptor: &Descriptor) -> bool {
    descriptor.artifact_type.as_deref() == Some(oci::PACK)
}

fn name(descriptor: &Descriptor) -> String {
    let named = descriptor.annotations.get(oci::REF_NAME);
    named.map_or_else(|| descriptor.digest.to_string(), |name| name.escape_debug().to_string())
}

/// Where a layout is.
enum Layout {
    Folder(PathBuf),
    Tar(PathBuf, Files),
}

impl Layout {
    fn open(path: &Path) -> Result<Layout> {
        let found = fs::metadata(path).map_err(|error| PackError::io("read", path, &error))?;
        if found.is_dir() {
            if path.join(MARK).is_file() {
                return Ok(Layout::Folder(path.to_owned()));
            }
            return Err(PackError::user(format!(
                "{} is not a pack: it is a folder without {MARK}; `weir pack build` makes packs",
                path.display()
            )));
        }
        let what = path.display().to_string();
        if !found.is_file() {
            return Err(PackError::user(format!("{what} is neither a file nor a folder")));
        }
        bounds::check(&what, found.len(), bounds::ALL_BYTES)?;
        let file = File::open(path).map_err(|error| PackError::io("read", path, &error))?;
        let files = read_tar(&what, io::BufReader::new(file), bounds::ALL_BYTES, |_| Ok(()))?;
        let files = files.into_iter().map(|(path, bytes)| (path.trim_start_matches("./").to_owned(), bytes));
        let files: Files = files.collect();
        if !files.contains_key(MARK) {
            return Err(PackError::user(format!("{what} is not a pack: it is an archive without {MARK}")));
        }
        Ok(Layout::Tar(path.to_owned(), files))
    }

    fn shown(&self) -> std::path::Display<'_> {
        match self {
            Layout::Folder(path) | Layout::Tar(path, _) => path.display(),
        }
    }

    fn bytes(&self, below: &str, limit: u64) -> Result<Vec<u8>> {
        let what = format!("{below} of {}", self.shown());
        let missing = || PackError::user(format!("{} lacks {below}; get it anew", self.shown()));
        match self {
            Layout::Folder(path) => match File::open(path.join(below)) {
                Ok(file) => bounds::read(&what, file, limit),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
                Err(error) => Err(PackError::io("read", &path.join(below), &error)),
            },
            Layout::Tar(_, files) => {
                let bytes = files.get(below).ok_or_else(missing)?;
                bounds::check(&what, bytes.len() as u64, limit)?;
                Ok(bytes.clone())
            }
        }
    }

    fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let bytes = self.bytes(&blob_path(&descriptor.digest), limit)?;
        descriptor.check(&bytes)?;
        Ok(bytes)
    }

    /// What was signed of a pack: manifests beside it of which it is the subject.
    fn signatures(&self, index: &Index, pack: &Descriptor) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let beside =
            index.manifests.iter().filter(|other| other.artifact_type.as_deref() == Some(oci::SIGNATURE));
        for descriptor in beside.take(bounds::SIGNATURES) {
            let manifest = self.blob(descriptor, bounds::MANIFEST_BYTES)?;
            if let Some(layer) = signature::layer(&manifest, &pack.digest)? {
                found.push(signature::text(self.blob(&layer, bounds::SIGNATURE_BYTES)?)?);
            }
        }
        Ok(found)
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The files of a layout that holds a pack and its signatures, by their paths.
fn files(artifact: &Artifact) -> Result<Files> {
    let parsed: Manifest = artifact::manifest(&artifact.manifest)?;
    let mut pack = artifact.descriptor();
    if let Some(version) = parsed.annotations.get(oci::VERSION) {
        pack = pack.with(oci::REF_NAME, version);
    }
    let mut files = Files::new();
    let mut add = |bytes: &[u8]| {
        files.insert(blob_path(&Digest::of(bytes)), bytes.to_vec());
    };
    add(&artifact.manifest);
    artifact.blobs.values().for_each(|bytes| add(bytes));
    let mut manifests = vec![pack];
    for text in &artifact.signatures {
        let signed = signature::artifact(&artifact.descriptor(), text);
        signed.blobs.iter().for_each(|bytes| add(bytes));
        add(&signed.manifest);
        manifests.push(signed.descriptor());
    }
    files.insert(MARK.to_owned(), MARK_TEXT.as_bytes().to_vec());
    files.insert(INDEX.to_owned(), oci::bytes(&Index::of(manifests)));
    Ok(files)
}

/// Whether a layout of this name is an archive.
pub fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "tar")
}

/// Writes a pack: a `.tar` in place of the one that may be there, any other name as a folder, which must not be there.
pub fn write(artifact: &Artifact, path: &Path) -> Result<()> {
    let failed = |error: io::Error| PackError::io("write", path, &error);
    let files = files(artifact)?;
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    fs::create_dir_all(above).map_err(failed)?;
    if is_tar(path) {
        let mut builder = Builder::new(tempfile::NamedTempFile::new_in(above).map_err(failed)?);
        for (path, bytes) in &files {
            append(&mut builder, path, bytes).map_err(failed)?;
        }
        let written = builder.into_inner().map_err(failed)?;
        readable(written.path()).and_then(|()| written.as_file().sync_all()).map_err(failed)?;
        written.persist(path).map_err(|error| failed(error.error))?;
        return Ok(());
    }
    if path.exists() {
        return Err(PackError::user(format!(
            "{} is there already; remove it, or give another name",
            path.display()
        )));
    }
    let made = tempfile::tempdir_in(above).map_err(failed)?;
    for (below, bytes) in &files {
        let file = made.path().join(below);
        file.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&file, bytes))
            .map_err(failed)?;
    }
    readable(made.path()).map_err(failed)?;
    fs::rename(made.keep(), path).map_err(failed)
}

/// What is made under a passing name is its maker's alone; a pack is for others too.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::tests::{config, files as packed};

    fn artifact() -> Artifact {
        Artifact::build(config(), &packed()).unwrap()
    }

    #[test]
    fn a_pack_comes_back_from_a_folder_and_from_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["pack", "below/pack.tar"] {
            let path = folder.path().join(name);
            write(&artifact(), &path).unwrap();
            assert_eq!(read(&path).unwrap(), artifact(), "{name}");
        }
        let tar = folder.path().join("below/pack.tar");
        let bytes = fs::read(&tar).unwrap();
        write(&artifact(), &tar).unwrap();
        assert_eq!(fs::read(&tar).unwrap(), bytes, "the same pack makes the same archive");
        let said = write(&artifact(), &folder.path().join("pack")).unwrap_err().message;
        assert!(said.contains("there already"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn a_layout_that_was_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pack");
        write(&artifact(), &path).unwrap();
        let refused = || read(&path).unwrap_err().message;
        for digest in artifact().blobs.keys().copied().chain([artifact().digest()]) {
            let blob = path.join(blob_path(&digest));
            let bytes = fs::read(&blob).unwrap();
            let mut other = bytes.clone();
            other[0] ^= 1;
            fs::write(&blob, &other).unwrap();
            assert!(refused().contains(&digest.to_string()), "{}", refused());
            fs::write(&blob, &bytes[1..]).unwrap();
            assert!(refused().contains("its manifest says"), "{}", refused());
            fs::remove_file(&blob).unwrap();
            assert!(refused().contains("lacks"), "{}", refused());
            fs::write(&blob, bytes).unwrap();
        }
        fs::write(path.join(INDEX), "{}").unwrap();
        assert!(refused().contains("is not that of a layout"), "{}", refused());
        fs::write(path.join(INDEX), r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
        assert!(refused().contains("no feature pack"), "{}", refused());
        fs::remove_file(path.join(MARK)).unwrap();
        assert!(refused().contains("without oci-layout"), "{}", refused());
        assert!(read(&folder.path().join("none")).is_err());
    }
}
