//! Admission: which rows count. A function of one partition's log alone.
//!
//! A row is judged in offset order against its own partition's watermark (the newest event time before it less
//! the disorder), so what counts never depends on batching, interleaving, pauses or crashes. The verdicts, in this
//! order:
//!
//! * a time that cannot be (see [`bounds`](crate::bounds)), as it is, when it was known or behind what came before, is
//!   a dead letter and does not move the watermark; every other row does, whatever becomes of it;
//! * a row whose id was [`seen`](crate::intake::seen) before is a duplicate and does not count;
//! * a row that WHERE leaves out is not judged further: the job does not read it;
//! * a row is *late* when a result that it belongs to is final for its partition; the policy says whether it still
//!   counts, and one too late for any result that may still be written is dropped and counted; a lifetime value is
//!   never final, and counts what is not further behind the watermark than the job's history;
//! * of sessions, only the key's other rows tell which one a row belongs to: one that is behind the watermark is handed
//!   on with what the keyed stage needs to judge it, and counted there.
//!
//! Where such a row or a late one is admitted, the batch is cut before it, so that the watermark which made it late has taken
//! effect first however the log was cut into blocks.
//!
//! Knows no clock, no key and no timeline.

use crate::bounds::{TimeBounds, is_recent, known_at, looks_like_seconds};
use crate::filter::{Filtered, Passes};
use crate::intake::cut::Cutting;
use crate::intake::seen::Repeats;
use crate::letter::DeadLetter;
use crate::rows::Rows;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, TimestampMillisecondArray};
use std::cell::OnceCell;
use std::sync::Arc;
use weir_connect::{Decoded, Framing, KnownTimes, RawBlock};
use weir_event::{EventTime, PartitionId, PartitionWatermark, Span};
use weir_plan::{JobPlan, Late, LatePolicy, StreamInput};
use weir_timeline::Frames;

/// How a job judges the rows of one of its inputs.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) job: Arc<str>,
    /// Column of the event time among the decoded ones.
    pub(crate) event_time: usize,
    /// Column of the declared known time among the decoded ones.
    pub(crate) known_time: Option<usize>,
    /// Column of the event's id among the decoded ones.
    pub(crate) event_id: Option<usize>,
    pub(crate) bounds: TimeBounds,
    pub(crate) disorder: Span,
    pub(crate) late: Late,
    pub(crate) frames: Option<Frames>,
    /// Of lifetime values, which are never final: how far behind the watermark a row still counts, as what aggregates
    /// need to take it in order is kept so far.
    pub(crate) lifetime_reach: Option<Span>,
}

impl Rules {
    pub(crate) fn of(plan: &JobPlan, input: &StreamInput) -> Rules {
        Rules {
            job: plan.name.as_str().into(),
            event_time: input.event_time,
            known_time: input.known_time,
            event_id: input.event_id,
            bounds: TimeBounds::of(&input.stream),
            disorder: input.stream.disorder,
            late: plan.late,
            frames: plan.stage.as_ref().map(|stage| stage.spec.frames.clone()),
            lifetime_reach: plan
                .stage
                .as_ref()
                .and_then(|stage| matches!(stage.spec.frames, Frames::Lifetime).then(|| stage.spec.reach())),
        }
    }
}

/// A row that is so far ahead of all before it is named where rows behind it came too late: 30 days.
const FAR_AHEAD: Span = Span::from_millis(30 * 86_400_000);

/// What became of one block.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    /// Admitted rows and the partition's watermarks between them, in order.
    pub(crate) steps: Vec<Admitted>,
    /// Events that cannot be used, in order of offset within each kind.
    pub(crate) dead: Vec<DeadLetter>,
    /// Late ones that are set aside because the policy says so.
    pub(crate) diverted: Vec<DeadLetter>,
    /// Event time of the first row whose time can be.
    pub(crate) first: Option<EventTime>,
    /// Rows whose time would be of this century were it in seconds, and offset and time of the first.
    pub(crate) like_seconds: u64,
    pub(crate) first_like_seconds: Option<(u64, EventTime)>,
    /// Rows whose time is of this century.
    pub(crate) recent: u64,
    /// Offset and time of the first row that is far ahead of all before it, and the newest time of those.
    pub(crate) first_ahead: Option<(u64, EventTime, EventTime)>,
    /// Rows whose id was seen before.
    pub(crate) duplicates: u64,
    /// Rows that were late, admitted or not.
    pub(crate) late: u64,
    /// Late rows that do not count.
    pub(crate) dropped: u64,
}

