//! Arrow columns into a guest's columns and back. Numbers are lent straight from the Arrow buffer; texts and
//! blobs are lent one by one; only what has another shape on the other side (booleans, narrow numbers, NaNs
//! with a payload, lists that were cut out of longer ones) is copied. Must not know functions or calls.

use crate::failure::{Cause, Failure};
use crate::wire::{ColumnIn, ColumnOut, DataType, Field, LogicalType, ValuesIn, ValuesOut};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type,
    UInt16Type, UInt32Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Float64Array, Int64Array, ListArray, StringViewArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, TimeUnit};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

impl DataType {
    /// Its type in Arrow: what arguments are cast to before they come here, and what results are.
    pub fn to_arrow(self) -> ArrowType {
        let flat = match self.logical {
            LogicalType::Boolean => ArrowType::Boolean,
            LogicalType::Bigint => ArrowType::Int64,
            LogicalType::Double => ArrowType::Float64,
            LogicalType::Text => ArrowType::Utf8View,
            LogicalType::Timestamp => ArrowType::Timestamp(TimeUnit::Millisecond, None),
            LogicalType::Bytes => ArrowType::BinaryView,
        };
        if self.list { ArrowType::List(Arc::new(ArrowField::new("item", flat, true))) } else { flat }
    }

    fn values(self) -> DataType {
        DataType { list: false, ..self }
    }
}

/// As a definition spells it: `double`, `array<string>`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.logical {
            LogicalType::Boolean => "boolean",
            LogicalType::Bigint => "bigint",
            LogicalType::Double => "double",
            LogicalType::Text => "string",
            LogicalType::Timestamp => "timestamp",
            LogicalType::Bytes => "bytes",
        };
        if self.list { write!(f, "array<{name}>") } else { f.write_str(name) }
    }
}

/// A column ready to be lent to a guest.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    values: LentValues<'a>,
    validity: Vec<u8>,
    offsets: Vec<u32>,
}

#[derive(Debug)]
enum LentValues<'a> {
    Booleans(Vec<u8>),
    Int64s(Cow<'a, [i64]>),
    Float64s(Cow<'a, [f64]>),
    Texts(Vec<&'a str>),
    Blobs(Vec<&'a [u8]>),
}

/// What a guest is given instead of any NaN, and what the host takes for any.
const CANONICAL_NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);

impl<'a> Lent<'a> {
    /// Lends `array`, which comes from `part` or `pick`, as a column of type `wanted`; narrower numbers are widened.
    /// An error if it is of another type, or a list holds a null.
    pub(crate) fn new(array: &'a ArrayRef, wanted: DataType) -> Result<Self, Failure> {
        if wanted.list {
            return lend_list(array, wanted);
        }
        let values = lend_values(array, wanted).ok_or_else(|| mismatch(array.data_type(), wanted))?;
        Ok(Lent { values, validity: validity_of(array), offsets: Vec::new() })
    }

    /// The column as the guest's interface has it.
    pub(crate) fn column(&'a self) -> ColumnIn<'a> {
        let values = match &self.values {
            LentValues::Booleans(values) => ValuesIn::Booleans(values),
            LentValues::Int64s(values) => ValuesIn::Int64s(values),
            LentValues::Float64s(values) => ValuesIn::Float64s(values),
            LentValues::Texts(values) => ValuesIn::Texts(values),
            LentValues::Blobs(values) => ValuesIn::Blobs(values),
        };
        ColumnIn { values, validity: &self.validity, offsets: &self.offsets }
    }
}

fn mismatch(found: &ArrowType, wanted: DataType) -> Failure {
    let found =
        weir_event::DataType::from_arrow(found).map_or_else(|| found.to_string(), |it| it.to_string());
    Failure::new(Cause::Refused, format!("an argument is of type {found}, where the function takes {wanted}"))
}

fn validity_of(array: &ArrayRef) -> Vec<u8> {
    match array.nulls() {
        Some(nulls) if nulls.null_count() > 0 => nulls.iter().map(u8::from).collect(),
        _ => Vec::new(),
    }
}

fn lend_list<'a>(array: &'a ArrayRef, wanted: DataType) -> Result<Lent<'a>, Failure> {
    let list: &ListArray = array.as_list_opt().ok_or_else(|| mismatch(array.data_type(), wanted))?;
    let ends = list.value_offsets();
    let (first, last) = (ends[0], ends[list.len()]);
    let (first, length) = (first as usize, (last - first) as usize);
    if list.values().nulls().is_some_and(|nulls| nulls.slice(first, length).null_count() > 0) {
        return Err(Failure::new(Cause::Refused, "an argument is a list that holds a null; leave nulls out"));
    }
    let offsets = ends.iter().map(|end| *end as u32 - first as u32).collect();
    let values = lend_values(list.values(), wanted.values())
        .ok_or_else(|| mismatch(array.data_type(), wanted))?
        .cut(first, length);
    Ok(Lent { values, validity: validity_of(array), offsets })
}

impl LentValues<'_> {
    fn cut(self, first: usize, length: usize) -> Self {
        fn part<T: Copy>(values: &[T], first: usize, length: usize) -> Vec<T> {
            values[first..first + length].to_vec()
        }
        match self {
            LentValues::Booleans(values) => LentValues::Booleans(part(&values, first, length)),
            LentValues::Int64s(Cow::Borrowed(values)) => {
                LentValues::Int64s(Cow::Borrowed(&values[first..first + length]))
            }
            LentValues::Int64s(Cow::Owned(values)) => {
                LentValues::Int64s(Cow::Owned(part(&values, first, length)))
            }
            LentValues::Float64s(Cow::Borrowed(values)) => {
                LentValues::Float64s(Cow::Borrowed(&values[first..first + length]))
            }
            LentValues::Float64s(Cow::Owned(values)) => {
                LentValues::Float64s(Cow::Owned(part(&values, first, length)))
            }
            LentValues::Texts(values) => LentValues::Texts(part(&values, first, length)),
            LentValues::Blobs(values) => LentValues::Blobs(part(&values, first, length)),
        }
    }
}

