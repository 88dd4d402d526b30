//! Which expressions hand JSON on as JSON.
//!
//! A `json` column is text of its own layout in Arrow, and so are results of many of the library's functions over any
//! text. What is still JSON afterwards is told here by the expression: a column, or a choice among such. All else
//! that gives text gives plain text.

use super::functions::JSON_VALUED;
use super::kinds::{ALTERNATIVES, conditions};
use datafusion_common::{DFSchema, Result};
use datafusion_expr::{Expr, ExprSchemable};
use weir_event::DataType;

/// Functions whose value is a part of their argument, or made of all of them.
const PARTS: [&str; 6] =
    ["array_element", "array_slice", "get_field", "make_array", "map_extract", "map_value"];

/// Whether the text in an expression's values is JSON.
pub(super) fn is_json(expression: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(text(expression, schema)? == Text::Json)
}

/// What the text in some values is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// None, or a constant, which becomes what stands beside it.
    Any,
    Json,
    Plain,
}

impl Text {
    fn beside(self, other: Text) -> Text {
        match (self, other) {
            (Text::Any, other) | (other, Text::Any) => other,
            (Text::Json, Text::Json) => Text::Json,
            _ => Text::Plain,
        }
    }
}

fn text(expression: &Expr, schema: &DFSchema) -> Result<Text> {
    match expression {
        Expr::Literal(..) => Ok(Text::Any),
        Expr::Cast(cast) if matches!(&*cast.expr, Expr::Literal(..)) => Ok(Text::Any),
        Expr::Alias(alias) => text(&alias.expr, schema),
        Expr::Column(_) => {
            let data_type = DataType::from_arrow(&expression.get_type(schema)?);
            Ok(if data_type.is_some_and(|it| it.has_json()) { Text::Json } else { Text::Any })
        }
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| &**then);
            among(results.chain(case.else_expr.as_deref()), schema)
        }
        Expr::ScalarFunction(function) if ALTERNATIVES.contains(&function.name()) => {
            among(function.args.iter().skip(conditions(function.name())), schema)
        }
        Expr::ScalarFunction(function) if PARTS.contains(&function.name()) => {
            among(function.args.iter(), schema)
        }
        // Whatever text they take apart.
        Expr::ScalarFunction(function) if JSON_VALUED.contains(&function.name()) => Ok(Text::Json),
        _ => Ok(Text::Plain),
    }
}

fn among<'e>(mut parts: impl Iterator<Item = &'e Expr>, schema: &DFSchema) -> Result<Text> {
    parts.try_fold(Text::Any, |known, part| Ok(known.beside(text(part, schema)?)))
}
