//! The fields of a request, of which derived features are computed: read from parameters or JSON, as a job declares them.
//!
//! A field that is given and does not fit is wrong whoever wants it; one that is missing matters to those features alone
//! that are computed of it. Must not know features.

use crate::scalar::{Scalar, ScalarColumn};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::DataType as ArrowType;
use serde_json::{Map, Value};
use std::sync::Arc;
use weir_event::DataType;
use weir_event::suggestion::shown;
use weir_format::json::read_single;
use weir_plan::definition::RequestField;

/// A field that a job declares.
#[derive(Debug, Clone)]
pub(crate) struct FieldColumn {
    pub(crate) name: String,
    data_type: DataType,
    arrow: ArrowType,
    /// How it is read where it is a single value, as a key's columns are.
    scalar: Option<ScalarColumn>,
}

/// What a request has of a field.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    /// Nothing.
    Missing,
    /// A column of one row.
    Given(ArrayRef),
    /// Something that does not fit, for this reason.
    Wrong(Arc<str>),
}

impl FieldColumn {
    pub(crate) fn new(field: &RequestField) -> FieldColumn {
        let RequestField { name, data_type, .. } = field;
        let is_single =
            !matches!(data_type, DataType::Json | DataType::Array(_) | DataType::Map(..) | DataType::Row(_));
        let arrow = data_type.to_arrow();
        FieldColumn {
            scalar: is_single.then(|| ScalarColumn::new(name, arrow.clone())),
            name: name.clone(),
            data_type: data_type.clone(),
            arrow,
        }
    }

    /// What is said where a feature wants it and it is not there.
    pub(crate) fn missing(&self) -> String {
        let noun = self.scalar.as_ref().map(|scalar| scalar.noun().into_owned());
        let noun = noun.unwrap_or_else(|| format!("a value of type {}", self.data_type));
        format!("the request field `{}` is missing; give it as {noun}", self.name)
    }

    /// Reads the text of a parameter; a list, map or record is JSON there.
    fn of_text(&self, text: &str) -> Result<ArrayRef, String> {
        let Some(scalar) = &self.scalar else {
            let value = serde_json::from_str(text);
            let value = value.map_err(|error| format!("`{}`: it is not JSON: {error}", self.name))?;
            return self.of_json(&value);
        };
        self.finite(scalar, scalar.of_text(text)?)
    }

    /// Reads a member of a JSON object; null is a value, as it is in SQL.
    fn of_json(&self, value: &Value) -> Result<ArrayRef, String> {
        match &self.scalar {
            _ if value.is_null() => Ok(new_null_array(&self.arrow, 1)),
            Some(scalar) => self.finite(scalar, scalar.of_json(value)?),
            None => read_single(value, &self.data_type).map_err(|_| {
                format!("`{}`: {} is not of type {}", self.name, shown(&value.to_string()), self.data_type)
            }),
        }
    }

    /// A number that JSON could not have written is none here either.
    fn finite(&self, scalar: &ScalarColumn, value: Scalar) -> Result<ArrayRef, String> {
        match value {
            Scalar::Double(number) if !number.is_finite() => {
                Err(format!("`{}`: `{number}` is not {}", self.name, scalar.noun()))
            }
            value => Ok(scalar.array(&value)),
        }
    }
}

impl Field {
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Field::Missing)
    }
}

fn field(read: Result<ArrayRef, String>) -> Field {
    read.map_or_else(|reason| Field::Wrong(reason.into()), Field::Given)
}

/// The fields of a job, of which `take` gives the texts.
pub(crate) fn of_texts<T: AsRef<str>>(
    columns: &[FieldColumn],
    mut take: impl FnMut(&str) -> Option<T>,
) -> Vec<Field> {
    let of = |column: &FieldColumn| match take(&column.name) {
        Some(text) => field(column.of_text(text.as_ref())),
        None => Field::Missing,
    };
    columns.iter().map(of).collect()
}

/// The fields of a job in a `request` of JSON, which may have others for other jobs.
pub(crate) fn of_members(columns: &[FieldColumn], request: &Map<String, Value>) -> Vec<Field> {
    let of = |column: &FieldColumn| match request.get(&column.name) {
        Some(value) => field(column.of_json(value)),
        None => Field::Missing,
    };
    columns.iter().map(of).collect()
}

/// Everything that is wrong with what is given.
pub(crate) fn wrong(fields: &[Field]) -> Vec<String> {
    let wrong = |field: &Field| match field {
        Field::Wrong(reason) => Some(reason.to_string()),
        Field::Missing | Field::Given(_) => None,
    };
    fields.iter().filter_map(wrong).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn columns() -> Vec<FieldColumn> {
        let types = [
            ("amount", "double"),
            ("seats", "int"),
            ("now", "timestamp"),
            ("note", "string"),
            ("tags", "array<string>"),
            ("doc", "json"),
        ];
        let column = |(name, data_type): (&str, &str)| {
            let data_type = data_type.parse().unwrap();
            FieldColumn::new(&RequestField { name: name.to_owned(), data_type, place: (1, 1) })
        };
        types.map(column).into()
    }

    fn texts(given: &[(&str, &str)]) -> Vec<Field> {
        let find = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        of_texts(&columns(), find)
    }

    #[test]
    fn parameters_and_json_come_to_the_same_columns() {
        let given = [
            ("amount", "12.5"),
            ("seats", "3"),
            ("now", "1970-01-01T00:00:01Z"),
            ("note", "12.5"),
            ("tags", r#"["a","b"]"#),
            ("doc", r#"{"a":1}"#),
        ];
        let of_json = json!({
            "amount": 12.5, "seats": 3, "now": 1000, "note": "12.5", "tags": ["a", "b"], "doc": {"a": 1}, "other": 1
        });
        let of_json = of_members(&columns(), of_json.as_object().unwrap());
        for ((text, member), column) in texts(&given).iter().zip(&of_json).zip(columns()) {
            let (Field::Given(text), Field::Given(member)) = (text, member) else {
                panic!("{text:?} {member:?}")
            };
            assert_eq!((text, text.data_type()), (member, &column.arrow));
        }
    }

    #[test]
    fn what_does_not_fit_is_wrong_and_what_is_not_there_is_missing() {
        let given =
            [("amount", "NaN"), ("seats", "3000000000"), ("now", "noon"), ("tags", "[1"), ("doc", "{}")];
        let fields = texts(&given);
        let said = [
            "`amount`: `NaN` is not a number",
            "`seats`: `3000000000` is not a whole number of 32 bits",
            "`now`: `noon` is not a time (RFC 3339, or whole milliseconds since 1970)",
            "`tags`: it is not JSON: EOF while parsing a list at line 1 column 2",
        ];
        assert_eq!(wrong(&fields), said);
        assert!(matches!(fields[3], Field::Missing));
        let of_json = json!({"amount": "12.5", "seats": null, "tags": ["a", 1], "note": 7});
        let fields = of_members(&columns(), of_json.as_object().unwrap());
        let said = [
            "`amount`: \"12.5\" is not a number",
            "`note`: 7 is not a string",
            "`tags`: [\"a\",1] is not of type array<string>",
        ];
        assert_eq!(wrong(&fields), said);
        assert!(matches!(&fields[1], Field::Given(null) if null.is_null(0)));
        assert_eq!(columns()[0].missing(), "the request field `amount` is missing; give it as a number");
        assert_eq!(
            columns()[4].missing(),
            "the request field `tags` is missing; give it as a value of type array<string>"
        );
    }
}
