//! What every source and every sink must pass: called from the tests of each connector, so that a promise is
//! written once.
//!
//! A source that passes reads the same records with the same offsets from any of its own positions, however often
//! a call to its reader is given up. A sink that promises exactly-once shows nothing before `commit`, everything after
//! it, and after a restart exactly what the last token names.

pub mod keyed;

use crate::error::ConnectError;
use crate::sink::{Delivery, Sink, SinkRows, Token};
use crate::source::{Fetch, Framing, OpenPartition, RawBlock, Reader, Source};
use std::future::{Future, poll_fn};
use std::pin::pin;
use weir_event::Position;

/// A record as the kit compares it.
pub type Record = (u16, u64, Vec<u8>);

/// The records of a block with their partitions and offsets; empty lines are left out.
pub fn records(block: &RawBlock) -> Vec<Record> {
    let partition = block.partition.partition;
    match &block.framing {
        Framing::Lines { first } => {
            let data = block.data.strip_suffix(b"\n").unwrap_or(&block.data);
            data.split(|byte| *byte == b'\n')
                .zip(*first..)
                .map(|(line, offset)| (partition, offset, line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
                .filter(|(_, _, line)| !line.is_empty())
                .collect()
        }
        Framing::Records { ends, offsets } => {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            starts
                .zip(ends)
                .zip(offsets)
                .map(|((start, end), offset)| {
                    (partition, *offset, block.data[start as usize..*end as usize].to_vec())
                })
                .collect()
        }
        // What is in it only its decoder can tell: the whole stands for its records.
        Framing::Container { first, .. } => vec![(partition, *first, block.data.to_vec())],
    }
}

/// Reads a source to its present end and returns its records and the position after each block.
pub async fn read_all(
    source: &dyn Source,
    from: &[OpenPartition],
) -> Result<(Vec<Record>, Vec<(u16, Position)>), ConnectError> {
    read(source, from, async |reader| reader.next().await).await
}

async fn read(
    source: &dyn Source,
    from: &[OpenPartition],
    next: impl AsyncFn(&mut dyn Reader) -> Result<Fetch, ConnectError>,
) -> Result<(Vec<Record>, Vec<(u16, Position)>), ConnectError> {
    let mut reader = source.open(0, from, true).await?;
    let (mut all, mut positions, mut open) = (Vec::new(), Vec::new(), from.len());
    while open > 0 {
        match next(&mut *reader).await? {
            Fetch::Block(block) => {
                all.extend(records(&block));
                positions.push((block.partition.partition, block.next));
            }
            Fetch::CaughtUp(_) | Fetch::Ended(_) => open -= 1,
            Fetch::Watermark(..) | Fetch::Appeared(..) => {}
        }
    }
    Ok((all, positions))
}

/// The next fetch of a reader whose every call to `next` is dropped when it does not answer at once.
async fn next_impatiently(reader: &mut dyn Reader) -> Result<Fetch, ConnectError> {
    poll_fn(|context| {
        let answer = pin!(reader.next()).poll(context);
        // The call is gone, and with it whatever it would have been woken by.
        context.waker().wake_by_ref();
        answer
    })
    .await
}

/// A source reads the same from the start twice, also when calls to `next` are dropped all the time, and from each
/// of its own positions reads exactly the rest.
///
/// # Panics
/// When the source breaks the contract: this is a test.
pub async fn source_replays(source: &dyn Source) -> Result<(), ConnectError> {
    let start = source.partitions(&[]).await?;
    let (all, positions) = read_all(source, &start).await?;
    let (again, _) = read(source, &start, next_impatiently).await?;
    assert_eq!(sorted(all.clone()), sorted(again), "a second read differs from the first");
    for (partition, position) in positions {
        let resumed = OpenPartition { partition, from: Some(position.clone()) };
        let (rest, _) = read_all(source, &[resumed]).await?;
        let expected: Vec<_> = all
            .iter()
            .filter(|(of, offset, _)| *of == partition && *offset >= position.next)
            .cloned()
            .collect();
        assert_eq!(sorted(rest), sorted(expected), "resuming at {position:?} differs");
    }
    Ok(())
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort();
    records
}

/// A sink keeps its promise through a crash after `prepare` and one before it. `make` opens the sink anew over
/// the same place; `visible` counts the rows that a reader sees.
///
/// # Panics
/// When the sink breaks the contract: this is a test.
pub async fn sink_keeps_its_promise(
    make: &dyn Fn() -> Box<dyn Sink>,
    rows: &SinkRows,
    visible: &dyn Fn() -> usize,
) -> Result<(), ConnectError> {
    let count = rows.columns.num_rows();
    let mut sink = make();
    let exact = sink.delivery() == Delivery::ExactlyOnce;
    sink.start(None).await?;
    sink.write(rows).await?;
    let first: Token = sink.prepare(1).await?;
    if exact {
        assert_eq!(visible(), 0, "rows are visible before their checkpoint is safe");
    }
    drop(sink);

    let mut sink = make();
    sink.start(Some(&first)).await?;
    assert!(visible() >= count, "a safe checkpoint is not visible after a restart");
    sink.commit(&first).await?;
    sink.write(rows).await?;
    sink.prepare(2).await?;
    drop(sink);

    let mut sink = make();
    sink.start(Some(&first)).await?;
    if exact {
        assert_eq!(visible(), count, "rows of a checkpoint that never became safe are visible");
    }
    sink.write(rows).await?;
    let second = sink.prepare(2).await?;
    sink.commit(&second).await?;
    sink.commit(&second).await?;
    assert!(visible() >= 2 * count, "committed rows are missing");
    if exact {
        assert_eq!(visible(), 2 * count, "rows are visible more than once");
    }
    Ok(())
}
