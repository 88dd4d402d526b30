//! The tables of keys: every key of every definition, what belongs there and what it does.
//!
//! A reader names the table of the mapping that it reads, a key without a row is refused as unknown, and the
//! reference page prints the rows: a key that is read cannot lack its description. Must not know how any value is
//! read.

use weir_connect::KeyDoc;
use weir_connect::key::{NONE, REQUIRED};

/// The keys of one mapping of a definition.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// What stands before each key, such as `late.`; empty at the top.
    pub prefix: &'static str,
    /// The rows.
    pub keys: &'static [KeyDoc],
}

/// A kind of file and all its keys.
#[derive(Debug, Clone, Copy)]
pub struct FileKeys {
    /// Where such files are.
    pub path: &'static str,
    /// Its mappings, the top first.
    pub sections: &'static [Section],
}

/// Every kind of file that a project has.
pub const FILES: &[FileKeys] = &[
    FileKeys {
        path: "weir.yaml",
        sections: &[
            Section { prefix: "", keys: SERVER },
            Section { prefix: "checkpoint.", keys: CHECKPOINT },
            Section { prefix: "log.", keys: LOG },
            Section { prefix: "hooks.", keys: HOOKS },
            Section { prefix: "limits.", keys: LIMITS },
            Section { prefix: "plugins.NAME.", keys: PLUGIN },
            Section { prefix: "packs.", keys: PACKS },
        ],
    },
    FileKeys {
        path: "streams/*.yaml",
        sections: &[
            Section { prefix: "", keys: STREAM },
            Section { prefix: "fields.NAME.", keys: FIELD },
            Section { prefix: "event_time.", keys: EVENT_TIME },
            Section { prefix: "archive.", keys: ARCHIVE },
            Section { prefix: "archive.cut.", keys: CUT },
        ],
    },
    FileKeys {
        path: "jobs/*.yaml",
        sections: &[
            Section { prefix: "", keys: JOB },
            Section { prefix: "features.NAME.", keys: FEATURE },
            Section { prefix: "late.", keys: LATE },
            Section { prefix: "emit.", keys: EMIT },
            Section { prefix: "bootstrap.", keys: BOOTSTRAP },
            Section { prefix: "bootstrap.writes.", keys: PAST_WRITES },
            Section { prefix: "bootstrap.writes.smooth.", keys: SMOOTH },
            Section { prefix: "sinks.KIND.", keys: SINK },
        ],
    },
];

pub(super) const SERVER: &[KeyDoc] = &[
    KeyDoc::new(
        "listen",
        "address and port",
        "127.0.0.1:8080",
        "where HTTP listens; anything but loopback needs `token`",
    ),
    KeyDoc::new(
        "token",
        "text",
        NONE,
        "what every request except /healthz and /readyz carries as `Authorization: Bearer ..`",
    ),
    KeyDoc::new("data_dir", "folder", ".weir", "state, ingest log, dead letters, compiled plugins"),
    KeyDoc::new(
        "shards",
        "1 to 128",
        "the number of cores",
        "how many threads each job's keys are spread over",
    ),
    KeyDoc::new("checkpoint", "mapping", "{}", "when state is saved"),
    KeyDoc::new("log", "json, text, a level or a mapping", "text", "how the server's own words are written"),
    KeyDoc::new(
        "hooks",
        "mapping",
        "{}",
        "addresses that are told of what has happened, each by a POST of JSON",
    ),
    KeyDoc::new(
        "limits",
        "mapping",
        "{}",
        "bounds on requests, plugins, dead letters and rows that wait for a sink",
    ),
    KeyDoc::new("plugins", "mapping", "{}", "plugins that may take more or less than `limits` says, by name"),
    KeyDoc::new("packs", "mapping", "{}", "whose feature packs `weir pack install` takes"),
];

pub(super) const PACKS: &[KeyDoc] = &[
    KeyDoc::new(
        "trusted_keys",
        "list of texts",
        "[]",
        "public keys of minisign, each the line of its .pub file that begins with RW",
    ),
    KeyDoc::new(
        "require_signature",
        "true or false",
        "false",
        "whether a pack has to be signed with one of `trusted_keys`; one whose signature by such a key does not fit is never taken",
    ),
];

