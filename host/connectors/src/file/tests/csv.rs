//! Files of CSV: a head in each, records over several lines, and going on in the middle of a file.

use super::*;
use weir_connect::{Decoder, Encoder, FileLayout};
use weir_event::{DataType, Field, StreamSchema};
use weir_format::csv::{CsvDecoder, CsvOptions};

fn csv_source(folder: &Path, max_record_bytes: usize) -> FileSource {
    let layout = FileLayout::Quoted { quote: b'"', delimiter: b',', head: true };
    let settings =
        FileSourceSettings { layout, max_record_bytes, ..FileSourceSettings::new(folder, "*.csv*") };
    FileSource::new(settings, Arc::<Hasty>::default())
}

/// Offset and texts of each row from a position on, and the position behind.
async fn rows_of(source: &FileSource, position: Option<Position>) -> (Vec<(u64, String)>, Option<Position>) {
    let fields = vec![Field::named("t", DataType::Timestamp), Field::named("s", DataType::String)];
    let decoder =
        CsvDecoder::new(Arc::new(CsvOptions::default()), &StreamSchema { fields, event_time: 0 }, &[0, 1]);
    let mut reader = source.open(0, &from(position), true).await.unwrap();
    let (mut rows, mut last) = (Vec::new(), None);
    while let Fetch::Block(block) = reader.next().await.unwrap() {
        let decoded = decoder.decode(&block);
        let columns = SinkRows { columns: decoded.columns, meta: RowMeta::default() };
        let (encoder, mut lines) = (weir_format::json::JsonEncoder::new(false), Vec::new());
        encoder.encode(&columns, &mut lines).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        rows.extend(decoded.offsets.into_iter().zip(lines.lines().map(str::to_owned)));
        rows.extend(decoded.bad.into_iter().map(|bad| (bad.offset, bad.reason)));
        rows.extend(block.refused.iter().map(|refused| (refused.offset, refused.reason.clone())));
        last = Some(block.next);
    }
    (rows, last)
}

#[tokio::test]
async fn each_file_has_its_head_and_is_gone_on_with_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let row = |t: u64, s: &str| format!("{{\"t\":\"1970-01-01T00:00:00.00{t}Z\",\"s\":\"{s}\"}}");
    fs::write(path("a.csv"), "t,s\n1,\"one\nline\"\n2,two").unwrap();
    fs::write(path("b.csv.gz"), gzip(b"s,t\r\nthree,3\r\n")).unwrap();
    let source = csv_source(folder.path(), 1 << 20);
    let (rows, last) = rows_of(&source, None).await;
    assert_eq!(rows, [(1, row(1, "one\\nline")), (2, row(2, "two")), (4, row(3, "three"))]);
    fs::write(path("b.csv.gz"), gzip(b"s,t\r\nthree,3\r\nfour,4\r\n")).unwrap();
    let (rows, last) = rows_of(&source, last).await;
    assert_eq!(rows, [(5, row(4, "four"))]);
    fs::write(path("c.csv"), "\"t\",x\n5,\n").unwrap();
    let (rows, last) = rows_of(&source, last).await;
    assert_eq!(rows, [(7, "{\"t\":\"1970-01-01T00:00:00.005Z\",\"s\":null}".to_owned())]);
    append(&path("c.csv"), "6,\n");
    let (rows, _) = rows_of(&source, last).await;
    assert_eq!(rows, [(8, "{\"t\":\"1970-01-01T00:00:00.006Z\",\"s\":null}".to_owned())]);
}

#[tokio::test]
async fn an_open_quote_costs_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let filler = "3,x\n".repeat(50);
    fs::write(folder.path().join("a.csv"), format!("t,s\n1,\"open\n2,two\n{filler}")).unwrap();
    for longest in [20, 1 << 20] {
        let (rows, _) = rows_of(&csv_source(folder.path(), longest), None).await;
        let (bad, good): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(_, text)| text.starts_with("not CSV"));
        assert_eq!(bad.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1]);
        assert!(good.iter().map(|(offset, _)| *offset).eq(2..53), "{good:?}");
    }
}

#[tokio::test]
async fn every_file_of_a_sink_begins_with_the_names_of_its_own_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let files = || {
        let of_csv = |name: &PathBuf| name.extension().is_some_and(|ending| ending == "csv");
        let paths = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> = paths.filter(of_csv).collect();
        paths.sort();
        paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>()
    };
    let sink = |roll| {
        let settings = FileSinkSettings { roll, ..settings_of(&path, content_of("csv")) };
        FileSink::new("activity", settings, Arc::new(ManualClock::default()))
    };
    let hour = Some(Span::from_millis(3_600_000));
    let mut rolled = sink(hour);
    rolled.start(None).await.unwrap();
    rolled.write(&rows(&[1])).await.unwrap();
    rolled.write(&rows(&[2])).await.unwrap();
    let token = rolled.prepare(1).await.unwrap();
    rolled.commit(&token).await.unwrap();
    assert_eq!(files(), [""; 0]);
    drop(rolled);
    // Another start goes on with the file while its columns are the same, and begins another when they are not.
    let mut rolled = sink(hour);
    rolled.start(Some(&token)).await.unwrap();
    rolled.write(&rows(&[3])).await.unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![4]));
    let columns = RecordBatch::try_from_iter([("m", column)]).unwrap();
    rolled.write(&SinkRows { columns, meta: RowMeta::default() }).await.unwrap();
    let token = rolled.prepare(2).await.unwrap();
    rolled.commit(&token).await.unwrap();
    assert_eq!(files(), ["n\n1\n2\n3\n"]);
    drop(rolled);
    let mut each = sink(None);
    each.start(Some(&token)).await.unwrap();
    let token = each.prepare(3).await.unwrap();
    each.commit(&token).await.unwrap();
    assert_eq!(files(), ["n\n1\n2\n3\n", "m\n4\n"]);
}
