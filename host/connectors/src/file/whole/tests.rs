//! Files that do not change, on a disk and in a store in memory: resuming anywhere, following, what is told.

use super::*;
use crate::file::each::{Changes, EachFile};
use crate::file::names::Names;
use crate::object::{ObjectPlace, Store};
use crate::surroundings::ProjectSurroundings;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use flate2::write::GzEncoder;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use weir_connect::compliance::{self, records};
use weir_connect::sink::RowMeta;
use weir_connect::{Decoder, Fetch, RawBlock, SinkRows};
use weir_event::{DataType, Field, ManualClock, StreamSchema};
use weir_format::parquet::ParquetDecoder;
use weir_format::{Writing, sink_format, stream_format};

fn columns(numbers: std::ops::Range<i64>) -> Vec<u8> {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    let batch = RecordBatch::try_from_iter([("n", array)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(90_000)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file
}

fn lines(numbers: std::ops::Range<i64>) -> Vec<u8> {
    numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>().into_bytes()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

async fn put(store: &InMemory, path: &str, content: Vec<u8>) {
    store.put(&ObjectPath::from(path), content.into()).await.unwrap();
}

fn source_over(store: &InMemory, path: &str, follow: bool) -> WholeSource {
    let place = ObjectPlace::parse(&format!("s3://bucket/{path}"), BTreeMap::new()).unwrap();
    let place = place.within(Arc::new(store.fork()) as Arc<dyn Store>);
    let layout = match path.rsplit('/').next().unwrap() {
        name if name.ends_with(".parquet") => FileLayout::Columns,
        name if name.contains(".csv") => FileLayout::Quoted { quote: b'"', delimiter: b',', head: true },
        name if name.contains(".avro") => FileLayout::AvroContainer,
        _ => FileLayout::Lines,
    };
    let clock = Arc::new(ManualClock::default());
    WholeSource::new(Arc::new(Bucket::new(place).unwrap()), layout, follow, clock)
}

fn start() -> Vec<OpenPartition> {
    vec![OpenPartition { partition: 0, from: None }]
}

/// Everything that a source hands out to its present end.
async fn blocks(source: &dyn Source, from: &[OpenPartition]) -> Result<Vec<RawBlock>, ConnectError> {
    let (mut reader, mut blocks) = (source.open(0, from, true).await?, Vec::new());
    loop {
        match reader.next().await? {
            Fetch::Block(block) => blocks.push(block),
            Fetch::CaughtUp(_) => return Ok(blocks),
            _ => {}
        }
    }
}

/// The numbers of rows of columns with their offsets.
fn numbers(blocks: &[RawBlock]) -> Vec<(u64, i64)> {
    let fields = vec![Field::named("n", DataType::Bigint), Field::named("t", DataType::Timestamp)];
    let decoder = ParquetDecoder::new(&StreamSchema { fields, event_time: 1 }, &[0]);
    let decoded = blocks.iter().flat_map(|block| {
        let decoded = decoder.decode(block);
        let numbers = decoded.columns["n"].as_primitive::<Int64Type>().values().to_vec();
        decoded.offsets.into_iter().zip(numbers).collect::<Vec<_>>()
    });
    decoded.collect()
}

#[tokio::test]
async fn rows_of_columns_go_on_anywhere_on_a_disk_and_in_a_store() {
    let (folder, store) = (tempfile::tempdir().unwrap(), InMemory::new());
    for (name, range) in
        [("dt=2026-01-01/part-9.parquet", 0..100_000), ("dt=2026-01-02/part-10.parquet", 100_000..100_007)]
    {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, columns(range.clone())).unwrap();
        put(&store, &format!("rides/{name}"), columns(range)).await;
    }
    put(&store, "rides/dt=2026-01-02/part-11.parquet.tmp", vec![1]).await;
    put(&store, "other/dt=2026-01-02/part-11.parquet", vec![1]).await;
    let disk = Disk(Names::new(folder.path().to_owned(), "dt=*/*.parquet".to_owned()));
    let on_disk =
        WholeSource::new(Arc::new(disk), FileLayout::Columns, false, Arc::new(ManualClock::default()));
    let in_store = source_over(&store, "rides/dt=*/*.parquet", false);
    for source in [&on_disk, &in_store] {
        let all = blocks(source, &start()).await.unwrap();
        let expected: Vec<(u64, i64)> = (0..100_007).map(|n| (n as u64, n)).collect();
        assert!(numbers(&all) == expected && all.len() == 4, "{} blocks", all.len());
        for block in &all {
            let from = OpenPartition { partition: 0, from: Some(block.next.clone()) };
            let rest = blocks(source, &[from]).await.unwrap();
            assert!(numbers(&rest) == expected[block.next.next as usize..], "from {:?}", block.next);
        }
        assert!(source.place(&all[0].next).unwrap().ends_with("dt=2026-01-01/part-9.parquet"));
        let end = OpenPartition { partition: 0, from: Some(all[3].next.clone()) };
        assert_eq!(source.left(&[end], true).await.unwrap().bytes, Some(0));
        assert!(source.left(&start(), true).await.unwrap().bytes.unwrap() > 0);
    }
}

#[tokio::test]
async fn lines_go_on_anywhere_also_compressed_ones() {
    let store = InMemory::new();
    put(&store, "in/a-1.jsonl", lines(0..100_000)).await;
    put(&store, "in/a-2.jsonl.gz", gzip(&lines(100_000..200_000))).await;
    put(&store, "in/a-3.jsonl.zst", zstd::encode_all(lines(200_000..200_100).as_slice(), 1).unwrap()).await;
    put(&store, "in/a-10.jsonl", b"{\"n\":200100}".to_vec()).await;
    let source = source_over(&store, "in/*", false);
    compliance::source_replays(&source).await.unwrap();
    let all = blocks(&source, &start()).await.unwrap();
    let found: Vec<_> = all.iter().flat_map(records).collect();
    assert_eq!(found.len(), 200_101);
    assert!(
        found
            .iter()
            .zip(0..)
            .all(|((_, offset, line), n)| *offset == n && *line == format!("{{\"n\":{n}}}").as_bytes())
    );
}

const TEXTS: [&str; 3] =
    ["plain", "over\ntwo lines", "with \"quotes\", a comma and more than fits into a view"];

fn text_of(n: i64) -> &'static str {
    TEXTS[n.rem_euclid(3) as usize]
}

/// Files of rows of a number and a text, as a sink writes them, a hundred rows at a time.
fn written(format: &str, numbers: std::ops::Range<i64>) -> Vec<u8> {
    let around = ProjectSurroundings::new(Path::new("/"), Arc::new(ManualClock::default()));
    let writing = Writing { meta: false, in_files: true, subject: "", around: &around };
    let encoder = sink_format(&format.into(), &writing).unwrap().encoder;
    let mut file = Vec::new();
    for start in numbers.clone().step_by(100) {
        let part = start..numbers.end.min(start + 100);
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(part.clone().map(text_of)));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(part));
        let columns = RecordBatch::try_from_iter([("n", numbers), ("s", texts)]).unwrap();
        let rows = SinkRows { columns, meta: RowMeta::default() };
        if file.is_empty() {
            file = encoder.head(&rows).unwrap();
        }
        encoder.encode(&rows, &mut file).unwrap();
    }
    file
}

