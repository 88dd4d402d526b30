//! The clients of object stores, of three vendors.
//!
//! Knows how each is made: from the usual variables of the environment and from options. Must not know what it is used for.

use super::{Store, Vendor};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientOptions, Error, RetryConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// This build has them.
pub(super) const IS_LEFT_OUT: bool = false;

/// A request is given up after so long: a part of a file crosses a slow line in that time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The client itself tries a request so often, and no longer than that; then the one who asked is told, and tries again.
const REQUEST_RETRIES: usize = 3;
const RETRIES_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the vendor's client knows an option of this name.
pub(super) fn knows(vendor: Vendor, option: &str) -> bool {
    match vendor {
        Vendor::Amazon => option.parse::<AmazonS3ConfigKey>().is_ok(),
        Vendor::Google => option.parse::<GoogleConfigKey>().is_ok(),
        Vendor::Azure => option.parse::<AzureConfigKey>().is_ok(),
    }
}

/// A client of the store whose scheme and bucket are `root`. Asks it nothing yet.
pub(super) fn client(
    vendor: Vendor,
    root: &str,
    options: &BTreeMap<String, String>,
) -> Result<Arc<dyn Store>, Error> {
    let may_be_plain = std::env::var("ALLOW_HTTP").is_ok_and(|value| value == "true" || value == "1");
    let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
    let retry = RetryConfig {
        max_retries: REQUEST_RETRIES,
        retry_timeout: RETRIES_TIMEOUT,
        ..RetryConfig::default()
    };
    macro_rules! store {
        ($builder:expr, $allow_http:expr) => {{
            let mut builder = $builder.with_client_options(client).with_retry(retry);
            if may_be_plain {
                builder = $allow_http(builder);
            }
            for (option, value) in options {
                if let Ok(key) = option.parse() {
                    builder = builder.with_config(key, value);
                }
            }
            Arc::new(builder.with_url(root).build()?) as Arc<dyn Store>
        }};
    }
    Ok(match vendor {
        Vendor::Amazon => {
            store!(AmazonS3Builder::from_env(), |b: AmazonS3Builder| b.with_allow_http(true))
        }
        Vendor::Google => store!(GoogleCloudStorageBuilder::from_env(), |b| b),
        Vendor::Azure => {
            store!(MicrosoftAzureBuilder::from_env(), |b: MicrosoftAzureBuilder| b.with_allow_http(true))
        }
    })
}