/// The values of a flat array, nulls as whatever stands in their place; `None` if the type does not fit.
fn lend_values(array: &ArrayRef, wanted: DataType) -> Option<LentValues<'_>> {
    match wanted.logical {
        LogicalType::Boolean => {
            Some(LentValues::Booleans(array.as_boolean_opt()?.values().iter().map(u8::from).collect()))
        }
        LogicalType::Bigint => lend_integers(array).map(LentValues::Int64s),
        LogicalType::Timestamp => {
            let times = array.as_primitive_opt::<TimestampMillisecondType>()?;
            Some(LentValues::Int64s(Cow::Borrowed(times.values())))
        }
        LogicalType::Double => lend_floats(array).map(LentValues::Float64s),
        LogicalType::Text => lend_texts(array).map(LentValues::Texts),
        LogicalType::Bytes => lend_blobs(array).map(LentValues::Blobs),
    }
}

macro_rules! widen {
    ($array:expr, $($narrow:ty),+) => {
        $(if let Some(array) = $array.as_primitive_opt::<$narrow>() {
            return Some(Cow::Owned(array.values().iter().map(|value| (*value).into()).collect()));
        })+
    };
}

fn lend_integers(array: &ArrayRef) -> Option<Cow<'_, [i64]>> {
    if let Some(array) = array.as_primitive_opt::<Int64Type>() {
        return Some(Cow::Borrowed(array.values()));
    }
    widen!(array, Int32Type, Int16Type, Int8Type, UInt32Type, UInt16Type, UInt8Type);
    None
}

fn lend_floats(array: &ArrayRef) -> Option<Cow<'_, [f64]>> {
    if let Some(array) = array.as_primitive_opt::<Float64Type>() {
        let values: &[f64] = array.values();
        let is_canonical = |value: &f64| !value.is_nan() || value.to_bits() == CANONICAL_NAN.to_bits();
        if values.iter().all(is_canonical) {
            return Some(Cow::Borrowed(values));
        }
        return Some(Cow::Owned(values.iter().map(|value| canonical(*value)).collect()));
    }
    if let Some(array) = array.as_primitive_opt::<Float32Type>() {
        return Some(Cow::Owned(array.values().iter().map(|value| canonical((*value).into())).collect()));
    }
    widen!(array, Int32Type, Int16Type, Int8Type, UInt32Type, UInt16Type, UInt8Type);
    None
}

