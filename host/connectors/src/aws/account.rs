//! Where a service is and on whose behalf it is asked.
//!
//! Credentials come from where every program of AWS takes them: the environment, the profile, the role of the machine or
//! container. They are read when they are first needed, and again when they expire. Nothing here shows them.

use crate::settings::Settings;
use crate::shell::in_shell;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;
use tokio::sync::OnceCell;
use weir_connect::key::NONE;
use weir_connect::{ConnectError, KeyDoc};

/// The region's row in a connector's table of keys.
pub(crate) const REGION: KeyDoc = KeyDoc::new(
    "region",
    "text",
    "AWS_REGION or the profile's",
    "the region; credentials come from the environment, the profile or the machine's role",
);
/// The endpoint's row in a connector's table of keys.
pub(crate) const ENDPOINT: KeyDoc =
    KeyDoc::new("endpoint", "URL", NONE, "asked in place of the region's own endpoint");

/// A service that is up answers a connection within milliseconds, also from another continent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The largest answers are 10 MB.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a service is and on whose behalf it is asked.
#[derive(Debug)]
pub(crate) struct Account {
    region: Option<String>,
    endpoint: Option<String>,
    config: OnceCell<SdkConfig>,
}

impl Account {
    /// Reads `region` and `endpoint`.
    pub(crate) fn from_settings(settings: &mut Settings<'_>) -> Account {
        let region: Option<String> = settings.optional("region");
        let endpoint: Option<String> = settings.optional("endpoint");
        if let Some(reason) = endpoint.as_deref().and_then(wrong_with) {
            settings.error("endpoint", reason);
        }
        Account { region, endpoint, config: OnceCell::new() }
    }

    /// What clients are made from. `service` is what is asked, for the message.
    pub(crate) async fn config(&self, service: &str) -> Result<&SdkConfig, ConnectError> {
        let config = self.config.get_or_init(|| self.load()).await;
        if config.region().is_none() {
            return Err(ConnectError::user(format!(
                "{service}: no region is known; set `region` here, AWS_REGION, or the region of the profile"
            )));
        }
        Ok(config)
    }

    async fn load(&self) -> SdkConfig {
        let client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .build();
        // Whoever asks knows better when to ask again: a reader keeps its pace, a sink counts its retries.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client.build_https())
            .timeout_config(timeouts)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .retry_config(RetryConfig::disabled());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }

    /// The options of AWS's command line that reach the same; each begins with a space.
    pub(crate) fn command_line(&self) -> String {
        let region = self.region.iter().map(|region| format!(" --region {}", in_shell(region)));
        region.chain(self.endpoint.iter().map(|url| format!(" --endpoint-url {}", in_shell(url)))).collect()
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        if let Some(endpoint) = &self.endpoint {
            return format!("at {endpoint}");
        }
        let known = self.config.get().and_then(|config| config.region().map(ToString::to_string));
        known.or_else(|| self.region.clone()).map_or_else(String::new, |region| format!("in {region}"))
    }
}

/// What is wrong with an endpoint, if something is.
fn wrong_with(endpoint: &str) -> Option<&'static str> {
    let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty()) else {
        return Some("is not a URL such as http://127.0.0.1:8000");
    };
    let host = rest.split('/').next().unwrap_or_default();
    host.contains('@').then_some("holds a user or password, which no service of AWS takes; remove it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_without_a_user() {
        for good in ["http://127.0.0.1:4567", "https://kinesis.eu-west-1.amazonaws.com/"] {
            assert_eq!(wrong_with(good), None, "{good}");
        }
        for bad in ["127.0.0.1:4567", "http://", "ftp://x", "http://user:password@host"] {
            assert!(wrong_with(bad).is_some(), "{bad}");
        }
    }
}
