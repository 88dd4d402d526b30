//! Every type that a query can have, through pieces and files, read back by the library's own reader.

use crate::parquet::piece::Pieces;
use crate::parquet::{file_columns, push_piece, schema_mark, write_file};
use arrow_array::builder::{Int64Builder, ListBuilder, MapBuilder, StringBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, NullArray,
    RecordBatch, StringArray, StringViewArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType as ArrowType, Field, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, SinkRows};

fn every_type() -> Vec<(&'static str, ArrayRef)> {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    lists.append_value([Some("a"), None]);
    lists.append_null();
    lists.append_value([] as [Option<&str>; 0]);
    let mut maps = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for entries in [2, 0, 1] {
        for entry in 0..entries {
            maps.keys().append_value(format!("k{entry}"));
            maps.values().append_value(entry);
        }
        maps.append(true).unwrap();
    }
    let text = |texts: [Option<&str>; 3]| Arc::new(StringViewArray::from_iter(texts)) as ArrayRef;
    let dictionary: DictionaryArray<Int32Type> = [Some("x"), None, Some("x")].into_iter().collect();
    let row = StructArray::from(vec![(
        Arc::new(Field::new("inner", ArrowType::Utf8View, true)),
        text([Some("i"), None, Some("j")]),
    )]);
    let decimal =
        Decimal128Array::from(vec![Some(150), None, Some(-1)]).with_precision_and_scale(38, 2).unwrap();
    let price =
        Decimal128Array::from(vec![Some(1250), None, Some(-99)]).with_precision_and_scale(12, 2).unwrap();
    vec![
        ("text", text([Some("ä"), None, Some("")])),
        ("json", Arc::new(StringArray::from(vec![Some("{\"a\":1}"), None, Some("[]")]))),
        ("nothing", Arc::new(NullArray::new(3))),
        ("count", Arc::new(UInt64Array::from(vec![1, 2, 3]))),
        ("ratio", Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(0.5)]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(1)]))),
        ("fine", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(1_999_999)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(-1), None, Some(20_000)]))),
        ("raw", Arc::new(BinaryViewArray::from_iter(vec![Some(&b"\xff\0"[..]), None, Some(b"")]))),
        ("exact", Arc::new(decimal)),
        ("price", Arc::new(price)),
        ("word", Arc::new(dictionary)),
        ("list", Arc::new(lists.finish())),
        ("map", Arc::new(maps.finish())),
        ("row", Arc::new(row)),
    ]
}

fn rows() -> SinkRows {
    let keys = RecordBatch::try_from_iter([("user", every_type().remove(0).1)]).unwrap();
    let meta = RowMeta {
        job: "activity".into(),
        version: 2,
        windows: vec![(0, 10), (10, 20), (20, 30)],
        op: Op::Upsert,
        revision: 7,
        keys: Some(keys),
        ..RowMeta::default()
    };
    SinkRows { columns: RecordBatch::try_from_iter(every_type()).unwrap(), meta }
}

/// The rows of a file, whose times are of the zone `UTC` to who reads it, as rows of these columns.
fn read(file: Vec<u8>, columns: &RecordBatch) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let mut reader = reader.with_batch_size(1 << 20).build().unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let in_utc = ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    assert_eq!(batch["at"].data_type(), &in_utc);
    let fields = columns.schema_ref().fields().iter().zip(batch.columns());
    let cast = |(field, column): (&Arc<Field>, &ArrayRef)| {
        let expected = format!("{:?}", field.data_type()).replace("\"+00:00\"", "\"UTC\"");
        assert_eq!(format!("{:?}", column.data_type()), expected, "{field:?}");
        arrow_cast::cast(column, field.data_type()).unwrap()
    };
    RecordBatch::try_new(columns.schema(), fields.map(cast).collect()).unwrap()
}

#[test]
fn every_type_comes_back_from_a_file_under_every_compression() {
    for compression in ["zstd", "snappy", "none"] {
        for meta in [false, true] {
            let columns = file_columns(&rows(), meta).unwrap();
            let mut pieces = Vec::new();
            push_piece(&columns, &mut pieces).unwrap();
            push_piece(&columns.slice(1, 2), &mut pieces).unwrap();
            let mut file = Vec::new();
            let written =
                write_file(pieces.as_slice(), compression.parse().unwrap(), &[], &mut file).unwrap();
            assert_eq!(written, 5);
            let batch = read(file, &columns);
            assert_eq!(batch.slice(0, 3), columns, "{compression}");
            assert_eq!(batch.slice(3, 2), columns.slice(1, 2), "{compression}");
        }
    }
}

#[test]
fn times_are_floored_milliseconds_in_utc() {
    let columns = file_columns(&rows(), false).unwrap();
    let times = columns["fine"].as_primitive::<arrow_array::types::TimestampMillisecondType>();
    assert_eq!(times.iter().collect::<Vec<_>>(), [Some(-1), None, Some(1)]);
    assert_eq!(times.timezone(), Some("+00:00"));
}

#[test]
fn what_is_known_of_a_row_is_a_column_of_its_own() {
    let columns = file_columns(&rows(), true).unwrap();
    let meta = columns["_weir"].as_struct();
    let names: Vec<_> = meta.fields().iter().map(|field| field.name().as_str()).collect();
    let expected = ["job", "version", "key", "window", "position", "revision", "op", "epoch", "definition"];
    assert_eq!(names, expected);
    assert_eq!(meta.column_by_name("op").unwrap().as_string::<i32>().value(2), "upsert");
    assert_eq!(meta.column_by_name("position").unwrap().null_count(), 3);
}

#[test]
fn a_type_without_a_form_is_named() {
    let odd: ArrayRef = Arc::new(arrow_array::DurationSecondArray::from(vec![1]));
    let columns = RecordBatch::try_from_iter([("odd", odd)]).unwrap();
    let error = file_columns(&SinkRows { columns, meta: RowMeta::default() }, false).unwrap_err();
    assert!(error.message.contains("column `odd`"), "{error}");
}

#[test]
fn pieces_that_are_damaged_or_cut_are_told_and_never_panic() {
    let mut pieces = Vec::new();
    push_piece(&file_columns(&rows(), false).unwrap(), &mut pieces).unwrap();
    for at in (0..pieces.len()).step_by(7) {
        let mut damaged = pieces.clone();
        damaged[at] ^= 0x10;
        assert!(Pieces(damaged.as_slice()).any(|piece| piece.is_err()), "byte {at}");
        let cut = Pieces(&pieces[..at]).any(|piece| piece.is_err());
        assert_eq!(cut, at > 0, "cut at {at}");
    }
}

#[test]
fn rows_of_other_columns_are_of_another_kind() {
    let columns = file_columns(&rows(), false).unwrap();
    let mark = |batch: &RecordBatch| schema_mark(batch.schema_ref());
    assert_eq!(mark(&columns), mark(&columns.slice(0, 1)));
    assert_ne!(mark(&columns), mark(&columns.project(&[0, 1]).unwrap()));
    assert_ne!(mark(&columns.project(&[0, 1]).unwrap()), mark(&columns.project(&[1, 0]).unwrap()));
}