pub(super) const PLUGIN: &[KeyDoc] = &[
    KeyDoc::new("memory", "size", "limits.plugin_memory", "memory of one of its instances"),
    KeyDoc::new(
        "fuel_per_call",
        "whole number",
        "limits.plugin_fuel_per_call",
        "instructions that one call of it may take",
    ),
    KeyDoc::new("output", "size", "16MiB", "what one call of it may give back"),
    KeyDoc::new("state", "size, at most 64KiB", "64KiB", "a state of its aggregates and keyed logic"),
    KeyDoc::new(
        "log_lines",
        "whole number",
        "20",
        "lines that it may log in a second; others are dropped and counted",
    ),
];

pub(super) const CHECKPOINT: &[KeyDoc] = &[
    KeyDoc::new("every", "duration", "10s", "time between two checkpoints"),
    KeyDoc::new("keep", "whole number", "3", "how many checkpoints stay on disk"),
];

pub(super) const LOG: &[KeyDoc] = &[
    KeyDoc::new("format", "text or json", "text", "json writes one object a line"),
    KeyDoc::new(
        "level",
        "error, warn, info, debug, trace",
        "info",
        "how much is said; also by part: warn,weir_engine=debug",
    ),
];

pub(super) const HOOKS: &[KeyDoc] = &[KeyDoc::new(
    "bootstrapped",
    "https:// or http:// address",
    NONE,
    "told when a job has the past of its streams, with `job` and `bootstrap` as `GET /v1/jobs/JOB` has them",
)];

pub(super) const LIMITS: &[KeyDoc] = &[
    KeyDoc::new("plugin_memory", "size", "64MiB", "memory of one instance of a plugin"),
    KeyDoc::new(
        "plugin_fuel_per_call",
        "whole number",
        "20000000",
        "instructions that one call of a plugin may take",
    ),
    KeyDoc::new("body", "size", "10MiB", "the largest body of a request"),
    KeyDoc::new("train_body", "size", "1GiB", "the largest spine that is posted for a training set"),
    KeyDoc::new("dead_letters", "size", "1GiB", "space for dead letters; the oldest go first"),
    KeyDoc::new(
        "outbox",
        "size",
        "1GiB",
        "result rows that wait for one sink that is behind; then see `on_full`",
    ),
];

pub(super) const STREAM: &[KeyDoc] = &[
    KeyDoc::new("stream", "name", "the file's name", "what queries call it"),
    KeyDoc::new(
        "fields",
        "mapping",
        REQUIRED,
        "the columns, as {NAME: TYPE} or {NAME: {type: TYPE, from: MEMBER}}",
    ),
    KeyDoc::new(
        "event_time",
        "column or mapping",
        REQUIRED,
        "the timestamp column that says when it happened; in SQL also `rowtime`",
    ),
    KeyDoc::new(
        "disorder",
        "duration",
        "0s",
        "how much out of order events come: the watermark is the newest event time minus this, per partition",
    ),
    KeyDoc::new(
        "idle_after",
        "duration",
        "1m",
        "a partition that was read to its end and is silent so long does not hold the watermark back",
    ),
    KeyDoc::new(
        "when_idle",
        "advance, hold or flush",
        "advance",
        "when all partitions are idle, the watermark goes on at the wall's pace, waits, or closes every window",
    ),
    KeyDoc::new(
        "max_future",
        "duration",
        "1h",
        "an event whose time is so much later than when weir got it is a dead letter; a file does not say when that \
         was, so of its rows only where `known_time` says it",
    ),
    KeyDoc::new("max_skew", "duration", NONE, "partitions further ahead of the slowest wait for it"),
    KeyDoc::new(
        "known_time",
        "column",
        NONE,
        "the timestamp column that says when a row became known, where that was before weir got it",
    ),
    KeyDoc::new(
        "event_id",
        "column",
        NONE,
        "the second and later events with an id seen within `dedup_for` are dropped and counted",
    ),
    KeyDoc::new("dedup_for", "duration", "1d", "how long ids are remembered; needs `event_id`"),
    KeyDoc::new("format", "format or {FORMAT: {..}}", "json", "how a record is read"),
    KeyDoc::new(
        "source",
        "{KIND: {..}}",
        NONE,
        "where events come from; may be absent where a job's `stream` names it",
    ),
    KeyDoc::new(
        "archive",
        "mapping",
        NONE,
        "where the stream's past is kept: new jobs begin with it and go on with `source`, and `weir train` reads it",
    ),
];

