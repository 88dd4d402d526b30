//! Golden cases, looked up: what a case wrote last is what lookups find, at the ends of its windows, beside them and
//! between, at its events' times, after the run and after a restart at another number of shards.

use crate::golden::{cases, logs, planned};
use crate::harness::rows;
use crate::replay::{Logs, Replay, partitions_of};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    StringViewArray,
};
use arrow_schema::DataType;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_engine::{AsOf, Job, Looked};
use weir_event::{Date, DecimalType, EventTime, PartitionId, Span};
use weir_format::json::push_cell;
use weir_plan::{JobPlan, KeyedStage};
use weir_timeline::{Bounds, Exclude, Frames};

/// What a case wrote last under one identity.
struct Written {
    meta: Value,
    row: Value,
}

/// A case's job, asked.
struct Asker<'a> {
    case: String,
    job: &'a Job,
    stage: &'a KeyedStage,
    written: Vec<Written>,
    asked: usize,
}

#[test]
fn what_was_written_last_is_what_is_served() {
    let mut asked = BTreeMap::from([("windows", 0), ("sessions", 0), ("lifetimes", 0), ("events", 0)]);
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        let Some(stage) = &plan.stage else { continue };
        let logs = logs(&case, &plan);
        let replay = Replay::new(plan.clone(), logs.clone());
        for (shards, how) in [(1, "after the run"), (3, "after a restart at three shards")] {
            replay.finished(shards, |job| {
                let case = format!("{} {how}", case.display());
                let mut asker = Asker { case, job, stage, written: last_of(rows(&replay.out())), asked: 0 };
                let kind = asker.ask(&plan, &logs);
                *asked.entry(kind).or_default() += asker.asked;
            });
        }
    }
    assert!(asked.values().all(|asked| *asked > 20), "{asked:?}");
}

fn last_of(rows: Vec<Value>) -> Vec<Written> {
    let mut last: BTreeMap<String, Written> = BTreeMap::new();
    for mut row in rows {
        let meta =
            row.as_object_mut().and_then(|row| row.remove("_weir")).expect("the sink has `meta: true`");
        let identity = format!("{} {} {}", meta["key"], meta["window"], meta["position"]);
        let is_newer = |known: &Written| known.meta["revision"].as_u64() <= meta["revision"].as_u64();
        if last.get(&identity).is_none_or(is_newer) {
            last.insert(identity, Written { meta, row });
        }
    }
    last.into_values().filter(|written| written.meta["op"] != "delete").collect()
}

fn time_of(value: &Value) -> EventTime {
    match value.as_i64() {
        Some(millis) => EventTime::from_millis(millis),
        None => value.as_str().and_then(|text| text.parse().ok()).expect("a time"),
    }
}

fn event_time(plan: &JobPlan, partition: PartitionId, line: &str) -> EventTime {
    let schema = &plan.input_of(partition).expect("an input").stream.schema;
    let line: Value = serde_json::from_str(line).expect("a row that counts is JSON");
    time_of(schema.fields[schema.event_time].path.iter().fold(&line, |value, member| &value[member]))
}

fn beside(time: EventTime) -> [EventTime; 3] {
    [time - Span::from_millis(1), time, time + Span::from_millis(1)]
}

fn is_looked_up(meta: &Value) -> bool {
    meta["key"].as_object().is_some_and(|key| key.values().all(|value| !value.is_null()))
}