fn canonical(value: f64) -> f64 {
    if value.is_nan() { CANONICAL_NAN } else { value }
}

fn lend_texts(array: &ArrayRef) -> Option<Vec<&str>> {
    Some(match array.data_type() {
        ArrowType::Utf8View => array.as_string_view().iter().map(Option::unwrap_or_default).collect(),
        ArrowType::Utf8 => array.as_string::<i32>().iter().map(Option::unwrap_or_default).collect(),
        ArrowType::LargeUtf8 => array.as_string::<i64>().iter().map(Option::unwrap_or_default).collect(),
        _ => return None,
    })
}

fn lend_blobs(array: &ArrayRef) -> Option<Vec<&[u8]>> {
    Some(match array.data_type() {
        ArrowType::BinaryView => array.as_binary_view().iter().map(Option::unwrap_or_default).collect(),
        ArrowType::Binary => array.as_binary::<i32>().iter().map(Option::unwrap_or_default).collect(),
        ArrowType::LargeBinary => array.as_binary::<i64>().iter().map(Option::unwrap_or_default).collect(),
        _ => return None,
    })
}

/// A guest's columns as Arrow, once each is shown to be what was promised of it.
pub(crate) fn each_to_arrow<'p>(
    columns: Vec<ColumnOut>,
    promised: impl ExactSizeIterator<Item = &'p Field>,
    rows: usize,
) -> Result<Vec<ArrayRef>, Failure> {
    if columns.len() != promised.len() {
        let (found, due) = (columns.len(), promised.len());
        return Err(Failure::new(Cause::Output, format!("gave {found} columns where {due} were due")));
    }
    let column = |(column, promised): (ColumnOut, &Field)| {
        let named = |failure: Failure| Failure {
            reason: format!("column `{}`: {}", promised.name, failure.reason),
            ..failure
        };
        to_arrow(column, promised.data_type, rows).map_err(named)
    };
    columns.into_iter().zip(promised).map(column).collect()
}

/// A guest's column as Arrow, once it is shown to be what was promised: `rows` rows of type `promised`.
pub(crate) fn to_arrow(column: ColumnOut, promised: DataType, rows: usize) -> Result<ArrayRef, Failure> {
    let wrong = |what: String| Failure::new(Cause::Output, what);
    let nulls = match column.validity.len() {
        0 => None,
        length if length == rows => {
            Some(NullBuffer::from_iter(column.validity.iter().map(|byte| *byte != 0)))
        }
        length => return Err(wrong(format!("gave {length} validity bytes for {rows} rows"))),
    };
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    if !promised.list {
        if !column.offsets.is_empty() {
            return Err(wrong(format!("gave lists, where {promised} was promised")));
        }
        return flat_to_arrow(column.values, promised, rows, nulls);
    }
    let ends = &column.offsets;
    if ends.len() != rows + 1 || ends[0] != 0 || ends.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(wrong(format!("gave offsets that do not delimit {rows} lists")));
    }
    let is_empty = |row: usize| ends[row] == ends[row + 1];
    if nulls.as_ref().is_some_and(|nulls| (0..rows).any(|row| nulls.is_null(row) && !is_empty(row))) {
        return Err(wrong("gave a null list that is not empty".to_owned()));
    }
    let values = flat_to_arrow(column.values, promised.values(), ends[rows] as usize, None)?;
    // The values are as many as the last offset says, and Arrow counts them in 31 bits.
    if i32::try_from(ends[rows]).is_err() {
        return Err(wrong(format!("gave {} list entries in one call", ends[rows])));
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(ends.iter().map(|end| *end as i32)));
    let field = Arc::new(ArrowField::new("item", values.data_type().clone(), true));
    ListArray::try_new(field, offsets, values, nulls)
        .map(|list| Arc::new(list) as ArrayRef)
        .map_err(|error| wrong(format!("gave lists that do not fit together: {error}")))
}

