//! How what a schema wrote fills the columns that a stream declares.
//!
//! Follows Avro's rules of resolution with the declared columns as what is read, all of which may be null: numbers may
//! become wider, a union fits where one of its types does, and a field that was not written yet has the default that the
//! reader's schema gives it. Looks at schemas and types alone, once for each schema; must not see a value.

use super::default::{MOST_DEFAULT_BYTES, default_bytes};
use super::schema::{AvroKind, Logical, Schema, SchemaField};
use crate::rows::Wanted;
use std::sync::Arc;
use weir_event::suggestion::unknown;
use weir_event::{DataType, TimeForm, TimeUnit};

/// How the value of a type fills a column.
#[derive(Debug)]
pub(super) struct Step {
    /// The type that wrote it.
    pub(super) node: usize,
    pub(super) how: How,
}

#[derive(Debug)]
pub(super) enum How {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    /// Text or bytes behind their length.
    Bytes,
    Fixed(usize),
    Uuid,
    Enum(Arc<[String]>),
    /// The whole number of a decimal's last digit, of a size where it is fixed, with so many digits after the point.
    Decimal(Option<usize>, u32),
    DecimalText,
    /// A whole number of these units.
    Time(TimeUnit),
    /// A number of these units that may have a fraction.
    TimeNumber(TimeUnit),
    TimeText(TimeForm),
    DateText,
    /// A value of any type, as JSON.
    Json,
    /// A text that is JSON.
    JsonText,
    Array(Box<Step>),
    Map(Box<Step>),
    Record(RecordPlan),
    /// A type of several; `None` for those that do not fit.
    Union(Vec<Option<Step>>),
}

/// How the fields of a record fill columns: those of a stream, or of a row.
#[derive(Debug, Default)]
pub(super) struct RecordPlan {
    pub(super) fields: Vec<FieldPlan>,
    /// Columns that nothing was written for, and what they hold.
    pub(super) absent: Vec<(usize, Absent)>,
}

/// What becomes of a field.
#[derive(Debug)]
pub(super) struct FieldPlan {
    pub(super) node: usize,
    /// The columns that its value fills.
    pub(super) columns: Vec<(usize, Step)>,
    /// Columns that what is in it fills.
    pub(super) below: Option<BelowPlan>,
}

/// How a record within a field fills columns.
#[derive(Debug)]
pub(super) struct BelowPlan {
    pub(super) how: Below,
    /// All columns below.
    pub(super) columns: Vec<usize>,
}

#[derive(Debug)]
pub(super) enum Below {
    Record(RecordPlan),
    /// Of each type whether it is null, and its record if it is one.
    Union(Vec<(bool, Option<RecordPlan>)>),
}

/// What a column holds that was not written.
#[derive(Debug)]
pub(super) enum Absent {
    Null,
    /// A value of the reader's schema.
    Default(Arc<Schema>, Vec<u8>, Step),
}

impl Absent {
    fn bytes(&self) -> usize {
        if let Absent::Default(_, bytes, _) = self { bytes.len() } else { 0 }
    }
}

/// What does not fit, for a wanted column of this index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) column: usize,
    pub(crate) why: String,
}

/// The schemas on both sides.
pub(super) struct Resolver<'a> {
    pub(super) writer: &'a Schema,
    pub(super) reader: Option<&'a Arc<Schema>>,
}

/// A column that is looked for below a record.
#[derive(Clone, Copy)]
struct Sought<'a> {
    column: usize,
    path: &'a [String],
    data_type: &'a DataType,
    form: &'a TimeForm,
}