impl Asker<'_> {
    fn ask(&mut self, plan: &JobPlan, logs: &Logs) -> &'static str {
        // A null key is written and not looked up.
        self.written.retain(|written| is_looked_up(&written.meta));
        match &self.stage.spec.frames {
            Frames::Over(frames) => {
                // A lookup has no current row that a frame of time could leave out.
                let leaves_out = frames.iter().any(|frame| {
                    matches!(frame.bounds, Bounds::Range { .. }) && frame.exclude != Exclude::None
                });
                if !leaves_out {
                    self.ask_events(plan, logs);
                }
                "events"
            }
            Frames::Lifetime => {
                self.ask_lifetimes(plan, logs);
                "lifetimes"
            }
            Frames::Session(session) => {
                self.ask_sessions(session.gap);
                "sessions"
            }
            frames => {
                self.ask_windows(frames);
                "windows"
            }
        }
    }

    fn oldest(&self) -> EventTime {
        self.job.watermark().unwrap_or(EventTime::MIN) - self.stage.spec.reach()
    }

    fn look(&mut self, key: &Value, as_of: EventTime) -> Option<Looked> {
        if as_of < self.oldest() {
            return None;
        }
        self.asked += 1;
        let key: Vec<ArrayRef> = self
            .stage
            .key_names
            .iter()
            .zip(&self.stage.key_types)
            .map(|(name, of)| key_column(&key[name], of))
            .collect();
        let answer = self.job.lookup(&key, AsOf::Asked(as_of));
        Some(answer.unwrap_or_else(|error| panic!("{} at {as_of}: {error}", self.case)).settled)
    }

    /// The same row, or none in either.
    fn compare(&mut self, key: &Value, as_of: EventTime, expected: Option<&Value>) {
        let Some(looked) = self.look(key, as_of) else { return };
        let has_rows = looked.frames.iter().any(|frame| frame.rows > 0);
        let found = (has_rows && looked.columns.num_rows() > 0).then(|| json_of(&looked));
        assert_eq!(found.as_ref(), expected, "{}: {key} at {as_of}", self.case);
    }

    fn ask_windows(&mut self, frames: &Frames) {
        let (Some(watermark), Some(windows)) = (self.job.watermark(), frames.windows()) else { return };
        let of = |written: &Written| {
            let window = &written.meta["window"];
            (written.meta["key"].to_string(), time_of(&window["start"]), time_of(&window["end"]))
        };
        let written: BTreeMap<_, _> = self.written.iter().map(|it| (of(it), it.row.clone())).collect();
        let keys: BTreeMap<String, Value> =
            self.written.iter().map(|it| (it.meta["key"].to_string(), it.meta["key"].clone())).collect();
        let mut times: BTreeSet<EventTime> = beside(watermark).into();
        times.extend(beside(self.oldest()));
        for (_, start, end) in written.keys() {
            times.extend(beside(*end));
            times.insert(EventTime::from_millis(start.millis().midpoint(end.millis())));
        }
        for (name, key) in &keys {
            for as_of in &times {
                // What ends a moment after a time is complete as of it.
                let complete_by = (*as_of + Span::from_millis(1)).min(watermark);
                let complete = windows.complete_at(complete_by);
                let row = complete.and_then(|(start, end)| written.get(&(name.clone(), start, end)));
                self.compare(key, *as_of, row);
            }
        }
    }

    /// From its last row until the next one begins, a session is as it was written.
    fn ask_sessions(&mut self, gap: Span) {
        let of = |written: &Written| {
            let window = &written.meta["window"];
            (
                written.meta["key"].clone(),
                time_of(&window["start"]),
                time_of(&window["end"]),
                written.row.clone(),
            )
        };
        let sessions: Vec<_> = self.written.iter().map(of).collect();
        for (key, start, end, row) in &sessions {
            let next =
                sessions.iter().filter(|(other, from, ..)| other == key && from > start).map(|it| it.1).min();
            let last = *end - gap;
            for as_of in beside(*end).into_iter().chain([last, last + Span::from_millis(1)]) {
                let is_last = as_of >= last && next.is_none_or(|next| as_of < next);
                if is_last {
                    self.compare(key, as_of, Some(row));
                }
            }
        }
    }

    /// Hours after the newest event, a lifetime value is as it was written.
    fn ask_lifetimes(&mut self, plan: &JobPlan, logs: &Logs) {
        let times = partitions_of(logs)
            .flat_map(|(id, lines)| lines.iter().map(move |line| event_time(plan, id, line)));
        let newest = times.max();
        let Some(newest) = newest else { return };
        let hours = (0..24).map(|hours| newest + Span::from_millis(hours * 3_600_000));
        let of = |written: &Written| (written.meta["key"].clone(), written.row.clone());
        for (key, row) in self.written.iter().map(of).collect::<Vec<_>>() {
            hours.clone().for_each(|as_of| self.compare(&key, as_of, Some(&row)));
        }
    }

    /// At an event's time a key's value is the one that its last event of that time has.
    fn ask_events(&mut self, plan: &JobPlan, logs: &Logs) {
        let mut last: BTreeMap<(String, EventTime), (Vec<u64>, &Written)> = BTreeMap::new();
        for written in &self.written {
            let position = written.meta["position"].as_str().expect("an event has a position");
            let place: Vec<u64> =
                position.split(['/', ':']).map(|it| it.parse().expect("a number")).collect();
            let [source, partition, offset, ..] = place[..] else {
                panic!("a position is source/partition:offset[:index]")
            };
            let id = PartitionId { source: source as u16, partition: partition as u16 };
            let time = event_time(plan, id, &logs[source as usize][partition as usize][offset as usize]);
            let entry = last.entry((written.meta["key"].to_string(), time));
            let newest = entry.or_insert((place.clone(), written));
            if place > newest.0 {
                *newest = (place, written);
            }
        }
        let asks: Vec<(Value, EventTime, Value)> = last
            .into_iter()
            .map(|((_, time), (_, written))| (written.meta["key"].clone(), time, written.row.clone()))
            .collect();
        for (key, time, row) in asks {
            let Some(looked) = self.look(&key, time) else { continue };
            // A frame that ends before its event may be empty where the event has a row all the same.
            assert_eq!(json_of(&looked), row, "{}: {key} at {time}", self.case);
        }
    }
}

fn json_of(looked: &Looked) -> Value {
    let (schema, columns) = (looked.columns.schema(), looked.columns.columns());
    let value = |column: &ArrayRef| {
        let mut text = Vec::new();
        push_cell(column.as_ref(), 0, &mut text);
        serde_json::from_slice(&text).expect("a value is JSON")
    };
    let members = schema.fields().iter().zip(columns);
    Value::Object(members.map(|(field, column)| (field.name().clone(), value(column))).collect())
}

fn key_column(value: &Value, of_type: &DataType) -> ArrayRef {
    match of_type {
        DataType::Utf8View => Arc::new(StringViewArray::from_iter([value.as_str()])),
        DataType::Int64 => Arc::new(Int64Array::from_iter([value.as_i64()])),
        DataType::Int32 => Arc::new(Int32Array::from_iter([value.as_i64().map(|it| it as i32)])),
        DataType::Boolean => Arc::new(BooleanArray::from_iter([value.as_bool()])),
        DataType::Date32 => {
            let days = value.as_str().map(|date| date.parse::<Date>().expect("a date").days());
            Arc::new(Date32Array::from_iter([days]))
        }
        DataType::Decimal128(precision, scale) => {
            let of = DecimalType::new(*precision, *scale as u8).expect("a type");
            let parsed = value.as_f64().map(|_| of.parse(value.to_string().as_bytes()).expect("a decimal"));
            Arc::new(Decimal128Array::from_iter([parsed]).with_data_type(of_type.clone()))
        }
        DataType::Float64 => Arc::new(Float64Array::from_iter([value.as_f64()])),
        other => panic!("no golden case has had a key of type {other} yet; add it here"),
    }
}
