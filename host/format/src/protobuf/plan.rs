//! How the fields of a message fill the columns that a stream declares.
//!
//! Looks at descriptors and types alone, once for each message type; must not see a value.

use crate::rows::Wanted;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use weir_event::suggestion::unknown;
use weir_event::{DataType, TimeForm, TimeUnit};

/// How the fields of a message fill columns: those of a stream, or of a row.
#[derive(Debug, Default)]
pub(super) struct MessagePlan {
    /// Fields that somebody wants.
    pub(super) slots: Vec<Slot>,
    /// Their numbers, sorted, and their places.
    numbers: Vec<(u32, usize)>,
    /// The same by small numbers, which most have: one more than the place, 0 for those that nobody wants.
    by_number: Vec<u32>,
}

/// Numbers below are found without a search.
const SMALL_NUMBERS: u32 = 256;

impl MessagePlan {
    #[inline]
    pub(super) fn slot(&self, number: u32) -> Option<usize> {
        if let Some(place) = self.by_number.get(number as usize) {
            return place.checked_sub(1).map(|place| place as usize);
        }
        if number < SMALL_NUMBERS {
            return None;
        }
        let found = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.numbers[found].1)
    }

    /// Notes where each field is found, once all are there.
    fn index(&mut self) {
        self.numbers = self.slots.iter().enumerate().map(|(place, slot)| (slot.number, place)).collect();
        self.numbers.sort_unstable();
        for (number, place) in self.numbers.iter().filter(|(number, _)| *number < SMALL_NUMBERS) {
            self.by_number.resize(*number as usize + 1, 0);
            self.by_number[*number as usize] = *place as u32 + 1;
        }
    }
}

/// A field that somebody wants.
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    /// The columns that it fills.
    pub(super) columns: Vec<(usize, FieldShape)>,
    /// How what is in it fills columns, and which.
    pub(super) below: Option<(MessagePlan, Vec<usize>)>,
}

/// How often a field's value is there.
#[derive(Debug)]
pub(super) enum FieldShape {
    /// Once; where it is not, null or what its type has as zero.
    One {
        item: Item,
        null_if_absent: bool,
    },
    List(Item),
    /// Keys, and values.
    Map(Item, Item),
    Json(MessageDescriptor, FieldDescriptor),
}

/// A single value.
#[derive(Debug)]
pub(super) enum Item {
    Scalar(Kind, TimeForm),
    /// A message of one field that may hold a value.
    Wrapped(Kind, TimeForm),
    Timestamp,
    Message(MessagePlan),
}

/// What does not fit, for a wanted column of this index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MessageMisfit {
    pub(super) column: usize,
    pub(super) why: String,
}

#[derive(Clone, Copy)]
struct SoughtField<'a> {
    column: usize,
    path: &'a [String],
    data_type: &'a DataType,
    form: &'a TimeForm,
}

/// The plan for these columns of a stream.
pub(super) fn plan(message: &MessageDescriptor, wanted: &Wanted) -> Result<MessagePlan, Vec<MessageMisfit>> {
    let sought = wanted.columns.iter().enumerate().map(|(column, of)| SoughtField {
        column,
        path: &of.path,
        data_type: &of.data_type,
        form: &of.form,
    });
    of_message(message, &sought.collect::<Vec<_>>())
}

fn of_message(
    message: &MessageDescriptor,
    sought: &[SoughtField<'_>],
) -> Result<MessagePlan, Vec<MessageMisfit>> {
    let (mut plan, mut misfits) = (MessagePlan::default(), Vec::new());
    let mut below: Vec<(FieldDescriptor, Vec<SoughtField<'_>>)> = Vec::new();
    for of in sought {
        let Some((name, rest)) = of.path.split_first() else { continue };
        let Some(field) = message.get_field_by_name(name) else {
            let known: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
            let unknown = unknown("field", name, known.iter().map(String::as_str));
            misfits.push(MessageMisfit {
                column: of.column,
                why: format!("the message `{}` does not have it: {unknown}", message.full_name()),
            });
            continue;
        };
        if !rest.is_empty() {
            let inner = SoughtField { path: rest, ..*of };
            match below.iter_mut().find(|(known, _)| *known == field) {
                Some((_, sought)) => sought.push(inner),
                None => below.push((field, vec![inner])),
            }
            continue;
        }
        match shape(message, &field, of.data_type, of.form) {
            Ok(shape) => slot(&mut plan, &field).columns.push((of.column, shape)),
            Err(why) => misfits.push(MessageMisfit { column: of.column, why }),
        }
    }
    for (field, sought) in below {
        let columns = sought.iter().map(|sought| sought.column).collect();
        let Some(inner) = field.kind().as_message().filter(|_| !field.is_list() && !field.is_map()).cloned()
        else {
            let why = format!("`{}` is {} where a message has to be", field.name(), noun(&field));
            misfits.extend(
                sought.iter().map(|sought| MessageMisfit { column: sought.column, why: why.clone() }),
            );
            continue;
        };
        match of_message(&inner, &sought) {
            Ok(inner) => slot(&mut plan, &field).below = Some((inner, columns)),
            Err(found) => misfits.extend(found),
        }
    }
    plan.index();
    if misfits.is_empty() { Ok(plan) } else { Err(misfits) }
}

fn slot<'p>(plan: &'p mut MessagePlan, field: &FieldDescriptor) -> &'p mut Slot {
    let at = plan.slots.iter().position(|slot| slot.number == field.number()).unwrap_or_else(|| {
        plan.slots.push(Slot { number: field.number(), columns: Vec::new(), below: None });
        plan.slots.len() - 1
    });
    &mut plan.slots[at]
}

