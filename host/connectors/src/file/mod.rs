//! Files: a source that reads them line by line and a sink that writes them, whole and exactly once.
//!
//! Knows names, bytes and line ends. Must not know what a line means, nor when a checkpoint is safe.

mod content;
mod cut;
mod each;
mod family;
mod finished;
mod folder;
mod head;
mod input;
mod moved;
mod names;
mod objects;
mod open;
mod partition;
mod piped;
mod place;
mod read;
mod real;
mod sink;
mod source;
mod target;
mod trace;
mod whereabouts;
mod whole;
mod written;

pub use self::content::FileContent;
pub use self::partition::Partitioning;
pub use self::sink::{FileSink, FileSinkSettings};
pub use self::source::{FileSource, FileSourceSettings};

use self::each::{Changes, EachFile, OneFile};
use self::names::Names;
use self::whole::{Bucket, Disk, OneOfShelf, Shelf, WholeFile, WholeSource};
use crate::context::{SinkContext, SourceContext};
use crate::object::ObjectPlace;
use crate::settings::{SettingError, Settings};
use crate::surroundings::ProjectSurroundings;
use crate::upsert::RefusedRows;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::key::{NONE, REQUIRED};
use weir_connect::{FileLayout, KeyDoc, Sink, Source};
use weir_event::{ByteSize, Span};
use weir_format::parquet::Compression;
use weir_format::{Writing, sink_format};
use xxhash_rust::xxh3::xxh3_64;

/// As large as readers of many files like them, and small enough to be read by one.
const PARQUET_BYTES: u64 = 128 << 20;

/// What the key of the same name is.
const OPTIONS: &str =
    "of the object store, beside the usual variables of the environment such as AWS_REGION: aws_endpoint, ..";

/// The keys of a `file` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "path",
        "file or glob",
        REQUIRED,
        "the files by name (part-9 before part-10; a rotated log by age), from the project's folder; also .gz; or in an \
         object store: s3://bucket/dt=*/*.parquet, gs://.., az://.., also .gz and .zst",
    ),
    KeyDoc::new("follow", "true or false", "false", "whether to wait for more lines and files"),
    KeyDoc::new(
        "partitions",
        "one or files",
        "one",
        "`one`: all files one after the other; `files`: each beside the others, and the least of their event times counts; \
         65536 files at most in a job's life",
    ),
    KeyDoc::new("options", "mapping", NONE, OPTIONS),
];

/// The keys of a `file` sink.
pub(crate) const SINK_KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "path",
        "folder",
        REQUIRED,
        "where finished files appear, from the project's folder, or in an object store: s3://bucket/.., gs://bucket/.., \
         az://container/..",
    ),
    KeyDoc::new("format", "jsonl, csv, avro, parquet or {FORMAT: {..}}", "jsonl", "how rows are written"),
    KeyDoc::new(
        "partition",
        "list of texts",
        NONE,
        "folders below, outermost first: `dt=%Y-%m-%d` of the window's end or else the row's event time in UTC, \
         `country={country}` of a column",
    ),
    KeyDoc::new(
        "meta",
        "true or false",
        "false",
        "whether each row says its job, version, key, window, revision and op in `_weir`",
    ),
    KeyDoc::new(
        "roll",
        "duration",
        NONE,
        "how long a file collects rows; without it each checkpoint finishes its own. The end of a run and a stop finish it too",
    ),
    KeyDoc::new(
        "target_size",
        "size",
        NONE,
        "a file is finished when it has about so many bytes; of Parquet 128MiB if nothing else is said",
    ),
    KeyDoc::new("options", "mapping", NONE, OPTIONS),
    KeyDoc::new("compression", "zstd, snappy or none", "zstd", "how the columns of Parquet are compressed"),
];

