//! The supervisor that takes a job's rows from their topic into a datasource.
//!
//! Knows the form of Druid's ingestion specs. Must not know how a row is written.

use super::SegmentSpan;
use serde_json::{Value, json};
use weir_connect::{RowIdentity, RowShape};
use weir_event::DataType;

/// Names that are weir's own, or Druid's.
const OWN: [&str; 5] = ["__time", "_revision", "_deleted", "_window_end", "_event"];

/// What a supervisor is made of.
#[derive(Debug, Clone)]
pub(super) struct DruidSpec {
    datasource: String,
    segments: SegmentSpan,
    dimensions: Vec<Value>,
}

impl DruidSpec {
    /// Of the rows of a job; the error says why they cannot be there.
    pub(super) fn of(shape: &RowShape, datasource: &str, segments: SegmentSpan) -> Result<DruidSpec, String> {
        let hidden = shape.keys.fields().iter().zip(&shape.key_columns);
        let hidden = hidden.filter(|(_, selected)| selected.is_none()).map(|(key, _)| key);
        let mut dimensions = Vec::new();
        for field in shape.columns.fields().iter().chain(hidden) {
            let name = field.name();
            if OWN.contains(&name.as_str()) {
                return Err(format!(
                    "the column `{name}` has a meaning of its own in Druid's rows; give it another name"
                ));
            }
            let data_type = DataType::from_arrow(field.data_type()).ok_or_else(|| {
                format!(
                    "column `{name}` of type {} has no form in JSON; cast it to another type",
                    field.data_type()
                )
            })?;
            dimensions.push(json!({"type": dimension(&data_type), "name": name}));
        }
        let own = match shape.identity {
            RowIdentity::WindowEnd | RowIdentity::WindowStart => [("long", "_window_end")],
            RowIdentity::Event => [("string", "_event")],
            RowIdentity::Key => {
                let reason = "every row has a time in Druid, and results over all time have none";
                return Err(format!("{reason}; give the query a window"));
            }
        };
        let own = own.into_iter().chain([("long", "_revision"), ("long", "_deleted")]);
        dimensions.extend(own.map(|(kind, name)| json!({"type": kind, "name": name})));
        Ok(DruidSpec { datasource: datasource.to_owned(), segments, dimensions })
    }

    /// The request that makes the supervisor.
    pub(super) fn statement(&self, brokers: &str, topic: &str) -> String {
        let segments = match self.segments {
            SegmentSpan::Hour => "HOUR",
            SegmentSpan::Day => "DAY",
            SegmentSpan::Month => "MONTH",
        };
        let spec = json!({
            "type": "kafka",
            "spec": {
                "dataSchema": {
                    "dataSource": self.datasource,
                    "timestampSpec": {"column": "__time", "format": "millis"},
                    "dimensionsSpec": {"dimensions": self.dimensions},
                    "granularitySpec": {
                        "segmentGranularity": segments, "queryGranularity": "NONE", "rollup": false
                    }
                },
                "ioConfig": {
                    "topic": topic,
                    "consumerProperties": {"bootstrap.servers": brokers},
                    "inputFormat": {"type": "json"},
                    "useEarliestOffset": true
                },
                "tuningConfig": {"type": "kafka"}
            }
        });
        let spec = serde_json::to_string_pretty(&spec).unwrap_or_default();
        format!("POST /druid/indexer/v1/supervisor\n{spec}\n")
    }
}

/// The type of a dimension. There are no exact decimals: they are doubles.
fn dimension(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Bigint | DataType::Int => "long",
        DataType::Double | DataType::Decimal(_) => "double",
        DataType::Float => "float",
        DataType::String | DataType::Boolean | DataType::Timestamp | DataType::Date | DataType::Bytes => {
            "string"
        }
        // It finds out by itself whether a list holds numbers or texts.
        DataType::Array(_) => "auto",
        DataType::Map(..) | DataType::Row(_) | DataType::Json => "json",
    }
}
