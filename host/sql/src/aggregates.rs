//! Calls of aggregates: which they are, their constants, and what they are bound to.
//!
//! Knows the built-in aggregates and the catalog's. Must not know windows or how arguments are computed.

use crate::expressions::shown_type;
use crate::report::{Refusal, START};
use crate::series::SERIES;
use crate::syntax::{arguments, place, single_name};
use crate::windows::interval;
use arrow_schema::DataType;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment, Spanned, UnaryOperator, Value,
};
use sqlparser::tokenizer::Location;
use std::sync::Arc;
use weir_plan::FunctionCatalog;
use weir_timeline::{Aggregate, BuiltinError, Parameter, builtin_named, builtin_names};

/// The aggregates of one project.
pub(crate) struct Aggregates<'a> {
    pub(crate) catalog: &'a dyn FunctionCatalog,
    /// The job that is planned.
    pub(crate) job: &'a str,
}

/// A call of an aggregate, its names resolved.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The name in lower case.
    pub(crate) name: String,
    pub(crate) distinct: bool,
    /// Arguments that are columns or expressions over them.
    pub(crate) arguments: Vec<Expr>,
    /// Names of the arguments, for the fields of rows.
    pub(crate) names: Vec<String>,
    /// Constants that shape the aggregate.
    pub(crate) parameters: Vec<Parameter>,
    /// FILTER (WHERE ..).
    pub(crate) filter: Option<Expr>,
    pub(crate) at: Location,
}

impl Aggregates<'_> {
    /// Whether a name, in lower case, is an aggregate's.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        name == SERIES || is_builtin(name) || self.catalog.has_aggregate(name)
    }

    /// Names of all aggregates.
    pub(crate) fn names(&self) -> Vec<String> {
        let builtin = builtin_names().iter().map(ToString::to_string);
        builtin.chain([SERIES.to_owned()]).chain(self.catalog.aggregate_names()).collect()
    }

    /// Reads a call.
    pub(crate) fn call(&self, name: &str, function: &Function) -> Result<Call, Refusal> {
        let at = function.name.span().start;
        let upper = name.to_uppercase();
        let refuse = |message: String| Err(Refusal::new(at, message));
        if !function.within_group.is_empty() {
            return refuse(format!(
                "{upper} .. WITHIN GROUP is not available; rows are always in order of time"
            ));
        }
        if function.null_treatment == Some(NullTreatment::RespectNulls) {
            return refuse(format!(
                "{upper} ignores nulls; leave RESPECT NULLS out, or make nulls a value with COALESCE"
            ));
        }
        let FunctionArguments::List(list) = &function.args else {
            return refuse(format!("{upper} needs brackets and arguments"));
        };
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::IgnoreNulls) => {}
                FunctionArgumentClause::OrderBy(_) => {
                    return refuse(format!("{upper} takes rows in order of event time; leave ORDER BY out"));
                }
                clause => return refuse(format!("{upper}(.. {clause}) is not available; leave it out")),
            }
        }
        let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
        let mut call = Call {
            name: name.to_owned(),
            distinct,
            arguments: Vec::new(),
            names: Vec::new(),
            parameters: Vec::new(),
            filter: function.filter.as_deref().cloned(),
            at,
        };
        self.read(&mut call, &list.args)?;
        Ok(call)
    }

    /// Reads what stands in the brackets: constants are parameters, all else arguments.
    fn read(&self, call: &mut Call, arguments: &[FunctionArg]) -> Result<(), Refusal> {
        let at = call.at;
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = arguments {
            return match call.name.as_str() {
                "count" => Ok(()),
                _ => Err(Refusal::new(at, "`*` is for COUNT(*) only")),
            };
        }
        let mut plain = Vec::new();
        for argument in arguments {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument else {
                return Err(Refusal::new(at, "named arguments are not available; write them in order"));
            };
            plain.push(expression);
        }
        match (call.name.as_str(), plain.as_slice()) {
            // A constant is counted as the row is.
            ("count", [only]) if constant(only).is_some() => return Ok(()),
            ("count", []) => {
                return Err(Refusal::new(at, "COUNT counts rows as COUNT(*), or the values of a column"));
            }
            ("top", plain) => check_top(plain, at)?,
            _ => {}
        }
        let is_builtin = is_builtin(&call.name);
        for argument in plain {
            // A plugin's constants stand first; later ones are its columns.
            let constants =
                if is_builtin || call.arguments.is_empty() { constants(argument, at)? } else { None };
            match constants {
                Some(constants) => call.parameters.extend(constants),
                None => call.add(argument)?,
            }
        }
        Ok(())
    }

    /// Binds a call to the types of its arguments.
    pub(crate) fn bind(&self, call: &Call, types: &[DataType]) -> Result<Arc<dyn Aggregate>, Refusal> {
        if is_builtin(&call.name) {
            let names: Vec<_> = call.names.iter().map(String::as_str).collect();
            let bound = builtin_named(&call.name, call.distinct, types, &names, &call.parameters);
            return bound.map_err(|error| Refusal::new(call.at, builtin_message(&error)));
        }
        if call.distinct {
            let message =
                format!("`{}` is a plugin's aggregate, DISTINCT is not available for it", call.name);
            return Err(Refusal::new(call.at, message));
        }
        let bound = self.catalog.aggregate(self.job, &call.name, types, &call.parameters);
        bound.map_err(|message| Refusal::new(call.at, message))
    }
}

