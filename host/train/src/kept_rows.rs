//! Rows that are being sorted, as a checkpoint keeps them: the runs as they are, and of what is held in memory a file that
//! what came since the last time is appended to.
//!
//! Must not know what the rows are.

use crate::checkpoint::{Out, Written, open};
use crate::error::TrainError;
use crate::sorting::Sorter;
use arrow_array::RecordBatch;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use weir_format::parquet::{Pieces, push_piece};

/// Where the rows of a sorter are kept, and which are by now.
#[derive(Debug)]
pub(crate) struct KeptRows {
    folder: PathBuf,
    /// What the names of its files begin with.
    name: String,
    /// The number of the next file.
    next: u32,
    pub(crate) runs: Vec<Written>,
    /// So many runs are known to be on the disk.
    synced: usize,
    /// Holds so many of those that are held in memory.
    held: Option<(Out, usize)>,
}

/// The rows of a sorter at a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RowsMark {
    next: u32,
    runs: Vec<Written>,
    held: Option<Written>,
    bytes: usize,
    row_bytes: usize,
    /// A piece without rows, of the schema in which they came.
    schema: Option<Vec<u8>>,
}

impl RowsMark {
    /// What is needed of them.
    pub(crate) fn files(&self) -> impl Iterator<Item = Written> {
        self.runs.iter().chain(&self.held).cloned()
    }
}

impl KeptRows {
    /// None yet; names of files of this folder that begin so are theirs.
    pub(crate) fn new(folder: &Path, name: String) -> KeptRows {
        KeptRows { folder: folder.to_owned(), name, next: 0, runs: Vec::new(), synced: 0, held: None }
    }

    fn file(&mut self) -> io::Result<Out> {
        let name = format!("{}-{}", self.name, self.next);
        self.next += 1;
        Out::named(&self.folder, name)
    }

    /// A file for what was held so far.
    pub(crate) fn run(&mut self) -> io::Result<Out> {
        self.held = None;
        self.file()
    }

    /// Has on the disk what is held.
    fn hold(&mut self, held: &[RecordBatch]) -> Result<Option<Written>, TrainError> {
        if held.is_empty() {
            return Ok(None);
        }
        let (mut out, done) = match self.held.take() {
            Some(held) => held,
            None => (self.file()?, 0),
        };
        let mut piece = Vec::new();
        for rows in &held[done..] {
            piece.clear();
            push_piece(rows, &mut piece)?;
            out.put(&piece)?;
        }
        let written = out.sync()?;
        self.held = Some((out, held.len()));
        Ok(Some(written))
    }
}

impl Sorter {
    /// Keeps its rows there.
    pub(crate) fn kept_in(mut self, kept: Option<KeptRows>) -> Sorter {
        self.kept = kept;
        self
    }

    /// Has all rows on the disk that were taken so far.
    pub(crate) fn keep(&mut self) -> Result<RowsMark, TrainError> {
        let Some(kept) = &mut self.kept else {
            return Err(TrainError::weir("rows are to be kept that are not"));
        };
        let held = kept.hold(&self.held)?;
        for run in &self.runs[kept.synced..] {
            run.sync_data()?;
        }
        kept.synced = self.runs.len();
        let schema = self.schema.as_ref().map(|schema| {
            let mut piece = Vec::new();
            push_piece(&RecordBatch::new_empty(schema.clone()), &mut piece).map(|()| piece)
        });
        Ok(RowsMark {
            next: kept.next,
            runs: kept.runs.clone(),
            held,
            bytes: self.bytes,
            row_bytes: self.row_bytes,
            schema: schema.transpose()?,
        })
    }

    /// Takes back what was kept, as one that has taken nothing.
    pub(crate) fn with_kept(mut self, mark: RowsMark) -> Result<Sorter, TrainError> {
        let Some(kept) = &mut self.kept else {
            return Err(TrainError::weir("rows are to be taken back that are not kept"));
        };
        for run in &mark.runs {
            self.runs.push(File::open(kept.folder.join(&run.name))?);
        }
        if let Some(held) = &mark.held {
            for rows in Pieces(open(&kept.folder, held)?) {
                self.held.extend(rows?);
            }
        }
        kept.synced = mark.runs.len();
        (kept.next, kept.runs) = (mark.next, mark.runs);
        if let Some(piece) = mark.schema {
            let rows = Pieces(Cursor::new(piece)).next().transpose()?.unwrap_or_default();
            self.schema = rows.first().map(RecordBatch::schema);
        }
        (self.bytes, self.row_bytes) = (mark.bytes, mark.row_bytes);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{ArrayRef, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn batch(number: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..100).map(|row| row * 7 % 13)));
        let names = (0..100).map(|row| Some(format!("a name that is not short: {number} {row}")));
        let names: ArrayRef = Arc::new(names.collect::<StringViewArray>());
        RecordBatch::try_from_iter([("n", numbers), ("name", names)]).unwrap()
    }

    /// What comes of it, batch by batch.
    fn sorted(sorter: Sorter) -> Vec<RecordBatch> {
        let mut sorted = sorter.finish().unwrap();
        std::iter::from_fn(|| sorted.next().unwrap()).collect()
    }

    #[test]
    fn wherever_it_was_broken_off_the_same_comes_out() {
        let scratch = tempfile::tempdir().unwrap();
        for limit in [0, 30_000, usize::MAX] {
            let new = || Sorter::new(scratch.path(), 0, limit);
            let mut whole = new();
            (0..20).for_each(|number| whole.push(batch(number)).unwrap());
            let expected = sorted(whole);
            assert_eq!(expected.iter().map(RecordBatch::num_rows).sum::<usize>(), 2000);
            let first = expected[0].column(0).as_primitive::<Int64Type>().value(0);
            assert_eq!(first, 0);
            for broken_off in 0..20 {
                let folder = tempfile::tempdir().unwrap();
                let kept = || Some(KeptRows::new(folder.path(), "rows".to_owned()));
                let mut sorter = new().kept_in(kept());
                let mut mark = None;
                for number in 0..broken_off {
                    sorter.push(batch(number)).unwrap();
                    mark = if number % 3 == 0 { Some((number, sorter.keep().unwrap())) } else { mark };
                }
                drop(sorter);
                let mut sorter = new().kept_in(kept());
                let mut next = 0;
                if let Some((number, mark)) = mark {
                    let needed: Vec<String> = mark.files().map(|file| file.name).collect();
                    for entry in folder.path().read_dir().unwrap().map(Result::unwrap) {
                        if !needed.iter().any(|name| *entry.file_name() == **name) {
                            std::fs::remove_file(entry.path()).unwrap();
                        }
                    }
                    sorter = sorter.with_kept(mark).unwrap();
                    next = number + 1;
                }
                for number in next..20 {
                    sorter.push(batch(number)).unwrap();
                    sorter.keep().unwrap();
                }
                assert_eq!(sorted(sorter), expected, "{limit} bytes, broken off at {broken_off}");
            }
        }
    }
}
