//! Bad definitions with what is said of them, and good ones: the table of examples that users see.

mod archive;
mod keys;
mod packs;
mod pins;
mod transform;
mod variables;

use super::*;
use crate::definition::StreamOrigin;
use crate::definition::{Dedup, FormatDefinition, WhenIdle};
use crate::diagnostic::Severity;
use crate::job_plan::{Emit, LatePolicy, OnFull};
use serde_json::json;
use weir_event::{DataType, Span, StreamSchema};

/// Connectors as these tests need them: `kafka` wants brokers, `file` a path.
struct Kinds;

impl Kinds {
    fn check(kind: &str, settings: &serde_json::Value, wanted: &str) -> Vec<SettingProblem> {
        let problem = |key: &str, message: &str| {
            vec![SettingProblem { key: key.to_owned(), message: message.to_owned() }]
        };
        match kind {
            "kafka" | "file" if settings.get(wanted).is_none() => problem("", &format!("{wanted}: missing")),
            "file" if settings.get("folow").is_some() => problem("folow", "unknown key"),
            "kafka" if settings.pointer("/options/acks") == Some(&json!(7)) => {
                problem("options.acks", "not 7")
            }
            "kafka" | "file" | "http" | "stdout" | "generator" => Vec::new(),
            _ => problem("", &format!("weir 0.1 does not have `{kind}` yet")),
        }
    }
}

impl ConnectorKinds for Kinds {
    fn check_source(
        &self,
        _: &str,
        _: (&FormatDefinition, &StreamSchema),
        StreamOrigin { kind, settings }: &StreamOrigin,
        _: bool,
    ) -> Vec<SettingProblem> {
        Kinds::check(kind, settings, if kind == "kafka" { "brokers" } else { "path" })
    }

    fn check_sink(&self, _: &str, kind: &str, settings: &serde_json::Value) -> Vec<SettingProblem> {
        Kinds::check(kind, settings, if kind == "kafka" { "brokers" } else { "path" })
    }

    fn sink_place(&self, _: &str, kind: &str, settings: &serde_json::Value) -> Option<String> {
        settings.get("path").filter(|_| kind == "file")?.as_str().map(str::to_owned)
    }

    fn check_format(
        &self,
        format: &FormatDefinition,
        schema: &StreamSchema,
    ) -> Result<RecordKind, Vec<FormatProblem>> {
        let option = |key: &str, message: String| {
            Err(vec![FormatProblem::Option(SettingProblem { key: key.to_owned(), message })])
        };
        match format.name.as_str() {
            "json" if format.options.get("changes").is_some() => Ok(RecordKind::Changes),
            "json" => Ok(RecordKind::Rows),
            "csv" if format.options.get("delimeter").is_some() => {
                option("delimeter", "unknown key".to_owned())
            }
            "csv" => {
                let wide = schema.fields.iter().position(|field| field.name == "wide");
                let problem = |at| vec![FormatProblem::Field(at, "the file lacks it".to_owned())];
                wide.map_or(Ok(RecordKind::Rows), |at| Err(problem(at)))
            }
            name => option("", format!("weir 0.1 does not have `{name}` yet")),
        }
    }

    fn name_setting(&self, kind: &str) -> Result<Option<&'static str>, String> {
        match kind {
            "kafka" => Ok(Some("topic")),
            "file" => Ok(Some("path")),
            "http" => Ok(None),
            _ => Err(format!("weir 0.1 does not have `{kind}` yet")),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("12345".to_owned()),
        "SHARDS" => Some("4".to_owned()),
        _ => None,
    }
}

fn context() -> Context<'static> {
    Context { environment: &variable, kinds: &Kinds }
}

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned() }
}

fn project(files: &[(&str, &str)]) -> Checked {
    check_project(&files.iter().copied().collect(), &variable, &Kinds)
}

fn said(checked: &Checked) -> Vec<String> {
    checked.diagnostics.iter().map(Diagnostic::to_string).collect()
}

fn stream(text: &str) -> StreamDefinition {
    let outcome = check_stream(&file("streams/s.yaml", text), "s", &context());
    outcome.value.unwrap_or_else(|| panic!("{text}: {:?}", outcome.diagnostics))
}

fn job(text: &str) -> JobDefinition {
    let outcome = check_job(&file("jobs/j.yaml", text), "j", &BTreeMap::new(), &context());
    outcome.value.unwrap_or_else(|| panic!("{text}: {:?}", outcome.diagnostics))
}

