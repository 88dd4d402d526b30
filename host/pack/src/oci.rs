//! The documents of the OCI image specification 1.1, as far as packs have them.
//!
//! Of our own, as the published types keep annotations in the order of a hash, and a pack's digest is that of its bytes.
//! Must not know what is in any part.

use crate::digest::Digest;
use crate::error::{PackError, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a config that says nothing.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The config that says nothing.
pub const EMPTY_BYTES: &[u8] = b"{}";
/// The artifact that is a pack.
pub const PACK: &str = "application/vnd.weir.pack.v1";
/// What is in it.
pub const PACK_CONFIG: &str = "application/vnd.weir.pack.config.v1+json";
/// Its files, except components.
pub const DEFINITIONS: &str = "application/vnd.weir.pack.definitions.v1.tar+gzip";
/// A component.
pub const WASM: &str = "application/wasm";
/// The artifact that is a signature of a pack, and its only layer.
pub const SIGNATURE: &str = "application/vnd.weir.pack.signature.v1+minisign";
/// What a part is called.
pub const TITLE: &str = "org.opencontainers.image.title";
/// The version of what is described.
pub const VERSION: &str = "org.opencontainers.image.version";
/// What it is for.
pub const DESCRIPTION: &str = "org.opencontainers.image.description";
/// The tag of a manifest in a layout.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Texts by name.
pub type Annotations = BTreeMap<String, String>;

/// What some bytes are, by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What they are.
    pub media_type: String,
    /// Their name.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// Of a manifest, what it makes an artifact of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What else is said of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

impl Descriptor {
    /// Of these bytes.
    pub fn of(media_type: &str, bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            artifact_type: None,
            annotations: Annotations::new(),
        }
    }

    /// With an annotation.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Descriptor {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// What it is called for people.
    pub fn title(&self) -> &str {
        self.annotations.get(TITLE).map_or(self.media_type.as_str(), String::as_str)
    }

    /// Refuses bytes that are not those that it describes.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let what = format!("`{}` ({})", self.title().escape_debug(), self.digest);
        if bytes.len() as u64 != self.size {
            let message = format!(
                "{what} has {} bytes, and its manifest says {}; it was damaged or changed, so get it anew from whom you trust",
                bytes.len(),
                self.size
            );
            return Err(PackError::external(message));
        }
        self.digest.check(&what, bytes)
    }
}

/// What an artifact is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// [`MANIFEST`].
    #[serde(default)]
    pub media_type: String,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// What describes it.
    pub config: Descriptor,
    /// What it consists of.
    pub layers: Vec<Descriptor>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// What else is said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: Annotations,
}

/// Several manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`INDEX`].
    #[serde(default)]
    pub media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

impl Index {
    /// Of these manifests.
    pub fn of(manifests: Vec<Descriptor>) -> Index {
        Index { schema_version: 2, media_type: INDEX.to_owned(), manifests }
    }
}

/// The bytes of a document.
pub fn bytes(document: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and lists of them always have a JSON.
    serde_json::to_vec(document).unwrap_or_default()
}
