//! Rows as the lab makes them up: values that are ordinary, rare or at the edge of their type, and how they become
//! columns and are read from them. Must not know what a law is.

use crate::columns;
use crate::failure::Failure;
use crate::wire::{ColumnOut, DataType, LogicalType, ValuesOut};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType as ArrowType;
use std::fmt;

/// One value, of whatever type its column has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    /// Also a moment.
    Integer(i64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// Values by their names.
    Row(Vec<(String, Value)>),
}

/// As a person writes it; all digits of a double.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::Text(value) if value.len() > 40 => write!(f, "a text of {} bytes", value.len()),
            Value::Text(value) => write!(f, "{value:?}"),
            Value::Bytes(value) => write!(f, "{} bytes", value.len()),
            Value::List(values) => {
                let shown: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
            Value::Row(values) => {
                let shown: Vec<String> =
                    values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                write!(f, "({})", shown.join(", "))
            }
        }
    }
}

impl Value {
    /// Whether two results are the same: to the bit, or as near as sums in another order come where `nearly`.
    pub(crate) fn same(&self, other: &Value, nearly: bool) -> bool {
        match (self, other) {
            (Value::Double(a), Value::Double(b)) if a.is_nan() || b.is_nan() => a.is_nan() && b.is_nan(),
            (Value::Double(a), Value::Double(b)) if nearly => {
                (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0) || a == b
            }
            (Value::Double(a), Value::Double(b)) => a.to_bits() == b.to_bits(),
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b, nearly))
            }
            (Value::Row(a), Value::Row(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((_, a), (_, b))| a.same(b, nearly))
            }
            (a, b) => a == b,
        }
    }

    /// Plainer values to try in its place, the plainest first.
    pub(crate) fn plainer(&self) -> Vec<Value> {
        match self {
            Value::Integer(value) if value.unsigned_abs() > 1 => {
                [0, 1, value / 2].map(Value::Integer).to_vec()
            }
            Value::Double(value) if *value != 0.0 && *value != 1.0 => {
                [0.0, 1.0, value.trunc()].into_iter().filter(|it| it != value).map(Value::Double).collect()
            }
            Value::Text(value) if value.len() > 1 => vec![Value::Text("a".to_owned())],
            Value::Bytes(value) if value.len() > 1 => vec![Value::Bytes(vec![1])],
            Value::List(values) if !values.is_empty() => {
                vec![Value::List(Vec::new()), Value::List(values[..values.len() - 1].to_vec())]
            }
            _ => Vec::new(),
        }
    }
}

/// Numbers that look random and are the same for a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn choose<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }
}

/// What values are made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    /// As in everyday data: sums of them are exact.
    Ordinary,
    /// Doubles of very different sizes beside those, so that the order of a sum shows in its last bits.
    Uneven,
    /// The edges of their types.
    Extreme,
}

const UNEVEN: [f64; 6] = [1e16, -1e16, 0.1, 0.7, 1e-9, 3.3e8];
const EXTREME_DOUBLES: [f64; 9] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 0.0];
const EXTREME_INTEGERS: [i64; 6] = [i64::MAX, i64::MIN, 0, -1, 1 << 53, (1 << 53) + 1];
/// The first and the last millisecond of the years 1 and 9999.
const EXTREME_MOMENTS: [i64; 4] = [-62_135_596_800_000, 253_402_300_799_999, 0, -1];

/// A value of a type; null once in ten times.
pub(crate) fn make(data_type: DataType, taste: Taste, dice: &mut Dice) -> Value {
    if dice.one_in(10) {
        return Value::Null;
    }
    if !data_type.list {
        return flat(data_type.logical, taste, dice);
    }
    let length = if taste == Taste::Extreme && dice.one_in(4) { 1000 } else { dice.below(5) };
    Value::List((0..length).map(|_| flat(data_type.logical, taste, dice)).collect())
}

