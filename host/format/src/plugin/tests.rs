//! Payloads of words: what becomes of good and bad ones, of other types, and when another version decodes.

use super::*;
use crate::payload::{DecodedPayloads, PayloadDecoder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int32Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Float64Array, StringViewArray, TimestampMillisecondArray};
use arrow_schema::DataType as ArrowType;
use std::sync::Mutex;
use weir_connect::{ConnectError, Decoded, Framing, KnownTimes, RawBlock};
use weir_event::{DataType, Field, PartitionId, Position};

/// Decodes `MILLIS FARE NOTE` with blanks between; `-` is null, and a payload of other words is refused.
#[derive(Debug)]
struct Words {
    version: String,
    columns: Vec<(String, ArrowType)>,
    is_full: bool,
}

impl Words {
    fn version(version: &str) -> Words {
        let columns = [
            ("at", DataType::Timestamp.to_arrow()),
            ("fare", DataType::Double.to_arrow()),
            ("note", DataType::String.to_arrow()),
        ];
        let columns = columns.map(|(name, data_type)| (name.to_owned(), data_type)).to_vec();
        Words { version: version.to_owned(), columns, is_full: false }
    }
}

impl PayloadDecoder for Words {
    fn identity(&self) -> &str {
        &self.version
    }

    fn columns(&self) -> &[(String, ArrowType)] {
        &self.columns
    }

    fn decode(&self, payloads: &[&[u8]], wanted: &[usize]) -> Result<DecodedPayloads, ConnectError> {
        if self.is_full {
            return Err(ConnectError::unavailable("no place is left"));
        }
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let words: Vec<Vec<String>> =
            payloads.iter().map(|payload| text(payload).split(' ').map(str::to_owned).collect()).collect();
        let word =
            |row: &Vec<String>, at: usize| row.get(at).cloned().filter(|word| word != "-" && row.len() == 3);
        let refused = words.iter().enumerate().filter(|(_, row)| row.len() != 3);
        let refused = refused.map(|(at, _)| (at, format!("not three words in {}", self.version))).collect();
        let column = |at: &usize| -> ArrayRef {
            let words = words.iter().map(|row| word(row, *at));
            match at {
                0 => Arc::new(TimestampMillisecondArray::from_iter(
                    words.map(|it| it.and_then(|it| it.parse().ok())),
                )),
                1 => Arc::new(Float64Array::from_iter(words.map(|it| it.and_then(|it| it.parse().ok())))),
                _ => Arc::new(StringViewArray::from_iter(words)),
            }
        };
        Ok(DecodedPayloads { columns: wanted.iter().map(column).collect(), refused })
    }
}

/// A server with the plugin `words`, or without.
#[derive(Debug, Default)]
struct Server(Mutex<Option<Arc<Words>>>);

impl Server {
    fn activate(&self, words: Words) {
        *self.0.lock().unwrap() = Some(Arc::new(words));
    }
}

impl PayloadPlugins for Server {
    fn decoder(&self, plugin: &str, owner: &str) -> Result<Arc<dyn PayloadDecoder>, ConnectError> {
        assert_eq!((plugin, owner), ("words", "stream rides"));
        let active = self.0.lock().unwrap().clone();
        active
            .map(|words| words as Arc<dyn PayloadDecoder>)
            .ok_or_else(|| ConnectError::unavailable("not there"))
    }
}

fn schema(fields: &[(&str, DataType)]) -> StreamSchema {
    let fields = fields.iter().map(|(name, data_type)| Field::named(name, data_type.clone())).collect();
    StreamSchema { fields, event_time: 0 }
}

fn decoder(server: &Arc<Server>, fields: &[(&str, DataType)]) -> Arc<dyn Decoder> {
    let all: Vec<usize> = (0..fields.len()).collect();
    let format = PluginFormat {
        plugin: "words".to_owned(),
        owner: "stream rides".to_owned(),
        plugins: Some(server.clone()),
        schema: schema(fields),
    };
    format.decoder(&all)
}

fn messages(payloads: &[&str]) -> RawBlock {
    let mut end = 0;
    let ends = payloads.iter().map(|payload| {
        end += payload.len() as u32;
        end
    });
    RawBlock {
        partition: PartitionId::default(),
        framing: Framing::Records {
            ends: ends.collect(),
            offsets: (10..10 + payloads.len() as u64).collect(),
        },
        data: payloads.concat().into(),
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    }
}

fn bad(decoded: &Decoded) -> Vec<(u64, &str)> {
    decoded.bad.iter().map(|bad| (bad.offset, bad.reason.as_str())).collect()
}

const PLAIN: [(&str, DataType); 3] =
    [("at", DataType::Timestamp), ("fare", DataType::Double), ("note", DataType::String)];

