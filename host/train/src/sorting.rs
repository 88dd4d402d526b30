//! Rows in the order of one of their columns, however many there are: what fits is sorted in memory, the rest in runs that
//! wait in files and are merged.
//!
//! Rows of one number stay in the order in which they came. Must not know what the rows are.

use crate::checkpoint::Out;
use crate::error::TrainError;
use crate::kept_rows::KeptRows;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_format::parquet::{Pieces, push_piece};

/// Rows are handed out so many at a time, which is also how they wait in files; fewer where they are large.
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 8 << 20;

/// Takes rows in any order.
#[derive(Debug)]
pub(crate) struct Sorter {
    scratch: PathBuf,
    /// The column that they are sorted by, of whole numbers without nulls.
    by: usize,
    /// So many bytes are held in memory.
    limit: usize,
    pub(crate) held: Vec<RecordBatch>,
    pub(crate) bytes: usize,
    /// The most bytes that a row had on the average of those that were held at once.
    pub(crate) row_bytes: usize,
    pub(crate) runs: Vec<File>,
    /// How the rows came.
    pub(crate) schema: Option<SchemaRef>,
    /// Has the runs found again, where they are to be.
    pub(crate) kept: Option<KeptRows>,
}

impl Sorter {
    /// Sorts by the numbers in column `by`, in files of this folder where the rows have more than `limit` bytes.
    pub(crate) fn new(scratch: &Path, by: usize, limit: usize) -> Sorter {
        let (scratch, held, runs) = (scratch.to_owned(), Vec::new(), Vec::new());
        Sorter { scratch, by, limit, held, bytes: 0, row_bytes: 1, runs, schema: None, kept: None }
    }

    /// Takes rows, all of one schema.
    pub(crate) fn push(&mut self, rows: RecordBatch) -> Result<(), TrainError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.schema.get_or_insert_with(|| rows.schema());
        let rows = packed(&rows)?;
        self.bytes += rows.get_array_memory_size();
        self.held.push(rows);
        if self.bytes > self.limit { self.spill() } else { Ok(()) }
    }

    /// Everything that was taken, in order.
    pub(crate) fn finish(mut self) -> Result<Sorted, TrainError> {
        let schema = self.schema.take().unwrap_or_else(|| Arc::new(Schema::empty()));
        if self.runs.is_empty() {
            return Ok(Sorted { rows: Rows::Memory(self.in_order()), schema });
        }
        self.spill()?;
        let at_once = self.at_once();
        let mut merge = Merge { by: self.by, at_once, runs: Vec::new(), heads: BinaryHeap::new() };
        for mut file in self.runs {
            file.rewind()?;
            merge.runs.push(Run {
                pieces: Pieces(BufReader::with_capacity(1 << 18, file)),
                rows: None,
                at: 0,
            });
            merge.refill(merge.runs.len() - 1)?;
        }
        Ok(Sorted { rows: Rows::Files(merge), schema })
    }

    /// How many rows are handed out at a time.
    fn at_once(&self) -> usize {
        (BATCH_BYTES / self.row_bytes).clamp(1, BATCH_ROWS)
    }

    fn in_order(&mut self) -> InOrder {
        let held = std::mem::take(&mut self.held);
        let rows: usize = held.iter().map(RecordBatch::num_rows).sum();
        self.row_bytes = self.row_bytes.max(self.bytes / rows.max(1));
        self.bytes = 0;
        let mut order: Vec<(i64, u32, u32)> = Vec::with_capacity(rows);
        for (batch, rows) in held.iter().enumerate() {
            let numbers = rows.column(self.by).as_primitive::<Int64Type>().values();
            order.extend(numbers.iter().enumerate().map(|(row, number)| (*number, batch as u32, row as u32)));
        }
        // What came later has a higher batch and row.
        order.sort_unstable();
        InOrder { held, order, at: 0, at_once: self.at_once() }
    }

    fn spill(&mut self) -> Result<(), TrainError> {
        let mut sorted = self.in_order();
        let mut out = match &mut self.kept {
            Some(kept) => kept.run()?,
            None => Out::nameless(&self.scratch)?,
        };
        let mut piece = Vec::new();
        while let Some(rows) = sorted.next()? {
            piece.clear();
            push_piece(&rows, &mut piece)?;
            out.put(&piece)?;
        }
        let (run, written) = out.into_file()?;
        self.runs.push(run);
        self.kept.iter_mut().for_each(|kept| kept.runs.push(written.clone()));
        Ok(())
    }
}

/// Rows in order.
#[derive(Debug)]
pub(crate) struct Sorted {
    rows: Rows,
    schema: SchemaRef,
}

#[derive(Debug)]
enum Rows {
    Memory(InOrder),
    Files(Merge),
}

impl Sorted {
    /// Some of the rows that come next, as they came; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        let rows = match &mut self.rows {
            Rows::Memory(rows) => rows.next(),
            Rows::Files(merge) => merge.next(),
        }?;
        rows.map(|rows| unpacked(&rows, &self.schema)).transpose()
    }
}

/// Rows that hold nothing but themselves: views share what they look into with all rows of a block.
fn packed(rows: &RecordBatch) -> Result<RecordBatch, TrainError> {
    let field = |field: &Arc<Field>| Field::new(field.name(), packed_type(field.data_type()), true);
    let fields: Fields = rows.schema_ref().fields().iter().map(field).collect();
    unpacked(rows, &Arc::new(Schema::new(fields)))
}

