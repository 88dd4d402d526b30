//! Names under which no query reaches a plugin's function: those of weir's own functions and of constructs.
//!
//! Knows the tables of names. Must not know a query.

use crate::dialect::Flink;
use crate::expressions::is_of_library;
use crate::series::SERIES;
use crate::spellings::TOLD;
use crate::windows::WindowKind;
use sqlparser::ast::Expr;
use sqlparser::parser::Parser;
use weir_timeline::builtin_names;

/// Why no query can call a plugin's function by this name, which is in lower case; `None` if one can.
///
/// ```
/// assert_eq!(weir_sql::taken("sqrt"), Some("is a built-in function, which queries call in its place"));
/// assert_eq!(weir_sql::taken("interval"), Some("is a word of SQL"));
/// assert_eq!(weir_sql::taken("fare_rise"), None);
/// ```
pub fn taken(name: &str) -> Option<&'static str> {
    let is_function = is_of_library(name)
        || TOLD.iter().any(|(told, ..)| *told == name)
        || builtin_names().iter().any(|builtin| builtin.eq_ignore_ascii_case(name))
        || name == SERIES
        || WindowKind::named(name).is_some();
    if is_function {
        return Some("is a built-in function, which queries call in its place");
    }
    (!is_plain_call(name)).then_some("is a word of SQL")
}

/// Whether the parser takes the name with arguments for a call of a function.
fn is_plain_call(name: &str) -> bool {
    let parse =
        |text: &str| Parser::new(&Flink).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    let is_call = |text: String| matches!(parse(&text), Ok(Expr::Function(call)) if call.name.to_string().eq_ignore_ascii_case(name));
    is_call(format!("{name}(a)")) && is_call(format!("{name}(a, b)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_weir_has_is_taken_and_plain_names_are_not() {
        let built_in =
            ["abs", "sum", "top", "series", "tumble", "session", "ceil", "lag", "json_value", "date_trunc"];
        for name in built_in {
            assert_eq!(
                taken(name),
                Some("is a built-in function, which queries call in its place"),
                "{name}"
            );
        }
        for name in ["interval", "not", "exists"] {
            assert_eq!(taken(name), Some("is a word of SQL"), "{name}");
        }
        for name in ["distance", "fare_rise", "trip", "type", "risk", "score", "value"] {
            assert_eq!(taken(name), None, "{name}");
        }
    }
}