pub(super) const ARCHIVE: &[KeyDoc] = &[
    KeyDoc::new("source", "{KIND: {..}}", REQUIRED, "where it is: whatever has an end, such as files"),
    KeyDoc::new("format", "format or {FORMAT: {..}}", "the stream's", "how a record of it is read"),
    KeyDoc::new(
        "columns",
        "{NAME: COLUMN, ..}",
        "as the stream has them",
        "where columns of the stream stand in a record of it under other names",
    ),
    KeyDoc::new(
        "cut",
        "auto, time or mapping",
        "auto",
        "which rows come from the archive and which from `source`. A time: rows known before it (`known_time`, else the \
         event time) come from the archive, the others from `source`; auto: the newest one in the archive",
    ),
    KeyDoc::new(
        "allow_gap",
        "true or false",
        "false",
        "whether a job begins also where the archive ends before what `source` still has: values are partial since then",
    ),
];

pub(super) const CUT: &[KeyDoc] = &[
    KeyDoc::new("partition", "column", REQUIRED, "the archive's column of the partition that a row was in"),
    KeyDoc::new(
        "offset",
        "column",
        REQUIRED,
        "the archive's column of the offset that it had there: rows behind the highest come from `source`",
    ),
];

pub(super) const FIELD: &[KeyDoc] = &[
    KeyDoc::new("type", "type", REQUIRED, "the column's type"),
    KeyDoc::new(
        "from",
        "member",
        "the column's name",
        "the member of the record, nested ones with dots: payload.fare",
    ),
    UNIT,
    PATTERN,
    ZONE,
];

/// How numbers are times.
const UNIT: KeyDoc =
    KeyDoc::new("unit", "s, ms, us or ns", NONE, "times are numbers of these since 1970, as 1767225600.25");
/// How texts are times.
const PATTERN: KeyDoc = KeyDoc::new(
    "pattern",
    "strftime",
    NONE,
    "times are texts of this pattern: \"%Y-%m-%d %H:%M:%S\" reads 2026-01-31 12:00:00, `%.f` a fraction, `%z` an offset",
);
/// Whose clock they are of.
const ZONE: KeyDoc = KeyDoc::new(
    "zone",
    "time zone",
    "UTC, if the pattern reads no offset",
    "whose clock the texts of `pattern` are of, as Europe/Berlin; of an hour that comes twice it is the first",
);

pub(super) const EVENT_TIME: &[KeyDoc] = &[
    KeyDoc::new(
        "column",
        "column",
        REQUIRED,
        "its name, where `event_time` also says how it is written; it is a timestamp in queries",
    ),
    UNIT,
    PATTERN,
    ZONE,
];

pub(super) const JOB: &[KeyDoc] = &[
    KeyDoc::new("job", "name", "the file's name", "what lookups call it"),
    KeyDoc::new("version", "whole number", "1", "the version of the whole definition"),
    KeyDoc::new("query", "SQL", "the .sql file of the same name", "the features, as a SELECT"),
    KeyDoc::new("query_file", "path", NONE, "a file that holds the query, from the project's folder"),
    KeyDoc::new(
        "features",
        "mapping",
        "{}",
        "what is said of result columns, and of what `transform` makes, by their names",
    ),
    KeyDoc::new(
        "request",
        "{NAME: TYPE, ..}",
        "{}",
        "fields that a lookup's request, or a row of a training set's spine, brings for `transform`",
    ),
    KeyDoc::new(
        "transform",
        "{NAME: SQL, ..}",
        "{}",
        "features that are computed when they are asked for: each is an expression over the query's features, the columns of \
         the key and the fields of `request`. They are not stored and not written to sinks",
    ),
    KeyDoc::new(
        "late",
        "mapping",
        "{}",
        "what happens to events that come after a result they belong to was written",
    ),
    KeyDoc::new(
        "emit",
        "{on: close}, {on: change} or {every: DURATION}",
        "{on: close}",
        "when result rows are written",
    ),
    KeyDoc::new("history", "duration", "as late.allow", "how far back a lookup's `as_of` reaches"),
    KeyDoc::new(
        "plugins",
        "{NAME: VERSION or active, ..}",
        "{}",
        "versions of plugins whose functions the job calls, whichever are active; of a plugin that does not stand here it is the \
         active one",
    ),
    KeyDoc::new(
        "retention",
        "duration or {}",
        "{}",
        "upper bound on the life of state; with {} lifetime values, rows that ROWS counts and a key's last session stay",
    ),
    KeyDoc::new(
        "tail",
        "exact or duration",
        "exact",
        "the old edge of long OVER frames moves in steps of this, with bounded memory",
    ),
    KeyDoc::new("stale_after", "duration", NONE, "lookups say `stale` when the source is further behind"),
    KeyDoc::new(
        "bootstrap",
        "mapping",
        "{}",
        "how the job begins with the archives of its streams, where they have one",
    ),
    KeyDoc::new("sinks", "list of {KIND: {..}}", "[]", "where result rows are written"),
    KeyDoc::new(
        "on_full",
        ON_FULL.value,
        ON_FULL.default,
        "`on_full` of each sink that does not say it itself",
    ),
    KeyDoc::new(
        "sink",
        "{KIND: {..}}",
        NONE,
        "one sink, as in a config of Dryft, Lyft's streaming features on Flink, which weir reads as it is",
    ),
    KeyDoc::new(
        "stream",
        "{KIND: NAME}",
        NONE,
        "where the query's only stream is read, as in a config of Dryft; in place of the stream's own source",
    ),
    KeyDoc::new("lookback", "{}", "{}", "a key of Dryft's config; anything but {} waits for a later version"),
];

