//! The training set's file, which appears when it is whole.

use super::failure;
use super::spine::ENDINGS;
use crate::failure::Failure;
use arrow_array::RecordBatch;
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;
use weir_connect::{Encoder, SinkRows, Source, sink::RowMeta};
use weir_format::csv::{CsvEncoder, CsvOptions};
use weir_format::json::JsonEncoder;
use weir_format::parquet::{self, Compression};
use weir_train::Table;

/// The key of what the training set is made of, in the footer of a Parquet file.
const ABOUT: &str = "weir.training";

/// Where a training set is written, and how.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    folder: PathBuf,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Records(Arc<dyn Encoder>),
    Parquet,
}

impl Output {
    /// By a name, whose ending says the format.
    pub(super) fn at(path: &Path) -> Result<Output, Failure> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        let content = match ENDINGS.iter().find(|(ending, _)| name.ends_with(ending)) {
            Some((_, "csv")) => Content::Records(Arc::new(CsvEncoder::new(Arc::new(CsvOptions::default())))),
            Some((_, "json")) => Content::Records(Arc::new(JsonEncoder::new(false))),
            Some(_) => Content::Parquet,
            None => {
                return Err(Failure::user(format!(
                    "-o {}: its name has to end in .csv, .jsonl or .parquet, which says what it is to be",
                    path.display()
                )));
            }
        };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        if !folder.is_dir() {
            return Err(Failure::user(format!("-o {}: its folder is not there; make it", path.display())));
        }
        if path.is_dir() {
            return Err(Failure::user(format!("-o {}: that is a folder; name a file", path.display())));
        }
        Ok(Output { path, folder, content })
    }

    /// Refuses to take the place of the spine.
    pub(super) fn refuse_to_replace(&self, spine: &Path) -> Result<(), Failure> {
        let is_same = fs::canonicalize(spine)
            .is_ok_and(|spine| fs::canonicalize(&self.path).is_ok_and(|own| own == spine));
        if !is_same {
            return Ok(());
        }
        Err(Failure::user(format!("-o {}: that is the spine; write another file", self.path.display())))
    }

    /// Refuses a folder of a project whose files are read as definitions: what is told beside a file is one of JSON.
    pub(super) fn refuse_among_definitions(&self, project: &Path) -> Result<(), Failure> {
        let own = fs::canonicalize(&self.folder);
        let is_theirs = |name: &str| {
            let theirs = fs::canonicalize(project.join(name));
            own.as_ref().is_ok_and(|own| theirs.is_ok_and(|theirs| *own == theirs))
        };
        let Some(folder) = ["streams", "jobs", "plugins"].into_iter().find(|name| is_theirs(name)) else {
            return Ok(());
        };
        Err(Failure::user(format!(
            "-o {}: the project's {folder}/ is for definitions and plugins; write it to another folder",
            self.path.display()
        )))
    }

    /// Refuses to write what a stream would read as events.
    pub(super) fn refuse_to_write_into(&self, source: &dyn Source, stream: &str) -> Result<(), Failure> {
        let named = std::iter::once(self.path.clone());
        let mut files = named.chain(fs::canonicalize(&self.path)).map(|path| path.display().to_string());
        if !files.any(|file| source.reads(&file)) {
            return Ok(());
        }
        Err(Failure::user(format!(
            "-o {}: stream `{stream}` reads files like it; write it to another folder",
            self.path.display()
        )))
    }

    /// What is told of it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder beside it for what does not fit in memory, and for what the next run goes on from.
    pub(super) fn beside(&self) -> PathBuf {
        super::beside(&self.path)
    }

    /// Writes the table, and what it is made of: into the file where that has a place for it, else beside it. How many rows
    /// it has.
    pub(super) async fn write(
        &self,
        table: &mut Table,
        about: &Value,
        scratch: &Path,
    ) -> Result<u64, Failure> {
        let file = appearing(scratch).map_err(|error| self.unwritable(&error))?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let (mut bytes, mut count) = (Vec::new(), 0);
        // Also a table without rows has columns.
        let mut rows = Some(RecordBatch::new_empty(table.schema().clone()));
        let mut is_first = true;
        while let Some(batch) = rows {
            count += batch.num_rows() as u64;
            bytes.clear();
            self.append(batch, std::mem::take(&mut is_first), &mut bytes)?;
            out.write_all(&bytes).map_err(|error| self.unwritable(&error))?;
            rows = table.next().await.map_err(failure)?;
        }
        let written = out.into_inner().map_err(io::IntoInnerError::into_error);
        let written = written.and_then(|file| self.finish(file, about, scratch));
        written.map_err(|error| self.unwritable(&error))?;
        Ok(count)
    }

    fn append(&self, columns: RecordBatch, is_first: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        let rows = SinkRows { columns, meta: RowMeta::default() };
        let failed =
            |error: weir_connect::ConnectError| Failure::user(format!("{}: {error}", self.path.display()));
        match &self.content {
            Content::Records(encoder) => {
                if is_first {
                    out.extend(encoder.head(&rows).map_err(failed)?);
                }
                encoder.encode(&rows, out).map_err(failed)
            }
            Content::Parquet => {
                let columns = parquet::file_columns(&rows, false).map_err(failed)?;
                parquet::push_piece(&columns, out).map_err(Failure::weir)
            }
        }
    }

    /// Has the file appear.
    fn finish(&self, mut file: NamedTempFile, about: &Value, scratch: &Path) -> io::Result<()> {
        let whole = match &self.content {
            Content::Records(_) => file,
            Content::Parquet => {
                file.rewind()?;
                let pieces = BufReader::with_capacity(1 << 20, file.reopen()?);
                let mut whole = BufWriter::with_capacity(1 << 20, appearing(scratch)?);
                let notes = [(ABOUT.to_owned(), about.to_string())];
                parquet::write_file(pieces, Compression::Zstd, &notes, &mut whole)?;
                whole.into_inner().map_err(io::IntoInnerError::into_error)?
            }
        };
        whole.as_file().sync_all()?;
        if let Content::Records(_) = self.content {
            let mut beside = self.path.clone().into_os_string();
            beside.push(".meta.json");
            let mut file = appearing(scratch)?;
            writeln!(file, "{about:#}")?;
            file.persist(beside).map_err(|error| error.error)?;
        }
        whole.persist(&self.path).map_err(|error| error.error)?;
        File::open(&self.folder)?.sync_all()
    }

    pub(super) fn unwritable(&self, error: &io::Error) -> Failure {
        Failure::external(format!("{} cannot be written: {error}", self.path.display()))
    }
}

/// A file that will be the training set: whoever may read files of this person may read it.
fn appearing(scratch: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(scratch)
}
