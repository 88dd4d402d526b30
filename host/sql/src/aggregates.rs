//! Calls of aggregates: which they are, their constants, and what they are bound to.
//!
//! Knows the built-in aggregates and the catalog's. Must not know windows or how arguments are computed.

use crate::expressions::type_name;
use crate::report::Refusal;
use arrow_schema::DataType;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment, Spanned, UnaryOperator, Value,
};
use sqlparser::tokenizer::Location;
use std::sync::Arc;
use weir_plan::Catalog;
use weir_timeline::{Aggregate, BuiltinError, Parameter, builtin, builtin_names};

/// Aggregates and window functions of other engines, refused by name until weir has them.
pub(crate) const UNAVAILABLE_AGGREGATES: [&str; 18] = [
    "approx_percentile_cont",
    "cume_dist",
    "dense_rank",
    "grouping",
    "json_arrayagg",
    "json_objectagg",
    "lag",
    "lead",
    "listagg",
    "median",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "rank",
    "row_number",
    "string_agg",
];

/// The aggregates of one project.
pub(crate) struct Aggregates<'a> {
    pub(crate) catalog: &'a dyn Catalog,
}

/// A call of an aggregate, its names resolved.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The name in lower case.
    pub(crate) name: String,
    pub(crate) distinct: bool,
    /// Arguments that are columns or expressions over them.
    pub(crate) arguments: Vec<Expr>,
    /// Constants that shape the aggregate.
    pub(crate) parameters: Vec<Parameter>,
    /// FILTER (WHERE ..).
    pub(crate) filter: Option<Expr>,
    pub(crate) at: Location,
}

impl Aggregates<'_> {
    /// Whether a name, in lower case, is an aggregate's.
    pub(crate) fn is_aggregate(&self, name: &str) -> bool {
        is_builtin(name) || self.catalog.has_aggregate(name)
    }

    /// Names of all aggregates.
    pub(crate) fn names(&self) -> Vec<String> {
        let builtin = builtin_names().iter().map(ToString::to_string);
        builtin.chain(self.catalog.aggregate_names()).collect()
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
        let (arguments, parameters) = self.arguments(name, &list.args, at)?;
        let filter = function.filter.as_deref().cloned();
        Ok(Call { name: name.to_owned(), distinct, arguments, parameters, filter, at })
    }

    fn arguments(
        &self,
        name: &str,
        arguments: &[FunctionArg],
        at: Location,
    ) -> Result<(Vec<Expr>, Vec<Parameter>), Refusal> {
        if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = arguments {
            return match name {
                "count" => Ok((Vec::new(), Vec::new())),
                _ => Err(Refusal::new(at, "`*` stands only in COUNT(*)")),
            };
        }
        let mut plain = Vec::new();
        for argument in arguments {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) = argument else {
                return Err(Refusal::new(at, "named arguments are not available; write them in order"));
            };
            plain.push(expression.clone());
        }
        match name {
            // A constant is counted as the row is.
            "count" if plain.len() == 1 && constant(&plain[0]).is_some() => Ok((Vec::new(), Vec::new())),
            "count" if plain.is_empty() => {
                Err(Refusal::new(at, "COUNT counts rows as COUNT(*), or the values of a column"))
            }
            "top" => top(plain, at),
            // Constants shape an aggregate, wherever they stand; of constants alone nothing can be computed.
            _ if is_builtin(name) && plain.iter().any(|argument| constant(argument).is_none()) => {
                let parameters = plain.iter().filter_map(constant).collect();
                plain.retain(|argument| constant(argument).is_none());
                Ok((plain, parameters))
            }
            _ if is_builtin(name) => Ok((plain, Vec::new())),
            _ => {
                let parameters: Vec<_> = plain.iter().map_while(constant).collect();
                Ok((plain.split_off(parameters.len()), parameters))
            }
        }
    }

    /// Binds a call to the types of its arguments.
    pub(crate) fn bind(&self, call: &Call, types: &[DataType]) -> Result<Arc<dyn Aggregate>, Refusal> {
        if is_builtin(&call.name) {
            let bound = builtin(&call.name, call.distinct, types, &call.parameters);
            return bound.map_err(|error| Refusal::new(call.at, builtin_message(&error)));
        }
        if call.distinct {
            let message =
                format!("`{}` is a plugin's aggregate, DISTINCT is not available for it", call.name);
            return Err(Refusal::new(call.at, message));
        }
        let bound = self.catalog.aggregate(&call.name, types, &call.parameters);
        bound.map_err(|message| Refusal::new(call.at, message))
    }
}

fn is_builtin(name: &str) -> bool {
    builtin_names().iter().any(|builtin| builtin.eq_ignore_ascii_case(name))
}

fn builtin_message(error: &BuiltinError) -> String {
    match error {
        BuiltinError::Arguments { name, takes, given } => {
            let given: Vec<_> = given.iter().map(type_name).collect();
            format!("{name} takes {takes}, not ({})", given.join(", "))
        }
        other => other.to_string(),
    }
}

/// `TOP(n, x [, 'asc' | 'desc'])`.
fn top(arguments: Vec<Expr>, at: Location) -> Result<(Vec<Expr>, Vec<Parameter>), Refusal> {
    let usage =
        "TOP(10, action) for the last ten values, oldest first, or TOP(10, action, 'desc') for newest first";
    let mut arguments = arguments.into_iter();
    let (Some(limit), Some(of), order, None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(Refusal::new(at, format!("TOP takes how many values and of what; write {usage}")));
    };
    let Some(limit @ Parameter::Int(_)) = constant(&limit) else {
        return Err(Refusal::new(
            at,
            format!("the first argument of TOP is a whole-number constant; write {usage}"),
        ));
    };
    let mut parameters = vec![limit];
    if let Some(order) = order {
        let Some(order @ Parameter::Text(_)) = constant(&order) else {
            return Err(Refusal::new(
                at,
                format!("the third argument of TOP is 'asc' or 'desc'; write {usage}"),
            ));
        };
        parameters.push(order);
    }
    Ok((vec![of], parameters))
}

/// The value of a constant.
fn constant(expression: &Expr) -> Option<Parameter> {
    match expression {
        Expr::Nested(inner) => constant(inner),
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
