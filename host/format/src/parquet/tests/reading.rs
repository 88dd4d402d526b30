//! Rows of files of several row groups, cut into blocks; types that fit and that do not; damaged bytes.

use crate::parquet::{Compression, Footer, ParquetDecoder, TAIL_BYTES, footer_bytes, push_piece, write_file};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType as ArrowType, Field as ArrowField};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterVersion};
use std::sync::Arc;
use weir_connect::{Decoded, Decoder, Framing, KnownTimes, RawBlock};
use weir_event::{DataType, Field, PartitionId, Position, StreamSchema, TimeForm, TimeUnit};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// A file of row groups of so many rows.
fn file(rows: &RecordBatch, group_rows: usize, version: WriterVersion) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group_rows))
        .set_data_page_row_count_limit(7)
        .set_write_batch_size(7)
        .set_writer_version(version)
        .build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    file
}

fn footer(file: &[u8]) -> Result<Footer, String> {
    let tail = file.len() - TAIL_BYTES as usize;
    let length = footer_bytes(&file[tail..])? as usize;
    Footer::parse(file.get(tail.checked_sub(length).ok_or("too long")?..tail).ok_or("too long")?)
}

/// The blocks of a file, of so many rows each.
fn blocks(file: &[u8], block_rows: u64, partitions: &[(String, String)]) -> Result<Vec<RawBlock>, String> {
    let (footer, mut blocks, mut next) = (footer(file)?, Vec::new(), 100);
    for group in 0..footer.groups() {
        let range = footer.range(group)?;
        let content = file.get(range.start as usize..range.end as usize).ok_or("beyond the file")?;
        let data = footer.alone(group, content, partitions)?;
        let (base, end) = (next, next + footer.rows(group));
        while next < end {
            let framing = Framing::Container { head: Bytes::new(), base, first: next };
            next = end.min(next + block_rows);
            blocks.push(RawBlock {
                partition: PartitionId::default(),
                data: data.clone(),
                framing,
                known: KnownTimes::Unknown,
                next: Position { next, place: String::new() },
                refused: Vec::new(),
            });
        }
    }
    Ok(blocks)
}

fn stream(fields: Vec<Field>) -> StreamSchema {
    let mut fields = fields;
    fields.push(Field::named("at", DataType::Timestamp));
    StreamSchema { event_time: fields.len() - 1, fields }
}

/// What a file of one row group gives for a column.
fn column(field: Field, array: ArrayRef) -> Decoded {
    let file = file(&batch(vec![("c", array)]), 1000, WriterVersion::PARQUET_1_0);
    let decoder = ParquetDecoder::new(&stream(vec![field]), &[0]);
    decoder.decode(&blocks(&file, 1000, &[]).unwrap()[0])
}

fn of(data_type: DataType) -> Field {
    Field::named("c", data_type)
}

#[test]
fn rows_of_all_groups_come_in_order_whatever_the_blocks() {
    let numbers: Vec<i64> = (0..100).collect();
    let texts: StringArray = numbers.iter().map(|n| (n % 3 > 0).then(|| format!("t{}", n % 10))).collect();
    let rows = batch(vec![("n", Arc::new(Int64Array::from(numbers))), ("text", Arc::new(texts))]);
    let schema = stream(vec![
        of(DataType::Int),
        Field::named("n", DataType::Bigint),
        Field::named("text", DataType::String),
    ]);
    let decoder = ParquetDecoder::new(&schema, &[2, 1, 0]);
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let file = file(&rows, 33, version);
        for block_rows in [1, 10, 1000] {
            let (mut numbers, mut offsets, mut texts) = (Vec::new(), Vec::new(), Vec::new());
            for block in blocks(&file, block_rows, &[]).unwrap() {
                let decoded = decoder.decode(&block);
                assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
                numbers.extend_from_slice(decoded.columns["n"].as_primitive::<Int64Type>().values());
                texts.extend(
                    decoded.columns["text"].as_string_view().iter().map(|text| text.map(str::to_owned)),
                );
                assert_eq!(
                    decoded.columns["c"].null_count(),
                    decoded.columns.num_rows(),
                    "the file lacks it"
                );
                offsets.extend(decoded.offsets);
                // A part of a block is its rows from there on.
                let middle = block.next.next - 1;
                assert_eq!(decoder.decode(&block.from_offset(middle).unwrap()).offsets, [middle]);
            }
            assert_eq!(numbers, (0..100).collect::<Vec<_>>());
            assert_eq!(offsets, (100..200).collect::<Vec<_>>());
            assert_eq!(texts[4].as_deref(), Some("t4"));
            assert_eq!(texts[3], None);
        }
    }
}