impl Resolver<'_> {
    /// The plan for these columns of a stream, whose records must be records of Avro.
    pub(super) fn plan(&self, wanted: &Wanted) -> Result<RecordPlan, Vec<Misfit>> {
        let sought = wanted.columns.iter().enumerate().map(|(column, of)| Sought {
            column,
            path: &of.path,
            data_type: &of.data_type,
            form: &of.form,
        });
        let reader = self.reader.map(|reader| reader.root());
        self.record(self.writer.root(), reader, &sought.collect::<Vec<_>>())
    }

    /// How a record, which the writer has at `node` and the reader at `reader`, fills what is sought.
    fn record(
        &self,
        node: usize,
        reader: Option<usize>,
        sought: &[Sought<'_>],
    ) -> Result<RecordPlan, Vec<Misfit>> {
        let misfit = |sought: &Sought<'_>, why: String| Misfit { column: sought.column, why };
        let Some(fields) = self.writer.record(node) else {
            let why = format!("the schema has {} where a record has to be", self.writer.node(node).kind);
            return Err(sought.iter().map(|sought| misfit(sought, why.clone())).collect());
        };
        let mut plan = RecordPlan::default();
        plan.fields.extend(fields.iter().map(|field| FieldPlan {
            node: field.node,
            columns: Vec::new(),
            below: None,
        }));
        let mut below: Vec<(Vec<Sought<'_>>, Option<usize>)> = vec![(Vec::new(), None); fields.len()];
        let (mut misfits, mut default_bytes_left) = (Vec::new(), MOST_DEFAULT_BYTES);
        for of in sought {
            let Some((name, rest)) = of.path.split_first() else { continue };
            match self.field(fields, reader, name) {
                Err(why) => misfits.push(misfit(of, why)),
                Ok(Found::Written(at, reader)) if rest.is_empty() => {
                    match self.step(fields[at].node, reader, of.data_type, of.form) {
                        Ok(step) => plan.fields[at].columns.push((of.column, step)),
                        Err(why) => misfits.push(misfit(of, why)),
                    }
                }
                Ok(Found::Written(at, reader)) => {
                    below[at].0.push(Sought { path: rest, ..*of });
                    below[at].1 = reader;
                }
                Ok(Found::Unwritten(field)) => match self.absent(field, rest, of) {
                    Ok(absent) if absent.bytes() > default_bytes_left => {
                        let why = format!(
                            "the defaults of its record come to more than {MOST_DEFAULT_BYTES} bytes"
                        );
                        misfits.push(misfit(of, why));
                    }
                    Ok(absent) => {
                        default_bytes_left -= absent.bytes();
                        plan.absent.push((of.column, absent));
                    }
                    Err(why) => misfits.push(misfit(of, why)),
                },
            }
        }
        for (field, (sought, reader)) in plan.fields.iter_mut().zip(below) {
            if !sought.is_empty() {
                match self.below(field.node, reader, &sought) {
                    Ok(below) => field.below = Some(below),
                    Err(found) => misfits.extend(found),
                }
            }
        }
        if misfits.is_empty() { Ok(plan) } else { Err(misfits) }
    }

    fn below(
        &self,
        node: usize,
        reader: Option<usize>,
        sought: &[Sought<'_>],
    ) -> Result<BelowPlan, Vec<Misfit>> {
        let columns = sought.iter().map(|sought| sought.column).collect();
        let AvroKind::Union(branches) = &self.writer.node(node).kind else {
            return Ok(BelowPlan { how: Below::Record(self.record(node, reader, sought)?), columns });
        };
        if self.writer.record(node).is_none() {
            self.record(node, reader, sought)?;
        }
        let branch = |branch: &usize| match &self.writer.node(*branch).kind {
            AvroKind::Null => Ok((true, None)),
            AvroKind::Record(_) => Ok((false, Some(self.record(*branch, reader, sought)?))),
            _ => Ok((false, None)),
        };
        let branches = branches.iter().map(branch).collect::<Result<_, Vec<Misfit>>>()?;
        Ok(BelowPlan { how: Below::Union(branches), columns })
    }

    /// The field of this name, which the reader's schema may know under other names too.
    fn field(&self, written: &[SchemaField], reader: Option<usize>, name: &str) -> Result<Found<'_>, String> {
        let position = |name: &str| written.iter().position(|field| field.name == name);
        let known = match (self.reader, reader) {
            (Some(schema), Some(at)) => schema.record(at).map(|fields| (schema, fields)),
            _ => None,
        };
        let Some((schema, fields)) = known else {
            return Ok(position(name).map_or(Found::Unwritten(None), |at| Found::Written(at, None)));
        };
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let known = fields.iter().map(|field| field.name.as_str());
            return Err(format!("the schema does not have it: {}", unknown("field", name, known)));
        };
        let names = std::iter::once(name).chain(field.aliases.iter().map(String::as_str));
        Ok(match names.into_iter().find_map(position) {
            Some(at) => Found::Written(at, Some(field.node)),
            None => Found::Unwritten(Some((schema, field))),
        })
    }

    /// What a column holds whose field, if the reader's schema has it, was not written.
    fn absent(
        &self,
        field: Option<(&Arc<Schema>, &SchemaField)>,
        rest: &[String],
        of: &Sought<'_>,
    ) -> Result<Absent, String> {
        let Some((schema, field)) = field else { return Ok(Absent::Null) };
        let Some(default) = &field.default else {
            return Err(format!(
                "`{}` was not written, and the schema that it is read by gives it no default",
                field.name
            ));
        };
        let (mut node, mut value) = (field.node, default);
        for name in rest {
            let inner =
                schema.record(node).and_then(|fields| fields.iter().find(|field| field.name == *name));
            let Some(inner) = inner.filter(|_| value.is_object()) else { return Ok(Absent::Null) };
            node = inner.node;
            value = value.get(name).or(inner.default.as_ref()).unwrap_or(&serde_json::Value::Null);
        }
        let bytes = default_bytes(schema, node, value);
        let bytes = bytes.ok_or_else(|| {
            format!(
                "the default of `{}` is not of its type, or has more than {MOST_DEFAULT_BYTES} bytes",
                field.name
            )
        })?;
        let own = Resolver { writer: schema, reader: None };
        Ok(Absent::Default(schema.clone(), bytes, own.step(node, None, of.data_type, of.form)?))
    }

    /// How a type fills a column; the error says why it does not fit.
    fn step(
        &self,
        node: usize,
        reader: Option<usize>,
        data_type: &DataType,
        form: &TimeForm,
    ) -> Result<Step, String> {
        let how = match &self.writer.node(node).kind {
            AvroKind::Null => How::Null,
            AvroKind::Union(branches) => {
                let steps: Vec<_> =
                    branches.iter().map(|branch| self.step(*branch, reader, data_type, form)).collect();
                let is_null = |branch: &usize| self.writer.node(*branch).kind == AvroKind::Null;
                let of_value = |(branch, _): &(&usize, &Result<Step, String>)| !is_null(branch);
                let mut values = branches.iter().zip(&steps).filter(of_value).peekable();
                if values.peek().is_some() && values.all(|(_, step)| step.is_err()) {
                    let error = branches.iter().zip(steps).find(|(branch, _)| !is_null(branch));
                    return Err(error.and_then(|(_, step)| step.err()).unwrap_or_default());
                }
                How::Union(steps.into_iter().map(Result::ok).collect())
            }
            // A uuid is no JSON, and so becomes a text of it.
            AvroKind::String
                if *data_type == DataType::Json && self.writer.node(node).logical != Some(Logical::Uuid) =>
            {
                How::JsonText
            }
            _ if *data_type == DataType::Json => How::Json,
            AvroKind::Array(items) => match data_type {
                DataType::Array(of) => How::Array(Box::new(self.step(
                    *items,
                    self.reader_item(reader),
                    of,
                    &TimeForm::Standard,
                )?)),
                _ => return Err(self.mismatch(node, data_type, form)),
            },
            AvroKind::Map(values) => match data_type {
                DataType::Map(key, of) if **key == DataType::String => How::Map(Box::new(self.step(
                    *values,
                    self.reader_item(reader),
                    of,
                    &TimeForm::Standard,
                )?)),
                _ => return Err(self.mismatch(node, data_type, form)),
            },
            AvroKind::Record(_) => match data_type {
                DataType::Row(fields) => How::Record(self.row(node, reader, fields)?),
                _ => return Err(self.mismatch(node, data_type, form)),
            },
            _ => scalar(self.writer, node, data_type, form)
                .ok_or_else(|| self.mismatch(node, data_type, form))?,
        };
        Ok(Step { node, how })
    }

    fn row(
        &self,
        node: usize,
        reader: Option<usize>,
        fields: &[(String, DataType)],
    ) -> Result<RecordPlan, String> {
        let sought = fields.iter().enumerate().map(|(column, (name, data_type))| Sought {
            column,
            path: std::slice::from_ref(name),
            data_type,
            form: &TimeForm::Standard,
        });
        let plan = self.record(node, reader, &sought.collect::<Vec<_>>());
        plan.map_err(|misfits| {
            let said = |misfit: &Misfit| format!("its field `{}`: {}", fields[misfit.column].0, misfit.why);
            misfits.first().map(said).unwrap_or_default()
        })
    }

    /// What the reader's schema says of the items of an array or a map.
    fn reader_item(&self, reader: Option<usize>) -> Option<usize> {
        let item = |at: usize| match self.reader?.node(at).kind {
            AvroKind::Array(item) | AvroKind::Map(item) => Some(item),
            _ => None,
        };
        let at = reader?;
        match &self.reader?.node(at).kind {
            AvroKind::Union(branches) => branches.iter().find_map(|branch| item(*branch)),
            _ => item(at),
        }
    }

    fn mismatch(&self, node: usize, data_type: &DataType, form: &TimeForm) -> String {
        let node = self.writer.node(node);
        let what = match node.logical {
            Some(Logical::Decimal { scale }) => format!("a decimal with {scale} digits after the point"),
            Some(Logical::Uuid) => "a uuid".to_owned(),
            Some(Logical::Date) => "a date".to_owned(),
            Some(Logical::Timestamp(unit)) => format!("a time in {}", unit.noun()),
            None => format!("a value of {}", node.kind),
        };
        let written = match form {
            TimeForm::Standard => String::new(),
            form => format!(" that is written as `{form}`"),
        };
        format!("the schema has {what}, which does not fit type {data_type}{written}")
    }
}

