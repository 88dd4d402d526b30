//! A sink that takes rows and keeps none: for measuring everything that comes before a sink.
//!
//! Rows have built all their columns before they arrive here, so what is measured is the whole way. Knows only
//! how many there were.

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use arrow_array::Array;
use async_trait::async_trait;
use serde_json::Value;
use weir_connect::{ConnectError, Delivery, Sink, SinkCounts, SinkRows, Token};

/// Counts rows and drops them.
#[derive(Debug, Default)]
pub struct DiscardSink {
    rows: u64,
    bytes: u64,
}

/// A `discard` sink has no options.
pub(crate) fn sink(value: &Value, _: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    Settings::new(value, &[]).finish()?;
    Ok(Box::new(DiscardSink::default()))
}

#[async_trait]
impl Sink for DiscardSink {
    /// Nobody reads, so nothing is ever seen twice.
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn forgets(&self) -> bool {
        true
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts { bytes: self.bytes, ..SinkCounts::default() }
    }

    async fn start(&mut self, _: Option<&Token>) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        self.rows += rows.columns.num_rows() as u64;
        let bytes = |column: &arrow_array::ArrayRef| column.get_array_memory_size() as u64;
        self.bytes += rows.columns.columns().iter().map(bytes).sum::<u64>();
        Ok(())
    }

    /// The token says how many rows and bytes were dropped since the start.
    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        Ok(Token(serde_json::json!({"rows": self.rows, "bytes": self.bytes})))
    }

    async fn commit(&mut self, _: &Token) -> Result<(), ConnectError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use std::sync::Arc;
    use weir_connect::sink::RowMeta;

    #[tokio::test]
    async fn it_counts_what_it_drops() {
        let total: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        let columns = RecordBatch::try_from_iter([("total", total)]).unwrap();
        let mut sink = DiscardSink::default();
        sink.start(None).await.unwrap();
        sink.write(&SinkRows { columns, meta: RowMeta::default() }).await.unwrap();
        let token = sink.prepare(1).await.unwrap();
        assert_eq!(token.0["rows"], 2);
        assert!(token.0["bytes"].as_u64().unwrap() > 16);
    }
}
