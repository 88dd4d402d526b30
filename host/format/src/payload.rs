//! What decodes payloads that no format of weir's knows: plugins, each of which may be replaced while it is used.
//!
//! Must not know what a plugin is made of.

use arrow_array::ArrayRef;
use arrow_schema::DataType as ArrowType;
use std::fmt::Debug;
use std::sync::Arc;
use weir_connect::ConnectError;

/// The plugins of a server.
pub trait PayloadPlugins: Debug + Send + Sync {
    /// The decoder of this plugin's active version, called on account of `owner`. The error says what is missing, and that it
    /// may come.
    fn decoder(&self, plugin: &str, owner: &str) -> Result<Arc<dyn PayloadDecoder>, ConnectError>;
}

/// One version of a plugin that decodes.
pub trait PayloadDecoder: Debug + Send + Sync {
    /// Which one: no other version of any plugin has this.
    fn identity(&self) -> &str;

    /// The names and types of the columns that it gives.
    fn columns(&self) -> &[(String, ArrowType)];

    /// The columns of these indexes, in this order, with a row for each payload. The error is not the payloads' fault: ask
    /// again later.
    fn decode(&self, payloads: &[&[u8]], wanted: &[usize]) -> Result<DecodedPayloads, ConnectError>;
}

/// What became of payloads.
#[derive(Debug)]
pub struct DecodedPayloads {
    /// As many columns as were wanted, of as many rows as there were payloads.
    pub columns: Vec<ArrayRef>,
    /// The payloads that are no rows, in their order, and why.
    pub refused: Vec<(usize, String)>,
}
