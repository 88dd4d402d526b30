//! Scalar functions of weir's own: those that the expression library lacks, or has with another meaning than SQL's.
//!
//! Knows how such a function is given to the library. Must not know a query, or how a query spells its calls.

mod json;
mod json_path;
mod maps;
mod numbers;
mod parts;
mod texts;
mod units;
mod zones;

pub(in crate::expressions) use json::JSON_VALUED;
pub(crate) use json_path::JsonPath;
pub(super) use maps::ContainerPlanner;
pub(crate) use parts::part_named;
pub(crate) use units::Unit;
pub(super) use zones::{keep_instants, read_clocks};

use arrow_array::ArrayRef;
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// A function of weir's own.
#[derive(Debug, Clone, Copy)]
struct Own {
    name: &'static str,
    /// How it is called and what it gives; `None` where that is said of another spelling.
    told: Option<(&'static str, &'static str)>,
    /// What it takes, as a message says it.
    takes: &'static str,
    /// The types that arguments of these types are cast to; `None` if they are not what it takes.
    arguments: fn(&[DataType]) -> Option<Vec<DataType>>,
    /// The type of its values, by the types and the constants among its arguments.
    result: fn(&[DataType], &Constants<'_>) -> Result<DataType>,
    /// One value per row.
    call: fn(&BatchCall<'_>) -> Result<ArrayRef>,
}

/// The arguments that are constants, by position.
type Constants<'a> = [Option<&'a ScalarValue>];

/// A call over a batch.
struct BatchCall<'a> {
    arguments: &'a [ColumnarValue],
    rows: usize,
    result: &'a DataType,
}

impl BatchCall<'_> {
    /// The values of an argument.
    fn array(&self, position: usize) -> Result<ArrayRef> {
        self.arguments[position].clone().into_array(self.rows)
    }

    /// The text of an argument that is a constant.
    fn text(&self, position: usize) -> Result<&str> {
        match &self.arguments[position] {
            ColumnarValue::Scalar(constant) => constant_text(Some(constant)),
            ColumnarValue::Array(_) => None,
        }
        .ok_or_else(|| DataFusionError::Execution(format!("argument {} is a constant text", position + 1)))
    }
}

fn constant_text(constant: Option<&ScalarValue>) -> Option<&str> {
    constant.and_then(ScalarValue::try_as_str).flatten()
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Arc<ScalarUDF>> {
    OWN.iter()
}

/// How a function of this folder is called, and what it gives; `None` for those of the library, and for those that are
/// called by another spelling alone.
pub(super) fn told(function: &ScalarUDF) -> Option<(&'static str, &'static str)> {
    let any: &dyn Any = function.inner().as_ref();
    any.downcast_ref::<Function>().and_then(|function| function.own.told)
}

/// Whether a function is of this folder.
pub(super) fn is_own(function: &ScalarUDF) -> bool {
    let any: &dyn Any = function.inner().as_ref();
    any.is::<Function>()
}

/// The one of this name.
fn own(name: &str) -> Arc<ScalarUDF> {
    OWN.iter().find(|function| function.name() == name).expect("its caller names one of this folder").clone()
}

static OWN: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = [
        json::FUNCTIONS.as_slice(),
        maps::FUNCTIONS.as_slice(),
        numbers::FUNCTIONS.as_slice(),
        parts::FUNCTIONS.as_slice(),
        texts::FUNCTIONS.as_slice(),
        units::FUNCTIONS.as_slice(),
        zones::FUNCTIONS.as_slice(),
    ];
    let function = |own: &Own| {
        let signature = Signature::user_defined(Volatility::Immutable);
        Arc::new(ScalarUDF::new_from_impl(Function { own: *own, signature }))
    };
    functions.into_iter().flatten().map(function).collect()
});

#[derive(Debug)]
struct Function {
    own: Own,
    signature: Signature,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.own.name == other.own.name
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.own.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        (self.own.arguments)(given).ok_or_else(|| {
            let given: Vec<_> = given.iter().map(super::shown_type).collect();
            let message = format!("`{}` takes {}, not ({})", self.own.name, self.own.takes, given.join(", "));
            DataFusionError::Plan(message)
        })
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.own.result)(arguments, &vec![None; arguments.len()])
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<arrow_schema::FieldRef> {
        let types: Vec<_> = arguments.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let result = (self.own.result)(&types, arguments.scalar_arguments)?;
        Ok(Arc::new(arrow_schema::Field::new(self.own.name, result, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let result = arguments.return_field.data_type();
        let call = BatchCall { arguments: &arguments.args, rows: arguments.number_rows, result };
        (self.own.call)(&call).map(ColumnarValue::Array)
    }
}

/// Text, or a null that stands for one.
fn is_text(data_type: &DataType) -> bool {
    data_type.is_string() || data_type.is_null()
}

/// A whole number, or a null that stands for one.
fn is_whole(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_null()
}

/// The type in which times are computed with, if it is a time's: milliseconds, in the same zone.
fn as_time(data_type: &DataType) -> Option<DataType> {
    let zone = match data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        DataType::Date32 | DataType::Date64 | DataType::Null => None,
        _ => return None,
    };
    Some(DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, zone))
}