/// Rows, or the watermark that they have made.
#[derive(Debug)]
pub(crate) enum Admitted {
    Rows(Rows),
    Watermark(EventTime),
}

/// Whether a row that may be late counts.
#[derive(Debug, PartialEq, Eq)]
enum Lateness {
    OnTime,
    Late,
    /// It is behind the watermark; what that means for its session, the keyed stage knows.
    Behind,
    /// No result that it belongs to may still be written.
    TooLate,
}

/// Judges the rows of a decoded block, of which `filtered` says what WHERE does and `repeats` which came before,
/// and moves the partition's watermark on.
pub(crate) fn admit(
    rules: &Rules,
    watermark: &mut PartitionWatermark,
    filtered: &Filtered,
    mut repeats: Option<Repeats<'_>>,
    block: &RawBlock,
    decoded: &Decoded,
) -> Admission {
    let mut admission = Admission::default();
    for bad in &decoded.bad {
        admission.dead.push(letter(
            &rules.job,
            block.partition,
            bad.offset,
            bad.reason.clone(),
            &bad.payload,
        ));
    }
    let times =
        decoded.columns.column(rules.event_time).as_primitive::<TimestampMillisecondType>().values().clone();
    let known = Known::of(rules, block, decoded);
    let payloads = Payloads::of(block);
    let refuse = |row: usize, reason: String| {
        let payload = payloads.get(decoded.records[row]);
        letter(&rules.job, block.partition, decoded.offsets[row], reason, payload)
    };
    let mut cutting = Cutting::new(block.partition, decoded, &times, watermark.current());
    for (row, time) in times.iter().enumerate() {
        let time = EventTime::from_millis(*time);
        if let Some(reason) = rules.bounds.refusal(time, known.at(row, decoded), Some(watermark.newest())) {
            admission.dead.push(refuse(row, reason));
            continue;
        }
        admission.first.get_or_insert(time);
        if watermark.newest() > EventTime::MIN && time > watermark.newest() + FAR_AHEAD {
            admission.first_ahead.get_or_insert((decoded.offsets[row], time, watermark.newest()));
        }
        admission.count_units(decoded.offsets[row], time);
        let is_repeat = |repeats: &mut Repeats<'_>| repeats.is_repeat(row, time, watermark.current());
        match filtered.at(row) {
            _ if repeats.as_mut().is_some_and(is_repeat) => admission.duplicates += 1,
            Passes::No => {}
            Passes::Fails(reason) => admission.dead.push(refuse(row, reason.to_owned())),
            Passes::Yes => match lateness(rules, watermark.current(), time) {
                Lateness::OnTime => cutting.keep(row),
                verdict @ (Lateness::Late | Lateness::Behind) => {
                    admission.late += u64::from(verdict == Lateness::Late);
                    cutting.cut(watermark.current());
                    if verdict == Lateness::Behind && rules.late.policy == LatePolicy::Divert {
                        cutting.keep_payload(row, kept_payload(payloads.get(decoded.records[row])));
                    }
                    cutting.keep(row);
                }
                Lateness::TooLate => {
                    admission.late += 1;
                    admission.dropped += 1;
                    if rules.late.policy == LatePolicy::Divert {
                        admission.diverted.push(refuse(row, late_reason(time, watermark.current())));
                    }
                }
            },
        }
        watermark.observe(time);
    }
    admission.steps = cutting.finish(watermark.current());
    admission
}

impl Admission {
    /// Counts what tells that some times are in another unit than others.
    fn count_units(&mut self, offset: u64, time: EventTime) {
        self.recent += u64::from(is_recent(time));
        if looks_like_seconds(time) {
            self.like_seconds += 1;
            self.first_like_seconds.get_or_insert((offset, time));
        }
    }
}

