//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Knows how a store is reached and with whose credentials, and what its errors mean. Credentials come from the usual
//! variables of the environment or from `options`; they are never shown. Must not know what stands in objects.

#[cfg(feature = "objects")]
mod clients;
#[cfg(not(feature = "objects"))]
#[path = "no_clients.rs"]
mod clients;
mod fault;
#[cfg(test)]
mod tests;

pub(crate) use self::fault::{Doing, failed};

use self::clients::{IS_LEFT_OUT, client, knows};
use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use weir_connect::ConnectError;
use weir_connect::settings::left_out;

/// What an object store does for weir.
pub(crate) trait Store: ObjectStore + MultipartStore {}
impl<S: ObjectStore + MultipartStore> Store for S {}

/// Whose store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vendor {
    Amazon,
    Google,
    Azure,
}

impl Vendor {
    fn of(scheme: &str) -> Option<Vendor> {
        Some(match scheme {
            "s3" | "s3a" => Vendor::Amazon,
            "gs" => Vendor::Google,
            "az" | "azure" | "abfs" | "abfss" => Vendor::Azure,
            _ => return None,
        })
    }
}

/// A place in an object store, as a definition says it: `s3://bucket/prefix`.
#[derive(Clone)]
pub struct ObjectPlace {
    vendor: Vendor,
    /// Scheme and bucket.
    root: String,
    /// What comes behind the bucket, without slashes around it.
    prefix: String,
    /// May hold secrets.
    options: BTreeMap<String, String>,
    /// A store that is there already.
    #[cfg(test)]
    store: Option<Arc<dyn Store>>,
}

impl fmt::Debug for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectPlace({self})")
    }
}

impl fmt::Display for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.root, self.prefix)
    }
}

impl ObjectPlace {
    /// Whether a path is one of an object store, of whatever scheme.
    pub(crate) fn is_meant(path: &str) -> bool {
        path.contains("://")
    }

    /// Reads a path. Does no I/O; the error says what is wrong with which key of the settings.
    pub(crate) fn parse(
        path: &str,
        options: BTreeMap<String, String>,
    ) -> Result<ObjectPlace, (&'static str, String)> {
        let (scheme, rest) = path.split_once("://").unwrap_or(("", path));
        let vendor = Vendor::of(scheme).ok_or_else(|| {
            let known = "s3://bucket/.., gs://bucket/.., az://container/.. or abfss://container@account../..";
            (
                "path",
                format!("`{scheme}://` is not an object store; write {known}, or a path of this machine"),
            )
        })?;
        if IS_LEFT_OUT {
            return Err(("path", left_out("the clients of object stores")));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(("path", format!("names no bucket; write {scheme}://bucket/..")));
        }
        if vendor != Vendor::Azure && bucket.contains('@') {
            let what = "holds credentials; leave them out: they are taken from the environment or `options`";
            return Err(("path", what.to_owned()));
        }
        if let Some(unknown) = options.keys().find(|option| !knows(vendor, option)) {
            return Err(("options", format!("`{unknown}` is not an option of `{scheme}://`")));
        }
        let prefix = prefix.trim_matches('/').to_owned();
        Path::parse(&prefix).map_err(|error| ("path", format!("cannot be in an object store: {error}")))?;
        Ok(ObjectPlace {
            vendor,
            root: format!("{scheme}://{bucket}"),
            prefix,
            options,
            #[cfg(test)]
            store: None,
        })
    }

    /// The same in a store that is there already.
    #[cfg(test)]
    pub(crate) fn within(self, store: Arc<dyn Store>) -> ObjectPlace {
        ObjectPlace { store: Some(store), ..self }
    }

    /// What comes behind the bucket.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The place of something below it, for a person.
    pub(crate) fn shown(&self, path: &Path) -> String {
        format!("{}/{path}", self.root)
    }

    /// The path of what has this name below it.
    pub(crate) fn path(&self, name: &str) -> Path {
        let slash = if self.prefix.is_empty() || name.is_empty() { "" } else { "/" };
        let whole = format!("{}{slash}{name}", self.prefix);
        // Not every name can be parsed; what cannot is escaped.
        Path::parse(&whole).unwrap_or_else(|_| Path::from(whole))
    }

    /// A client of the store. Asks it nothing yet.
    pub(crate) fn connect(&self) -> Result<Arc<dyn Store>, ConnectError> {
        #[cfg(test)]
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        client(self.vendor, &self.root, &self.options)
            .map_err(|error| failed(&error, &Doing { what: "reach", place: &self.to_string() }))
    }
}
