//! Times as people write them: numbers of every unit and texts of a pattern in a zone, in every format.

use super::{World, block, now, of};
use crate::contract::Writing;
use crate::parquet::{self, Compression, Footer, TAIL_BYTES};
use crate::table::{sink_format, stream_format};
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Framing, RawBlock, SinkRows};
use weir_event::{DataType, EventTime, Field, StreamSchema, TIME_UNITS, TimeForm, TimePattern};

/// The milliseconds of each row of a time that is written in a column of this name, or why rows are bad.
fn read(format: &str, options: &Value, world: &World, block: &RawBlock, form: &TimeForm) -> Vec<i64> {
    let field = Field { form: form.clone(), ..Field::named("t", DataType::Timestamp) };
    let schema = StreamSchema { fields: vec![field], event_time: 0 };
    let decoder = stream_format(format, options, &schema, world).unwrap().decoder(&[0]);
    now(decoder.ready(block)).unwrap();
    let decoded = decoder.decode(block);
    assert_eq!(decoded.bad, [], "{format} {form:?}");
    decoded.columns.column(0).as_primitive::<TimestampMillisecondType>().values().to_vec()
}

fn messages(format: &str, options: &Value, world: &World, rows: &SinkRows) -> RawBlock {
    let writing = Writing { meta: false, in_files: false, subject: "s", around: world };
    let encoder = sink_format(&json!({ format: options }), &writing).unwrap().encoder;
    now(encoder.ready(rows)).unwrap();
    let records = encoder.records(rows).unwrap();
    let messages = (0..rows.columns.num_rows()).map(|row| {
        let mut message = Vec::new();
        records.write(row, &mut message);
        message
    });
    block(&messages.collect::<Vec<_>>())
}

fn parquet_file(rows: &SinkRows) -> RawBlock {
    let columns = parquet::file_columns(rows, false).unwrap();
    let mut pieces = Vec::new();
    parquet::push_piece(&columns, &mut pieces).unwrap();
    let mut file = Vec::new();
    parquet::write_file(pieces.as_slice(), Compression::None, &[], &mut file).unwrap();
    let tail = file.len() - TAIL_BYTES as usize;
    let length = parquet::footer_bytes(&file[tail..]).unwrap() as usize;
    let footer = Footer::parse(&file[tail - length..tail]).unwrap();
    let range = footer.range(0).unwrap();
    let data = footer.alone(0, &file[range.start as usize..range.end as usize], &[]).unwrap();
    let mut block = of(Vec::new(), Framing::Container { head: Bytes::new(), base: 0, first: 0 });
    (block.data, block.next.next) = (data, rows.columns.num_rows() as u64);
    block
}

/// What every format reads of a column that is written so.
fn assert_read(column: ArrayRef, form: &TimeForm, expected: &[i64]) {
    let columns = RecordBatch::try_from_iter([("t", column)]).unwrap();
    let rows = SinkRows { columns, meta: RowMeta::default() };
    let (world, registry) = (World::default(), json!({"registry": "http://x"}));
    for (format, options) in
        [("json", json!({})), ("csv", json!({})), ("avro", registry.clone()), ("protobuf", registry)]
    {
        let messages = messages(format, &options, &world, &rows);
        assert_eq!(read(format, &options, &world, &messages, form), expected, "{format} {form:?}");
    }
    let file = parquet_file(&rows);
    assert_eq!(read("parquet", &json!({}), &world, &file, form), expected, "parquet {form:?}");
}

#[test]
fn numbers_of_every_unit_are_times_in_every_format() {
    let moments = [1_767_225_600_123_i64, 0, -1];
    for (name, unit) in TIME_UNITS {
        let whole = |millis: i64| match name {
            "s" => millis.div_euclid(1000),
            "ms" => millis,
            "us" => millis * 1000 + 999,
            _ => millis * 1_000_000 + 999_999,
        };
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(moments.map(whole)));
        let expected = if name == "s" { [1_767_225_600_000, 0, -1000] } else { moments };
        assert_read(numbers, &TimeForm::Unit(unit), &expected);
    }
    let seconds: ArrayRef = Arc::new(Float64Array::from(vec![1_767_225_600.125, 0.0, -0.5]));
    assert_read(seconds, &TimeForm::Unit(TIME_UNITS[0].1), &[1_767_225_600_125, 0, -500]);
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(moments));
    assert_read(numbers, &TimeForm::Standard, &moments);
}

#[test]
fn texts_of_a_pattern_in_a_zone_are_times_in_every_format() {
    let pattern = TimePattern::new("%d.%m.%Y %H:%M:%S", Some("Europe/Berlin")).unwrap();
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["01.03.2026 10:00:00", "01.07.2026 10:00:00"]));
    let moments = ["2026-03-01T09:00:00Z", "2026-07-01T08:00:00Z"];
    let millis = moments.map(|text| text.parse::<EventTime>().unwrap().millis());
    assert_read(texts, &TimeForm::Pattern(pattern), &millis);
    let texts: ArrayRef = Arc::new(StringViewArray::from(moments.to_vec()));
    assert_read(texts, &TimeForm::Standard, &millis);
}
