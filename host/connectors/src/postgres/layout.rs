//! What the tables of a PostgreSQL sink look like: the user's table, where rows are staged, and how far each job has come.
//!
//! Knows types of columns. Must not connect.

use crate::upsert::Keep;
use arrow_schema::DataType;
use std::collections::BTreeMap;
use weir_connect::{RowIdentity, RowShape};
use weir_event::suggestion::nearest;

/// Columns that are weir's own, in the table and where rows are staged.
const OWN_COLUMNS: [&str; 10] = [
    "_time",
    "_revision",
    "_window_start",
    "_window_end",
    "_position",
    "_job",
    "_epoch",
    "_op",
    "_seq",
    "_run",
];

/// Those of them that are in the table.
const OWN_OF_TABLE: [&str; 2] = ["_time", "_revision"];

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnSource {
    /// A column of the query.
    Query(usize),
    /// A column of the entity's key that the query does not select.
    Key(usize),
    /// What tells rows of one key apart.
    Identity,
}

/// A column of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableColumn {
    pub(super) name: String,
    pub(super) source: ColumnSource,
    /// Its type in the statements that make the table.
    pub(super) declared: String,
    /// Names of the types that hold its values, or refuse them.
    others: &'static [&'static str],
    /// Whether it is of the primary key.
    pub(super) is_key: bool,
}

/// The tables of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The table's name as it was given.
    pub(super) table: String,
    pub(super) columns: Vec<TableColumn>,
    pub(super) keep: Keep,
}

impl Layout {
    /// For rows of this shape; the error is why they cannot be kept so.
    pub(super) fn of(table: &str, keep: Keep, shape: &RowShape) -> Result<Layout, String> {
        let mut columns: Vec<TableColumn> = Vec::new();
        for (at, field) in shape.columns.fields().iter().enumerate() {
            let is_key = shape.key_columns.contains(&Some(at));
            columns.push(column(field.name(), field.data_type(), ColumnSource::Query(at), is_key)?);
        }
        let unselected = shape.key_columns.iter().enumerate().filter(|(_, column)| column.is_none());
        for (at, _) in unselected {
            let field = shape.keys.field(at);
            if columns.iter().any(|column| column.name == *field.name()) {
                let name = field.name();
                return Err(format!(
                    "the query's column `{name}` is not the `{name}` that it groups by; give it another name"
                ));
            }
            columns.push(column(field.name(), field.data_type(), ColumnSource::Key(at), true)?);
        }
        if let Some(own) = columns.iter().find(|column| OWN_COLUMNS.contains(&column.name.as_str())) {
            return Err(format!(
                "the column `{}` is weir's own; give that of the query another name",
                own.name
            ));
        }
        if keep == Keep::All {
            columns.extend(identity_column(shape.identity));
        }
        if !columns.iter().any(|column| column.is_key) {
            let help = "rows have no key, so that there is no newest of each; write `keep: all`, or a query that groups";
            return Err(help.to_owned());
        }
        Ok(Layout { table: table.to_owned(), columns, keep })
    }

    /// The table, quoted.
    pub(super) fn quoted(&self) -> String {
        quoted_table(&self.table)
    }

    /// Where rows are staged, quoted.
    pub(super) fn staging(&self) -> String {
        quoted_table(&format!("{}_weir_staging", self.table))
    }

    /// How far each job has come, quoted.
    pub(super) fn epochs(&self) -> String {
        quoted_table(&format!("{}_weir_epochs", self.table))
    }

    /// The names of the columns of the primary key, quoted.
    pub(super) fn keys(&self) -> Vec<String> {
        self.columns.iter().filter(|column| column.is_key).map(|column| quoted(&column.name)).collect()
    }