#[test]
fn what_a_folder_says_is_a_column() {
    let rows = batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2])))]);
    let partitions = |values: &[(&str, &str)]| -> Vec<(String, String)> {
        values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let schema = stream(vec![
        Field::named("dt", DataType::Date),
        Field::named("hour", DataType::Int),
        Field::named("n", DataType::Bigint),
    ]);
    let decoder = ParquetDecoder::new(&schema, &[0, 1, 2]);
    let file = file(&rows, 10, WriterVersion::PARQUET_1_0);
    let values = partitions(&[("dt", "2026-01-02"), ("hour", "07"), ("n", "9")]);
    let decoded = decoder.decode(&blocks(&file, 10, &values).unwrap()[0]);
    assert_eq!(decoded.columns["dt"].as_primitive::<Date32Type>().values(), &[20_455, 20_455]);
    assert_eq!(decoded.columns["hour"].as_primitive::<arrow_array::types::Int32Type>().values(), &[7, 7]);
    assert_eq!(decoded.columns["n"].as_primitive::<Int64Type>().values(), &[1, 2], "the file has it itself");
    let nothing = partitions(&[("dt", "__HIVE_DEFAULT_PARTITION__")]);
    let decoded = decoder.decode(&blocks(&file, 10, &nothing).unwrap()[0]);
    assert_eq!(decoded.columns["dt"].null_count(), 2);
    let odd = partitions(&[("hour", "noon")]);
    let decoded = decoder.decode(&blocks(&file, 10, &odd).unwrap()[0]);
    assert!(decoded.bad[1].reason.contains("`noon`"), "{:?}", decoded.bad);
}

#[test]
fn values_that_do_not_fit_are_rows_and_types_that_do_not_are_columns() {
    let bad = |decoded: Decoded| -> Vec<(u64, String)> {
        decoded.bad.into_iter().map(|bad| (bad.offset, bad.reason)).collect()
    };
    let wide: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(1 << 40), None, Some(-5)]));
    let decoded = column(of(DataType::Int), wide.clone());
    assert_eq!((decoded.offsets.clone(), decoded.records.clone()), (vec![100, 102, 103], vec![0, 2, 3]));
    let said = bad(decoded);
    assert!(said.len() == 1 && said[0].0 == 101 && said[0].1.contains("column `c`"), "{said:?}");
    assert!(bad(column(of(DataType::Double), wide.clone())).is_empty());
    for (declared, array) in [
        (DataType::String, wide.clone()),
        (DataType::Bigint, Arc::new(StringArray::from(vec!["1"; 4])) as ArrayRef),
        (DataType::Bigint, Arc::new(Float64Array::from(vec![1.0; 4]))),
        (DataType::Date, wide.clone()),
    ] {
        let said = bad(column(of(declared), array));
        assert!(said.len() == 4 && said[0].1.contains("does not fit the declared"), "{said:?}");
    }
    let huge: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 7]));
    assert_eq!(bad(column(of(DataType::Bigint), huge)).len(), 1);
    let cents = |values: Vec<i128>| -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_precision_and_scale(10, 3).unwrap())
    };
    let decimal: DataType = "decimal(8, 2)".parse().unwrap();
    let decoded = column(of(decimal), cents(vec![1500, 1501]));
    assert_eq!(decoded.columns["c"].as_primitive::<Decimal128Type>().values(), &[150]);
    assert_eq!(bad(decoded).len(), 1, "no digit is rounded away");
}

#[test]
fn times_are_read_however_a_file_writes_them() {
    let millis =
        |decoded: &Decoded| decoded.columns["c"].as_primitive::<TimestampMillisecondType>().values().to_vec();
    let micros: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![-1, 1_999]).with_timezone("UTC"));
    assert_eq!(millis(&column(of(DataType::Timestamp), micros)), [-1, 1]);
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999_999]));
    assert_eq!(millis(&column(of(DataType::Timestamp), nanos)), [-1, 1]);
    let seconds = Field { form: TimeForm::Unit(TimeUnit::Seconds), ..of(DataType::Timestamp) };
    assert_eq!(millis(&column(seconds, Arc::new(Int32Array::from(vec![3])))), [3000]);
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1970-01-01T00:00:01Z", "soon"]));
    let decoded = column(of(DataType::Timestamp), texts);
    assert_eq!((millis(&decoded), decoded.bad.len()), (vec![1000], 1));
}