/// The rows of these blocks by their offsets; none is bad.
async fn rows_in(format: &str, blocks: &[RawBlock]) -> Vec<(u64, i64, String)> {
    let around = ProjectSurroundings::new(Path::new("/"), Arc::new(ManualClock::default()));
    let columns = [("n", DataType::Bigint), ("s", DataType::String), ("t", DataType::Timestamp)];
    let fields = columns.map(|(name, data_type)| Field::named(name, data_type)).to_vec();
    let schema = StreamSchema { fields, event_time: 2 };
    let decoder = stream_format(format, &json!({}), &schema, &around).unwrap().decoder(&[0, 1]);
    let mut found = Vec::new();
    for block in blocks {
        if block.holds_data() {
            decoder.ready(block).await.unwrap();
        }
        let decoded = decoder.decode(block);
        assert_eq!((&decoded.bad, &block.refused), (&vec![], &vec![]));
        let numbers = decoded.columns["n"].as_primitive::<Int64Type>().values().to_vec();
        let texts = decoded.columns["s"].as_string_view().iter().map(|text| text.unwrap().to_owned());
        found.extend(decoded.offsets.into_iter().zip(numbers).zip(texts).map(|((at, n), s)| (at, n, s)));
    }
    found
}

#[tokio::test]
async fn files_with_heads_go_on_anywhere_also_compressed_ones() {
    for format in ["csv", "avro"] {
        let store = InMemory::new();
        let zstd = |content: Vec<u8>| zstd::encode_all(content.as_slice(), 1).unwrap();
        let name = |file: &str, packed: &str| format!("in/dt=2026-01-0{file}.{format}{packed}");
        put(&store, &name("1/a", ""), written(format, 0..60_000)).await;
        put(&store, &name("1/b", ".gz"), gzip(&written(format, 60_000..120_000))).await;
        put(&store, &name("2/a", ".zst"), zstd(written(format, 120_000..120_300))).await;
        put(&store, &name("2/b", ""), written(format, 120_300..120_301)).await;
        let source = source_over(&store, &format!("in/dt=*/*.{format}*"), false);
        compliance::source_replays(&source).await.unwrap();
        let all = blocks(&source, &start()).await.unwrap();
        let rows = rows_in(format, &all).await;
        assert!(rows.iter().zip(0..).all(|((_, n, s), of)| *n == of && s == text_of(of)), "{format}");
        assert!(rows.len() == 120_301 && rows.is_sorted_by(|a, b| a.0 < b.0) && all.len() > 4, "{format}");
        for block in &all {
            let from = OpenPartition { partition: 0, from: Some(block.next.clone()) };
            let rest = rows_in(format, &blocks(&source, &[from]).await.unwrap()).await;
            let read = rows.partition_point(|(at, ..)| *at < block.next.next);
            assert!(rest == rows[read..], "{format} from {:?}", block.next);
        }
    }
}

