//! Result rows on standard output: for looking, and for pipes.
//!
//! At-least-once: what was printed cannot be taken back. Knows a stream of bytes; must not know what a row means.

use crate::context::SinkContext;
use crate::settings::{SettingError, Settings};
use async_trait::async_trait;
use serde_json::Value;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use weir_connect::{ConnectError, Delivery, Encoder, Sink, SinkCounts, SinkRows, Token};
use weir_format::json::JsonEncoder;

/// Prints rows, each batch flushed at once.
pub struct StdoutSink {
    out: Box<dyn Write + Send>,
    encoder: Arc<dyn Encoder>,
    bytes: u64,
}

impl StdoutSink {
    fn new(out: Box<dyn Write + Send>) -> StdoutSink {
        StdoutSink { out, encoder: Arc::new(JsonEncoder::new(false)), bytes: 0 }
    }
}

impl fmt::Debug for StdoutSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StdoutSink")
    }
}

/// A `stdout` sink has no options.
pub(crate) fn sink(value: &Value, _: &SinkContext) -> Result<Box<dyn Sink>, Vec<SettingError>> {
    Settings::new(value, &[]).finish()?;
    Ok(Box::new(StdoutSink::new(Box::new(std::io::stdout()))))
}

#[async_trait]
impl Sink for StdoutSink {
    fn keeps_what_goes(&self) -> Option<&'static str> {
        Some("use a sink that has keys")
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts { bytes: self.bytes, ..SinkCounts::default() }
    }

    async fn start(&mut self, _: Option<&Token>) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let mut lines = Vec::new();
        self.encoder.encode(rows, &mut lines)?;
        // One write for all lines, so that jobs that print at the same time do not mix theirs.
        let written = self.out.write_all(&lines).and_then(|()| self.out.flush());
        self.bytes += lines.len() as u64;
        written.map_err(|error| ConnectError::external(format!("cannot write to standard output: {error}")))
    }

    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        Ok(Token::default())
    }

    async fn commit(&mut self, _: &Token) -> Result<(), ConnectError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use std::io;
    use std::sync::Mutex;
    use weir_connect::compliance;
    use weir_connect::sink::RowMeta;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn rows() -> SinkRows {
        let total: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
        let columns = RecordBatch::try_from_iter([("total", total)]).unwrap();
        SinkRows { columns, meta: RowMeta::default() }
    }

    #[tokio::test]
    async fn it_prints_a_line_per_row_and_keeps_its_promise() {
        let page = Page::default();
        let make = || -> Box<dyn Sink> { Box::new(StdoutSink::new(Box::new(page.clone()))) };
        let lines = || String::from_utf8(page.0.lock().unwrap().clone()).unwrap().lines().count();
        compliance::sink_keeps_its_promise(&make, &rows(), &lines).await.unwrap();
        assert!(page.0.lock().unwrap().starts_with(b"{\"total\":3}\n{\"total\":null}\n"));
    }

    #[tokio::test]
    async fn a_closed_pipe_is_an_error_and_no_panic() {
        let closed: Box<dyn Write + Send> = Box::new(&mut [][..]);
        let error = StdoutSink::new(closed).write(&rows()).await.unwrap_err();
        assert!(error.message.contains("standard output"), "{error}");
    }
}