fn flat_to_arrow(
    values: ValuesOut,
    promised: DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, Failure> {
    let (found, length) = match &values {
        ValuesOut::Booleans(values) => ("booleans", values.len()),
        ValuesOut::Int64s(values) => ("int64s", values.len()),
        ValuesOut::Float64s(values) => ("float64s", values.len()),
        ValuesOut::Texts(values) => ("texts", values.len()),
        ValuesOut::Blobs(values) => ("blobs", values.len()),
    };
    if length != rows {
        return Err(Failure::new(Cause::Output, format!("gave {length} values where {rows} were due")));
    }
    let is_null = |row: usize| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
    Ok(match (values, promised.logical) {
        (ValuesOut::Booleans(values), LogicalType::Boolean) => {
            let values = BooleanBuffer::from_iter(values.iter().map(|byte| *byte != 0));
            Arc::new(BooleanArray::new(values, nulls))
        }
        (ValuesOut::Int64s(values), LogicalType::Bigint) => Arc::new(Int64Array::new(values.into(), nulls)),
        (ValuesOut::Int64s(values), LogicalType::Timestamp) => {
            Arc::new(TimestampMillisecondArray::new(values.into(), nulls))
        }
        (ValuesOut::Float64s(mut values), LogicalType::Double) => {
            values.iter_mut().for_each(|value| *value = canonical(*value));
            Arc::new(Float64Array::new(values.into(), nulls))
        }
        (ValuesOut::Texts(values), LogicalType::Text) => Arc::new(StringViewArray::from_iter(
            values.iter().enumerate().map(|(row, text)| (!is_null(row)).then_some(text)),
        )),
        (ValuesOut::Blobs(values), LogicalType::Bytes) => Arc::new(BinaryViewArray::from_iter(
            values.iter().enumerate().map(|(row, blob)| (!is_null(row)).then_some(blob)),
        )),
        _ => return Err(Failure::new(Cause::Output, format!("gave {found}, where {promised} was promised"))),
    })
}

/// Adjacent rows of a column, to be lent.
pub(crate) fn part(array: &ArrayRef, first: usize, rows: usize) -> ArrayRef {
    compact(array.slice(first, rows))
}

/// Some rows of a column, in the order of `rows`, to be lent.
pub(crate) fn pick(array: &ArrayRef, rows: &[u32]) -> ArrayRef {
    let follow = rows.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    match rows.first() {
        None => array.slice(0, 0),
        Some(first) if follow => part(array, *first as usize, rows.len()),
        Some(_) => {
            let rows = UInt32Array::from(rows.to_vec());
            compact(arrow_select::take::take(array, &rows, None).expect("row numbers are within the batch"))
        }
    }
}

/// Makes null lists empty, as guests are promised; Arrow may hide values behind them.
fn compact(array: ArrayRef) -> ArrayRef {
    let Some(list) = array.as_list_opt::<i32>() else { return array };
    let ends = list.value_offsets();
    if (0..list.len()).all(|row| list.is_valid(row) || ends[row] == ends[row + 1]) {
        return array;
    }
    let range = |row: usize| if list.is_valid(row) { ends[row]..ends[row + 1] } else { 0..0 };
    let kept = UInt32Array::from_iter_values((0..list.len()).flat_map(range).map(|entry| entry as u32));
    let offsets = OffsetBuffer::from_lengths((0..list.len()).map(|row| range(row).len()));
    let values = arrow_select::take::take(list.values(), &kept, None).expect("offsets are within the values");
    let field = Arc::new(ArrowField::new("item", values.data_type().clone(), true));
    Arc::new(ListArray::new(field, offsets, values, list.nulls().cloned()))
}

/// Pieces of one column as one; `data_type` is theirs.
pub(crate) fn join(pieces: &[ArrayRef], data_type: &ArrowType) -> ArrayRef {
    match pieces {
        [] => arrow_array::new_empty_array(data_type),
        [piece] => Arc::clone(piece),
        pieces => {
            let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| &**piece).collect();
            arrow_select::concat::concat(&pieces).expect("pieces of one column have its type")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::builder::{Int64Builder, ListBuilder};
    use arrow_array::{Float32Array, Int32Array, StringArray};

    const fn flat(logical: LogicalType) -> DataType {
        DataType { logical, list: false }
    }
    const BIGINTS: DataType = DataType { logical: LogicalType::Bigint, list: true };

    /// What a guest that returns its argument gives back.
    fn echo(column: ColumnIn<'_>) -> ColumnOut {
        let values = match column.values {
            ValuesIn::Booleans(values) => ValuesOut::Booleans(values.to_vec()),
            ValuesIn::Int64s(values) => ValuesOut::Int64s(values.to_vec()),
            ValuesIn::Float64s(values) => ValuesOut::Float64s(values.to_vec()),
            ValuesIn::Texts(values) => ValuesOut::Texts(values.iter().map(ToString::to_string).collect()),
            ValuesIn::Blobs(values) => ValuesOut::Blobs(values.iter().map(|blob| blob.to_vec()).collect()),
        };
        ColumnOut { values, validity: column.validity.to_vec(), offsets: column.offsets.to_vec() }
    }

    fn there_and_back(array: ArrayRef, data_type: DataType) -> ArrayRef {
        let lent = Lent::new(&array, data_type).unwrap();
        to_arrow(echo(lent.column()), data_type, array.len()).unwrap()
    }

    fn list(rows: &[Option<&[i64]>]) -> ArrayRef {
        let mut builder = ListBuilder::new(Int64Builder::new());
        for row in rows {
            builder.append_option(row.map(|row| row.iter().map(|value| Some(*value)).collect::<Vec<_>>()));
        }
        Arc::new(builder.finish())
    }

    #[test]
    fn every_type_goes_there_and_back() {
        let columns: [(ArrayRef, LogicalType); 6] = [
            (Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), LogicalType::Boolean),
            (Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)])), LogicalType::Bigint),
            (Arc::new(Float64Array::from(vec![Some(-0.0), None, Some(f64::INFINITY)])), LogicalType::Double),
            (Arc::new(StringViewArray::from(vec![Some("é"), None, Some("")])), LogicalType::Text),
            (
                Arc::new(TimestampMillisecondArray::from(vec![Some(-1), None, Some(2)])),
                LogicalType::Timestamp,
            ),
            (
                Arc::new(BinaryViewArray::from(vec![
                    Some(&b"\xff"[..]),
                    None,
                    Some(&b"longer than a view holds"[..]),
                ])),
                LogicalType::Bytes,
            ),
        ];
        for (column, logical) in columns {
            let data_type = flat(logical);
            assert_eq!(column.data_type(), &data_type.to_arrow());
            assert_eq!(&there_and_back(Arc::clone(&column), data_type), &column);
            let part = column.slice(1, 2);
            assert_eq!(&there_and_back(Arc::clone(&part), data_type), &part);
        }
    }

    #[test]
    fn lists_go_there_and_back_also_from_the_middle() {
        let lists = list(&[Some(&[1, 2]), None, Some(&[]), Some(&[3])]);
        assert_eq!(lists.data_type(), &BIGINTS.to_arrow());
        for (first, length) in [(0, 4), (1, 3), (3, 1), (0, 0)] {
            let part = lists.slice(first, length);
            let lent = Lent::new(&part, BIGINTS).unwrap();
            assert_eq!(lent.offsets[0], 0);
            assert_eq!(&there_and_back(Arc::clone(&part), BIGINTS), &part);
        }
    }

    #[test]
    fn numbers_are_lent_not_copied() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN, 2.0]));
        let lent = Lent::new(&array, flat(LogicalType::Double)).unwrap();
        assert!(matches!(lent.values, LentValues::Float64s(Cow::Borrowed(_))));
        let odd_nan = f64::from_bits(f64::NAN.to_bits() | 5);
        let array: ArrayRef = Arc::new(Float64Array::from(vec![odd_nan]));
        let back = there_and_back(array, flat(LogicalType::Double));
        assert_eq!(back.as_primitive::<Float64Type>().value(0).to_bits(), CANONICAL_NAN.to_bits());
    }

    #[test]
    fn narrow_types_are_widened_and_others_refused() {
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(-5), None]));
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(-5), None]));
        assert_eq!(&there_and_back(Arc::clone(&ints), flat(LogicalType::Bigint)), &expected);
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![Some(-5.0), None]));
        assert_eq!(&there_and_back(Arc::clone(&ints), flat(LogicalType::Double)), &expected);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.5]));
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![0.5]));
        assert_eq!(&there_and_back(Arc::clone(&floats), flat(LogicalType::Double)), &expected);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let expected: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
        assert_eq!(&there_and_back(texts, flat(LogicalType::Text)), &expected);
        let error = Lent::new(&floats, flat(LogicalType::Bigint)).unwrap_err();
        assert_eq!(error.reason, "an argument is of type float, where the function takes bigint");
    }

    #[test]
    fn values_hidden_behind_a_null_list_stay_hidden() {
        let whole = list(&[Some(&[1, 2]), Some(&[3]), Some(&[4, 5])]);
        let whole = whole.as_list::<i32>();
        let nulls = NullBuffer::from(vec![true, false, true]);
        let field = Arc::new(ArrowField::new("item", ArrowType::Int64, true));
        let hidden: ArrayRef =
            Arc::new(ListArray::new(field, whole.offsets().clone(), Arc::clone(whole.values()), Some(nulls)));
        let expected = list(&[Some(&[1, 2]), None, Some(&[4, 5])]);
        assert_eq!(&there_and_back(part(&hidden, 0, 3), BIGINTS), &expected);
        assert_eq!(&there_and_back(pick(&hidden, &[2, 1]), BIGINTS), &list(&[Some(&[4, 5]), None]));
    }

    #[test]
    fn a_null_in_a_list_is_refused() {
        let mut builder = ListBuilder::new(Int64Builder::new());
        builder.append_value([Some(1), None]);
        let array: ArrayRef = Arc::new(builder.finish());
        assert!(Lent::new(&array, BIGINTS).unwrap_err().reason.contains("holds a null"));
    }

    #[test]
    fn what_a_guest_gives_is_not_believed() {
        let column = |values: Vec<i64>, validity: Vec<u8>, offsets: Vec<u32>| ColumnOut {
            values: ValuesOut::Int64s(values),
            validity,
            offsets,
        };
        let flat = flat(LogicalType::Bigint);
        let double = DataType { logical: LogicalType::Double, list: false };
        for (column, promised, reason) in [
            (column(vec![1], vec![], vec![]), flat, "gave 1 values where 2 were due"),
            (column(vec![1, 2], vec![1], vec![]), flat, "gave 1 validity bytes for 2 rows"),
            (column(vec![1, 2], vec![], vec![0, 1, 2]), flat, "gave lists, where bigint was promised"),
            (column(vec![1, 2], vec![], vec![]), double, "gave int64s, where double was promised"),
            (column(vec![1, 2], vec![], vec![]), BIGINTS, "gave offsets that do not delimit 2 lists"),
            (column(vec![1, 2], vec![], vec![0, 2, 1]), BIGINTS, "gave offsets that do not delimit 2 lists"),
            (column(vec![1, 2], vec![], vec![1, 1, 2]), BIGINTS, "gave offsets that do not delimit 2 lists"),
            (column(vec![1, 2], vec![], vec![0, 1, 9]), BIGINTS, "gave 2 values where 9 were due"),
            (column(vec![1, 2], vec![0, 1], vec![0, 1, 2]), BIGINTS, "gave a null list that is not empty"),
        ] {
            let failure = to_arrow(column, promised, 2).unwrap_err();
            assert_eq!((failure.cause, failure.reason.as_str()), (Cause::Output, reason));
        }
    }
}