#[tokio::test]
async fn damaged_records_of_files_with_heads_are_refused_and_what_follows_is_read() {
    let store = InMemory::new();
    let filler = "3,x\n".repeat(50);
    put(&store, "in/a.csv", format!("n,s\n1,\"open\n2,two\n{filler}").into_bytes()).await;
    put(&store, "in/b.csv", b"n,s\n4,four\n".to_vec()).await;
    let mut container = written("avro", 0..300);
    let middle = container.len() / 2;
    container.drain(middle..middle + 40);
    put(&store, "in/a.avro", container).await;
    put(&store, "in/b.avro", b"something else".to_vec()).await;
    put(&store, "in/c.avro", written("avro", 0..1)).await;
    for (format, refused, good) in [("csv", vec![1], 52), ("avro", vec![100, 201], 201)] {
        let source = source_over(&store, &format!("in/*.{format}"), false);
        let all = blocks(&source, &start()).await.unwrap();
        let told: Vec<u64> =
            all.iter().flat_map(|block| &block.refused).map(|record| record.offset).collect();
        let whole: Vec<RawBlock> = all.iter().filter(|block| block.refused.is_empty()).cloned().collect();
        assert_eq!((told, rows_in(format, &whole).await.len()), (refused, good), "{format}");
        for block in &all {
            let from = OpenPartition { partition: 0, from: Some(block.next.clone()) };
            let rest = blocks(&source, &[from]).await.unwrap();
            let rest = rest.iter().filter(|block| block.holds_records());
            let again = all.iter().filter(|other| other.holds_records() && other.next.next > block.next.next);
            assert_eq!(rest.count(), again.count(), "{format} from {:?}", block.next);
        }
    }
}

