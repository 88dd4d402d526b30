//! Which rows of a posted body can be kept: JSON objects whose declared fields fit and whose time can be.
//!
//! Pure. What is refused here would be refused again by every job that reads it, so the sender is told now, while it
//! still has the row. Must not know the ingest log, nor what jobs make of rows.

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, TimestampMillisecondArray};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeSet;
use weir_connect::{Decoder, Framing, KnownTimes, RawBlock};
use weir_connectors::http::split_rows;
use weir_core::TimeBounds;
use weir_event::{EventTime, PartitionId, Position};
use weir_plan::StreamDefinition;

/// Rows are decoded in portions of about this size: few enough bytes to stay in the processor's caches.
const BLOCK_BYTES: usize = 1 << 20;
/// Far more than a row ever is, and as far below what a block can address.
const MAX_ROW_BYTES: usize = 1 << 30;

/// A row that was not kept.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejected {
    pub(crate) row: usize,
    pub(crate) reason: String,
}

/// What a stream's rows are judged by.
pub(crate) struct Judge<'a> {
    /// Reads every declared field, in the order of the stream's schema.
    pub(crate) decoder: &'a dyn Decoder,
    pub(crate) stream: &'a StreamDefinition,
    /// When the rows are known, unless the stream declares a column for it that says an earlier time: no later than the
    /// log's own stamp.
    pub(crate) now: EventTime,
}

impl Judge<'_> {
    /// The rows that can be kept, each in one line, and the others; the error is a body without rows.
    pub(crate) fn judge(&self, body: &Bytes) -> Result<(Vec<Bytes>, Vec<Rejected>), String> {
        let (mut kept, mut rejected) = (Vec::new(), Vec::new());
        let mut portion = Portion::default();
        for (row, read) in split_rows(body)?.into_iter().enumerate() {
            match read {
                Ok(bytes) if bytes.len() <= MAX_ROW_BYTES => portion.push(row, &bytes),
                Ok(bytes) => {
                    let reason = format!("the row has {} bytes, more than {MAX_ROW_BYTES}", bytes.len());
                    rejected.push(Rejected { row, reason });
                }
                Err(reason) => rejected.push(Rejected { row, reason }),
            }
            if portion.data.len() >= BLOCK_BYTES {
                self.decode(std::mem::take(&mut portion), &mut kept, &mut rejected);
            }
        }
        self.decode(portion, &mut kept, &mut rejected);
        rejected.sort_by_key(|rejected| rejected.row);
        Ok((kept, rejected))
    }

    fn decode(&self, portion: Portion, kept: &mut Vec<Bytes>, rejected: &mut Vec<Rejected>) {
        let (data, ends) = (Bytes::from(portion.data), portion.ends);
        let decoded = self.decoder.decode(&RawBlock {
            partition: PartitionId::default(),
            data: data.clone(),
            framing: Framing::Records { ends: ends.clone(), offsets: portion.rows },
            known: KnownTimes::Unknown,
            next: Position::default(),
            refused: Vec::new(),
        });
        let refused: BTreeSet<u64> = decoded.bad.iter().map(|bad| bad.offset).collect();
        let bad = decoded.bad.into_iter();
        rejected.extend(bad.map(|bad| Rejected { row: bad.offset as usize, reason: bad.reason }));
        let times = |column: usize| decoded.columns.column(column).as_primitive::<TimestampMillisecondType>();
        let event_times = times(self.stream.schema.event_time);
        let known_times = self.stream.known_time.map(times);
        let bounds = TimeBounds::of(self.stream);
        let rows: Vec<usize> = (0..decoded.offsets.len()).collect();
        // The rows of one record stand together: a change has that which it takes back and the new one.
        for of_record in rows.chunk_by(|one, next| decoded.records[*one] == decoded.records[*next]) {
            let (offset, record) = (decoded.offsets[of_record[0]], decoded.records[of_record[0]] as usize);
            if refused.contains(&offset) {
                continue;
            }
            let refusal = |row: &usize| {
                let time = EventTime::from_millis(event_times.value(*row));
                bounds.refusal(time, self.known(known_times, *row), None)
            };
            // What takes back a row that was refused is as good as what does not.
            match of_record.last().and_then(refusal) {
                Some(reason) => rejected.push(Rejected { row: offset as usize, reason }),
                None => {
                    let start = if record == 0 { 0 } else { ends[record - 1] as usize };
                    kept.push(in_one_line(data.slice(start..ends[record] as usize)));
                }
            }
        }
    }

    /// When a row could first be known, as admission will see it.
    fn known(&self, declared: Option<&TimestampMillisecondArray>, row: usize) -> Option<EventTime> {
        let declared = declared.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        weir_core::known_at(declared.map(EventTime::from_millis), Some(self.now))
    }
}

/// Rows that are decoded together.
#[derive(Default)]
struct Portion {
    data: Vec<u8>,
    ends: Vec<u32>,
    /// The number of each in the body.
    rows: Vec<u64>,
}

