//! Numbers that name no schema that can be read: what becomes of their records, of those beside them, and of time.

use super::*;
use crate::registry::{Reference, SchemaKind};
use crate::table::stream_format;
use crate::tests::{World, block, every, now, stream};
use serde_json::{Value, json};
use weir_connect::{Decoder, RawBlock};

const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "at", "type": "long"}]}"#;
const PROTO: &str = "syntax = \"proto3\"; message R { int64 at = 1; }";

/// A format whose messages are numbered: its schema of rows of one time, and a record of it.
struct Numbered {
    name: &'static str,
    kind: SchemaKind,
    other: SchemaKind,
    text: &'static str,
    /// What a hundred thousand times in a row is not a schema, however deep a parser goes.
    deep: &'static str,
    record: &'static [u8],
}

const BOTH: [Numbered; 2] = [
    Numbered {
        name: "avro",
        kind: SchemaKind::Avro,
        other: SchemaKind::Json,
        text: AVRO,
        deep: "[",
        record: &[2],
    },
    Numbered {
        name: "protobuf",
        kind: SchemaKind::Protobuf,
        other: SchemaKind::Avro,
        text: PROTO,
        deep: "message M {",
        record: &[0, 8, 1],
    },
];

impl Numbered {
    fn decoder(&self, world: &World, options: Value) -> Arc<dyn Decoder> {
        let mut of = json!({"registry": "http://x"});
        of.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let schema = stream(&[("at", "timestamp")]);
        stream_format(self.name, &of, &schema, world).unwrap().decoder(&every(&schema))
    }

    /// A record of each of these numbers.
    fn block(&self, numbers: &[u32]) -> RawBlock {
        let record = |number: &u32| [&[0][..], &number.to_be_bytes(), self.record].concat();
        block(&numbers.iter().map(record).collect::<Vec<_>>())
    }
}

