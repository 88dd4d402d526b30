//! The same text for the same meaning: what definition hashes are made of.
//!
//! The form is ours, so that neither spelling nor a new version of the expression library changes a hash. It is
//! also the list of the kinds of expressions that a query may hold: any other is refused here. Must not know SQL
//! text.

use super::plugin;
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Like};
use std::collections::HashMap;
use std::fmt::Write;

/// Writes an expression whose types have been coerced; `columns` gives the canonical text of each column. The
/// error names what no query may hold.
pub(super) fn canonical(expression: &Expr, columns: &HashMap<String, String>) -> Result<String, String> {
    let mut writer = Writer { columns, text: String::new() };
    writer.expression(expression)?;
    Ok(writer.text)
}

struct Writer<'a> {
    columns: &'a HashMap<String, String>,
    text: String,
}

impl Writer<'_> {
    fn expression(&mut self, expression: &Expr) -> Result<(), String> {
        match expression {
            Expr::Alias(alias) => self.expression(&alias.expr),
            Expr::Column(column) => {
                let text =
                    self.columns.get(&column.name).ok_or_else(|| format!("`{}` is unknown", column.name))?;
                self.text.push_str(text);
                Ok(())
            }
            Expr::Literal(value, _) => {
                self.text.push_str(&literal(value));
                Ok(())
            }
            Expr::BinaryExpr(binary) => self.call(&binary.op.to_string(), [&*binary.left, &*binary.right]),
            Expr::Like(like) => self.like("like", like),
            Expr::SimilarTo(like) => self.like("similar", like),
            Expr::Not(of) => self.call("not", [&**of]),
            Expr::IsNotNull(of) => self.call("is-not-null", [&**of]),
            Expr::IsNull(of) => self.call("is-null", [&**of]),
            Expr::IsTrue(of) => self.call("is-true", [&**of]),
            Expr::IsFalse(of) => self.call("is-false", [&**of]),
            Expr::IsUnknown(of) => self.call("is-unknown", [&**of]),
            Expr::IsNotTrue(of) => self.call("is-not-true", [&**of]),
            Expr::IsNotFalse(of) => self.call("is-not-false", [&**of]),
            Expr::IsNotUnknown(of) => self.call("is-not-unknown", [&**of]),
            Expr::Negative(of) => self.call("negative", [&**of]),
            Expr::Between(between) => {
                let name = if between.negated { "not-between" } else { "between" };
                self.call(name, [&*between.expr, &*between.low, &*between.high])
            }
            Expr::Case(case) => {
                let branches = case.when_then_expr.iter().flat_map(|(when, then)| [&**when, &**then]);
                let name =
                    format!("case{}{}", u8::from(case.expr.is_some()), u8::from(case.else_expr.is_some()));
                self.call(
                    &name,
                    case.expr.as_deref().into_iter().chain(branches).chain(case.else_expr.as_deref()),
                )
            }
            // Text has several layouts in memory and one meaning.
            Expr::Cast(cast) if is_same_literal(&cast.expr, cast.field.data_type()) => {
                self.expression(&cast.expr)
            }
            Expr::Cast(cast) => {
                self.call(&format!("cast-{}", type_name(cast.field.data_type())), [&*cast.expr])
            }
            Expr::TryCast(cast) => {
                self.call(&format!("try-cast-{}", type_name(cast.field.data_type())), [&*cast.expr])
            }
            Expr::ScalarFunction(function) => {
                let name = plugin::identity(&function.func).unwrap_or(function.name()).to_owned();
                self.call(&name, &function.args)
            }
            Expr::InList(list) => {
                let name = if list.negated { "not-in" } else { "in" };
                self.call(name, std::iter::once(&*list.expr).chain(&list.list))
            }
            _ => Err("this kind of expression is not available".to_owned()),
        }
    }

    fn like(&mut self, name: &str, like: &Like) -> Result<(), String> {
        let name = format!(
            "{name}{}{}{}",
            if like.negated { "-not" } else { "" },
            if like.case_insensitive { "-any-case" } else { "" },
            like.escape_char.map(|escape| format!("-escape{escape:?}")).unwrap_or_default()
        );
        self.call(&name, [&*like.expr, &*like.pattern])
    }

    fn call<'e>(&mut self, name: &str, arguments: impl IntoIterator<Item = &'e Expr>) -> Result<(), String> {
        self.text.push_str(name);
        self.text.push('(');
        for (position, argument) in arguments.into_iter().enumerate() {
            if position > 0 {
                self.text.push_str(", ");
            }
            self.expression(argument)?;
        }
        self.text.push(')');
        Ok(())
    }
}

fn is_same_literal(expression: &Expr, data_type: &DataType) -> bool {
    matches!(expression, Expr::Literal(value, _) if type_name(&value.data_type()) == type_name(data_type))
}

fn literal(value: &ScalarValue) -> String {
    if value.is_null() {
        return format!("null-{}", type_name(&value.data_type()));
    }
    match value {
        ScalarValue::Boolean(Some(value)) => value.to_string(),
        ScalarValue::Int32(Some(value)) => format!("{value}i"),
        ScalarValue::Int64(Some(value)) => value.to_string(),
        // The bits: no two doubles have the same text, and no text depends on a formatter.
        ScalarValue::Float64(Some(value)) => format!("{value:?}d{:x}", value.to_bits()),
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => {
            format!("{text:?}")
        }
        other => format!("{}-{other:?}", type_name(&other.data_type())),
    }
}

/// The name of a type in messages, as a definition spells it.
pub(crate) fn shown_type(data_type: &DataType) -> String {
    weir_event::DataType::from_arrow(data_type)
        .map_or_else(|| type_name(data_type), |known| known.to_string())
}

/// The name of a type in canonical texts, as a definition spells it where it can.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Timestamp(TimeUnit::Millisecond, None) => "timestamp".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let mut name = format!("timestamp({digits})");
            if let Some(zone) = zone {
                let _ = write!(name, " {zone}");
            }
            name
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::List(item) | DataType::LargeList(item) => format!("array<{}>", type_name(item.data_type())),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision}, {scale})")
        }
        DataType::Date32 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}