#[test]
fn nested_columns_are_found_by_their_path_and_null_below_null() {
    let inner = StructArray::from(vec![
        (
            Arc::new(ArrowField::new("fare", ArrowType::Float64, true)),
            Arc::new(Float64Array::from(vec![1.0, 2.0])) as ArrayRef,
        ),
        (
            Arc::new(ArrowField::new("unread", ArrowType::Int32, true)),
            Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
        ),
    ]);
    let inner =
        StructArray::new(inner.fields().clone(), inner.columns().to_vec(), Some(vec![true, false].into()));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
    let rows = batch(vec![("trip", Arc::new(inner)), ("list", Arc::new(lists))]);
    let fare =
        Field { path: vec!["trip".to_owned(), "fare".to_owned()], ..Field::named("fare", DataType::Double) };
    let trip: DataType = "row<fare double, missing string>".parse().unwrap();
    let list: DataType = "array<double>".parse().unwrap();
    let schema = stream(vec![fare, Field::named("trip", trip), Field::named("list", list)]);
    let file = file(&rows, 10, WriterVersion::PARQUET_1_0);
    let decoded = ParquetDecoder::new(&schema, &[0, 1, 2]).decode(&blocks(&file, 10, &[]).unwrap()[0]);
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    assert!(decoded.columns["fare"].is_valid(0) && decoded.columns["fare"].is_null(1));
    assert_eq!(decoded.columns["trip"].as_struct().num_columns(), 2);
    assert_eq!(decoded.columns["list"].as_list::<i32>().value(0).len(), 2);
}

#[test]
fn a_row_without_its_event_time_is_bad_where_that_is_read() {
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![Some(1000), None]));
    let file = file(&batch(vec![("at", times)]), 10, WriterVersion::PARQUET_1_0);
    let block = &blocks(&file, 10, &[]).unwrap()[0];
    let decoded = ParquetDecoder::new(&stream(vec![]), &[0]).decode(block);
    assert_eq!(decoded.bad[0].reason, "the event time `at` is null");
    let decoded = ParquetDecoder::new(&stream(vec![of(DataType::Int)]), &[0]).decode(block);
    assert!(decoded.bad.is_empty());
}

#[test]
fn damaged_files_are_refused_without_a_panic_and_lines_are_none() {
    let texts: StringArray = (0..60).map(|n| Some(format!("t{}", n % 20))).collect();
    let rows = batch(vec![("c", Arc::new(texts)), ("n", Arc::new(Int64Array::from_iter_values(0..60)))]);
    let mut pieces = Vec::new();
    push_piece(&rows, &mut pieces).unwrap();
    let mut whole = Vec::new();
    write_file(pieces.as_slice(), Compression::Snappy, &[], &mut whole).unwrap();
    let schema = stream(vec![of(DataType::String), Field::named("n", DataType::Bigint)]);
    let decoder = ParquetDecoder::new(&schema, &[0, 1]);
    let mut random = 1_u64;
    for _ in 0..10_000 {
        let mut damaged = whole.clone();
        for _ in 0..=random % 3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) as usize % damaged.len();
            damaged[at] = (random >> 11) as u8;
        }
        let Ok(blocks) = blocks(&damaged, 100, &[]) else { continue };
        for block in blocks.iter().take(4) {
            let decoded = decoder.decode(block);
            let expected = block.next.next - 100;
            assert!(decoded.offsets.len() + decoded.bad.len() <= expected as usize);
        }
    }
    let lines = RawBlock {
        partition: PartitionId::default(),
        data: Bytes::from_static(b"{}\n{}\n"),
        framing: Framing::Lines { first: 3 },
        known: KnownTimes::Unknown,
        next: Position { next: 5, place: String::new() },
        refused: Vec::new(),
    };
    let offsets: Vec<_> = decoder.decode(&lines).bad.iter().map(|bad| bad.offset).collect();
    assert_eq!(offsets, [3, 4]);
}