/// The rows with these types.
fn unpacked(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, TrainError> {
    let fields = schema.fields().iter().zip(rows.columns());
    let columns: Vec<ArrayRef> =
        fields.map(|(field, column)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
    let fields: Fields =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn packed_type(data_type: &DataType) -> DataType {
    let of_field = |field: &Arc<Field>| {
        Arc::new(Field::new(field.name(), packed_type(field.data_type()), field.is_nullable()))
    };
    match data_type {
        DataType::Utf8View => DataType::LargeUtf8,
        DataType::BinaryView => DataType::LargeBinary,
        DataType::List(item) | DataType::ListView(item) => DataType::List(of_field(item)),
        DataType::Map(entries, sorted) => DataType::Map(of_field(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(of_field).collect()),
        DataType::Dictionary(_, values) => packed_type(values),
        other => other.clone(),
    }
}

/// Rows in memory.
#[derive(Debug)]
pub(crate) struct InOrder {
    held: Vec<RecordBatch>,
    /// Number, batch and row of each.
    order: Vec<(i64, u32, u32)>,
    at: usize,
    at_once: usize,
}

impl InOrder {
    fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        let end = (self.at + self.at_once).min(self.order.len());
        let places: Vec<(usize, usize)> =
            self.order[self.at..end].iter().map(|(_, batch, row)| (*batch as usize, *row as usize)).collect();
        self.at = end;
        if places.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = self.held.iter().collect();
        Ok(Some(interleave_record_batch(&held, &places)?))
    }
}

/// Runs in files, merged.
#[derive(Debug)]
pub(crate) struct Merge {
    by: usize,
    at_once: usize,
    runs: Vec<Run>,
    /// The next row's number of each run that has one, and the run: earlier ones have what came earlier.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
}

#[derive(Debug)]
struct Run {
    pieces: Pieces<BufReader<File>>,
    /// Those that come next, from `at` on.
    rows: Option<RecordBatch>,
    at: usize,
}

impl Merge {
    fn number(&self, run: usize) -> Option<i64> {
        let Run { rows, at, .. } = &self.runs[run];
        let rows = rows.as_ref().filter(|rows| *at < rows.num_rows())?;
        Some(rows.column(self.by).as_primitive::<Int64Type>().value(*at))
    }

    /// Reads the rows that come next of a run, if there are any.
    fn refill(&mut self, run: usize) -> Result<(), TrainError> {
        let Run { pieces, rows, at } = &mut self.runs[run];
        let mut next = pieces.next().transpose()?.unwrap_or_default();
        (*rows, *at) = (next.pop(), 0);
        self.heads.extend(self.number(run).map(|number| Reverse((number, run))));
        Ok(())
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        let mut places = Vec::with_capacity(self.at_once);
        let mut ended = None;
        while places.len() < self.at_once
            && let Some(Reverse((_, run))) = self.heads.pop()
        {
            places.push((run, self.runs[run].at));
            self.runs[run].at += 1;
            match self.number(run) {
                Some(number) => self.heads.push(Reverse((number, run))),
                None => {
                    // What was read of it is needed for what is handed out now.
                    ended = Some(run);
                    break;
                }
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let with_rows: Vec<usize> =
            (0..self.runs.len()).filter(|run| self.runs[*run].rows.is_some()).collect();
        let held: Vec<&RecordBatch> =
            with_rows.iter().filter_map(|run| self.runs[*run].rows.as_ref()).collect();
        for (run, _) in &mut places {
            *run = with_rows.binary_search(run).unwrap_or_default();
        }
        let rows = interleave_record_batch(&held, &places)?;
        ended.map_or(Ok(()), |run| self.refill(run))?;
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn sorted(limit: usize, numbers: &[i64]) -> Vec<(i64, String)> {
        let scratch = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(scratch.path(), 0, limit);
        for (batch, part) in numbers.chunks(1000).enumerate() {
            let named = (0..part.len()).map(|row| Some(format!("row {}", batch * 1000 + row)));
            let names: ArrayRef = Arc::new(named.collect::<StringViewArray>());
            let numbers: ArrayRef = Arc::new(Int64Array::from(part.to_vec()));
            sorter.push(RecordBatch::try_from_iter([("n", numbers), ("name", names)]).unwrap()).unwrap();
        }
        let (mut sorted, mut all) = (sorter.finish().unwrap(), Vec::new());
        while let Some(rows) = sorted.next().unwrap() {
            let numbers = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
            let names = rows.column(1).as_string_view().iter().map(|name| name.unwrap().to_owned());
            all.extend(numbers.into_iter().zip(names));
        }
        all
    }

    #[test]
    fn rows_of_files_and_of_memory_have_one_order() {
        let numbers: Vec<i64> = (0..50_000_i64).map(|row| (row * 7919) % 1013 - 500).collect();
        let mut expected: Vec<(i64, usize)> = numbers.iter().copied().zip(0..).collect();
        expected.sort_unstable();
        let expected: Vec<(i64, String)> =
            expected.into_iter().map(|(number, row)| (number, format!("row {row}"))).collect();
        for limit in [0, 200_000, usize::MAX] {
            assert_eq!(sorted(limit, &numbers), expected, "{limit} bytes in memory");
        }
        assert!(sorted(0, &[]).is_empty());
    }
}