/// The source `file: {path, follow, ..}`; `path` starts at the project folder or is in an object store, and may be a glob.
pub fn source(settings: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(settings, SOURCE_KEYS);
    let path: Option<String> = settings.required("path", "a file or a glob, such as data/*.jsonl");
    let follow: bool = settings.optional("follow").unwrap_or_default();
    let is_each = is_each_alone(&mut settings);
    refuse_bad_path(path.as_deref(), &mut settings);
    let place = objects(path.as_deref(), &mut settings);
    check_layout(context.layout, path.as_deref(), &mut settings);
    let layout = context.layout;
    let is_whole = layout == FileLayout::Columns || place.is_some();
    if is_each && follow && !is_whole {
        let wrong = "does not go with `follow`: files of lines that grow are read one after the other; leave one of the two out";
        settings.error("partitions", wrong);
    }
    let bucket = place.map(|place| Bucket::new(place).map_err(|error| settings.error("path", error)));
    if let (None, Some(Err(error))) = (&bucket, path.as_deref().map(glob::Pattern::new)) {
        settings.error("path", format!("not a glob: {error}"));
    }
    settings.finish()?;
    let names = Names::new(context.project.clone(), path.clone().unwrap_or_default());
    let shelf: Arc<dyn Shelf> = match bucket {
        Some(bucket) => Arc::new(bucket.map_err(|()| Vec::new())?),
        None => Arc::new(Disk(names.clone())),
    };
    let clock = context.clock.clone();
    if is_whole {
        let whole = move |shelf, follow| WholeSource::new(shelf, layout, follow, clock.clone());
        if !is_each {
            return Ok(Arc::new(whole(shelf, follow)));
        }
        let all = shelf.clone();
        let one = move |file: &WholeFile| {
            let alone = Arc::new(OneOfShelf::new(all.clone(), file));
            Arc::new(whole(alone, false)) as Arc<dyn Source>
        };
        let changes = if follow { Changes::Follow } else { Changes::Never };
        return Ok(each(shelf, Box::new(one), changes, context));
    }
    let project = context.project.clone();
    let lines = move |path| {
        let settings = FileSourceSettings { follow, layout, ..FileSourceSettings::new(&project, path) };
        Arc::new(FileSource::new(settings, clock.clone()))
    };
    if !is_each {
        return Ok(lines(path.unwrap_or_default()));
    }
    // Its name may have characters of a glob in it.
    let one = move |file: &WholeFile| {
        lines(glob::Pattern::escape(&names.path(&file.name).to_string_lossy())) as Arc<dyn Source>
    };
    Ok(each(shelf, Box::new(one), Changes::BetweenRuns, context))
}

fn each(shelf: Arc<dyn Shelf>, one: OneFile, changes: Changes, context: &SourceContext) -> Arc<dyn Source> {
    Arc::new(EachFile::new(shelf, one, changes, context.clock.clone()))
}

/// Whether each file is a partition of its own.
fn is_each_alone(settings: &mut Settings) -> bool {
    match settings.optional::<String>("partitions").as_deref() {
        None | Some("one") => false,
        Some("files") => true,
        Some(other) => {
            settings.error("partitions", format!("`{other}` is neither one nor files"));
            false
        }
    }
}

/// Refuses what is wrong with files of a stream's format at a path.
fn check_layout(layout: FileLayout, path: Option<&str>, settings: &mut Settings) {
    let is_named_so = path.is_some_and(|path| path.ends_with(".parquet"));
    match layout {
        FileLayout::None => settings.error(
            "",
            "records of this format have no form in files; read them from kafka, or use another format",
        ),
        FileLayout::Columns => {}
        _ if is_named_so => {
            settings.error("path", "names files of Parquet; add `format: parquet` to the stream")
        }
        _ => {}
    }
}

/// The sink `file: {path, format, partition, ..}`; `path` is a folder and starts at the project folder.
pub fn sink(settings: &Value, context: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    let mut settings = Settings::new(settings, SINK_KEYS);
    let path: Option<String> = settings.required("path", "a folder, such as out/user_activity");
    refuse_bad_path(path.as_deref(), &mut settings);
    let meta: bool = settings.optional("meta").unwrap_or_default();
    let roll: Option<Span> = settings.parsed("roll");
    let target: Option<ByteSize> = settings.parsed("target_size");
    let content = content(meta, context, &mut settings);
    let partition = partitioning(context, &mut settings);
    if roll.is_some_and(|roll| roll <= Span::ZERO) {
        settings.error("roll", "must be longer than nothing; leave it out to finish a file per checkpoint");
    }
    let objects = objects(path.as_deref(), &mut settings);
    settings.finish()?;
    let content = content.map_err(|error| vec![error])?;
    let path = path.unwrap_or_default();
    let (folder, place) = match &objects {
        Some(place) => (stage_of(context, place), PathBuf::from(place.to_string())),
        None => {
            let folder = context.project.join(path);
            let place = place_in(&context.project, &folder);
            (folder, place)
        }
    };
    let default_bytes = content.is_made().then_some(PARQUET_BYTES);
    let target_bytes = target.map(ByteSize::bytes).or(default_bytes);
    let mark = context.mark.clone();
    let refused = RefusedRows::new(&context.data_dir, &context.job, &context.sink, context.refused_bytes);
    let settings = FileSinkSettings {
        folder,
        objects,
        place,
        content,
        meta,
        partition,
        refused,
        roll,
        target_bytes,
        mark,
    };
    Ok(Box::new(FileSink::new(&context.job, settings, context.clock.clone())))
}