    /// The statements that make the tables.
    pub(super) fn ddl(&self) -> String {
        let lines: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("  {} {}", quoted(&column.name), column.declared))
            .collect();
        let columns = lines.join(",\n");
        let (table, staging, epochs) = (self.quoted(), self.staging(), self.epochs());
        let keys = self.keys().join(", ");
        format!(
            "CREATE TABLE {table} (\n{columns},\n  _time bigint NOT NULL,\n  _revision bigint NOT NULL,\n  PRIMARY KEY ({keys})\n);\n\
             CREATE TABLE IF NOT EXISTS {staging} (\n  _job text NOT NULL,\n  _epoch bigint NOT NULL,\n  _seq bigint NOT NULL,\n  _op \"char\" NOT \
             NULL,\n{columns},\n  _time bigint NOT NULL,\n  _revision bigint NOT NULL\n);\n\
             CREATE INDEX ON {staging} (_job, _epoch);\n\
             CREATE TABLE IF NOT EXISTS {epochs} (\n  _job text PRIMARY KEY,\n  _epoch bigint NOT NULL,\n  _run text NOT NULL\n);\n"
        )
    }

    /// What does not fit of a table with these columns, by name with their types: the first column that is missing or of
    /// another type.
    pub(super) fn misfit(&self, found: &BTreeMap<String, String>) -> Option<String> {
        let own = OWN_OF_TABLE.into_iter().map(|name| (name, "bigint", &["int8"][..]));
        let wanted =
            self.columns.iter().map(|column| (column.name.as_str(), column.declared.as_str(), column.others));
        wanted.chain(own).find_map(|(name, declared, others)| match found.get(name) {
            None => {
                let near = nearest(name, found.keys().map(String::as_str));
                let near = near.map_or(String::new(), |near| format!(" (it has `{near}`)"));
                Some(format!("it has no column `{name}`{near}; add it: {} {declared}", quoted(name)))
            }
            Some(found) if others.contains(&found.as_str()) => None,
            Some(found) => {
                Some(format!("its column `{name}` is of type {found}, which does not hold {declared}"))
            }
        })
    }
}

impl Layout {
    /// What of the columns that a table must have a value of in every row these rows have not.
    pub(super) fn lacks(&self, needed: &[String]) -> Option<String> {
        let has = |name: &String| {
            OWN_OF_TABLE.contains(&name.as_str()) || self.columns.iter().any(|column| column.name == *name)
        };
        let name = needed.iter().find(|name| !has(name))?;
        Some(format!(
            "its column `{name}` takes no null and has no default, and the query has no such column"
        ))
    }
}

fn identity_column(identity: RowIdentity) -> Option<TableColumn> {
    let (name, declared, others): (_, _, &[&str]) = match identity {
        RowIdentity::WindowEnd => ("_window_end", "timestamptz", &["timestamptz"]),
        RowIdentity::WindowStart => ("_window_start", "timestamptz", &["timestamptz"]),
        RowIdentity::Event => ("_position", "text", TEXTS),
        RowIdentity::Key => return None,
    };
    let (name, declared) = (name.to_owned(), declared.to_owned());
    Some(TableColumn { name, source: ColumnSource::Identity, declared, others, is_key: true })
}

/// A number that does not fit into a narrow one is refused, and never changed.
const WHOLE_NUMBERS: &[&str] = &["int2", "int4", "int8", "numeric"];
const TEXTS: &[&str] = &["text", "varchar", "bpchar"];
const JSONS: &[&str] = &["jsonb", "json", "text", "varchar"];

fn column(
    name: &str,
    data_type: &DataType,
    source: ColumnSource,
    is_key: bool,
) -> Result<TableColumn, String> {
    let (declared, others): (String, &[&str]) = match data_type {
        DataType::Dictionary(_, values) => return column(name, values, source, is_key),
        DataType::Boolean => ("boolean".to_owned(), &["bool"]),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ("smallint".to_owned(), WHOLE_NUMBERS),
        DataType::Int32 | DataType::UInt16 => ("integer".to_owned(), WHOLE_NUMBERS),
        DataType::Int64 | DataType::UInt32 => ("bigint".to_owned(), WHOLE_NUMBERS),
        DataType::UInt64 => ("numeric(20, 0)".to_owned(), WHOLE_NUMBERS),
        DataType::Float32 => ("real".to_owned(), &["float4", "float8"]),
        DataType::Float64 => ("double precision".to_owned(), &["float8"]),
        DataType::Decimal128(digits, scale) => (format!("numeric({digits}, {scale})"), &["numeric"]),
        DataType::Utf8View | DataType::LargeUtf8 => ("text".to_owned(), TEXTS),
        // As jsonb, keys that are two texts can be one value.
        of if is_key && (*of == DataType::Utf8 || of.is_nested()) => ("text".to_owned(), TEXTS),
        DataType::Utf8 => ("jsonb".to_owned(), JSONS),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => ("bytea".to_owned(), &["bytea"]),
        DataType::Timestamp(..) => ("timestamptz".to_owned(), &["timestamptz"]),
        DataType::Date32 => ("date".to_owned(), &["date"]),
        nested if nested.is_nested() => ("jsonb".to_owned(), JSONS),
        other => {
            return Err(format!(
                "the column `{name}` of type {other} has no form there; cast it in the query"
            ));
        }
    };
    Ok(TableColumn { name: name.to_owned(), source, declared, others, is_key })
}

/// A name as PostgreSQL reads it whatever letters it has.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a table, which may stand behind that of its schema.
fn quoted_table(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}