impl Portion {
    fn push(&mut self, row: usize, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.ends.push(self.data.len() as u32);
        self.rows.push(row as u64);
    }
}

/// JSON has line breaks between its tokens only, so each can be a blank.
fn in_one_line(row: Bytes) -> Bytes {
    if !row.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return row;
    }
    row.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use weir_event::{DataType, Field, Span, StreamSchema};
    use weir_format::json::JsonDecoder;
    use weir_plan::definition::WhenIdle;

    const NOW: i64 = 1_767_225_600_000;

    fn judge(body: &str, known_time: Option<usize>) -> (Vec<String>, Vec<Rejected>) {
        let fields = vec![
            Field::named("a", DataType::Bigint),
            Field::named("t", DataType::Timestamp),
            Field::named("seen", DataType::Timestamp),
        ];
        let stream = StreamDefinition {
            name: "s".to_owned(),
            schema: StreamSchema { fields, event_time: 1 },
            disorder: Span::ZERO,
            idle_after: Span::ZERO,
            when_idle: WhenIdle::Advance,
            max_future: Span::from_millis(3_600_000),
            max_skew: None,
            dedup: None,
            known_time,
            format: weir_plan::FormatDefinition::default(),
            origin: None,
            archive: None,
        };
        let decoder = JsonDecoder::new(&stream.schema, &[0, 1, 2]);
        let judge = Judge { decoder: &decoder, stream: &stream, now: EventTime::from_millis(NOW) };
        let (kept, rejected) = judge.judge(&Bytes::copy_from_slice(body.as_bytes())).unwrap();
        (kept.iter().map(|row| String::from_utf8(row.to_vec()).unwrap()).collect(), rejected)
    }

    #[test]
    fn good_rows_are_kept_in_one_line_and_the_others_numbered() {
        let body = format!("[{{\"a\": 1,\r\n \"t\": {NOW}}}, 7, {{\"a\": 2}}, {{\"t\":{NOW}}}]");
        let (kept, rejected) = judge(&body, None);
        assert_eq!(kept, [format!("{{\"a\": 1,   \"t\": {NOW}}}"), format!("{{\"t\":{NOW}}}")]);
        assert_eq!(rejected.iter().map(|rejected| rejected.row).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(rejected[1].reason, "the event time `t` is missing");
        let (kept, rejected) = judge(&format!("{{\"t\":{NOW}}}\nnonsense\n"), None);
        assert_eq!((kept.len(), rejected.len()), (1, 1));
    }

    #[test]
    fn a_row_whose_time_cannot_be_is_rejected_with_the_reason() {
        let times = [NOW, NOW / 1000, NOW * 1000, NOW + 3_600_001, NOW - 86_400_000 * 365];
        let body: String = times.iter().map(|time| format!("{{\"t\":{time}}}\n")).collect();
        let (kept, rejected) = judge(&body, None);
        assert_eq!(kept.len(), 2, "now and a year ago");
        let reasons: Vec<_> =
            rejected.iter().map(|rejected| (rejected.row, rejected.reason.as_str())).collect();
        assert_eq!(reasons.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(reasons[0].1.contains("is it in seconds?"), "{reasons:?}");
        assert!(reasons[1].1.contains("is it in microseconds?"), "{reasons:?}");
        assert!(reasons[2].1.contains("more than max_future 1h ahead"), "{reasons:?}");
    }

    #[test]
    fn a_declared_known_time_stands_in_for_now_where_it_is_earlier() {
        let row = |t: i64, seen: Option<i64>| json!({"t": t, "seen": seen}).to_string();
        let next_year = NOW + 86_400_000 * 365;
        let rows = [
            row(NOW, None),
            row(NOW, Some(next_year)),
            row(NOW - 1, Some(NOW - 1)),
            row(next_year, Some(next_year)),
            row(next_year, None),
            row(NOW / 1000, Some(0)),
            row(NOW, Some(0)),
        ];
        let (kept, rejected) = judge(&rows.join("\n"), Some(2));
        assert_eq!(kept, rows[..3]);
        assert_eq!(rejected.iter().map(|rejected| rejected.row).collect::<Vec<_>>(), [3, 4, 5, 6]);
    }

    #[test]
    fn rows_of_many_portions_keep_their_order_and_numbers() {
        let text = "x".repeat(200);
        let row = |n: usize| {
            let a = if n.is_multiple_of(1000) { json!("no number") } else { json!(n) };
            json!({"a": a, "t": NOW, "text": text}).to_string()
        };
        let rows: Vec<_> = (0..20_000).map(row).collect();
        let (kept, rejected) = judge(&rows.join("\n"), None);
        assert_eq!(
            rejected.iter().map(|rejected| rejected.row).collect::<Vec<_>>(),
            (0..20_000).step_by(1000).collect::<Vec<_>>()
        );
        let good: Vec<_> = rows
            .iter()
            .enumerate()
            .filter(|(n, _)| !n.is_multiple_of(1000))
            .map(|(_, row)| row.clone())
            .collect();
        assert!(kept == good);
    }
}
