//! What the tests of several formats have in common: streams, blocks and rows of every type.

mod times;
mod world;

pub(crate) use world::World;

use crate::json::{JsonDecoder, JsonEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_connect::sink::RowMeta;
use weir_connect::{Decoded, Decoder as _, Encoder as _, Framing, KnownTimes, RawBlock, SinkRows};
use weir_event::{Field, PartitionId, Position, StreamSchema};

/// A column of each type.
pub(crate) const WIDE: [(&str, &str); 13] = [
    ("at", "timestamp"),
    ("s", "string"),
    ("big", "bigint"),
    ("n", "int"),
    ("d", "double"),
    ("f", "float"),
    ("m", "decimal(38, 3)"),
    ("b", "boolean"),
    ("day", "date"),
    ("raw", "bytes"),
    ("l", "array<string>"),
    ("p", "map<string, bigint>"),
    ("r", "row<a int, b array<double>>"),
];

/// Runs what waits for nothing but what is in memory.
pub(crate) fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

/// A stream of columns by name and type; `name=path` where a column is taken from elsewhere. The first is the event time.
pub(crate) fn stream(columns: &[(&str, &str)]) -> StreamSchema {
    let fields = columns.iter().map(|(name, data_type)| {
        let (name, path) = name.split_once('=').unwrap_or((name, name));
        let mut field = Field::named(name, data_type.parse().unwrap());
        field.path = path.split('.').map(str::to_owned).collect();
        field
    });
    StreamSchema { fields: fields.collect(), event_time: 0 }
}

/// The indexes of all columns.
pub(crate) fn every(schema: &StreamSchema) -> Vec<usize> {
    (0..schema.fields.len()).collect()
}

/// A block of messages, the first of which has offset 5.
pub(crate) fn block(records: &[Vec<u8>]) -> RawBlock {
    let ends = records.iter().scan(0, |end, record| {
        *end += record.len() as u32;
        Some(*end)
    });
    let framing = Framing::Records { ends: ends.collect(), offsets: (5..5 + records.len() as u64).collect() };
    of(records.concat(), framing)
}

/// A block of these bytes.
pub(crate) fn of(data: Vec<u8>, framing: Framing) -> RawBlock {
    RawBlock {
        partition: PartitionId::default(),
        data: data.into(),
        framing,
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    }
}

/// Rows as JSON, each a text.
pub(crate) fn rows(decoded: &Decoded) -> Vec<String> {
    let rows = SinkRows { columns: decoded.columns.clone(), meta: RowMeta::default() };
    let mut lines = Vec::new();
    JsonEncoder::new(false).encode(&rows, &mut lines).unwrap();
    String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
}

/// JSON of a row of [`WIDE`], some of whose values are null: of all columns and in lists, or, where a format knows neither
/// a list nor an item that is null, of the others.
pub(crate) fn wide_row(with_null_lists: bool) -> impl Strategy<Value = String> {
    let values = (
        any::<i32>(),
        "[ -~é]{0,20}",
        any::<i64>(),
        any::<f32>(),
        any::<f64>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..9),
        any::<u16>(),
    );
    values.prop_map(move |(n, text, big, f, d, flag, bytes, nulls)| {
        let mut base64 = Vec::new();
        crate::base64::push(&bytes, &mut base64);
        let values = [
            json!(text),
            json!(big),
            json!(n),
            json!(if d.is_finite() { d } else { 0.5 }),
            json!(if f.is_finite() { f } else { 0.5 }),
            json!(format!("{big}{}.{:03}", big.unsigned_abs() % 100_000, n.unsigned_abs() % 1000)),
            json!(flag),
            json!(format!(
                "{:04}-0{}-1{}",
                1900 + n.unsigned_abs() % 300,
                1 + n.unsigned_abs() % 9,
                n.unsigned_abs() % 9
            )),
            json!(String::from_utf8(base64).unwrap()),
            if with_null_lists { json!([text, null, "x"]) } else { json!([text, "x"]) },
            json!({"k": big}),
            json!({"a": n, "b": [0.5, if with_null_lists { Value::Null } else { json!(0.0) }]}),
        ];
        let members = WIDE[1..].iter().zip(values).enumerate();
        let members = members.map(|(index, ((name, _), value))| {
            let is_null = nulls >> index & 1 == 1 && (with_null_lists || !matches!(*name, "l" | "p"));
            ((*name).to_owned(), if is_null { Value::Null } else { value })
        });
        Value::Object(
            std::iter::once(("at".to_owned(), json!(big % 1_000_000_000_000))).chain(members).collect(),
        )
        .to_string()
    })
}

/// The rows in columns of [`WIDE`].
pub(crate) fn columns_of(lines: &str) -> Decoded {
    let schema = stream(&WIDE);
    let decoded = JsonDecoder::new(&schema, &every(&schema))
        .decode(&of(lines.as_bytes().to_vec(), Framing::Lines { first: 0 }));
    assert_eq!(decoded.bad, []);
    decoded
}
