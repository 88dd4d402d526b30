//! A schema of Avro, as its JSON text says it.
//!
//! Knows the language of schemas. Must not know any value. Types that have names may name themselves, so types are numbers
//! into a list.

use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use weir_event::TimeUnit;

/// A schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    nodes: Vec<Node>,
    root: usize,
    /// Of each type whether its values take no bytes at all.
    empty: Vec<bool>,
}

/// A type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: AvroKind,
    pub(super) logical: Option<Logical>,
}

/// What its values are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AvroKind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<SchemaField>),
}

impl fmt::Display for AvroKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AvroKind::Null => "null",
            AvroKind::Boolean => "boolean",
            AvroKind::Int => "int",
            AvroKind::Long => "long",
            AvroKind::Float => "float",
            AvroKind::Double => "double",
            AvroKind::Bytes => "bytes",
            AvroKind::String => "string",
            AvroKind::Fixed(_) => "fixed",
            AvroKind::Enum(_) => "enum",
            AvroKind::Array(_) => "array",
            AvroKind::Map(_) => "map",
            AvroKind::Union(_) => "union",
            AvroKind::Record(_) => "record",
        })
    }
}

/// What its values mean. Others than these are as if they were not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal { scale: u32 },
    Uuid,
    Date,
    Timestamp(TimeUnit),
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SchemaField {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) node: usize,
    pub(super) default: Option<Value>,
}

impl Schema {
    /// Reads a schema; `named` are the texts of those that it names and does not hold, in an order in which each names
    /// only those before it. The error says what is wrong.
    pub(crate) fn parse(text: &str, named: &[String]) -> Result<Schema, String> {
        let mut parser = Parser { nodes: Vec::new(), names: HashMap::new() };
        for text in named {
            parser.text(text)?;
        }
        let root = parser.text(text)?;
        let empty = empty(&parser.nodes);
        Ok(Schema { nodes: parser.nodes, root, empty })
    }

    /// Whether values of a type take no bytes: a record of such records is passed over at once, as there may be as many of
    /// them in it as no processor can count.
    pub(super) fn takes_nothing(&self, at: usize) -> bool {
        self.empty[at]
    }

    pub(super) fn node(&self, at: usize) -> &Node {
        &self.nodes[at]
    }

    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The fields of a record, also of one beside which a union has only null; `None` for what is not a record.
    pub(super) fn record(&self, at: usize) -> Option<&[SchemaField]> {
        match &self.node(at).kind {
            AvroKind::Record(fields) => Some(fields),
            AvroKind::Union(branches) => branches.iter().find_map(|branch| match &self.node(*branch).kind {
                AvroKind::Record(fields) => Some(fields.as_slice()),
                _ => None,
            }),
            _ => None,
        }
    }
}

/// Of each type whether its values take no bytes, found from those within to those around them.
fn empty(nodes: &[Node]) -> Vec<bool> {
    let mut empty = vec![false; nodes.len()];
    loop {
        let mut is_settled = true;
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.may_take_nothing()) {
            let is_empty = match &node.kind {
                AvroKind::Record(fields) => fields.iter().all(|field| empty[field.node]),
                _ => true,
            };
            is_settled &= empty[at] == is_empty;
            empty[at] = is_empty;
        }
        if is_settled {
            return empty;
        }
    }
}

impl Node {
    fn may_take_nothing(&self) -> bool {
        matches!(self.kind, AvroKind::Null | AvroKind::Fixed(0) | AvroKind::Record(_))
    }
}

struct Parser {
    nodes: Vec<Node>,
    /// Types by their full names.
    names: HashMap<String, usize>,
}

