//! Every format beside JSON, the same rows: decoded as a job of two or of all columns reads them, from messages as a broker
//! hands them out and from files.

use super::columns::{BATCH_ROWS, batch, block, column_blocks, count, say, schema};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Decoder, Framing, RawBlock, SinkRows};
use weir_engine::SystemClock;
use weir_event::Clock;
use weir_format::parquet::{self, Compression};
use weir_format::payload::PayloadPlugins;
use weir_format::{
    Registered, SchemaAnswer, SchemaKind, SchemaRegistry, Surroundings, Writing, sink_format, stream_format,
};

/// About as much is in a block that a source hands out.
const BLOCK_BYTES: usize = 1 << 20;

/// A registry in memory.
#[derive(Debug, Default)]
struct Registry(Mutex<Vec<(SchemaKind, String)>>);

#[async_trait]
impl SchemaRegistry for Registry {
    fn place(&self) -> &'static str {
        "memory"
    }

    async fn by_id(&self, id: u32) -> Result<SchemaAnswer, ConnectError> {
        let schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kind, text) = schemas[id as usize].clone();
        Ok(SchemaAnswer::Found(Registered { id, kind, text, references: Vec::new() }))
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError> {
        Err(ConnectError::unavailable(format!("{subject} is not there")))
    }

    async fn version(&self, subject: &str, _: u32) -> Result<SchemaAnswer, ConnectError> {
        Ok(SchemaAnswer::Absent(format!("{subject} is not there")))
    }

    async fn subjects(&self) -> Result<usize, ConnectError> {
        Ok(1)
    }

    async fn register(&self, _: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError> {
        let mut schemas = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        schemas.push((kind, text.to_owned()));
        Ok(schemas.len() as u32 - 1)
    }
}

#[derive(Debug, Default)]
struct InMemory(Arc<Registry>);

impl Surroundings for InMemory {
    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("`{path}` is not there"))
    }

    fn registry(&self, _: &str) -> Result<Arc<dyn SchemaRegistry>, String> {
        Ok(self.0.clone())
    }

    fn plugins(&self) -> Option<(Arc<dyn PayloadPlugins>, String)> {
        None
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock::new())
    }
}

/// Prints events per second of processor time.
pub(crate) fn measure(rows: u64) {
    let batches: Vec<SinkRows> = (0..rows.div_ceil(BATCH_ROWS)).map(batch).collect();
    let rows: u64 = batches.iter().map(|batch| batch.columns.num_rows() as u64).sum();
    println!(
        "Formats, {rows} rows of five columns decoded: thousand events per CPU-second, two columns and all"
    );
    let (around, runtime) =
        (InMemory::default(), tokio::runtime::Runtime::new().expect("threads can be started"));
    let registry = json!({"registry": "http://memory"});
    for (name, options) in
        [("json", json!({})), ("csv", json!({})), ("avro", registry.clone()), ("protobuf", registry)]
    {
        let messages = runtime.block_on(messages(name, &options, &around, &batches));
        tell(&format!("{name}, messages"), (name, &options), &around, rows, &messages);
    }
    for (name, in_files) in [("json", "jsonl"), ("csv", "csv"), ("avro", "avro")] {
        let blocks = file_blocks(in_files, &around, &batches);
        tell(&format!("{name}, files"), (name, &json!({})), &around, rows, &blocks);
    }
    let blocks: Vec<RawBlock> = column_blocks(&parquet_file(&batches)).collect();
    tell("parquet, files", ("parquet", &json!({})), &around, rows, &blocks);
}

fn tell(what: &str, (name, options): (&str, &Value), around: &InMemory, rows: u64, blocks: &[RawBlock]) {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    for (columns, wanted) in [("two columns", &[0, 4][..]), ("all columns", &[0, 1, 2, 3, 4])] {
        let format = stream_format(name, options, &schema(), around).expect("the options are right");
        let decoder: Arc<dyn Decoder> = format.decoder(wanted);
        say(&format!("{what}, {columns}"), rows, || {
            for block in blocks {
                runtime.block_on(decoder.ready(block)).expect("every schema is at hand");
            }
            count(&*decoder, blocks.iter().cloned());
        });
    }
}

/// Blocks of messages as a broker hands them out.
async fn messages(name: &str, options: &Value, around: &InMemory, batches: &[SinkRows]) -> Vec<RawBlock> {
    let writing = Writing { meta: false, in_files: false, subject: "s", around };
    let format = json!({ name: options });
    let encoder = sink_format(&format, &writing).expect("the options are right").encoder;
    let (mut blocks, mut data, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let hand_out = |data: &mut Vec<u8>, ends: &mut Vec<u32>| {
        let framing =
            Framing::Records { offsets: (0..ends.len() as u64).collect(), ends: std::mem::take(ends) };
        block(Bytes::from(std::mem::take(data)), framing, 0)
    };
    for batch in batches {
        encoder.ready(batch).await.expect("the registry takes all");
        let records = encoder.records(batch).expect("these types have a form");
        for row in 0..batch.columns.num_rows() {
            records.write(row, &mut data);
            ends.push(data.len() as u32);
            if data.len() >= BLOCK_BYTES {
                blocks.push(hand_out(&mut data, &mut ends));
            }
        }
    }
    blocks.push(hand_out(&mut data, &mut ends));
    blocks
}

/// A block for so many batches as the file source cuts off a file.
fn file_blocks(ending: &str, around: &InMemory, batches: &[SinkRows]) -> Vec<RawBlock> {
    let writing = Writing { meta: false, in_files: true, subject: "s", around };
    let encoder = sink_format(&ending.into(), &writing).expect("it has no options").encoder;
    let head = Bytes::from(encoder.head(&batches[0]).expect("these types have a form"));
    let framed = |data: Vec<u8>| {
        let framing = if head.is_empty() {
            Framing::Lines { first: 0 }
        } else {
            Framing::Container { head: head.clone(), base: 0, first: 0 }
        };
        block(Bytes::from(data), framing, 0)
    };
    let (mut blocks, mut data) = (Vec::new(), Vec::new());
    for batch in batches {
        encoder.encode(batch, &mut data).expect("these types have a form");
        if data.len() >= BLOCK_BYTES {
            blocks.push(framed(std::mem::take(&mut data)));
        }
    }
    blocks.push(framed(data));
    blocks
}

fn parquet_file(batches: &[SinkRows]) -> Vec<u8> {
    let mut pieces = Vec::new();
    for batch in batches {
        let columns = parquet::file_columns(batch, false).expect("these types have a form");
        parquet::push_piece(&columns, &mut pieces).expect("memory can be written to");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows.parquet");
    let file = std::fs::File::create(&path).expect("a file");
    parquet::write_file(pieces.as_slice(), Compression::Zstd, &[], file).expect("a file can be written");
    std::fs::read(&path).expect("it was written")
}