#[tokio::test]
async fn a_compressed_file_that_was_cut_off_is_damaged_and_not_whole() {
    let whole = lines(0..1000);
    let zstd = zstd::encode_all(whole.as_slice(), 1).unwrap();
    for (name, packed) in [("in/a.jsonl.zst", zstd), ("in/a.jsonl.gz", gzip(&whole))] {
        for cut in [1, 10, packed.len() / 2] {
            let store = InMemory::new();
            put(&store, name, packed[..packed.len() - cut].to_vec()).await;
            let error = blocks(&source_over(&store, "in/*", false), &start()).await.expect_err(name);
            assert!(error.message.contains("is damaged"), "{name} without {cut} bytes: {error}");
        }
    }
}

#[tokio::test]
async fn files_that_are_added_replaced_or_gone_are_noticed() {
    let store = InMemory::new();
    put(&store, "in/b.parquet", columns(0..70_000)).await;
    let all = blocks(&source_over(&store, "in/*.parquet", false), &start()).await.unwrap();
    let [within, end] =
        [0, 1].map(|at| vec![OpenPartition { partition: 0, from: Some(all[at].next.clone()) }]);

    put(&store, "in/a.parquet", columns(0..3)).await;
    put(&store, "in/c.parquet", columns(70_000..70_003)).await;
    let source = source_over(&store, "in/*.parquet", false);
    for from in [&within, &end] {
        let rest = blocks(&source, from).await.unwrap();
        assert!(rest[0].refused[0].reason.contains("a file is not read"), "{:?}", rest[0].refused);
        assert_eq!(numbers(&rest[1..]).last(), Some(&(70_002, 70_002)));
        // It is told once.
        let told = OpenPartition { partition: 0, from: Some(rest[0].next.clone()) };
        assert!(blocks(&source, &[told]).await.unwrap().iter().all(|block| block.refused.is_empty()));
    }

    put(&store, "in/b.parquet", columns(5..70_005)).await;
    let replaced = source_over(&store, "in/*.parquet", false);
    let error = blocks(&replaced, &within).await.unwrap_err();
    assert!(!error.retry && error.message.contains("was replaced since"), "{error}");
    assert!(blocks(&replaced, &end).await.is_ok(), "all of it was read before");

    store.delete(&ObjectPath::from("in/b.parquet")).await.unwrap();
    let gone = source_over(&store, "in/*.parquet", false);
    let error = blocks(&gone, &within).await.unwrap_err();
    assert!(error.message.contains("is gone"), "{error}");
    assert!(blocks(&gone, &end).await.is_ok());
}

#[tokio::test]
async fn a_file_on_a_disk_that_was_replaced_by_one_as_long_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, columns(0..70_000)).unwrap();
    let source = || {
        let disk = Disk(Names::new(folder.path().to_owned(), "*.parquet".to_owned()));
        WholeSource::new(Arc::new(disk), FileLayout::Columns, false, Arc::new(ManualClock::default()))
    };
    let all = blocks(&source(), &start()).await.unwrap();
    let mut within = OpenPartition { partition: 0, from: Some(all[0].next.clone()) };
    let rest = blocks(&source(), std::slice::from_ref(&within)).await.unwrap();
    assert_eq!(rest.last().map(|block| &block.next), all.last().map(|block| &block.next));

    let other = columns(1..70_001);
    assert_eq!(other.len() as u64, std::fs::metadata(&path).unwrap().len());
    std::fs::write(folder.path().join("new"), other).unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    let error = blocks(&source(), std::slice::from_ref(&within)).await.unwrap_err();
    assert!(!error.retry && error.message.contains("was replaced since"), "{error}");

    // A position of an earlier version says how long the file was, and goes on with the whole identity.
    let from = within.from.as_mut().unwrap();
    let mut place: serde_json::Value = serde_json::from_str(&from.place).unwrap();
    place["identity"] = std::fs::metadata(&path).unwrap().len().to_string().into();
    from.place = place.to_string();
    let rest = blocks(&source(), std::slice::from_ref(&within)).await.unwrap();
    assert!(rest[0].next.place.contains(' '), "{:?}", rest[0].next);
    place["identity"] = "1".into();
    within.from.as_mut().unwrap().place = place.to_string();
    assert!(blocks(&source(), &[within]).await.unwrap_err().message.contains("was replaced since"));
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_under_follow_waited_for() {
    let store = InMemory::new();
    let mut half = columns(0..10);
    half.truncate(half.len() / 2);
    put(&store, "in/a.parquet", half).await;
    let error = blocks(&source_over(&store, "in/*.parquet", false), &start()).await.unwrap_err();
    assert!(!error.retry && error.message.contains("s3://bucket/in/a.parquet"), "{error}");
    let mut reader = source_over(&store, "in/*.parquet", true).open(0, &start(), false).await.unwrap();
    assert!(reader.next().await.unwrap_err().retry);
    let none = source_over(&store, "nowhere/*.parquet", false).partitions(&[]).await.unwrap_err();
    assert!(none.message.contains("no file matches `s3://bucket/nowhere/*.parquet`"), "{none}");
    assert!(source_over(&store, "nowhere/*.parquet", true).partitions(&[]).await.is_ok());
}