fn flat(logical: LogicalType, taste: Taste, dice: &mut Dice) -> Value {
    let extreme = taste == Taste::Extreme && dice.one_in(2);
    match logical {
        LogicalType::Boolean => Value::Boolean(dice.one_in(2)),
        LogicalType::Bigint if extreme => Value::Integer(dice.choose(&EXTREME_INTEGERS)),
        LogicalType::Bigint => Value::Integer(dice.below(201) as i64 - 100),
        LogicalType::Double if extreme => Value::Double(dice.choose(&EXTREME_DOUBLES)),
        LogicalType::Double if taste == Taste::Uneven && dice.one_in(2) => {
            Value::Double(dice.choose(&UNEVEN))
        }
        LogicalType::Double => Value::Double((dice.below(801) as f64 - 400.0) / 4.0),
        LogicalType::Timestamp if extreme => Value::Integer(dice.choose(&EXTREME_MOMENTS)),
        LogicalType::Timestamp => Value::Integer(1_700_000_000_000 + dice.below(86_400_000) as i64),
        LogicalType::Text => Value::Text(text(extreme, dice)),
        LogicalType::Bytes => Value::Bytes(text(extreme, dice).into_bytes()),
    }
}

fn text(extreme: bool, dice: &mut Dice) -> String {
    const EXTREME: [&str; 5] = ["", "\u{0}", "é\u{1F600}\u{202E}", "' OR 1=1 --", "\r\n\t"];
    match extreme {
        true if dice.one_in(5) => "x".repeat(10_000),
        true => dice.choose(&EXTREME).to_owned(),
        false => ["a", "b", "c", "dd", "eee"][dice.below(5)].to_owned(),
    }
}

/// The column of these values.
pub(crate) fn column(values: &[&Value], data_type: DataType) -> Result<ArrayRef, Failure> {
    let validity = values.iter().map(|value| u8::from(!matches!(value, Value::Null))).collect();
    let mut offsets = Vec::new();
    let mut flat: Vec<&Value> = Vec::with_capacity(values.len());
    if data_type.list {
        offsets.push(0);
        for value in values {
            if let Value::List(entries) = value {
                flat.extend(entries);
            }
            offsets.push(flat.len() as u32);
        }
    } else {
        flat.extend(values);
    }
    let column = ColumnOut { values: carried(&flat, data_type.logical), validity, offsets };
    columns::to_arrow(column, data_type, values.len())
}

fn carried(values: &[&Value], logical: LogicalType) -> ValuesOut {
    let integer = |value: &&Value| if let Value::Integer(value) = value { *value } else { 0 };
    match logical {
        LogicalType::Boolean => {
            let of = |value: &&Value| u8::from(matches!(value, Value::Boolean(true)));
            ValuesOut::Booleans(values.iter().map(of).collect())
        }
        LogicalType::Bigint | LogicalType::Timestamp => {
            ValuesOut::Int64s(values.iter().map(integer).collect())
        }
        LogicalType::Double => {
            let of = |value: &&Value| if let Value::Double(value) = value { *value } else { 0.0 };
            ValuesOut::Float64s(values.iter().map(of).collect())
        }
        LogicalType::Text => {
            let of =
                |value: &&Value| if let Value::Text(text) = value { text.clone() } else { String::new() };
            ValuesOut::Texts(values.iter().map(of).collect())
        }
        LogicalType::Bytes => {
            let of =
                |value: &&Value| if let Value::Bytes(bytes) = value { bytes.clone() } else { Vec::new() };
            ValuesOut::Blobs(values.iter().map(of).collect())
        }
    }
}

/// The values of a column.
pub(crate) fn values(array: &ArrayRef) -> Vec<Value> {
    (0..array.len()).map(|row| value(array, row)).collect()
}

fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        ArrowType::Boolean => Value::Boolean(array.as_boolean().value(row)),
        ArrowType::Int64 => Value::Integer(array.as_primitive::<Int64Type>().value(row)),
        ArrowType::Float64 => Value::Double(array.as_primitive::<Float64Type>().value(row)),
        ArrowType::Timestamp(..) => {
            Value::Integer(array.as_primitive::<TimestampMillisecondType>().value(row))
        }
        ArrowType::Utf8View => Value::Text(array.as_string_view().value(row).to_owned()),
        ArrowType::BinaryView => Value::Bytes(array.as_binary_view().value(row).to_vec()),
        ArrowType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Value::Row(columns.map(|(field, column)| (field.name().clone(), value(column, row))).collect())
        }
        _ => Value::List(values(&array.as_list::<i32>().value(row))),
    }
}