/// Path and text of a file, and all that is said of it.
type Case = (&'static str, &'static str, &'static [&'static str]);

const BAD: &[Case] = &[
    ("streams/a.yaml", "stream: a\nfields: {a: [b\n", &["2:13: not readable as YAML: unclosed bracket '['"]),
    (
        "streams/a.yaml",
        "",
        &["1:1: `stream`: expected a mapping such as {stream: NAME, fields: ..}, found nothing"],
    ),
    ("streams/a.yaml", "- a\n", &["1:1: expected a mapping of keys and values, found a list"]),
    ("streams/a.yaml", "stream: a\n---\nstream: b\n", &["3:1: a second document starts here"]),
    ("streams/a.sql", "CREATE TABLE a (b STRING)", &["1:1: CREATE TABLE: weir 0.1 does not have this yet"]),
    (
        "streams/a.yaml",
        "strem: a\nfields: {t: timestamp, x: integer, y: \"map<string\"}\nevent_time: t\ndisorder: 30\nwhen_idle: hld\n\
         max_skew: ten\ndedup_for: 1d\n",
        &[
            "1:1: `strem`: unknown key; did you mean `stream`?",
            "2:27: `fields.x`: `integer` is not a type; write string,",
            "2:39: `fields.y`: `map<string` is half a type; quote a type that holds a comma",
            "4:11: `disorder`: `30` is not a duration; write a whole number and a unit",
            "5:12: `when_idle`: `hld`: unknown value; did you mean `hold`?",
            "6:11: `max_skew`: `ten` is not a duration; write a whole number and a unit",
            "7:1: `dedup_for`: `event_id` is missing; name the column that tells events apart",
        ],
    ),
    (
        "streams/a.yaml",
        "fields:\n  t: timestamp\n  wide: int\nevent_time: t\nformat: {csv: {header: true}}\n",
        &["3:3: `fields.wide`: the file lacks it"],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp}\nevent_time: t\nformat:\n  csv:\n    delimeter: x\nsource: {http: {}}\n",
        &["5:5: `csv.delimeter`: unknown key"],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp}\nevent_time: t\nformat: {avro: {}}\n",
        &["3:10: weir 0.1 does not have `avro` yet"],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp}\nevent_time: t\nformat: [csv]\n",
        &["3:9: `format`: expected exactly one kind, as json or {csv: {header: true}}; found a list"],
    ),
    (
        "streams/a.yaml",
        "fields: {t: string, rowtime: timestamp}\nevent_time: t\nknown_time: tt\nformat: avro\n",
        &[
            "2:13: `event_time`: `t` is declared string; declare it timestamp (written otherwise: `event_time: {column: \
             t, pattern: \"%Y-%m-%d %H:%M:%S\"}`), or name a column that is",
            "3:13: `known_time`: `tt`: unknown column; did you mean `t`?",
            "4:9: weir 0.1 does not have `avro` yet",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: {type: timestamp, unit: s}, d: {type: date, unit: ms}, z: {type: timestamp, zone: UTC}}\n\
         event_time: {column: t, unit: sec}\n",
        &[
            "1:57: `fields.d`: `d` is declared date, and what is written so is a number; declare it timestamp",
            "1:89: `fields.z.zone`: `pattern` is missing",
            "2:31: `event_time.unit`: `sec`: unknown value;",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: {type: timestamp, unit: s}, n: {type: timestamp, unit: s, pattern: \"%F\"}}\n\
         event_time: {column: t, pattern: \"%Y-%m-%d\"}\nknown_time: n\n",
        &[
            "1:71: `fields.n.pattern`: a time is a number of a `unit` or a text of a `pattern`; keep one",
            "2:25: `event_time`: `fields.t` says already how it is written; leave one of the two out",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: string}\nevent_time: {colum: t, pattern: \"yyyy-MM-dd\"}\n",
        &[
            "2:13: `event_time.column`: missing",
            "2:14: `event_time.colum`: unknown key; did you mean `column`?",
            "2:33: `event_time.pattern`: `yyyy-MM-dd` holds no directive; write them as strftime does",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: {type: timestamp, pattern: \"%F %T\", zone: Europe/Berln}, z: string}\n\
         event_time: {column: z, pattern: \"%F %T %z\", zone: UTC}\n",
        &[
            "1:55: `fields.t.zone`: time zone `Europe/Berln` not found; did you mean `Europe/Berlin`?",
            "2:52: `event_time.zone`: `%F %T %z` reads the offset of each time; leave `zone` out",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {id: {type: timestamp, unit: ns}}\nevent_time: {column: at, unit: s}\nevent_id: id\n",
        &[
            "2:22: `event_time.column`: `at`: unknown column; known: id (or add `at: timestamp` to `fields`)",
            "3:11: `event_id`: `id` is declared timestamp; an id is a text or a number",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp, l: array<int>}\nevent_time: t\nevent_id: l\ndedup_for: 0s\n",
        &[
            "3:11: `event_id`: `l` is declared array<int>; an id is a text or a number",
            "4:12: `dedup_for`: must be longer than nothing",
        ],
    ),
    (
        "streams/changed.yaml",
        "fields: {t: timestamp, id: bigint}\nevent_time: t\nevent_id: id\nformat: {json: {changes: true}}\n",
        &[
            "3:11: `event_id`: every change of a row has the row's columns, so that what updates or deletes it would be taken",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp, rowtime: string, u: {type: int, from: a..b, form: x}}\nevent_time: t\n\
         source: {kafka: {options: {acks: 7}, brokers: b}, http: {}}\n",
        &[
            "1:24: `fields.rowtime`: in queries `rowtime` is the event-time column",
            "1:62: `fields.u.from`: `a..b` names no member",
            "1:68: `fields.u.form`: unknown key; did you mean `from`?",
            "3:9: `source`: expected exactly one kind, as {http: {}}; found 2 kinds",
        ],
    ),
    (
        "streams/a.yaml",
        "fields: {t: timestamp}\nevent_time: t\nsource:\n  kafka:\n    brokers: b\n    options: {acks: 7}\n",
        &["6:15: `kafka.options.acks`: not 7"],
    ),
    (
        "streams/a.yaml",
        "stream: a\nstream: b\nfields: {t: timestamp, t: string}\nevent_time: t\nsource: {kinesis: {}}\n",
        &[
            "2:1: `stream`: already given in line 1; keep one",
            "3:24: `t`: already given in line 3; keep one",
            "5:10: weir 0.1 does not have `kinesis` yet",
        ],
    ),
    (
        "streams/Big-Name.yaml",
        "{}",
        &[
            "1:1: `stream`: missing, and `Big-Name`, which the file is called, is not a name",
            "1:1: `fields`: missing; declare the columns as {NAME: TYPE, ..}",
            "1:1: `event_time`: missing; name the timestamp column that says when it happened",
        ],
    ),
    (
        "jobs/a.yaml",
        "job: A\nversion: 0\nlate: {policy: correct, alow: 1h}\nsinks:\n  - stdout\n  - file: {folow: 1, path: p}\n\
         tail: 1 hor\nemit: {on: chance}\nlookback: {days: 3}\n",
        &[
            "1:1: `query`: missing; write `query: |` and the SQL, or `query_file: PATH`, or put it into jobs/a.sql",
            "1:6: `job`: `A` is not a name; a name is a lower-case letter",
            "2:10: `version`: expected a whole number from 1 to 4294967295, found 0",
            "3:25: `late.alow`: unknown key; did you mean `allow`?",
            "5:5: `sinks`: expected exactly one kind, as {stdout: {}}; found a text",
            "6:12: `file.folow`: unknown key",
            "7:7: `tail`: expected exact or a duration such as 1d, found `1 hor`",
            "8:12: `emit.on`: `chance`: unknown value; did you mean `change`?",
            "9:1: `lookback`: weir 0.1 does not have this yet; write {}, or leave it out: a job begins with the past that",
        ],
    ),
    (
        "jobs/a.yaml",
        "query: SELECT 1\nsinks: [{file: {path: a}}, {file: {path: b}}, {stdout: {}}, {stdout: {}}, {file: {path: a}}]\n",
        &[
            "2:75: `sinks`: two of them write a, and each would take the other's rows for its own; write one of them",
        ],
    ),
    (
        "jobs/a.yaml",
        "query: SELECT 1\nsink: [{stdout: {}}]\n",
        &["2:1: `sink`: is for one; call a list of them `sinks`"],
    ),
    (
        "jobs/a.yaml",
        "query: SELECT 1\nquery_file: q.sql\nemit: {every: 1s, on: close}\nretention: {a: 1}\nsinks: {stdout: {}}\n\
         features: {f: {type: bigint, default: x, owner: 7}}\nstream: rides\n",
        &[
            "2:13: `query_file`: `query` is given too; keep one of them",
            "3:19: `emit.on`: `every` is given too; keep one of them",
            "4:12: `retention`: expected a duration such as 90d, or {} for none, found a mapping",
            "5:8: `sinks`: expected a list such as [stdout: {}], found a mapping",
            "6:39: `features.f.default`: \"x\" is not a bigint; give a default of the feature's type",
            "6:49: `features.f.owner`: expected a text (in quotes), found a number",
            "7:9: `stream`: a job's query names its streams",
        ],
    ),
    (
        "jobs/a.json",
        "{\"stream\": {\"kinesis\": \"user_activities\"},\n \"sink\": {\"feature_service_dynamodb\": {\"write_rate\": 1}},\n \
         \"query_file\": \"none.sql\"}",
        &[
            "1:13: weir 0.1 does not have `kinesis` yet",
            "2:11: weir 0.1 does not have `feature_service_dynamodb` yet",
            "3:16: `query_file`: none.sql was not found; paths start at the project folder",
        ],
    ),
    (
        "weir.yaml",
        "listen: 0.0.0.0:80\ndata_dir: ${NOWHERE}\nshards: 0\ncheckpoint: {every: 0s, keep: no}\n\
         limits: {body: 10MB, plugin_memory: 0, bodi: 1}\n",
        &[
            "1:9: `listen`: 0.0.0.0:80 can be reached from other machines, and `token` is not set; set",
            "2:11: `NOWHERE` is not set in the environment; set it, or write ${NOWHERE:-default}",
            "3:9: `shards`: expected a whole number from 1 to 128, found 0",
            "4:21: `checkpoint.every`: must be longer than nothing",
            "4:31: `checkpoint.keep`: expected a whole number, found a text",
            "5:16: `limits.body`: `10MB` is not a size; write a whole number above 0 and B, KiB, MiB or GiB",
            "5:37: `limits.plugin_memory`: expected a whole number of at least 1, found 0",
            "5:40: `limits.bodi`: unknown key; did you mean `body`?",
        ],
    ),
    (
        "weir.yaml",
        "plugins:\n  Geo: {memory: 1MiB}\n  geo: {memory: big, fuel: 1}\n  trip: 5\n  lat: {memory: 64}\n",
        &[
            "2:3: `plugins.Geo`: is not a name of a plugin; write [a-z][a-z0-9_]*",
            "3:17: `plugins.geo.memory`: `big` is not a size",
            "3:22: `plugins.geo.fuel`: unknown key",
            "4:9: `plugins.trip`: expected a mapping such as {memory: 128MiB}, found a number",
            "5:17: `plugins.lat.memory`: 64 bytes are too few for any plugin; write a unit, as 64MiB",
        ],
    ),
    (
        "weir.yaml",
        "listen: here\ntoken: \"a b\"\n",
        &["1:9: `listen`: `here` is not an address", "2:8: `token`: holds"],
    ),
    ("weir.yaml", "? [1]\n: 2\n", &["1:3: not readable as YAML: expected string scalar"]),
];

#[test]
fn what_is_wrong_is_said_with_its_place_all_at_once() {
    let mut failed = Vec::new();
    for (path, text, wanted) in BAD {
        let said = said(&project(&[(path, text)]));
        let fits = |(said, wanted): (&String, &&str)| {
            said.strip_prefix(path)
                .and_then(|said| said.strip_prefix(':'))
                .is_some_and(|s| s.starts_with(wanted))
        };
        if said.len() != wanted.len() || !said.iter().zip(*wanted).all(fits) {
            failed.push(format!("{text}\n{said:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_text_cannot_take_more_than_its_share() {
    let read = |text: &str| project(&[("weir.yaml", text)]);
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (last, next) in ('a'..'i').zip('b'..='i') {
        let line =
            format!("{next}: &{next} [*{last}, *{last}, *{last}, *{last}, *{last}, *{last}, *{last}]\n");
        bomb.push_str(&line);
    }
    let many = format!("a: &a {}\nb: [{}]\n", "x".repeat(1000), "*a, ".repeat(500));
    for text in [bomb, many, "[".repeat(1000), "a:\n ".repeat(200), "{a: ".repeat(5000)] {
        let checked = read(&text);
        assert!(checked.server.is_none(), "{}", &text[..40]);
        assert_eq!(checked.diagnostics.len(), 1, "{:?}", said(&checked));
    }
    assert!(said(&read(&"#".repeat((1 << 20) + 1)))[0].contains("a definition at most 1048576; split it"));
    assert!(read(&"#".repeat(1 << 20)).server.is_some());

    let fields: Vec<_> = (0..40_000).map(|i| format!("  column_{i}: string\n")).collect();
    let fields = fields.concat();
    let long = stream(&format!("event_time: t\nfields:\n  t: timestamp\n{fields}"));
    assert_eq!(long.schema.fields.len(), 40_001);
}

#[test]
fn a_sink_says_what_happens_when_its_outbox_is_full_or_the_job_says_it_for_all() {
    let of = |text: &str| -> Vec<OnFull> {
        job(&format!("query: SELECT 1\n{text}")).sinks.iter().map(|sink| sink.on_full).collect()
    };
    let sinks = "sinks:\n  - stdout: {}\n  - file: {path: p, on_full: suspend}\n";
    assert_eq!(of(sinks), [OnFull::Pause, OnFull::Suspend]);
    assert_eq!(of(&format!("{sinks}on_full: suspend\n")), [OnFull::Suspend, OnFull::Suspend]);
    assert_eq!(of("on_full: suspend\nsinks: [stdout: {on_full: pause}]\n"), [OnFull::Pause]);
    let read = job(&format!("query: SELECT 1\n{sinks}"));
    assert_eq!(read.sinks[1].settings, serde_json::json!({"path": "p"}), "it is not the connector's");
}

#[test]
fn an_alias_stands_for_what_it_names() {
    let read = job("query: SELECT 1\nlate: {allow: &an_hour 2h}\nstale_after: *an_hour\n");
    assert_eq!(read.stale_after, Some(Span::from_millis(7_200_000)));
}

#[test]
fn the_server_has_defaults_and_takes_the_environment() {
    assert_eq!(project(&[]).server, Some(ServerDefinition::default()));
    assert_eq!(project(&[("weir.yaml", "# nothing\n")]).server, Some(ServerDefinition::default()));
    let text = "listen: 127.0.0.1:8080\ntoken: ${WEIR_TOKEN:-}\ndata_dir: .weir\nshards: 2\n\
                checkpoint: {every: 10s, keep: 3}\n\
                limits: {plugin_memory: 64MiB, plugin_fuel_per_call: 20000000, body: 10MiB, train_body: 1GiB, \
                dead_letters: 1GiB}\n";
    let wanted = ServerDefinition { shards: Some(2), ..ServerDefinition::default() };
    assert_eq!(project(&[("weir.yaml", text)]).server, Some(wanted));
    let open = project(&[("weir.yaml", "listen: '[::]:80'\ntoken: ${TOKEN}\nshards: ${SHARDS}\n")]);
    let server = open.server.unwrap_or_else(|| panic!("{:?}", open.diagnostics));
    assert_eq!((server.token.as_deref(), server.shards), (Some("12345"), Some(4)));
}

#[test]
fn a_stream_reads_as_written() {
    let read = stream(
        "stream: event_user_action\nfields: {event_id: bigint, tags: \"map<string, int>\", event_time: timestamp, \
         fare: {type: double, from: payload.fare}, ingested_at: timestamp}\nevent_time: event_time\n\
         disorder: 30s\nidle_after: 2m\nwhen_idle: flush\nmax_future: 3h\nknown_time: ingested_at\nmax_skew: 10m\nevent_id: event_id\n\
         dedup_for: 2h\nformat: json\n\
         source:\n  kafka: {brokers: \"127.0.0.1:9092\", topic: event_user_action, start: earliest, options: {}}\n",
    );
    assert_eq!(read.name, "event_user_action");
    assert_eq!(read.schema.event_time, 2);
    assert_eq!(read.schema.fields[1].data_type.to_string(), "map<string, int>");
    assert_eq!(read.schema.fields[3].path, ["payload", "fare"]);
    assert_eq!((read.disorder.millis(), read.idle_after.millis()), (30_000, 120_000));
    assert_eq!((read.when_idle, read.known_time), (WhenIdle::Flush, Some(4)));
    assert_eq!(read.max_skew, Some(Span::from_millis(600_000)));
    assert_eq!(read.dedup, Some(Dedup { event_id: 0, within: Span::from_millis(7_200_000) }));
    assert_eq!(read.origin.unwrap().settings["topic"], "event_user_action");

    let short = stream("fields: {t: timestamp}\nevent_time: t\nsource: {http: }\n");
    assert_eq!((short.name.as_str(), short.format), ("s", FormatDefinition::default()));
    assert_eq!((short.disorder, short.idle_after.millis()), (Span::ZERO, 60_000));
    assert_eq!((short.max_skew, short.dedup), (None, None));
    assert_eq!(short.origin.unwrap().settings, json!({}));
    let of_changes =
        stream("fields: {t: timestamp, id: string}\nevent_time: t\nformat: {json: {changes: true}}\n");
    assert_eq!(of_changes.schema.taken_back(), Some(2));
    assert_eq!(of_changes.schema.declared().count(), 2);
    let day = stream("fields: {t: timestamp, id: string}\nevent_time: t\nevent_id: id\n").dedup;
    assert_eq!(day, Some(Dedup { event_id: 1, within: Span::from_millis(86_400_000) }));
}

#[test]
fn a_job_reads_as_written() {
    let read = job(
        "job: user_activity\nversion: 2\nquery: |\n  SELECT geohash\n    FROM event_user_action\nfeatures:\n  \
         total_events: {type: bigint, version: 1, description: user activities, default: 0, owner: fraud}\n  \
         plain:\nlate: {policy: drop, allow: 2h}\nemit: {on: close}\nretention: 90d\ntail: 6h\n\
         stale_after: 10m\nsinks:\n  - file: {path: out/user_activity, format: jsonl, meta: false}\n  - stdout: {}\n",
    );
    assert_eq!((read.name.as_str(), read.version, read.file.as_str()), ("user_activity", 2, "jobs/j.yaml"));
    assert_eq!(read.query.text, "SELECT geohash\n  FROM event_user_action\n");
    assert_eq!(read.query.place(1, 8), (4, 10));
    assert_eq!(read.query.place(2, 3), (5, 5));
    assert_eq!((read.late.policy, read.late.allow.millis()), (LatePolicy::Drop, 7_200_000));
    assert_eq!(read.history, read.late.allow);
    let feature = &read.features[0];
    assert_eq!((feature.default.clone(), feature.owner.as_deref()), (Some(json!(0)), Some("fraud")));
    assert_eq!((feature.data_type.clone(), feature.place), (Some(DataType::Bigint), (7, 3)));
    assert_eq!(read.features[1].name, "plain");
    let sinks: Vec<_> = read.sinks.iter().map(|sink| sink.name.as_str()).collect();
    assert_eq!(sinks, ["file", "stdout"]);
    assert_eq!(read.tail, Some(Span::from_millis(6 * 3_600_000)));
    assert_eq!(read.check_retention(Span::from_millis(1)), None);
    let short = read.check_retention("91d".parse().unwrap()).unwrap();
    assert!(short.message.contains("90d is shorter than the longest window, 91d"), "{short}");
}

#[test]
fn results_are_written_when_the_job_says() {
    let emit = |text: &str| job(&format!("query: SELECT 1\n{text}")).emit;
    assert_eq!(emit(""), Emit::Close);
    assert_eq!(emit("emit: {on: close}\n"), Emit::Close);
    assert_eq!(emit("emit: {on: change}\n"), Emit::Change);
    assert_eq!(emit("emit: {every: 1s}\n"), Emit::Every(Span::from_millis(1000)));
}

#[test]
fn a_place_in_a_query_is_a_place_in_the_file() {
    for (text, at, wanted) in [
        ("query: SELECT 1\n", (1, 8), (1, 15)),
        ("query: 'SELECT 1'\n", (1, 8), (1, 16)),
        ("{\"query\": \"SELECT 1\"}", (1, 1), (1, 12)),
        ("query: |\n\n      SELECT 1\n        FROM t\n", (3, 3), (4, 9)),
        ("query: |2\n    SELECT 1\n", (1, 3), (2, 5)),
    ] {
        assert_eq!(job(text).query.place(at.0, at.1), wanted, "{text}");
    }
}

#[test]
fn a_query_may_be_a_file_of_its_own() {
    let fields = "fields: {t: timestamp}\nevent_time: t\n";
    let files = [
        ("streams/s.yaml", fields),
        ("jobs/a.yaml", "version: 1\n"),
        ("jobs/a.sql", "SELECT 1"),
        ("jobs/b.yaml", "query_file: ./jobs/shared.sql\n"),
        ("jobs/shared.sql", "SELECT 2"),
        ("jobs/c.yaml", "query: SELECT 3\n"),
        ("jobs/c.sql", "SELECT 4"),
        ("jobs/stray.sql", "SELECT 5"),
    ];
    let checked = project(&files);
    let queries: Vec<_> = checked.jobs.iter().map(|job| job.query.text.as_str()).collect();
    assert_eq!(queries, ["SELECT 1", "SELECT 2", "SELECT 3"]);
    assert_eq!(checked.jobs[1].query.file, "jobs/shared.sql");
    assert!(checked.diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Warning));
    let said = said(&checked);
    assert_eq!(said[0], "jobs/c.yaml:1:8: warning: `query`: given here, so jobs/c.sql is not used");
    assert!(said[1].starts_with("jobs/stray.sql:1:1: warning: no job has this query"), "{said:?}");

    let jobs = ProjectFiles { jobs: vec![file(files[3].0, files[3].1)], ..ProjectFiles::default() };
    assert_eq!(needed_query_files(&jobs, &variable), ["jobs/b.sql", "jobs/shared.sql"]);
}

#[test]
fn two_of_one_name_are_refused_with_both_files() {
    let stream = "stream: s\nfields: {t: timestamp}\nevent_time: t\n";
    let checked = project(&[
        ("streams/a.yaml", stream),
        ("streams/b.yaml", stream),
        ("jobs/j.json", "{\"query\": \"SELECT 1\"}"),
        ("jobs/j.yaml", "query: SELECT 1\nx: 1\n"),
    ]);
    let said = said(&checked);
    assert_eq!(
        said[..2],
        [
            "streams/a.yaml:1:9: stream `s` is in streams/b.yaml as well; give each a name of its own",
            "streams/b.yaml:1:9: stream `s` is in streams/a.yaml as well; give each a name of its own",
        ]
    );
    for one in
        ["jobs/j.yaml:1:1: job `j` is in jobs/j.json as", "jobs/j.json:1:1: job `j` is in jobs/j.yaml as"]
    {
        assert!(said.iter().any(|said| said.starts_with(one)), "{said:?}");
    }
    assert_eq!((checked.streams.len(), checked.jobs.len()), (0, 0));
    assert!(checked.refused_jobs.contains_key("j"));
    assert!(checked.refused_streams.contains_key("s"));
}

#[test]
fn dryft_configuration_reads_as_it_stands() {
    let text = "{\"retention\": {}, \"lookback\": {}, \"stream\": {\"kafka\": \"user_activities\"}, \"features\": \
                {\"user_activity_per_geohash\": {\"type\": \"int\", \"version\": 1, \"description\": \"..\"}}}";
    let queries = BTreeMap::from([("jobs/activity.sql".to_owned(), "SELECT 1".to_owned())]);
    let outcome = check_job(&file("jobs/activity.json", text), "activity", &queries, &context());
    let job = outcome.value.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
    assert_eq!(job.features[0].data_type, Some(DataType::Int));
    assert_eq!(job.retention, None);

    let own = "fields: {t: timestamp}\nevent_time: t\n";
    let with_brokers = stream(&format!("{own}source: {{kafka: {{brokers: b, topic: other}}}}\n"));
    let origin = with_brokers.origin_for(job.origin.as_ref()).unwrap();
    assert_eq!(origin.settings, json!({"brokers": "b", "topic": "user_activities"}));
    let other_kind = stream(&format!("{own}source: {{http: {{}}}}\n"));
    assert_eq!(
        other_kind.origin_for(job.origin.as_ref()).unwrap().settings,
        json!({"topic": "user_activities"})
    );
    assert!(stream(own).origin_for(None).unwrap_err().contains("has no source"));
}

#[test]
fn an_environment_that_knows_nothing_shows_nothing() {
    let context = Context { environment: &|_| None, kinds: &Kinds };
    let outcome =
        check_job(&file("", "query: SELECT 1\nversion: ${TOKEN}\n"), "j", &BTreeMap::new(), &context);
    let said: Vec<_> = outcome.diagnostics.iter().map(Diagnostic::to_string).collect();
    assert_eq!(said, [":2:10: `TOKEN` is not set in the environment; set it, or write ${TOKEN:-default}"]);
}