#[test]
fn what_a_sink_writes_there_is_read_by_it() {
    let source = source_over(&InMemory::new(), "out/*.parquet", false);
    assert!(source.reads("s3://bucket/out/job-*.parquet"));
    assert!(!source.reads("s3://bucket/other/job-*.parquet") && !source.reads("/out/job-*.parquet"));
}

#[tokio::test]
async fn objects_that_are_partitions_end_and_may_go_before_their_turn() {
    let store = Arc::new(InMemory::new());
    for number in 0..70 {
        put(&store, &format!("rides/{number:02}.jsonl"), lines(number..number + 1)).await;
    }
    let place = ObjectPlace::parse("s3://bucket/rides/*.jsonl", BTreeMap::new()).unwrap();
    let shelf: Arc<dyn Shelf> = Arc::new(Bucket::new(place.within(store.clone() as Arc<dyn Store>)).unwrap());
    let (all, clock) = (shelf.clone(), Arc::new(ManualClock::default()));
    let hands = clock.clone();
    let one = move |file: &WholeFile| {
        let alone = Arc::new(OneOfShelf::new(all.clone(), file));
        Arc::new(WholeSource::new(alone, FileLayout::Lines, false, hands.clone())) as Arc<dyn Source>
    };
    let source = EachFile::new(shelf, Box::new(one), Changes::Never, clock);
    let begins = source.partitions(&[]).await.unwrap();
    let mut reader = source.open(0, &begins, true).await.unwrap();
    let Fetch::Block(first) = reader.next().await.unwrap() else { panic!("a file begins with its rows") };
    // More are there than are open at a time.
    store.delete(&ObjectPath::from("rides/69.jsonl")).await.unwrap();
    let (mut read, mut ended, mut places) = (records(&first), Vec::new(), begins.clone());
    while ended.len() < 70 {
        match reader.next().await.unwrap() {
            Fetch::Block(block) => {
                read.extend(records(&block));
                places[usize::from(block.partition.partition)].from = Some(block.next);
            }
            Fetch::Ended(id) => ended.push((id.partition, true)),
            Fetch::CaughtUp(id) => ended.push((id.partition, false)),
            other => panic!("{other:?}"),
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, (0..70).map(|number| (number, number != 69)).collect::<Vec<_>>());
    assert_eq!(read.len(), 69);
    for number in 0..69 {
        store.delete(&ObjectPath::from(format!("rides/{number:02}.jsonl"))).await.unwrap();
    }
    let (again, _) = compliance::read_all(&source, &places).await.unwrap();
    assert!(again.is_empty(), "all of it was read");
    assert_eq!(source.left(&places, true).await.unwrap().bytes, Some(0));
}