impl Parser {
    fn text(&mut self, text: &str) -> Result<usize, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("not a schema of Avro: {error}"))?;
        self.value(&value, "")
    }

    fn push(&mut self, kind: AvroKind, logical: Option<Logical>) -> usize {
        self.nodes.push(Node { kind, logical });
        self.nodes.len() - 1
    }

    fn value(&mut self, value: &Value, space: &str) -> Result<usize, String> {
        match value {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => {
                let branches =
                    branches.iter().map(|branch| self.value(branch, space)).collect::<Result<_, _>>()?;
                Ok(self.push(AvroKind::Union(branches), None))
            }
            Value::Object(members) => self.object(members, space),
            other => Err(format!("not a schema of Avro: `{other}` is not a type")),
        }
    }

    fn named(&mut self, name: &str, space: &str) -> Result<usize, String> {
        let kind = match name {
            "null" => AvroKind::Null,
            "boolean" => AvroKind::Boolean,
            "int" => AvroKind::Int,
            "long" => AvroKind::Long,
            "float" => AvroKind::Float,
            "double" => AvroKind::Double,
            "bytes" => AvroKind::Bytes,
            "string" => AvroKind::String,
            _ => {
                let found = self.names.get(&full_name(name, space)).or_else(|| self.names.get(name));
                return found
                    .copied()
                    .ok_or_else(|| format!("the schema names a type `{name}` that it does not have"));
            }
        };
        Ok(self.push(kind, None))
    }

    fn object(&mut self, members: &Map<String, Value>, space: &str) -> Result<usize, String> {
        let of_type = members.get("type").ok_or("not a schema of Avro: a type lacks `type`")?;
        let Value::String(name) = of_type else { return self.value(of_type, space) };
        match name.as_str() {
            "array" => {
                let items =
                    self.value(members.get("items").ok_or("an array of the schema lacks `items`")?, space)?;
                Ok(self.push(AvroKind::Array(items), None))
            }
            "map" => {
                let values =
                    self.value(members.get("values").ok_or("a map of the schema lacks `values`")?, space)?;
                Ok(self.push(AvroKind::Map(values), None))
            }
            "record" | "error" | "enum" | "fixed" => self.declared(name, members, space),
            _ => {
                let at = self.named(name, space)?;
                let logical = logical(members, &self.nodes[at].kind);
                // A named type is shared by all that name it.
                Ok(if logical.is_some() { self.push(self.nodes[at].kind.clone(), logical) } else { at })
            }
        }
    }

    /// A type that has a name.
    fn declared(
        &mut self,
        of_type: &str,
        members: &Map<String, Value>,
        space: &str,
    ) -> Result<usize, String> {
        let text = |key: &str| members.get(key).and_then(Value::as_str);
        let name = text("name").ok_or_else(|| format!("a {of_type} of the schema lacks `name`"))?;
        let full = full_name(name, text("namespace").unwrap_or(space));
        let space = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let at = self.push(AvroKind::Null, None);
        self.names.insert(full, at);
        let kind = match of_type {
            "enum" => {
                let symbols = members.get("symbols").and_then(Value::as_array);
                let symbols = symbols.ok_or_else(|| format!("the enum `{name}` lacks `symbols`"))?;
                AvroKind::Enum(
                    symbols.iter().map(|symbol| symbol.as_str().unwrap_or_default().to_owned()).collect(),
                )
            }
            "fixed" => {
                let size = members.get("size").and_then(Value::as_u64);
                AvroKind::Fixed(size.ok_or_else(|| format!("the fixed `{name}` lacks `size`"))? as usize)
            }
            _ => {
                let fields = members.get("fields").and_then(Value::as_array);
                let fields = fields.ok_or_else(|| format!("the record `{name}` lacks `fields`"))?;
                AvroKind::Record(
                    fields.iter().map(|field| self.field(field, &space)).collect::<Result<_, _>>()?,
                )
            }
        };
        let logical = logical(members, &kind);
        self.nodes[at] = Node { kind, logical };
        Ok(at)
    }

    fn field(&mut self, field: &Value, space: &str) -> Result<SchemaField, String> {
        let name = field["name"].as_str().ok_or("a field of the schema lacks `name`")?;
        let of_type =
            field.get("type").ok_or_else(|| format!("the field `{name}` of the schema lacks `type`"))?;
        let aliases = field["aliases"].as_array().into_iter().flatten();
        Ok(SchemaField {
            name: name.to_owned(),
            aliases: aliases.filter_map(Value::as_str).map(str::to_owned).collect(),
            node: self.value(of_type, space)?,
            default: field.get("default").cloned(),
        })
    }
}

fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}

/// A number here has at most so many digits, so a scale of more is no decimal's.
const MOST_DIGITS: u32 = 38;

/// A logical type that its kind cannot have is none.
fn logical(members: &Map<String, Value>, kind: &AvroKind) -> Option<Logical> {
    let scale = || {
        let scale = members.get("scale").map_or(Some(0), Value::as_u64)?;
        u32::try_from(scale).ok().filter(|scale| *scale <= MOST_DIGITS)
    };
    Some(match (members.get("logicalType")?.as_str()?, kind) {
        ("decimal", AvroKind::Bytes | AvroKind::Fixed(_)) => Logical::Decimal { scale: scale()? },
        ("uuid", AvroKind::String | AvroKind::Fixed(16)) => Logical::Uuid,
        ("date", AvroKind::Int) => Logical::Date,
        ("timestamp-millis" | "local-timestamp-millis", AvroKind::Long) => {
            Logical::Timestamp(TimeUnit::Millis)
        }
        ("timestamp-micros" | "local-timestamp-micros", AvroKind::Long) => {
            Logical::Timestamp(TimeUnit::Micros)
        }
        ("timestamp-nanos" | "local-timestamp-nanos", AvroKind::Long) => Logical::Timestamp(TimeUnit::Nanos),
        _ => return None,
    })
}