/// How a field fills a column; the error says why it does not fit.
fn shape(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    data_type: &DataType,
    form: &TimeForm,
) -> Result<FieldShape, String> {
    let mismatch = || {
        let written = match form {
            TimeForm::Standard => String::new(),
            form => format!(" that is written as `{form}`"),
        };
        format!("the message has {}, which does not fit type {data_type}{written}", noun(field))
    };
    if *data_type == DataType::Json {
        return Ok(FieldShape::Json(message.clone(), field.clone()));
    }
    if let (true, Some(entry)) = (field.is_map(), field.kind().as_message()) {
        let DataType::Map(key, value) = data_type else { return Err(mismatch()) };
        let keys =
            item(&entry.map_entry_key_field().kind(), key, &TimeForm::Standard)?.ok_or_else(mismatch)?;
        let values =
            item(&entry.map_entry_value_field().kind(), value, &TimeForm::Standard)?.ok_or_else(mismatch)?;
        return Ok(FieldShape::Map(keys, values));
    }
    if field.is_list() {
        let DataType::Array(of) = data_type else { return Err(mismatch()) };
        return Ok(FieldShape::List(item(&field.kind(), of, &TimeForm::Standard)?.ok_or_else(mismatch)?));
    }
    let item = item(&field.kind(), data_type, form)?.ok_or_else(mismatch)?;
    Ok(FieldShape::One { item, null_if_absent: field.supports_presence() })
}

/// How a value of a kind fills a column; `None` where it does not.
fn item(kind: &Kind, data_type: &DataType, form: &TimeForm) -> Result<Option<Item>, String> {
    let Kind::Message(message) = kind else {
        return Ok(fits(kind, data_type, form).then(|| Item::Scalar(kind.clone(), form.clone())));
    };
    Ok(match (message.full_name(), data_type) {
        ("google.protobuf.Timestamp", DataType::Timestamp) => Some(Item::Timestamp),
        (name, _) if is_wrapper(name) => {
            let inner = message.get_field(1).map(|field| field.kind());
            let inner = inner.filter(|inner| fits(inner, data_type, form));
            inner.map(|inner| Item::Wrapped(inner, form.clone()))
        }
        (_, DataType::Row(fields)) => {
            let sought = fields.iter().enumerate().map(|(column, (name, data_type))| SoughtField {
                column,
                path: std::slice::from_ref(name),
                data_type,
                form: &TimeForm::Standard,
            });
            let plan = of_message(message, &sought.collect::<Vec<_>>()).map_err(|misfits| {
                let said = |misfit: &MessageMisfit| {
                    format!("its field `{}`: {}", fields[misfit.column].0, misfit.why)
                };
                misfits.first().map(said).unwrap_or_default()
            })?;
            Some(Item::Message(plan))
        }
        _ => None,
    })
}

fn is_wrapper(name: &str) -> bool {
    let kind = name.strip_prefix("google.protobuf.").and_then(|name| name.strip_suffix("Value"));
    kind.is_some_and(|kind| {
        ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"].contains(&kind)
    })
}

fn fits(kind: &Kind, data_type: &DataType, form: &TimeForm) -> bool {
    use DataType as T;
    let is_number = matches!(data_type, T::Bigint | T::Double | T::Decimal(_));
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            is_number || matches!(data_type, T::Int | T::Float) || is_time(data_type, form, true)
        }
        Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64
        | Kind::Uint64
        | Kind::Fixed64
        | Kind::Uint32
        | Kind::Fixed32 => is_number || *data_type == T::Float || is_time(data_type, form, true),
        Kind::Double => *data_type == T::Double || is_time(data_type, form, false),
        Kind::Float => matches!(data_type, T::Double | T::Float),
        Kind::Bool => *data_type == T::Boolean,
        Kind::String => {
            let is_text = matches!(form, TimeForm::Standard | TimeForm::Pattern(_));
            matches!(data_type, T::String | T::Bytes | T::Decimal(_) | T::Date)
                || (*data_type == T::Timestamp && is_text)
        }
        Kind::Bytes => matches!(data_type, T::Bytes | T::String),
        Kind::Enum(_) => matches!(data_type, T::String | T::Int | T::Bigint),
        Kind::Message(_) => false,
    }
}

/// Whether numbers are times of this form; fractions only where the unit is said.
fn is_time(data_type: &DataType, form: &TimeForm, is_whole: bool) -> bool {
    let is_counted = match form {
        TimeForm::Standard => is_whole,
        TimeForm::Unit(_) => true,
        TimeForm::Pattern(_) => false,
    };
    *data_type == DataType::Timestamp && is_counted
}

/// What whole numbers of times count.
pub(super) fn unit_of(form: &TimeForm) -> TimeUnit {
    if let TimeForm::Unit(unit) = form { *unit } else { TimeUnit::Millis }
}

fn noun(field: &FieldDescriptor) -> String {
    let many = if field.is_map() {
        "a map of "
    } else if field.is_list() {
        "several of "
    } else {
        "a value of "
    };
    match field.kind() {
        Kind::Message(message) => format!("{many}{}", message.full_name()),
        Kind::Enum(of) => format!("{many}{}", of.full_name()),
        kind => format!("{many}{kind:?}").to_lowercase(),
    }
}

/// Whether what one kind wrote another reads as the same.
pub(super) fn reads_as(writer: &Kind, reader: &Kind) -> bool {
    let class = |kind: &Kind| match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => 0,
        Kind::Sint32 | Kind::Sint64 => 1,
        Kind::Fixed32 | Kind::Sfixed32 => 2,
        Kind::Fixed64 | Kind::Sfixed64 => 3,
        Kind::Float => 4,
        Kind::Double => 5,
        Kind::String | Kind::Bytes => 6,
        Kind::Message(_) => 7,
    };
    class(writer) == class(reader)
}