/// The offsets of good records, and of bad ones with their reasons.
fn decoded(decoder: &dyn Decoder, block: &RawBlock) -> (Vec<u64>, Vec<(u64, String)>) {
    now(decoder.ready(block)).unwrap();
    let decoded = decoder.decode(block);
    (decoded.offsets, decoded.bad.into_iter().map(|bad| (bad.offset, bad.reason)).collect())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_number_that_is_not_there_is_waited_for_and_then_its_records_alone_are_bad() {
    for format in BOTH {
        let world = World::default();
        let good = world.registry.add("s", format.kind, format.text, vec![]);
        let decoder = format.decoder(&world, json!({}));
        let mixed = format.block(&[good, 7, good]);
        let error = now(decoder.ready(&mixed)).unwrap_err();
        let said = "schema 7 is not there; it is waited for up to 1m, then its records are dead letters: register it, or \
                    correct `registry`";
        assert!(error.retry && error.message == said, "{error}");
        world.clock.advance(59 * SECOND);
        assert!(now(decoder.ready(&mixed)).unwrap_err().retry);
        world.clock.advance(SECOND);
        let refused = vec![(6, "schema 7 is not there".to_owned())];
        assert_eq!(decoded(&*decoder, &mixed), (vec![5, 7], refused.clone()), "{}", format.name);
        // It is not asked for with every block, and what is away meanwhile holds nobody up.
        world.registry.asked();
        assert_eq!(decoded(&*decoder, &mixed), (vec![5, 7], refused.clone()));
        assert_eq!(world.registry.asked(), 0);
        *world.registry.away.lock().unwrap() = Some(ConnectError::unavailable("away"));
        world.clock.advance(ASK_AGAIN);
        assert_eq!(decoded(&*decoder, &mixed), (vec![5, 7], refused.clone()));
        assert_eq!(decoded(&*decoder, &mixed), (vec![5, 7], refused));
        assert_eq!(world.registry.asked(), 1);
        *world.registry.away.lock().unwrap() = None;
        world.clock.advance(ASK_AGAIN);
        for text in 1..8 {
            world.registry.add("s", format.kind, &format!("{}{}", format.text, " ".repeat(text)), vec![]);
        }
        assert_eq!(decoded(&*decoder, &mixed), (vec![5, 6, 7], vec![]), "{}", format.name);
    }
}

#[test]
fn one_that_comes_while_it_is_waited_for_is_read() {
    for format in BOTH {
        let world = World::default();
        let decoder = format.decoder(&world, json!({"schema_wait": "5s"}));
        let block = format.block(&[0]);
        assert!(now(decoder.ready(&block)).unwrap_err().message.contains("waited for up to 5s"));
        world.clock.advance(4 * SECOND);
        world.registry.add("s", format.kind, format.text, vec![]);
        assert_eq!(decoded(&*decoder, &block), (vec![5], vec![]));
    }
}

#[test]
fn a_registry_that_is_away_is_waited_for_as_long_as_it_takes() {
    for format in BOTH {
        let world = World::default();
        *world.registry.away.lock().unwrap() = Some(ConnectError::unavailable("away"));
        let decoder = format.decoder(&world, json!({"schema_wait": "0s"}));
        let block = format.block(&[0]);
        for _ in 0..3 {
            let error = now(decoder.ready(&block)).unwrap_err();
            assert!(error.retry && error.message == "away", "{error}");
            world.clock.advance(3600 * SECOND);
        }
        world.registry.add("s", format.kind, format.text, vec![]);
        *world.registry.away.lock().unwrap() = None;
        assert_eq!(decoded(&*decoder, &block), (vec![5], vec![]));
        // One that it does not have is refused at once, where nothing is waited for.
        assert_eq!(decoded(&*decoder, &format.block(&[1])).0, [0; 0]);
    }
}

#[test]
fn schemas_of_another_kind_and_broken_ones_are_refused_at_once_and_for_ever() {
    for format in BOTH {
        let world = World::default();
        let good = world.registry.add("s", format.kind, format.text, vec![]);
        let other = world.registry.add("s", format.other, "{}", vec![]);
        let unknown = world.registry.add("s", SchemaKind::Other, "<a/>", vec![]);
        let broken = world.registry.add("s", format.kind, "message {", vec![]);
        let deep = world.registry.add("s", format.kind, &format.deep.repeat(100_000), vec![]);
        let decoder = format.decoder(&world, json!({}));
        let mixed = format.block(&[other, good, unknown, broken, u32::MAX, deep]);
        let (offsets, bad) = decoded(&*decoder, &mixed);
        assert_eq!(offsets, [6]);
        for ((offset, reason), (expected, part)) in bad.iter().zip([
            (5, "schema 1 in the schema registry at memory is not one of "),
            (7, "schema 2 in the schema registry at memory is not one of "),
            (8, "schema 3 in the schema registry at memory: not a "),
            (9, "not a record of the registry: it does not begin with a byte of 0"),
            (10, "schema 4 in the schema registry at memory: not a "),
        ]) {
            assert!(*offset == expected && reason.starts_with(part), "{offset} {reason}");
        }
        assert_eq!(bad.len(), 5);
        world.registry.asked();
        world.clock.advance(100 * ASK_AGAIN);
        assert_eq!(decoded(&*decoder, &mixed).1.len(), 5);
        assert_eq!(world.registry.asked(), 0);
    }
}

#[test]
fn a_schema_that_names_one_that_is_not_there_is_waited_for() {
    for format in BOTH {
        let world = World::default();
        let names = Reference { name: "other".to_owned(), subject: "other".to_owned(), version: 1 };
        let good = world.registry.add("s", format.kind, format.text, vec![names]);
        let (decoder, block) = (format.decoder(&world, json!({})), format.block(&[good]));
        let error = now(decoder.ready(&block)).unwrap_err();
        assert!(
            error.retry && error.message.starts_with("version 1 of subject other is not there"),
            "{error}"
        );
        world.clock.advance(60 * SECOND);
        let refused = vec![(5, "version 1 of subject other is not there".to_owned())];
        assert_eq!(decoded(&*decoder, &block), (vec![], refused));
    }
}

#[test]
fn ever_other_numbers_do_not_hold_up_for_ever() {
    for format in BOTH {
        let world = World::default();
        let decoder = format.decoder(&world, json!({}));
        // Those of one block are waited for together, and so are those of blocks that come meanwhile.
        assert!(now(decoder.ready(&format.block(&[1, 2, 3]))).unwrap_err().retry);
        world.clock.advance(30 * SECOND);
        assert!(now(decoder.ready(&format.block(&[4]))).unwrap_err().retry);
        world.clock.advance(30 * SECOND);
        assert_eq!(decoded(&*decoder, &format.block(&[1, 2, 3])).1.len(), 3);
        assert!(now(decoder.ready(&format.block(&[4]))).unwrap_err().retry);
        // What is new then is not waited for, for ten minutes.
        assert_eq!(decoded(&*decoder, &format.block(&[5])).1.len(), 1);
        world.clock.advance(30 * SECOND);
        assert_eq!(decoded(&*decoder, &format.block(&[4])).1.len(), 1);
        world.clock.advance(9 * 60 * SECOND);
        assert_eq!(decoded(&*decoder, &format.block(&[6])).1.len(), 1);
        world.clock.advance(60 * SECOND);
        assert!(now(decoder.ready(&format.block(&[8]))).unwrap_err().retry);
    }
}

#[test]
fn no_more_are_remembered_than_there_is_room_for() {
    let refused = RefusedNumbers::new(Arc::new(weir_event::ManualClock::default()), Span::ZERO);
    for number in 0..REFUSED_KEPT as u32 + 3 {
        let judged = refused.judge(number, SchemaFault::Absent("not there".to_owned()));
        assert_eq!(judged, Ok(None));
    }
    assert_eq!(refused.known().refused.len(), REFUSED_KEPT);
    assert!(refused.is_to_be_asked(2) && !refused.is_to_be_asked(3));
}

#[test]
fn the_wait_is_for_streams_that_ask_a_registry() {
    let (world, schema) = (World::default(), stream(&[("at", "timestamp")]));
    for (options, said) in [
        (json!({"schema_wait": "5s"}), "schema_wait: `registry` is missing"),
        (json!({"registry": "http://x", "schema_wait": "soon"}), "schema_wait: `soon` is not a duration"),
    ] {
        for format in BOTH {
            let errors = stream_format(format.name, &options, &schema, &world).unwrap_err();
            assert!(errors.iter().any(|error| error.to_string().starts_with(said)), "{errors:?}");
        }
    }
}
