//! Definitions whose connectors nobody here can judge: the host that reads events and takes results knows them.

use serde_json::Value;
use weir_event::StreamSchema;
use weir_plan::{ConnectorKinds, FormatDefinition, FormatProblem, RecordKind, SettingProblem, StreamOrigin};

/// Takes sources and sinks, and the options of formats, as they stand; formats are weir's.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyConnectors;

impl ConnectorKinds for AnyConnectors {
    fn check_source(
        &self,
        _stream: &str,
        _records: (&FormatDefinition, &StreamSchema),
        _origin: &StreamOrigin,
        _is_archive: bool,
    ) -> Vec<SettingProblem> {
        Vec::new()
    }

    fn check_sink(&self, _job: &str, _kind: &str, _settings: &Value) -> Vec<SettingProblem> {
        Vec::new()
    }

    fn sink_place(&self, _job: &str, _kind: &str, _settings: &Value) -> Option<String> {
        None
    }

    fn check_format(
        &self,
        format: &FormatDefinition,
        _schema: &StreamSchema,
    ) -> Result<RecordKind, Vec<FormatProblem>> {
        let known = weir_format::by_name(&format.name).map_err(|error| {
            vec![FormatProblem::Option(SettingProblem { key: error.key, message: error.message })]
        })?;
        Ok(if known.gives_changes(&format.options) { RecordKind::Changes } else { RecordKind::Rows })
    }

    /// As good as any: the host finds there what the job named.
    fn name_setting(&self, _kind: &str) -> Result<Option<&'static str>, String> {
        Ok(Some("name"))
    }
}