/// What every sink has beside the settings of its kind.
pub(super) const SINK: &[KeyDoc] = &[ON_FULL];

const ON_FULL: KeyDoc = KeyDoc::new(
    "on_full",
    "pause or suspend",
    "pause",
    "when `limits.outbox` is full of rows that wait for this sink: the job waits, or the sink gets no more rows until it is \
     resumed",
);

pub(super) const BOOTSTRAP: &[KeyDoc] = &[
    KeyDoc::new(
        "shards",
        "1 to 128",
        "as `shards` of the server",
        "how many threads its keys are spread over meanwhile",
    ),
    KeyDoc::new(
        "writes",
        "skip, {separate: [SINK, ..]} or {smooth: {rate: number}}",
        "skip",
        "results of the past are not written, and when it is read each key's current one is; separate: the named sinks \
         get the results of the past, and nothing later; smooth: every sink gets them as well, at a pace, later ones \
         always first",
    ),
];

pub(super) const PAST_WRITES: &[KeyDoc] = &[
    KeyDoc::new(
        "separate",
        "list of sinks",
        NONE,
        "sinks of the job that get the results of the past, by their names: the kind, from the second of a kind on with a \
         number, such as file-2",
    ),
    KeyDoc::new(
        "smooth",
        "{rate: number}",
        NONE,
        "every sink gets the results of the past as well, whenever nothing later waits for it; until then they are on \
         disk, as many as it takes, which `limits.outbox` does not bound",
    ),
];

pub(super) const SMOOTH: &[KeyDoc] = &[KeyDoc::new(
    "rate",
    "number",
    REQUIRED,
    "the most rows of the past that each sink is given in a second; at least 1",
)];

pub(super) const FEATURE: &[KeyDoc] = &[
    KeyDoc::new("type", "type", "the query's", "the column's type, checked against the query's"),
    KeyDoc::new("version", "whole number", "the job's", "the feature's own version"),
    KeyDoc::new("description", "text", NONE, "for people"),
    KeyDoc::new("owner", "text", NONE, "for people"),
    KeyDoc::new(
        "default",
        "value of the type",
        NONE,
        "what a lookup gives, with the status `default`, where no row is in the window; for a feature of `transform`, where \
         its expression is null",
    ),
];

pub(super) const LATE: &[KeyDoc] = &[
    KeyDoc::new(
        "policy",
        "correct, drop or divert",
        "correct",
        "they count and results are written again; written results stay; they become dead letters",
    ),
    KeyDoc::new("allow", "duration", "1h", "how far back late events correct results"),
];

pub(super) const EMIT: &[KeyDoc] = &[
    KeyDoc::new(
        "on",
        "close or change",
        "close",
        "when a window is complete, or when events have changed it: those read together give one result",
    ),
    KeyDoc::new("every", "duration", NONE, "as `on: change`, at most so often for each key"),
];