impl Call {
    /// COUNT(*).
    pub(crate) fn count_rows() -> Call {
        Call {
            name: "count".to_owned(),
            distinct: false,
            arguments: Vec::new(),
            names: Vec::new(),
            parameters: Vec::new(),
            filter: None,
            at: START,
        }
    }

    /// Adds an argument; the fields of a ROW are arguments of their own.
    fn add(&mut self, argument: &Expr) -> Result<(), Refusal> {
        let Some(fields) = row_fields(argument) else {
            self.names.push(field_name(argument, self.names.len()));
            self.arguments.push(argument.clone());
            return Ok(());
        };
        let at = place(argument, self.at);
        if fields.is_empty() {
            return Err(Refusal::new(
                at,
                "ROW has no fields; write ROW(a, b) with the columns that it keeps",
            ));
        }
        let mut names: Vec<String> = Vec::with_capacity(fields.len());
        for field in fields {
            if row_fields(field).is_some() {
                return Err(Refusal::new(
                    place(field, at),
                    "a ROW inside a ROW is not available; write its columns",
                ));
            }
            let name = field_name(field, names.len());
            if names.contains(&name) {
                let message = format!("ROW has two fields that are called `{name}`; leave one out");
                return Err(Refusal::new(place(field, at), message));
            }
            names.push(name);
            self.arguments.push(field.clone());
        }
        self.names.append(&mut names);
        Ok(())
    }
}

/// The fields of `(a, b)`, as which `ROW(a, b)` is read.
fn row_fields(expression: &Expr) -> Option<&[Expr]> {
    match expression {
        Expr::Nested(inner) => row_fields(inner),
        Expr::Tuple(fields) => Some(fields),
        _ => None,
    }
}

/// Reads `ROW(a, b)` among the arguments of an aggregate as the tuple that it is.
pub(crate) fn read_rows(function: &mut Function) {
    for_each_argument(function, |argument| {
        if let Expr::Function(row) = argument
            && single_name(&row.name).is_some_and(|name| name.eq_ignore_ascii_case("row"))
            && let Ok(fields) = arguments(row)
        {
            *argument = Expr::Tuple(fields.into_iter().cloned().collect());
        }
    });
}

/// Takes constants among the arguments of an aggregate out of their brackets, and puts what else stands there in brackets:
/// a column of a query inside FROM may be a constant, and that is a value and not the call's option.
pub(crate) fn set_columns_apart(function: &mut Function) {
    for_each_argument(function, |argument| {
        let bare = without_brackets(argument);
        // An interval that cannot be read is told of later.
        let is_constant = !matches!(constants(&bare, Location { line: 0, column: 0 }), Ok(None));
        *argument = if is_constant { bare } else { Expr::Nested(Box::new(argument.clone())) };
    });
}

/// Takes off the brackets of [`set_columns_apart`], except those of columns that are constants.
pub(crate) fn join_columns(function: &mut Function) {
    for_each_argument(function, |argument| {
        if let Expr::Nested(inner) = argument
            && matches!(constants(&without_brackets(inner), Location { line: 0, column: 0 }), Ok(None))
        {
            *argument = (**inner).clone();
        }
    });
}