#[test]
fn good_payloads_become_rows_and_others_say_why_not() {
    let server = Arc::new(Server::default());
    server.activate(Words::version("1"));
    let block = messages(&["5 1.5 a", "nothing", "- 2 b", "7 - -"]);
    let decoded = decoder(&server, &PLAIN).attempt(&block).unwrap();
    assert_eq!((decoded.offsets.as_slice(), decoded.records.as_slice()), (&[10, 13][..], &[0, 3][..]));
    let times = decoded.columns.column(0).as_primitive::<TimestampMillisecondType>();
    assert_eq!(times.values().as_ref(), [5, 7]);
    assert_eq!(decoded.columns.column(1).as_primitive::<Float64Type>().value(0), 1.5);
    assert!(decoded.columns.column(1).is_null(1) && decoded.columns.column(2).is_null(1));
    assert_eq!(bad(&decoded), [(11, "not three words in 1"), (12, "the event time `at` is missing")]);
    assert_eq!(decoded.bad[0].payload, b"nothing");
}

#[test]
fn text_becomes_what_a_field_of_csv_would() {
    let server = Arc::new(Server::default());
    server.activate(Words::version("1"));
    let decimal: DataType = "decimal(10, 2)".parse().unwrap();
    for (data_type, good, wrong) in [
        (DataType::Int, "7", "7.5"),
        (decimal.clone(), "7.25", "x"),
        (DataType::Json, "{\"a\":1}", "{"),
        (DataType::Date, "2026-01-31", "yesterday"),
    ] {
        let fields = [("at", DataType::Timestamp), ("note", data_type.clone())];
        let payloads = [&*format!("1 1 {good}"), &*format!("2 1 {wrong}"), "3 1 -"];
        let decoded = decoder(&server, &fields).attempt(&messages(&payloads)).unwrap();
        assert_eq!(decoded.offsets, [10, 12], "{data_type}");
        assert_eq!(decoded.bad[0].offset, 11);
        assert!(decoded.bad[0].reason.starts_with("column `note`: "), "{}", decoded.bad[0].reason);
        let column = decoded.columns.column(1);
        assert_eq!((column.data_type(), column.is_null(1)), (&data_type.to_arrow(), true));
        match data_type {
            DataType::Int => assert_eq!(column.as_primitive::<Int32Type>().value(0), 7),
            DataType::Decimal(_) => assert_eq!(column.as_primitive::<Decimal128Type>().value(0), 725),
            _ => {}
        }
    }
}

#[test]
fn another_version_decodes_from_the_next_block_on_and_what_does_not_fit_is_waited_for() {
    let server = Arc::new(Server::default());
    let decoder = decoder(&server, &PLAIN);
    let block = messages(&["x"]);
    let ready = |block: &RawBlock| futures(decoder.ready(block));
    assert!(ready(&block).unwrap_err().retry);
    server.activate(Words::version("1"));
    ready(&block).unwrap();
    assert_eq!(bad(&decoder.attempt(&block).unwrap()), [(10, "not three words in 1")]);
    server.activate(Words::version("2"));
    ready(&block).unwrap();
    assert_eq!(bad(&decoder.attempt(&block).unwrap()), [(10, "not three words in 2")]);
    let mut without = Words::version("3");
    without.columns.remove(1);
    server.activate(without);
    ready(&block).unwrap();
    assert_eq!(
        bad(&decoder.attempt(&block).unwrap()),
        [(10, "not three words in 2")],
        "it goes on with what fits"
    );
    let error = futures(super::tests::decoder(&server, &PLAIN).ready(&block)).unwrap_err();
    let said = "plugin `words`: the plugin gives no column `fare`; known: at, note; activate a version that fits, or correct `fields`";
    assert_eq!((error.message.as_str(), error.retry), (said, true));
    let full = Words { is_full: true, ..Words::version("4") };
    server.activate(full);
    ready(&block).unwrap();
    assert_eq!(decoder.attempt(&block).unwrap_err().message, "no place is left");
}

/// The answer of what never waits.
fn futures<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn columns_that_do_not_fit_are_named_before_anything_is_read() {
    let columns = Words::version("1").columns;
    let stream = schema(&[("at", DataType::Bigint), ("farre", DataType::Double), ("note", DataType::Int)]);
    let found: Vec<String> = unfit(&stream, &columns)
        .into_iter()
        .map(|found| format!("{}: {}", found.column, found.reason))
        .collect();
    assert_eq!(
        found,
        [
            "at: the plugin gives `at` as timestamp, and it is declared as bigint; declare it as timestamp, or have the \
             plugin give text",
            "farre: the plugin gives no column `farre`; did you mean `fare`?",
        ]
    );
    for (options, is_name) in
        [(serde_json::json!("words"), true), (serde_json::json!({}), false), (serde_json::json!(""), false)]
    {
        assert_eq!(plugin_name(&options).is_ok(), is_name);
    }
}
