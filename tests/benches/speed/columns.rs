//! Parquet beside JSON lines, the same rows: decoded as a job of two or of all columns reads them, and written as the file
//! sink does, beside pyarrow's own writer.

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
};
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{CpuTime, Decoder, Encoder, Framing, KnownTimes, RawBlock, SinkRows};
use weir_event::{DataType, Field, PartitionId, Position, StreamSchema};
use weir_format::json::{JsonDecoder, JsonEncoder};
use weir_format::parquet::{self, Compression, Footer, ParquetDecoder, TAIL_BYTES};

/// Rows come from a job in batches of about this size.
pub(super) const BATCH_ROWS: u64 = 8192;
/// As the file source hands them out.
const LINES_BYTES: usize = 1 << 20;
const BLOCK_ROWS: u64 = 1 << 16;

/// Prints rows per second of processor time.
pub(crate) fn measure(rows: u64) {
    let batches: Vec<SinkRows> = (0..rows.div_ceil(BATCH_ROWS)).map(batch).collect();
    let rows: u64 = batches.iter().map(|batch| batch.columns.num_rows() as u64).sum();
    println!("Parquet, {rows} rows of five columns: thousand rows per CPU-second");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows.parquet");
    written(&batches, rows, &path);
    let mut lines = Vec::new();
    let encoder = JsonEncoder::new(false);
    say("written as JSON lines", rows, || {
        batches.iter().for_each(|batch| encoder.encode(batch, &mut lines).expect("these types have a form"));
    });
    let lines = bytes::Bytes::from(lines);
    let columns = [("two columns", &[0, 4][..]), ("all columns", &[0, 1, 2, 3, 4])];
    for (what, wanted) in columns {
        let json = JsonDecoder::new(&schema(), wanted);
        say(&format!("JSON lines, {what}"), rows, || count(&json, line_blocks(&lines)));
        let parquet = ParquetDecoder::new(&schema(), wanted);
        let file = std::fs::read(&path).expect("it was written");
        say(&format!("Parquet, {what}"), rows, || count(&parquet, column_blocks(&file)));
    }
}

pub(super) fn say(what: &str, rows: u64, act: impl FnOnce()) {
    let cpu = CpuTime::default();
    cpu.measure(act);
    println!("  {what}: {:.0}", rows as f64 / cpu.total().as_secs_f64() / 1000.0);
}

fn written(batches: &[SinkRows], rows: u64, path: &Path) {
    for (name, compression) in
        [("none", Compression::None), ("snappy", Compression::Snappy), ("zstd", Compression::Zstd)]
    {
        say(&format!("written as Parquet, {name}"), rows, || {
            let mut pieces = Vec::new();
            for batch in batches {
                let columns = parquet::file_columns(batch, false).expect("these types have a form");
                parquet::push_piece(&columns, &mut pieces).expect("memory can be written to");
            }
            let file = File::create(path).expect("a file");
            parquet::write_file(pieces.as_slice(), compression, &[], file).expect("a file can be written");
        });
        let readers = Path::new(env!("CARGO_MANIFEST_DIR")).join("services/readers");
        let beside =
            Command::new(readers).arg("speed").arg(path).arg(name).output().expect("the script starts");
        print!("  written by pyarrow, {name}: {}", String::from_utf8_lossy(&beside.stdout));
    }
}

pub(super) fn schema() -> StreamSchema {
    let fields = vec![
        Field::named("user_id", DataType::String),
        Field::named("ride_id", DataType::Bigint),
        Field::named("action", DataType::String),
        Field::named("fare", DataType::Double),
        Field::named("event_time", DataType::Timestamp),
    ];
    StreamSchema { fields, event_time: 4 }
}

pub(super) fn batch(number: u64) -> SinkRows {
    let rows = || (number * BATCH_ROWS..(number + 1) * BATCH_ROWS).map(|row| row as i64);
    let mixed = |row: i64| row.wrapping_mul(7_919) % 100_003;
    let actions = ["ride_requested", "ride_accepted", "ride_completed", "app_opened"];
    let text =
        |of: &dyn Fn(i64) -> String| Arc::new(StringViewArray::from_iter_values(rows().map(of))) as ArrayRef;
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", text(&|row| format!("user-{}", mixed(row) % 20_000))),
        ("ride_id", Arc::new(Int64Array::from_iter_values(rows().map(|row| row * 31)))),
        ("action", text(&|row| actions[mixed(row) as usize % 4].to_owned())),
        ("fare", Arc::new(Float64Array::from_iter_values(rows().map(|row| mixed(row) as f64 / 64.0)))),
        (
            "event_time",
            Arc::new(TimestampMillisecondArray::from_iter_values(
                rows().map(|row| 1_767_225_600_000 + row * 20),
            )),
        ),
    ];
    SinkRows {
        columns: RecordBatch::try_from_iter(columns).expect("columns of one length"),
        meta: RowMeta::default(),
    }
}

pub(super) fn count(decoder: &dyn Decoder, blocks: impl Iterator<Item = RawBlock>) {
    for block in blocks {
        assert!(decoder.decode(&block).bad.is_empty());
    }
}

pub(super) fn block(data: bytes::Bytes, framing: Framing, next: u64) -> RawBlock {
    RawBlock {
        partition: PartitionId::default(),
        data,
        framing,
        known: KnownTimes::Unknown,
        next: Position { next, place: String::new() },
        refused: Vec::new(),
    }
}

fn line_blocks(lines: &bytes::Bytes) -> impl Iterator<Item = RawBlock> {
    let (lines, mut start) = (lines.clone(), 0);
    std::iter::from_fn(move || {
        let rest = lines.get(start..).filter(|rest| !rest.is_empty())?;
        let room = rest.len().min(LINES_BYTES);
        let length = rest[..room].iter().rposition(|byte| *byte == b'\n').map_or(rest.len(), |last| last + 1);
        let data = lines.slice(start..start + length);
        start += length;
        Some(block(data, Framing::Lines { first: 0 }, 0))
    })
}

pub(super) fn column_blocks(file: &[u8]) -> impl Iterator<Item = RawBlock> {
    let tail = file.len() - TAIL_BYTES as usize;
    let length = parquet::footer_bytes(&file[tail..]).expect("a whole file") as usize;
    let footer = Footer::parse(&file[tail - length..tail]).expect("a whole file");
    (0..footer.groups()).flat_map(move |group| {
        let range = footer.range(group).expect("a whole file");
        let data =
            footer.alone(group, &file[range.start as usize..range.end as usize], &[]).expect("a whole file");
        let rows = footer.rows(group);
        (0..rows.div_ceil(BLOCK_ROWS)).map(move |at| {
            let (first, next) = (at * BLOCK_ROWS, rows.min((at + 1) * BLOCK_ROWS));
            block(data.clone(), Framing::Container { head: bytes::Bytes::new(), base: 0, first }, next)
        })
    })
}
