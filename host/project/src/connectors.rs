//! Definitions whose connectors nobody here can judge: the host that reads events and takes results knows them.

use serde_json::Value;
use weir_plan::{ConnectorKinds, SettingProblem};

/// Takes sources and sinks with their settings as they stand; formats are weir's.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyConnectors;

impl ConnectorKinds for AnyConnectors {
    fn check_source(&self, _stream: &str, _kind: &str, _settings: &Value) -> Vec<SettingProblem> {
        Vec::new()
    }

    fn check_sink(&self, _job: &str, _kind: &str, _settings: &Value) -> Vec<SettingProblem> {
        Vec::new()
    }

    fn sink_place(&self, _job: &str, _kind: &str, _settings: &Value) -> Option<String> {
        None
    }

    fn check_format(&self, format: &str) -> Result<(), String> {
        weir_format::by_name(format).map(drop).map_err(|error| error.to_string())
    }

    /// As good as any: the host finds there what the job named.
    fn name_setting(&self, _kind: &str) -> Result<Option<&'static str>, String> {
        Ok(Some("name"))
    }
}
