//! Rows that come back from messages and files, and records that were damaged.

use super::*;

fn writes(world: &World, format: Value, in_files: bool) -> SinkFormat {
    sink_format(&format, &Writing { meta: false, in_files, subject: "out-value", around: world }).unwrap()
}

proptest! {
    #[test]
    fn rows_come_back_from_messages_and_from_files(lines in prop::collection::vec(wide_row(true), 1..6)) {
        let (world, schema) = (World::default(), stream(&WIDE));
        let given = columns_of(&lines.join("\n"));
        let sent = SinkRows { columns: given.columns.clone(), meta: RowMeta::default() };
        let encoder = writes(&world, json!({"avro": {"registry": "http://x"}}), false).encoder;
        now(encoder.ready(&sent)).unwrap();
        let records = encoder.records(&sent).unwrap();
        let messages: Vec<Vec<u8>> = (0..lines.len()).map(|row| { let mut out = Vec::new(); records.write(row, &mut out); out }).collect();
        let back = decoder(&world, json!({"registry": "http://x", "subject": "out-value"}), &schema);
        let blocks = block(&messages);
        now(back.ready(&blocks)).unwrap();
        let decoded = back.decode(&blocks);
        prop_assert_eq!(&decoded.bad, &Vec::new());
        prop_assert_eq!(rows(&decoded), rows(&given));

        let encoder = writes(&world, json!("avro"), true).encoder;
        let (head, mut data) = (encoder.head(&sent).unwrap(), Vec::new());
        encoder.encode(&sent, &mut data).unwrap();
        encoder.encode(&sent, &mut data).unwrap();
        let framing = Framing::Container { head: Bytes::from(head), base: 10, first: 11 };
        let (file, blocks) = (decoder(&world, json!({}), &schema), of(data, framing));
        now(file.ready(&blocks)).unwrap();
        let decoded = file.decode(&blocks);
        let twice: Vec<String> = rows(&given).into_iter().chain(rows(&given)).skip(1).collect();
        prop_assert_eq!(rows(&decoded), twice);
        prop_assert_eq!(decoded.offsets[0], 11);
    }
}

/// A file whose records take no bytes.
fn empty_records(blocks: &[&[u8]]) -> (Bytes, Vec<u8>) {
    let schema = br#"{"type":"record","name":"r","fields":[{"name":"at","type":"null"}]}"#;
    let length = [(schema.len() as u8 & 63) << 1 | 128, (schema.len() >> 6) as u8];
    let mark = [7; 16];
    let head = [b"Obj\x01\x02\x16avro.schema", &length[..], schema, &[0], &mark].concat();
    let data = blocks.iter().flat_map(|numbers| [numbers, &mark[..]].concat()).collect();
    (Bytes::from(head), data)
}

#[test]
fn blocks_that_claim_to_hold_any_number_of_records_cost_little() {
    let (world, schema) = (World::default(), stream(&[("at", "timestamp")]));
    // 2^20 records in no bytes, twice.
    let many: &[u8] = &[0x80, 0x80, 0x80, 1, 0];
    let (head, data) = empty_records(&[many, many]);
    let (reading, framing) =
        (decoder(&world, json!({}), &schema), Framing::Container { head, base: 0, first: 0 });
    let records = of(data, framing);
    now(reading.ready(&records)).unwrap();
    let decoded = reading.decode(&records);
    assert!(decoded.offsets.len() + decoded.bad.len() < 200_000, "{}", decoded.bad.len());
    assert_eq!(decoded.bad.last().map(|bad| bad.offset > 1 << 20), Some(true));
    // 2^40 of them.
    let (_, data) = empty_records(&[&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0]]);
    let damaged = container::block_at(&data, 0, &[7; 16]).err();
    assert!(
        matches!(damaged, Some(container::Broken::Damaged(why)) if why.contains("2199023255552 records"))
    );
}

/// One byte after the other is changed, taken away or put in: nothing panics, and every record is there, good or bad.
#[test]
fn ten_thousand_damaged_records_do_no_harm() {
    let world = World::default();
    let line = r#"{"at":1,"s":"text","big":12345678901,"n":-3,"d":1.5,"f":0.5,"m":12.345,"b":true,"day":"2026-01-31","raw":"AP8=","l":["a",null],"p":{"k":1},"r":{"a":1,"b":[0.5]}}"#;
    let given = columns_of(line);
    let sent = SinkRows { columns: given.columns, meta: RowMeta::default() };
    let encoder = writes(&world, json!("avro"), true).encoder;
    let (head, mut data) = (encoder.head(&sent).unwrap(), Vec::new());
    encoder.encode(&sent, &mut data).unwrap();
    let place = container::block_at(&data, 0, &container::head_length(&head).unwrap().1).unwrap();
    let record = data[place.start..place.end].to_vec();
    let mut columns = WIDE.to_vec();
    columns[10].1 = "json";
    let schema = stream(&columns);
    let mut files = world;
    let written_by = encode::schema_of(sent.columns.schema_ref()).unwrap().to_string();
    files.files.insert("a".to_owned(), written_by.into());
    let bare = decoder(&files, json!({"schema": "a"}), &schema);
    now(bare.ready(&block(&[]))).unwrap();
    let contained = decoder(&files, json!({}), &schema);
    let framing = |head: &[u8]| Framing::Container { head: Bytes::copy_from_slice(head), base: 0, first: 0 };
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut damage = |bytes: &[u8]| {
        let (mut damaged, at) = (bytes.to_vec(), next(bytes.len()));
        match next(3) {
            0 => damaged[at] = next(256) as u8,
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, next(256) as u8),
        }
        damaged
    };
    for _ in 0..10_000 {
        let blocks = block(&[damage(&record), record.clone()]);
        let decoded = bare.decode(&blocks);
        assert_eq!(decoded.offsets.len() + decoded.bad.len(), 2);
        assert_eq!((decoded.columns.num_rows(), decoded.offsets.last()), (decoded.offsets.len(), Some(&6)));
        let blocks = of(damage(&data), framing(&head));
        now(contained.ready(&blocks)).unwrap();
        let decoded = contained.decode(&blocks);
        assert!(decoded.offsets.len() + decoded.bad.len() > 0);
        let blocks = of(data.clone(), framing(&damage(&head)));
        if now(contained.ready(&blocks)).is_ok() {
            contained.decode(&blocks);
        }
    }
    assert_eq!(schema.fields[10].data_type, DataType::Json);
}
