//! Object stores: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Knows how a store is reached and with whose credentials, and what its errors mean. Credentials come from the usual
//! variables of the environment or from `options`; they are never shown. Must not know what stands in objects.

mod fault;
#[cfg(test)]
mod tests;

pub(crate) use self::fault::{Doing, failed};

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;

/// A request is given up after so long: a part of a file crosses a slow line in that time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The client itself tries a request so often, and no longer than that; then the one who asked is told, and tries again.
const REQUEST_RETRIES: usize = 3;
const RETRIES_TIMEOUT: Duration = Duration::from_secs(30);

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

    /// Whether its client knows an option of this name.
    fn knows(self, option: &str) -> bool {
        match self {
            Vendor::Amazon => option.parse::<AmazonS3ConfigKey>().is_ok(),
            Vendor::Google => option.parse::<GoogleConfigKey>().is_ok(),
            Vendor::Azure => option.parse::<AzureConfigKey>().is_ok(),
        }
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
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(("path", format!("names no bucket; write {scheme}://bucket/..")));
        }
        if vendor != Vendor::Azure && bucket.contains('@') {
            let what = "holds credentials; leave them out: they are taken from the environment or `options`";
            return Err(("path", what.to_owned()));
        }
        if let Some(unknown) = options.keys().find(|option| !vendor.knows(option)) {
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
        let may_be_plain = std::env::var("ALLOW_HTTP").is_ok_and(|value| value == "true" || value == "1");
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        let retry = RetryConfig {
            max_retries: REQUEST_RETRIES,
            retry_timeout: RETRIES_TIMEOUT,
            ..RetryConfig::default()
        };
        let unfit = |error| failed(&error, &Doing { what: "reach", place: &self.to_string() });
        macro_rules! store {
            ($builder:expr, $allow_http:expr) => {{
                let mut builder = $builder.with_client_options(client).with_retry(retry);
                if may_be_plain {
                    builder = $allow_http(builder);
                }
                for (option, value) in &self.options {
                    if let Ok(key) = option.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.with_url(&self.root).build().map_err(unfit)?) as Arc<dyn Store>
            }};
        }
        Ok(match self.vendor {
            Vendor::Amazon => {
                store!(AmazonS3Builder::from_env(), |b: AmazonS3Builder| b.with_allow_http(true))
            }
            Vendor::Google => store!(GoogleCloudStorageBuilder::from_env(), |b| b),
            Vendor::Azure => {
                store!(MicrosoftAzureBuilder::from_env(), |b: MicrosoftAzureBuilder| b.with_allow_http(true))
            }
        })
    }
}
