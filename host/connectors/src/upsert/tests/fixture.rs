//! Rows for tests of stores, and the life of a sink with a clock that moves while it waits.

use crate::context::SinkContext;
use crate::registry::tests::sink_context;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, RowIdentity, RowShape, SinkRows};
use weir_event::ManualClock;

/// A row of a test: its user, its number, the end of its window of 10 ms.
pub(crate) type TestRow = (Option<&'static str>, i64, i64);

/// Rows that were made together.
pub(crate) fn rows(of: &[TestRow], revision: u64, op: Op) -> SinkRows {
    let users: ArrayRef = Arc::new(of.iter().map(|(user, ..)| *user).collect::<StringViewArray>());
    let numbers: ArrayRef = Arc::new(of.iter().map(|(_, number, _)| *number).collect::<Int64Array>());
    let halves: ArrayRef =
        Arc::new(of.iter().map(|(_, number, _)| *number as f64 / 2.0).collect::<Float64Array>());
    let keys = RecordBatch::try_from_iter([("user", users.clone())]).unwrap();
    SinkRows {
        columns: RecordBatch::try_from_iter([("user", users), ("n", numbers), ("half", halves)]).unwrap(),
        meta: RowMeta {
            job: "j".into(),
            windows: of.iter().map(|(_, _, end)| (end - 10, *end)).collect(),
            revision,
            op,
            keys: Some(keys),
            ..RowMeta::default()
        },
    }
}

/// For the kit of keyed stores: rows of two users whose numbers are a hundred times their revision.
pub(crate) fn rows_of_revision(round: u64, revision: u64) -> SinkRows {
    let row = |user: &'static str| (Some(user), revision as i64 * 100, round as i64 * 10);
    rows(&[row("a"), row("b")], revision, Op::Upsert)
}

/// What those rows look like.
pub(crate) fn shape() -> RowShape {
    let rows = rows(&[], 0, Op::Upsert);
    RowShape {
        job: "j".into(),
        columns: rows.columns.schema(),
        keys: rows.meta.keys.as_ref().unwrap().schema(),
        key_columns: vec![Some(0)],
        identity: RowIdentity::WindowEnd,
        deletes: true,
    }
}

/// What a sink of those rows is made with; refused ones go below the folder.
pub(crate) fn context(folder: &Path, clock: &Arc<ManualClock>) -> SinkContext {
    SinkContext { data_dir: folder.to_owned(), clock: clock.clone(), ..sink_context(Some(shape())) }
}

/// The refused rows of that sink.
pub(crate) fn refused(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("refused/j/s/refused.jsonl")).unwrap_or_default()
}

/// Moves time on, a little at a time, until the work is done.
pub(crate) async fn run<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    for _ in 0..1_000_000 {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = settle() => clock.advance(Duration::from_millis(1)),
        }
    }
    panic!("it never ends");
}

/// Lets other tasks come to where they wait.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
