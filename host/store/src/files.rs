//! The files beside sled's: the lock, the state file, the witness, the identity. Knows no sled and no segments.
//!
//! All but the lock are one line: name, format, value, checksum. They are replaced as a whole (written aside, synced, renamed,
//! folder synced), so a crash leaves the old line or the new one.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Epoch, StoreError};

/// Version of everything in the folder. A newer one is refused; it rises when old programs could misread.
pub(crate) const FORMAT: u32 = 1;

const LOCK: &str = "lock";
const STATE: &str = "state";
const WITNESS: &str = "witness";
pub(crate) const IDENTITY: &str = "identity";

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, path: path.to_path_buf(), source }
}

/// Together two seconds: far longer than a store of this process that is being closed needs to let go of its files, and as long
/// as a server that was killed takes to be gone.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Whether it is waited for the lock where another process has it: one that was killed may still be going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    Waits,
    Looks,
}

/// Makes the folder and takes its lock, for as long as the file is open.
pub(crate) fn lock(folder: &Path, patience: Patience) -> Result<File, StoreError> {
    let unusable = |source| StoreError::Folder { folder: folder.to_path_buf(), source };
    make_folder(folder).map_err(unusable)?;
    fs::read_dir(folder).map_err(unusable)?;
    let path = folder.join(LOCK);
    let ours = std::process::id();
    let is_held = |error: &StoreError| match error {
        StoreError::Locked { pid, .. } => patience == Patience::Waits || *pid == Some(ours),
        _ => false,
    };
    let mut file = once_let_go(|| try_lock(folder, &path), is_held)?;
    // Only for the message that a second server gives; the lock itself is the system's.
    let pid = format!("{ours}\n");
    file.set_len(0).and_then(|()| file.write_all(pid.as_bytes())).map_err(io_error("writing", &path))?;
    Ok(file)
}

/// Makes the folder and those above it that are missing, and syncs every name that it makes: what is synced in a folder is
/// lost with the folder's name.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        other => other?,
    }
    sync_folder(above)
}

fn try_lock(folder: &Path, path: &Path) -> Result<File, StoreError> {
    let unusable = |source| StoreError::Folder { folder: folder.to_path_buf(), source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            Err(StoreError::Locked { folder: folder.to_path_buf(), pid })
        }
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "what is waited for are threads and processes that end; no state hangs on it"
)]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

/// Opens what a store of this process may still hold: one that was closed a moment ago has threads that end, the
/// engine's after its last merge and sled's, before the files are free.
pub(crate) fn once_let_go<T, E>(
    mut open: impl FnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 0..LOCK_ATTEMPTS {
        match open() {
            Err(error) if is_held(&error) => pause(),
            other => return other,
        }
    }
    open()
}

/// Name of the live sled folder, `None` in a folder that has no state yet.
pub(crate) fn read_state(folder: &Path) -> Result<Option<String>, StoreError> {
    match read_line(folder, STATE)? {
        Line::Absent => Ok(None),
        Line::Value(name) if is_generation(&name) => Ok(Some(name)),
        Line::Value(_) | Line::Torn => Err(StoreError::Damaged {
            folder: folder.to_path_buf(),
            what: "the state file is not what was written".to_owned(),
        }),
    }
}

/// Makes `name` the live sled folder.
pub(crate) fn write_state(folder: &Path, name: &str) -> Result<(), StoreError> {
    write_line(folder, STATE, name)
}

/// The newest epoch that was ever safe here, `None` before the first.
pub(crate) fn read_witness(folder: &Path) -> Result<Option<Epoch>, StoreError> {
    let epoch = match read_line(folder, WITNESS)? {
        Line::Absent => return Ok(None),
        Line::Value(value) => value.parse().ok().map(Epoch),
        Line::Torn => None,
    };
    epoch.map(Some).ok_or_else(|| StoreError::Damaged {
        folder: folder.to_path_buf(),
        what: "the witness file is not what was written".to_owned(),
    })
}

/// Where the witness is.
pub(crate) fn witness(folder: &Path) -> PathBuf {
    folder.join(WITNESS)
}

/// Notes that `epoch` is safe.
pub(crate) fn write_witness(folder: &Path, epoch: Epoch) -> Result<(), StoreError> {
    write_line(folder, WITNESS, &epoch.to_string())
}

/// The value in a file of one line at a path; `None` where there is no file, or its line is not whole.
pub(crate) fn read_value(at: &Path) -> Result<Option<String>, StoreError> {
    let (folder, name) = parts(at);
    Ok(match read_line(folder, name)? {
        Line::Value(value) => Some(value),
        Line::Absent | Line::Torn => None,
    })
}