fn for_each_argument(function: &mut Function, change: impl Fn(&mut Expr)) {
    let FunctionArguments::List(list) = &mut function.args else { return };
    for argument in &mut list.args {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument {
            change(expression);
        }
    }
}

/// An expression without brackets where these can stand around a constant or in one.
fn without_brackets(expression: &Expr) -> Expr {
    match expression {
        Expr::Nested(inner) => without_brackets(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(without_brackets(expr)) }
        }
        Expr::Array(array) => {
            let mut array = array.clone();
            array.elem = array.elem.iter().map(without_brackets).collect();
            Expr::Array(array)
        }
        other => other.clone(),
    }
}

/// A field of a row is called as its column is, or by its position.
fn field_name(expression: &Expr, position: usize) -> String {
    match expression {
        Expr::Nested(inner) => field_name(inner, position),
        Expr::Identifier(column) => column.value.clone(),
        Expr::CompoundIdentifier(parts) if !parts.is_empty() => parts[parts.len() - 1].value.clone(),
        _ => format!("f{position}"),
    }
}

fn is_builtin(name: &str) -> bool {
    builtin_names().iter().any(|builtin| builtin.eq_ignore_ascii_case(name))
}

fn builtin_message(error: &BuiltinError) -> String {
    match error {
        BuiltinError::Arguments { name, takes, given } => {
            let given: Vec<_> = given.iter().map(shown_type).collect();
            format!("{name} takes {takes}, not ({})", given.join(", "))
        }
        other => other.to_string(),
    }
}

/// Says what is wrong with a call of TOP, which people write most, more closely than its type does.
fn check_top(arguments: &[&Expr], at: Location) -> Result<(), Refusal> {
    let usage =
        "TOP(10, action) for the last ten values, oldest first, or TOP(10, action, 'desc') for newest first";
    let (limit, order) = match arguments {
        [limit, _] => (limit, None),
        [limit, _, order] => (limit, Some(order)),
        _ => return Err(Refusal::new(at, format!("TOP takes how many values and of what; write {usage}"))),
    };
    let message = match (constant(limit), order.map(|order| constant(order))) {
        (Some(Parameter::Int(_)), None | Some(Some(Parameter::Text(_)))) => return Ok(()),
        (Some(Parameter::Int(_)), _) => "the third argument of TOP is 'asc' or 'desc'",
        _ => "the first argument of TOP is a whole-number constant",
    };
    Err(Refusal::new(at, format!("{message}; write {usage}")))
}

/// The parameters that an argument is, if it is a constant: an interval is its milliseconds, an array of constants
/// all of them.
pub(crate) fn constants(expression: &Expr, at: Location) -> Result<Option<Vec<Parameter>>, Refusal> {
    match expression {
        Expr::Interval(_) => Ok(Some(vec![Parameter::Int(interval(expression, at)?.millis())])),
        Expr::Array(array) => {
            Ok(array.elem.iter().map(constant).collect::<Option<Vec<_>>>().map(of_one_type))
        }
        other => Ok(constant(other).map(|value| vec![value])),
    }
}

/// Whole numbers among doubles are doubles.
fn of_one_type(mut values: Vec<Parameter>) -> Vec<Parameter> {
    if values.iter().any(|value| matches!(value, Parameter::Double(_))) {
        for value in &mut values {
            if let Parameter::Int(whole) = value {
                *value = Parameter::Double(*whole as f64);
            }
        }
    }
    values
}

/// The value of a constant.
fn constant(expression: &Expr) -> Option<Parameter> {
    match expression {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match constant(expr)? {
            Parameter::Int(value) => value.checked_neg().map(Parameter::Int),
            Parameter::Double(value) => Some(Parameter::Double(-value)),
            _ => None,
        },
        Expr::Value(value) => match &value.value {
            Value::Number(text, _) => match text.parse::<i64>() {
                Ok(whole) => Some(Parameter::Int(whole)),
                Err(_) => text.parse().ok().map(Parameter::Double),
            },
            Value::SingleQuotedString(text) => Some(Parameter::Text(text.clone())),
            Value::Boolean(value) => Some(Parameter::Bool(*value)),
            _ => None,
        },
        _ => None,
    }
}
