//! Files that get the inode of one that was read and is deleted: they are new, and are read whole and once.

use super::rotation::{Read, names, read, rotated, row};
use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;

#[derive(Debug, Clone)]
enum Step {
    /// So many rows.
    Append(usize),
    Rotate,
    /// The older file of this number.
    Compress(usize),
    Read,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop::sample::select(vec![1_usize, 2, 40]).prop_map(Step::Append),
        3 => Just(Step::Rotate),
        3 => (1_usize..4).prop_map(Step::Compress),
        2 => Just(Step::Read),
    ];
    prop::collection::vec(step, 1..24)
}

/// A log and what was read of it.
struct Log {
    folder: tempfile::TempDir,
    rows: usize,
    read: Vec<String>,
    told: Vec<String>,
    position: Option<Position>,
    /// The inodes of the files at the last reading.
    seen: Vec<u64>,
}

impl Log {
    fn new() -> Log {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.log"), "").unwrap();
        Log { folder, rows: 0, read: Vec::new(), told: Vec::new(), position: None, seen: Vec::new() }
    }

    async fn take(&mut self, step: &Step) {
        let folder = self.folder.path();
        match step {
            Step::Append(count) => {
                for _ in 0..*count {
                    append(&folder.join("app.log"), &row(&self.rows.to_string()));
                    self.rows += 1;
                }
            }
            Step::Rotate => rotated(folder),
            Step::Compress(number) => compress(&folder.join(format!("app.log.{number}"))),
            Step::Read => self.read_on().await,
        }
    }

    async fn read_on(&mut self) {
        let position = self.position.take().map(|position| self.with_inodes_again(position));
        let source = reader_of(self.folder.path(), "app.log*", false);
        let Read { rows, told, end } = read(&source, position).await.unwrap();
        self.read.extend(rows);
        self.told.extend(told);
        self.position = end;
        self.seen = self.inodes();
    }

    fn inodes(&self) -> Vec<u64> {
        let files = fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap());
        files.map(|file| file.metadata().unwrap().ino()).collect()
    }

    /// What the position would be if each file that is gone since had left its inode to one that is new. Not every file
    /// system gives an inode again at once.
    fn with_inodes_again(&self, position: Position) -> Position {
        let now = self.inodes();
        let mut new = now.iter().filter(|inode| !self.seen.contains(inode));
        let mut place: Value = serde_json::from_str(&position.place).unwrap();
        visit(&mut place, &mut |inode| {
            if now.contains(inode) {
                return;
            }
            if let Some(again) = new.next() {
                *inode = *again;
            }
        });
        Position { place: place.to_string(), ..position }
    }
}

/// Every inode of a place.
fn visit(value: &mut Value, change: &mut impl FnMut(&mut u64)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| visit(value, change)),
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_u64().filter(|_| name == "inode") {
                    Some(mut inode) => {
                        change(&mut inode);
                        *value = inode.into();
                    }
                    None => visit(value, change),
                }
            }
        }
        _ => {}
    }
}

fn compress(path: &Path) {
    let content = fs::read(path).unwrap_or_default();
    if content.is_empty() {
        return;
    }
    let compressed = path.with_file_name(format!("{}.gz", path.file_name().unwrap().display()));
    fs::write(&compressed, gzip(&content)).unwrap();
    // As gzip does.
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::File::open(&compressed).unwrap().set_modified(modified).unwrap();
    fs::remove_file(path).unwrap();
}

async fn check(steps: &[Step]) {
    let mut log = Log::new();
    let end = [Step::Read, Step::Append(1), Step::Read];
    for step in steps.iter().chain(&end) {
        log.take(step).await;
    }
    let expected: Vec<String> = (0..log.rows).map(|number| number.to_string()).collect();
    assert_eq!((names(&log.read), log.told), (expected.iter().map(String::as_str).collect(), Vec::new()));
}

proptest! {
    #[test]
    fn however_a_log_is_rotated_and_compressed_between_readings_each_row_is_read_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(&steps));
    }
}

#[tokio::test]
async fn two_rotations_between_readings_with_the_older_file_compressed() {
    use Step::{Append, Compress, Read, Rotate};
    let week = [Append(40), Rotate, Compress(2), Append(40), Rotate, Compress(2), Append(40), Read];
    check(&[&week[..], &week, &week].concat()).await;
}

#[tokio::test]
async fn a_log_that_was_read_is_not_read_again_when_it_is_compressed_after_a_newer_one() {
    use Step::{Append, Compress, Read, Rotate};
    let mut log = Log::new();
    for step in [Append(40), Rotate, Append(40), Read, Rotate, Compress(1), Compress(2), Append(1)] {
        log.take(&step).await;
    }
    // Not everything that compresses keeps the time of the file: this one's says that it is the newer.
    let older = fs::File::open(log.folder.path().join("app.log.2.gz")).unwrap();
    older.set_modified(older.metadata().unwrap().modified().unwrap() + Duration::from_secs(9)).unwrap();
    log.take(&Read).await;
    assert_eq!((log.read.len(), log.told), (81, Vec::new()));
}
