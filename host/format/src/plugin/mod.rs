//! Payloads that a plugin decodes: `format: {plugin: NAME}`.
//!
//! **Columns.** A stream's column is found by its name (its `from`, dots and all) among those that the plugin describes. It has
//! the described type, or any other where the plugin gives text, which is then read as a field of CSV is.
//!
//! **Versions.** The plugin's active version decodes; another one that becomes active does from the next block on. Where there
//! is none, the stream waits for it; where it does not give what is wanted, the one before goes on.

mod decode;
mod fit;
#[cfg(test)]
mod tests;

pub use fit::{Unfit, unfit};

use crate::contract::{FormatProblem, StreamFormat};
use crate::payload::PayloadPlugins;
use crate::registry::Surroundings;
use decode::PluginDecoder;
use serde_json::Value;
use std::sync::Arc;
use weir_connect::settings::SettingError;
use weir_connect::{Decoder, FileLayout};
use weir_event::StreamSchema;

/// What stands behind `plugin:` of a stream's format: the plugin's name.
///
/// The error says what should stand there.
fn plugin_name(options: &Value) -> Result<&str, SettingError> {
    let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name =
        |name: &&str| name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(of_name);
    options.as_str().filter(is_name).ok_or_else(|| {
        SettingError::new("", "expected the name of a plugin that decodes, as {plugin: rides_proto}")
    })
}

/// How a stream is read whose payloads a plugin decodes.
#[derive(Debug)]
pub(crate) struct PluginFormat {
    plugin: String,
    /// On whose account it is called.
    owner: String,
    plugins: Option<Arc<dyn PayloadPlugins>>,
    schema: StreamSchema,
}

impl PluginFormat {
    pub(crate) fn of(
        options: &Value,
        schema: &StreamSchema,
        around: &dyn Surroundings,
    ) -> Result<PluginFormat, Vec<FormatProblem>> {
        let plugin = plugin_name(options).map_err(|error| vec![FormatProblem::Option(error)])?.to_owned();
        let (plugins, owner) = around.plugins().unzip();
        Ok(PluginFormat { plugin, owner: owner.unwrap_or_default(), plugins, schema: schema.clone() })
    }
}

impl StreamFormat for PluginFormat {
    fn layout(&self) -> FileLayout {
        FileLayout::Payloads
    }

    fn decoder(&self, columns: &[usize]) -> Arc<dyn Decoder> {
        let (plugin, owner) = (self.plugin.clone(), self.owner.clone());
        Arc::new(PluginDecoder::new(plugin, owner, self.plugins.clone(), &self.schema, columns))
    }
}