/// Writes such a file; the value is one word.
pub(crate) fn write_value(at: &Path, value: &str) -> Result<(), StoreError> {
    let (folder, name) = parts(at);
    write_line(folder, name, value)
}

fn parts(at: &Path) -> (&Path, &str) {
    let name = at.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (at.parent().unwrap_or(Path::new("")), name)
}

/// The sled folder that comes after `name`.
pub(crate) fn generation_after(name: Option<&str>) -> String {
    let number = name.and_then(generation_number).map_or(1, |number| number + 1);
    format!("sled-{number}")
}

fn generation_number(name: &str) -> Option<u64> {
    name.strip_prefix("sled-")?.parse().ok()
}

fn is_generation(name: &str) -> bool {
    generation_number(name).is_some()
}

/// Removes the sled folders that are not live: what a rebuild left, or one that did not come to its end.
pub(crate) fn remove_other_generations(folder: &Path, live: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name != live && is_generation(name)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a sled folder of any number is there.
pub(crate) fn has_generation(folder: &Path) -> Result<bool, StoreError> {
    let entries = fs::read_dir(folder).map_err(io_error("listing", folder))?;
    Ok(entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_generation)))
}

enum Line {
    Absent,
    Torn,
    Value(String),
}

fn read_line(folder: &Path, name: &str) -> Result<Line, StoreError> {
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Line::Absent),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(StoreError::Folder { folder: folder.to_path_buf(), source });
        }
        Err(error) => return Err(io_error("reading", &path)(error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let format = words.get(1).and_then(|word| word.parse::<u32>().ok());
    // Before anything else: a newer format may have other words after its number.
    if let Some(found) = format.filter(|found| *found > FORMAT && words[0] == title(name)) {
        return Err(StoreError::NewerFormat { folder: folder.to_path_buf(), found, known: FORMAT });
    }
    Ok(match words.as_slice() {
        [_, _, value, _] if *text == line(name, value) => Line::Value((*value).to_owned()),
        _ => Line::Torn,
    })
}

fn title(name: &str) -> String {
    format!("weir-{name}")
}

fn line(name: &str, value: &str) -> String {
    let said = format!("{} {FORMAT} {value}", title(name));
    let crc = crc32fast::hash(said.as_bytes());
    format!("{said} {crc:08x}\n")
}

fn write_line(folder: &Path, name: &str, value: &str) -> Result<(), StoreError> {
    let path = folder.join(name);
    let aside = folder.join(format!("{name}.new"));
    let write = || -> io::Result<()> {
        let mut file = File::create(&aside)?;
        file.write_all(line(name, value).as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &path)?;
        sync_folder(folder)
    };
    write().map_err(io_error("writing", &path))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes every file and folder below `folder` durable, and itself.
pub(crate) fn sync_tree(folder: &Path) -> io::Result<()> {
    walk(folder, &mut |path, is_folder| {
        let opened = if is_folder { File::open(path) } else { File::options().write(true).open(path) };
        match opened {
            Ok(file) => file.sync_all(),
            // sled replaces its snapshots at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    })
}

/// Bytes of all files below `folder`.
pub(crate) fn tree_bytes(folder: &Path) -> io::Result<u64> {
    let mut total = 0;
    walk(folder, &mut |path, is_folder| {
        match fs::metadata(path) {
            Ok(about) if !is_folder => total += about.len(),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(())
    })?;
    Ok(total)
}

/// Visits all below `folder`, then `folder` itself.
fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, bool) -> io::Result<()>) -> io::Result<()> {
    let mut inside: Vec<(PathBuf, bool)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) => inside.push((entry.path(), kind.is_dir())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    for (path, is_folder) in inside {
        if is_folder {
            walk(&path, visit)?;
        } else {
            visit(&path, false)?;
        }
    }
    visit(folder, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_or_told_as_damage() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path();
        assert_eq!(read_witness(path).expect("absent"), None);
        write_witness(path, Epoch(41)).expect("written");
        write_witness(path, Epoch(42)).expect("written");
        assert_eq!(read_witness(path).expect("whole"), Some(Epoch(42)));
        let whole = fs::read(path.join(WITNESS)).expect("readable");
        for cut in 0..whole.len() {
            fs::write(path.join(WITNESS), &whole[..cut]).expect("writable");
            assert!(matches!(read_witness(path), Err(StoreError::Damaged { .. })), "cut at {cut}");
        }
    }

    #[test]
    fn a_newer_format_is_known_by_its_number_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join(STATE), "weir-state 2 something quite different\n").expect("writable");
        let error = read_state(folder.path()).expect_err("newer");
        assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    }
}
