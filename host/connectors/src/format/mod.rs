//! What raw records look like: one file or folder per format.
//!
//! A format knows bytes and columns. It must not know which source the bytes came from or which sink they go to.

pub mod json;
pub mod json_lines;

use arrow_schema::Field;
use std::collections::HashMap;
use weir_event::DataType;

/// The key in an Arrow field's metadata that carries weir's type where Arrow's does not tell: a `json` column and
/// a `string` column look alike in Arrow.
pub const TYPE_METADATA_KEY: &str = "weir.type";

/// The Arrow field of a column of this type, nullable, with its metadata.
///
/// ```
/// use weir_connectors::format::{arrow_field, is_json};
/// use weir_event::DataType;
/// assert!(is_json(&arrow_field("payload", &DataType::Json)));
/// assert!(!is_json(&arrow_field("payload", &DataType::String)));
/// ```
pub fn arrow_field(name: &str, data_type: &DataType) -> Field {
    let field = Field::new(name, data_type.to_arrow(), true);
    match data_type {
        DataType::Json => {
            field.with_metadata(HashMap::from([(TYPE_METADATA_KEY.to_owned(), "json".to_owned())]))
        }
        _ => field,
    }
}

/// Whether a field holds the text of JSON values rather than plain text.
pub fn is_json(field: &Field) -> bool {
    field.metadata().get(TYPE_METADATA_KEY).is_some_and(|name| name == "json")
}
