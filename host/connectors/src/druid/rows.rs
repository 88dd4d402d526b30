//! A row as a message for Druid: the query's columns, the key's that it does not have, and what tells rows apart.
//!
//! `__time` is the start of the row's window, as Druid names stretches of time, or its event's time. Must not know how a
//! supervisor is told of it.

use arrow_array::RecordBatch;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, Encoder, Op, Records, RowShape, SinkRows};
use weir_format::json::{JsonEncoder, push_cell};

/// Makes messages of rows.
#[derive(Debug)]
pub(super) struct DruidEncoder {
    json: JsonEncoder,
    /// The columns of the key that the query does not select.
    hidden: Vec<String>,
}

impl DruidEncoder {
    /// Of the rows of a job.
    pub(super) fn of(shape: Option<&RowShape>) -> DruidEncoder {
        let keys = shape.into_iter().flat_map(|shape| shape.keys.fields().iter().zip(&shape.key_columns));
        let hidden = keys.filter(|(_, selected)| selected.is_none()).map(|(key, _)| key.name().clone());
        DruidEncoder { json: JsonEncoder::new(false), hidden: hidden.collect() }
    }
}

impl Encoder for DruidEncoder {
    fn terminator(&self) -> &'static [u8] {
        b"\n"
    }

    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError> {
        let records = self.json.records(rows)?;
        let label = |name: &String| (name.clone(), format!(",{}:", serde_json::Value::from(name.as_str())));
        let hidden = self.hidden.iter().map(label).collect();
        Ok(Box::new(DruidRows { records, hidden, meta: &rows.meta, keys: rows.meta.keys.as_ref() }))
    }
}

/// The rows of one batch.
struct DruidRows<'r> {
    records: Box<dyn Records + 'r>,
    /// Columns and their labels.
    hidden: Vec<(String, String)>,
    meta: &'r RowMeta,
    keys: Option<&'r RecordBatch>,
}

impl Records for DruidRows<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.records.write(row, out);
        out.pop();
        for (name, label) in &self.hidden {
            if let Some(column) = self.keys.and_then(|keys| keys.column_by_name(name)) {
                out.extend_from_slice(label.as_bytes());
                push_cell(column, row, out);
            }
        }
        let meta = self.meta;
        let window = meta.windows.get(row);
        let time = window.map(|(start, _)| *start).or(meta.times.get(row).copied()).unwrap_or(0);
        let is_deleted = u8::from(meta.op == Op::Delete);
        let revision = meta.revision;
        let mut own = format!(",\"__time\":{time},\"_revision\":{revision},\"_deleted\":{is_deleted}");
        if let Some((_, end)) = window {
            own.push_str(&format!(",\"_window_end\":{end}"));
        }
        if let Some(position) = meta.identities.get(row) {
            own.push_str(&format!(",\"_event\":{}", serde_json::Value::from(position.as_str())));
        }
        out.extend_from_slice(own.as_bytes());
        out.push(b'}');
    }
}