/// Where the files of a sink lie until they appear in an object store: the same folder at each start.
fn stage_of(context: &SinkContext, place: &ObjectPlace) -> PathBuf {
    let name = format!("{:016x}", xxh3_64(place.to_string().as_bytes()));
    context.data_dir.join("unfinished").join(&context.job).join(name)
}

/// The place in an object store that a path means, if it means one; what is wrong with it is on record.
fn objects(path: Option<&str>, settings: &mut Settings) -> Option<ObjectPlace> {
    let options: Option<BTreeMap<String, String>> = settings.optional("options");
    let Some(path) = path.filter(|path| ObjectPlace::is_meant(path)) else {
        if options.is_some() {
            settings.error("options", "are of an object store, and `path` is not in one; leave them out");
        }
        return None;
    };
    let place = ObjectPlace::parse(path, options.unwrap_or_default());
    place.map_err(|(key, error)| settings.error(key, error)).ok()
}

/// What `format` and `compression` say; an error is on record too.
fn content(meta: bool, context: &SinkContext, settings: &mut Settings) -> Result<FileContent, SettingError> {
    let format: Value = settings.optional("format").unwrap_or_else(|| Value::from("jsonl"));
    let compression: Option<Compression> = settings.parsed("compression");
    if format == "parquet" {
        return Ok(FileContent::Parquet { compression: compression.unwrap_or_default(), meta });
    }
    if compression.is_some() {
        settings.error("compression", "is for `format: parquet`; leave it out");
    }
    let subject = format!("{}-value", context.job);
    let around = ProjectSurroundings::new(&context.project, context.clock.clone());
    let writing = Writing { meta, in_files: true, subject: &subject, around: &around };
    match sink_format(&format, &writing) {
        Ok(format) => Ok(FileContent::Records(format.encoder, format.ending)),
        Err(errors) => {
            settings.below("format", errors);
            Err(SettingError::new("format", "cannot be used"))
        }
    }
}

fn partitioning(context: &SinkContext, settings: &mut Settings) -> Partitioning {
    let templates: Vec<String> = settings.optional("partition").unwrap_or_default();
    let read = Partitioning::parse(&templates).and_then(|read| match &context.shape {
        Some(shape) => read.check(shape).map(|()| read),
        None => Ok(read),
    });
    read.unwrap_or_else(|errors| {
        errors.into_iter().for_each(|error| settings.error("partition", error));
        Partitioning::default()
    })
}

/// A folder as it is seen from the project's, if it is in that.
fn place_in(project: &Path, folder: &Path) -> PathBuf {
    let (project, folder) = (real::cleaned(project), real::cleaned(folder));
    folder.strip_prefix(&project).map(Path::to_owned).unwrap_or(folder)
}

fn refuse_bad_path(path: Option<&str>, settings: &mut Settings) {
    if path.is_some_and(|path| path.trim().is_empty()) {
        settings.error("path", "is empty; write where the files are");
    }
    let stores = ["s3:/", "gs:/", "az:/"];
    if let Some(store) = path.and_then(|path| stores.into_iter().find(|store| path.starts_with(store)))
        && !path.is_some_and(|path| path.contains("://"))
    {
        settings.error("path", format!("an object store is written with two slashes: {store}/bucket/.."));
    }
    if path.is_some_and(|path| path.contains('\0')) {
        settings.error("path", "holds a NUL character, which no path can; leave it out");
    }
}

#[cfg(test)]
mod tests;
