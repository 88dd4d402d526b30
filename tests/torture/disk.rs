//! A disk under a project's folder that keeps what was synced alone, and what is there when its power goes.
//!
//! What was not synced may be there all the same, in part: a folder has the names that it had when it was synced or those that
//! it has now, a file what it had then, or now, or some of what was written since.

use super::Dice;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

/// Of the project, but on another disk: what people write, and what its servers said.
const BESIDE: [&str; 4] = ["weir.yaml", "streams", "jobs", "serve.log"];

/// What is preloaded.
static LIBRARY: LazyLock<(tempfile::TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = folder.path().join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("torture/disk.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .expect("a C compiler is there, as building weir needs one");
    assert!(compiled.success());
    (folder, library)
});

/// The disk of one project.
pub(super) struct Disk {
    root: PathBuf,
    kept: tempfile::TempDir,
}

/// What a folder holds.
enum Node {
    Folder(BTreeMap<String, Node>),
    File(Vec<u8>),
}

impl Disk {
    /// Everything that is there is safe.
    pub(super) fn under(project: &Path) -> Disk {
        let root = project.canonicalize().expect("the project is there");
        let disk = Disk { root, kept: tempfile::tempdir().expect("a temporary folder") };
        disk.keep_all();
        disk
    }

    /// What a process has in its environment whose files are on this disk.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.to_str().expect("temporary paths are text").to_owned();
        [
            ("LD_PRELOAD", text(&LIBRARY.1)),
            ("DISK_ROOT", text(&self.root)),
            ("DISK_KEPT", text(self.kept.path())),
        ]
    }

    fn keep_all(&self) {
        for folder in ["f", "d"] {
            let folder = self.kept.path().join(folder);
            if folder.exists() {
                fs::remove_dir_all(&folder).expect("what was kept can be removed");
            }
            fs::create_dir(&folder).expect("a folder can be made");
        }
        self.keep(&self.root);
    }

    fn keep(&self, folder: &Path) {
        let mut names = String::new();
        for (name, path, metadata) in entries(folder) {
            let kind = if metadata.is_dir() { 'd' } else { 'f' };
            names.push_str(&format!("{} {kind} {name}\n", id(&metadata)));
            if metadata.is_dir() {
                self.keep(&path);
            } else {
                fs::copy(&path, self.kept.path().join("f").join(id(&metadata))).expect("a copy can be made");
            }
        }
        let own = fs::metadata(folder).expect("the folder is there");
        fs::write(self.kept.path().join("d").join(id(&own)), names).expect("names can be written");
    }

    /// The power goes: no process that uses the disk runs any more. Then it comes back.
    pub(super) fn lose_power(&self, dice: &mut Dice) {
        let own = fs::metadata(&self.root).expect("the folder is there");
        let left = self.left_of(&id(&own), Some(&self.root), dice);
        for (_, path, metadata) in on_disk(&self.root) {
            let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.expect("what was there can be removed");
        }
        let Node::Folder(mut left) = left else { unreachable!("it is of a folder") };
        left.retain(|name, _| !BESIDE.contains(&name.as_str()));
        write(&self.root, left);
        self.keep_all();
    }

    /// What is left of a folder of this id, which is there now if `now` says where.
    fn left_of(&self, id_of: &str, now: Option<&Path>, dice: &mut Dice) -> Node {
        let there: BTreeMap<String, (PathBuf, Metadata)> = now
            .map(|now| entries(now).into_iter().map(|(name, path, of)| (name, (path, of))).collect())
            .unwrap_or_default();
        let as_now = dice.roll(4) == 0;
        let names: Vec<(String, bool, String)> = if as_now {
            let of = |(name, (_, metadata)): (&String, &(PathBuf, Metadata))| {
                (id(metadata), metadata.is_dir(), name.clone())
            };
            there.iter().map(of).collect()
        } else {
            let text = fs::read_to_string(self.kept.path().join("d").join(id_of)).unwrap_or_default();
            let of = |line: &str| {
                let mut parts = line.splitn(3, ' ').map(str::to_owned);
                let mut next = || parts.next().expect("three parts");
                (next(), next() == "d", next())
            };
            text.lines().map(of).collect()
        };
        // A file may have another name now than it had.
        let is_at = |id_of: &str| {
            let found = there.values().find(|(_, metadata)| id(metadata) == id_of);
            found.map(|(path, _)| path.clone())
        };
        let left = names.into_iter().map(|(id_of, is_folder, name)| {
            let now = is_at(&id_of);
            let node = match is_folder {
                true => self.left_of(&id_of, now.as_deref(), dice),
                false => Node::File(self.left_of_file(&id_of, now.as_deref(), dice)),
            };
            (name, node)
        });
        Node::Folder(left.collect())
    }

    fn left_of_file(&self, id: &str, now: Option<&Path>, dice: &mut Dice) -> Vec<u8> {
        let safe = fs::read(self.kept.path().join("f").join(id)).unwrap_or_default();
        let Some(now) = now.and_then(|now| fs::read(now).ok()) else { return safe };
        match dice.roll(4) {
            0 => now,
            1 if now.starts_with(&safe) => {
                let more = dice.roll(now.len() - safe.len() + 1);
                now[..safe.len() + more].to_vec()
            }
            _ => safe,
        }
    }
}

/// What tells an inode from any other that has had its number, as the library writes it.
fn id(metadata: &Metadata) -> String {
    let born =
        metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{:x}-{:x}-{:x}", metadata.ino(), born.as_secs(), born.subsec_nanos())
}

fn entries(folder: &Path) -> Vec<(String, PathBuf, Metadata)> {
    let entries = fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry"));
    let of = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("names are text");
        Some((name, entry.path(), fs::symlink_metadata(entry.path()).ok()?))
    };
    entries.filter_map(of).collect()
}

/// What of a project is on the disk.
fn on_disk(root: &Path) -> Vec<(String, PathBuf, Metadata)> {
    let mut entries = entries(root);
    entries.retain(|(name, ..)| !BESIDE.contains(&name.as_str()));
    entries
}

fn write(folder: &Path, left: BTreeMap<String, Node>) {
    for (name, node) in left {
        let path = folder.join(&name);
        match node {
            Node::Folder(left) => {
                fs::create_dir(&path).expect("a folder can be made");
                write(&path, left);
            }
            Node::File(bytes) => fs::write(path, bytes).expect("a file can be written"),
        }
    }
}