/// A field that is looked for.
enum Found<'a> {
    /// It is the field of this index, and of this type in the reader's schema.
    Written(usize, Option<usize>),
    /// It was not written; the reader's schema may have it.
    Unwritten(Option<(&'a Arc<Schema>, &'a SchemaField)>),
}

/// How a single value fills a column; `None` where it does not.
fn scalar(schema: &Schema, node: usize, data_type: &DataType, form: &TimeForm) -> Option<How> {
    let node = schema.node(node);
    Some(match (&node.kind, node.logical, data_type) {
        (AvroKind::Boolean, _, DataType::Boolean) => How::Boolean,
        (AvroKind::Long, Some(Logical::Timestamp(unit)), DataType::Timestamp) => How::Time(unit),
        (AvroKind::Int | AvroKind::Long, None, DataType::Timestamp) => How::Time(unit_of(form)?),
        (AvroKind::Double, _, DataType::Timestamp) => How::TimeNumber(declared_unit(form)?),
        (AvroKind::String, None, DataType::Timestamp) => match form {
            TimeForm::Unit(_) => return None,
            form => How::TimeText(form.clone()),
        },
        (AvroKind::Int, Some(Logical::Date), DataType::Date) => How::Int,
        (AvroKind::String, None, DataType::Date) => How::DateText,
        (AvroKind::Int, _, DataType::Int | DataType::Bigint | DataType::Double | DataType::Float) => How::Int,
        (AvroKind::Long, _, DataType::Bigint | DataType::Double | DataType::Float) => How::Long,
        (AvroKind::Float, _, DataType::Float | DataType::Double) => How::Float,
        (AvroKind::Double, _, DataType::Double) => How::Double,
        (AvroKind::Int | AvroKind::Long, _, DataType::Decimal(_)) => How::Long,
        (AvroKind::Bytes, Some(Logical::Decimal { scale }), DataType::Decimal(_)) => {
            How::Decimal(None, scale)
        }
        (AvroKind::Fixed(size), Some(Logical::Decimal { scale }), DataType::Decimal(_)) => {
            How::Decimal(Some(*size), scale)
        }
        (AvroKind::String, _, DataType::Decimal(_)) => How::DecimalText,
        (AvroKind::Fixed(16), Some(Logical::Uuid), DataType::String) => How::Uuid,
        (AvroKind::Enum(symbols), _, DataType::String) => How::Enum(symbols.clone().into()),
        (AvroKind::String | AvroKind::Bytes, _, DataType::String | DataType::Bytes) => How::Bytes,
        (AvroKind::Fixed(size), _, DataType::Bytes) => How::Fixed(*size),
        _ => return None,
    })
}

/// What whole numbers of times count; milliseconds where nothing is said.
fn unit_of(form: &TimeForm) -> Option<TimeUnit> {
    match form {
        TimeForm::Standard => Some(TimeUnit::Millis),
        TimeForm::Unit(unit) => Some(*unit),
        TimeForm::Pattern(_) => None,
    }
}

fn declared_unit(form: &TimeForm) -> Option<TimeUnit> {
    if let TimeForm::Unit(unit) = form { Some(*unit) } else { None }
}