fn lateness(rules: &Rules, watermark: EventTime, time: EventTime) -> Lateness {
    // Whatever result a row belongs to, it is final after the row's own time.
    if time >= watermark {
        return Lateness::OnTime;
    }
    let Some(frames) = &rules.frames else { return Lateness::OnTime };
    if frames.is_judged_by_key() {
        return Lateness::Behind;
    }
    if let Some(reach) = rules.lifetime_reach {
        return if time < watermark - reach { Lateness::TooLate } else { Lateness::OnTime };
    }
    let Some((first_final, last_final)) = frames.final_between(time) else { return Lateness::OnTime };
    let reach = if rules.late.policy == LatePolicy::Correct { rules.late.allow } else { Span::ZERO };
    if last_final <= watermark - reach {
        Lateness::TooLate
    } else if first_final <= watermark {
        Lateness::Late
    } else {
        Lateness::OnTime
    }
}

/// Why a row is set aside that no result takes any more.
pub(crate) fn late_reason(time: EventTime, watermark: EventTime) -> String {
    format!(
        "late: its event time {time} is behind the watermark {watermark}, and no result takes it any more"
    )
}

/// When rows could first be known, as their stream and their log say.
struct Known<'a> {
    declared: Option<&'a TimestampMillisecondArray>,
    stamps: &'a [i64],
}

impl<'a> Known<'a> {
    fn of(rules: &Rules, block: &'a RawBlock, decoded: &'a Decoded) -> Known<'a> {
        let column = |column: usize| decoded.columns.column(column).as_primitive();
        let stamps: &[i64] = match &block.known {
            KnownTimes::Unknown | KnownTimes::EventTime => &[],
            KnownTimes::Each(times) => times,
        };
        Known { declared: rules.known_time.map(column), stamps }
    }

    fn at(&self, row: usize, decoded: &Decoded) -> Option<EventTime> {
        let declared = self.declared.and_then(|times| times.is_valid(row).then(|| times.value(row)));
        let stamp = self.stamps.get(decoded.records[row] as usize).copied();
        known_at(declared.map(EventTime::from_millis), stamp.map(EventTime::from_millis))
    }
}

/// An event whose time can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its record's offset.
    pub offset: u64,
    /// When it happened.
    pub time: EventTime,
    /// When it could first be known, as far as anything says so.
    pub known: Option<EventTime>,
}

/// The events of a decoded block whose times can be, whatever else becomes of them; `newest` is the partition's newest
/// event time before them.
pub(crate) fn heard(rules: &Rules, mut newest: EventTime, block: &RawBlock, decoded: &Decoded) -> Vec<Heard> {
    let times = decoded.columns.column(rules.event_time).as_primitive::<TimestampMillisecondType>().values();
    let known = Known::of(rules, block, decoded);
    let mut all = Vec::with_capacity(times.len());
    for (row, time) in times.iter().enumerate() {
        let (time, known) = (EventTime::from_millis(*time), known.at(row, decoded));
        if rules.bounds.refusal(time, known, Some(newest)).is_none() {
            newest = newest.max(time);
            all.push(Heard { offset: decoded.offsets[row], time, known });
        }
    }
    all
}

/// Finds the bytes of a block's records, for dead letters: lines are counted once, and only when one is needed.
#[derive(Debug)]
pub(crate) struct Payloads<'a> {
    block: &'a RawBlock,
    lines: OnceCell<Vec<&'a [u8]>>,
}

impl<'a> Payloads<'a> {
    pub(crate) fn of(block: &'a RawBlock) -> Self {
        Payloads { block, lines: OnceCell::new() }
    }

    pub(crate) fn get(&self, record: u32) -> &'a [u8] {
        let record = record as usize;
        let data: &'a [u8] = &self.block.data;
        match &self.block.framing {
            Framing::Lines { .. } => {
                let lines = self.lines.get_or_init(|| data.split(|byte| *byte == b'\n').collect());
                lines.get(record).copied().unwrap_or(&[])
            }
            Framing::Records { ends, .. } => {
                let start = if record == 0 { 0 } else { ends[record - 1] as usize };
                data.get(start..ends[record] as usize).unwrap_or(&[])
            }
            // Where its bytes are only the decoder could tell.
            Framing::Container { .. } => &[],
        }
    }
}

pub(crate) fn letter(
    job: &str,
    partition: PartitionId,
    offset: u64,
    reason: String,
    payload: &[u8],
) -> DeadLetter {
    DeadLetter::of_event(job, reason, partition, offset, kept_payload(payload))
}

/// As much of a payload as a dead letter holds.
fn kept_payload(payload: &[u8]) -> String {
    let kept = payload.len().min(weir_connect::format::PAYLOAD_KEPT_BYTES);
    String::from_utf8_lossy(&payload[..kept]).into_owned()
}
