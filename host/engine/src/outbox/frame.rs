//! Result rows as bytes and back, with all that is said of them: one Arrow IPC stream, checked by its CRC.
//!
//! What is said of every row is a column behind the query's own; what is said of all rows is in the schema. Knows no
//! file.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, SinkRows};

/// Bytes before the rows: their length, their CRC, how many rows they are.
pub(super) const HEAD_BYTES: usize = 12;

/// The schema's entry with what is said of all rows.
const ABOUT: &str = "weir";

/// What is said of all rows of a frame, and which columns are what.
#[derive(Debug, Serialize, Deserialize)]
struct FrameAbout {
    job: Arc<str>,
    version: u32,
    definition: Arc<str>,
    epoch: u64,
    op: Op,
    revision: u64,
    /// How many columns are the query's; those of the keys follow.
    columns: usize,
    keys: Option<usize>,
    windows: bool,
    identities: bool,
    /// Absent in a frame of an older weir.
    #[serde(default)]
    times: bool,
}

/// What stands before the rows of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    crc: u32,
    pub(super) rows: u32,
}

impl Head {
    pub(super) fn read(bytes: [u8; HEAD_BYTES]) -> Head {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Head { length: word(0), crc: word(4), rows: word(8) }
    }
}

/// Appends rows with their head.
pub(super) fn push(rows: &SinkRows, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let batch = as_one_batch(rows)?;
    let mut writer = StreamWriter::try_new(&mut *out, &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    let payload = &out[start + HEAD_BYTES..];
    let length = u32::try_from(payload.len())
        .map_err(|_| ArrowError::IpcError("a batch of rows takes more than 4 GiB".to_owned()))?;
    let words = [length, crc32fast::hash(payload), rows.columns.num_rows() as u32];
    for (word, place) in words.iter().zip(out[start..].chunks_exact_mut(4)) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    Ok(())
}

/// The rows behind a head; the error is what is wrong with the bytes.
pub(super) fn rows(head: Head, payload: Vec<u8>) -> Result<SinkRows, String> {
    if crc32fast::hash(&payload) != head.crc {
        return Err("its checksum is wrong".to_owned());
    }
    let mut reader =
        StreamReader::try_new(std::io::Cursor::new(payload), None).map_err(|error| error.to_string())?;
    let batch = reader.next().ok_or("it holds no rows")?.map_err(|error| error.to_string())?;
    let about = batch.schema_ref().metadata().get(ABOUT).ok_or("it does not say what its rows are")?;
    let about: FrameAbout = serde_json::from_str(about).map_err(|error| error.to_string())?;
    of_one_batch(about, &batch).map_err(|error| error.to_string())
}

fn as_one_batch(rows: &SinkRows) -> Result<RecordBatch, ArrowError> {
    let meta = &rows.meta;
    let about = FrameAbout {
        job: meta.job.clone(),
        version: meta.version,
        definition: meta.definition.clone(),
        epoch: meta.epoch,
        op: meta.op,
        revision: meta.revision,
        columns: rows.columns.num_columns(),
        keys: meta.keys.as_ref().map(RecordBatch::num_columns),
        windows: !meta.windows.is_empty(),
        identities: !meta.identities.is_empty(),
        times: !meta.times.is_empty(),
    };
    let mut fields: Vec<Arc<Field>> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for batch in std::iter::once(&rows.columns).chain(&meta.keys) {
        fields.extend(batch.schema_ref().fields().iter().cloned());
        columns.extend_from_slice(batch.columns());
    }
    let mut add = |name: &str, column: ArrayRef| {
        fields.push(Arc::new(Field::new(name, column.data_type().clone(), false)));
        columns.push(column);
    };
    if about.windows {
        add("window_start", Arc::new(meta.windows.iter().map(|window| window.0).collect::<Int64Array>()));
        add("window_end", Arc::new(meta.windows.iter().map(|window| window.1).collect::<Int64Array>()));
    }
    if about.identities {
        add("identity", Arc::new(StringArray::from_iter_values(&meta.identities)));
    }
    if about.times {
        add("time", Arc::new(Int64Array::from(meta.times.clone())));
    }
    let about =
        serde_json::to_string(&about).map_err(|error| ArrowError::from_external_error(error.into()))?;
    let schema = Schema::new_with_metadata(fields, HashMap::from([(ABOUT.to_owned(), about)]));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.columns.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
}

fn of_one_batch(about: FrameAbout, batch: &RecordBatch) -> Result<SinkRows, ArrowError> {
    let of_keys = about.keys.unwrap_or(0);
    let keys_end = about.columns + of_keys;
    let identities_at = keys_end + 2 * usize::from(about.windows);
    let times_at = identities_at + usize::from(about.identities);
    let wanted = times_at + usize::from(about.times);
    if batch.num_columns() != wanted {
        let message = format!("it has {} columns, not {wanted}", batch.num_columns());
        return Err(ArrowError::IpcError(message));
    }
    let part = |range: std::ops::Range<usize>| {
        let fields: Vec<_> = batch.schema_ref().fields()[range.clone()].to_vec();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns()[range].to_vec();
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
    };
    let numbers = |at: usize| {
        Ok::<_, ArrowError>(of_type(batch, at, &DataType::Int64)?.as_primitive::<Int64Type>().values())
    };
    let windows = if about.windows {
        let (start, end) = (numbers(keys_end)?, numbers(keys_end + 1)?);
        start.iter().copied().zip(end.iter().copied()).collect()
    } else {
        Vec::new()
    };
    let identities = if about.identities {
        let identities = of_type(batch, identities_at, &DataType::Utf8)?.as_string::<i32>();
        identities.iter().map(|identity| identity.unwrap_or_default().to_owned()).collect()
    } else {
        Vec::new()
    };
    let times = if about.times { numbers(times_at)?.to_vec() } else { Vec::new() };
    Ok(SinkRows {
        columns: part(0..about.columns)?,
        meta: RowMeta {
            job: about.job,
            version: about.version,
            definition: about.definition,
            epoch: about.epoch,
            identities,
            windows,
            times,
            op: about.op,
            revision: about.revision,
            keys: about.keys.map(|_| part(about.columns..keys_end)).transpose()?,
        },
    })
}

fn of_type<'b>(batch: &'b RecordBatch, at: usize, data_type: &DataType) -> Result<&'b ArrayRef, ArrowError> {
    match batch.column(at) {
        column if column.data_type() == data_type => Ok(column),
        column => Err(ArrowError::IpcError(format!("column {at} is of type {}", column.data_type()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::StringViewArray;
    use arrow_array::types::Int32Type;

    fn split(bytes: &[u8]) -> (Head, Vec<u8>) {
        (Head::read(bytes[..HEAD_BYTES].try_into().unwrap()), bytes[HEAD_BYTES..].to_vec())
    }

    fn rich_rows() -> SinkRows {
        let long = "a text that does not fit into a view";
        let text: ArrayRef = Arc::new(StringViewArray::from(vec![Some(long), None]));
        let dictionary: ArrayRef =
            Arc::new([Some("x"), Some("y")].into_iter().collect::<arrow_array::DictionaryArray<Int32Type>>());
        let columns = RecordBatch::try_from_iter([("t", text.clone()), ("d", dictionary)]).unwrap();
        SinkRows {
            columns,
            meta: RowMeta {
                job: "j".into(),
                version: 3,
                definition: "sha256:ab".into(),
                epoch: 7,
                identities: vec!["0/0:1".to_owned(), "0/0:2".to_owned()],
                windows: vec![(-10, 0), (0, 10)],
                times: vec![-1, 9],
                op: Op::Delete,
                revision: 1 << 40,
                keys: Some(RecordBatch::try_from_iter([("k", text)]).unwrap()),
            },
        }
    }

    #[test]
    fn rows_come_back_with_all_that_is_said_of_them() {
        let poor = SinkRows { columns: rich_rows().columns.slice(1, 1), meta: RowMeta::default() };
        for before in [rich_rows(), poor] {
            let mut bytes = Vec::new();
            push(&before, &mut bytes).unwrap();
            let (head, payload) = split(&bytes);
            assert_eq!(head.length as usize, payload.len());
            assert_eq!(head.rows as usize, before.columns.num_rows());
            let after = rows(head, payload).unwrap();
            assert_eq!(after.columns, before.columns);
            assert_eq!(format!("{:?}", after.meta), format!("{:?}", before.meta));
        }
    }

    #[test]
    fn a_frame_that_says_nothing_of_times_is_read() {
        let mut before = rich_rows();
        before.meta.times.clear();
        let batch = as_one_batch(&before).unwrap();
        let about = batch.schema_ref().metadata()[ABOUT].replace(r#","times":false"#, "");
        assert!(!about.contains("times"), "{about}");
        let after = of_one_batch(serde_json::from_str(&about).unwrap(), &batch).unwrap();
        assert_eq!(format!("{:?}", after.meta), format!("{:?}", before.meta));
    }

    #[test]
    fn a_changed_byte_is_found() {
        let mut bytes = Vec::new();
        push(&rich_rows(), &mut bytes).unwrap();
        for at in [HEAD_BYTES, bytes.len() / 2, bytes.len() - 1] {
            let (head, mut payload) = split(&bytes);
            payload[at - HEAD_BYTES] ^= 1;
            assert_eq!(rows(head, payload).unwrap_err(), "its checksum is wrong");
        }
    }
}
