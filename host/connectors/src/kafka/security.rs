//! How brokers are spoken to where not everybody may: TLS and SASL by plain settings.
//!
//! Knows what librdkafka calls them. Secrets go into its configuration and nowhere else.

use crate::settings::Settings;
use rdkafka::config::ClientConfig;
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};
use weir_connect::KeyDoc;

/// Its row in the tables of keys.
pub(super) const SECURITY: KeyDoc = KeyDoc::new(
    "security",
    "mapping",
    "{}",
    "how brokers are spoken to: {tls: {ca, certificate, key, key_password}, sasl: {mechanism, user, password}}",
);

/// Who says his name without a mechanism says it by the oldest, which every broker knows.
const PLAIN: &str = "PLAIN";
/// The mechanisms that librdkafka has as it is built here.
const MECHANISMS: [&str; 4] = [PLAIN, "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Security {
    tls: Option<Tls>,
    sasl: Option<Sasl>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    /// Certificates of who is trusted; those of the system by default.
    ca: Option<PathBuf>,
    /// What weir shows of itself.
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    key_password: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sasl {
    mechanism: Option<String>,
    user: Option<String>,
    password: Option<Secret>,
}

/// A text that is never shown; digits alone are one too.
struct Secret(String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Secret(text)),
            Value::Number(number) => Ok(Secret(number.to_string())),
            _ => Err(serde::de::Error::custom("not a text")),
        }
    }
}

/// Reads `security` into a configuration; files are looked for from the project's folder on.
pub(super) fn configure(settings: &mut Settings<'_>, project: &Path, config: &mut ClientConfig) {
    let Some(value) = settings.optional::<Value>(SECURITY.name) else { return };
    let Security { tls, sasl } = match Security::deserialize(value) {
        Ok(read) => read,
        Err(error) => {
            // What stands there may be a secret, and serde shows it; names of keys are none.
            let error = error.to_string();
            let said =
                if error.starts_with("unknown field") { error } else { format!("write {}", SECURITY.does) };
            return settings.error(SECURITY.name, said);
        }
    };
    let protocol = match (&tls, &sasl) {
        (None, None) => return,
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    set(settings, config, "security.protocol", protocol);
    if let Some(Tls { ca, certificate, key, key_password }) = tls {
        if certificate.is_some() != key.is_some() {
            settings
                .error(SECURITY.name, "`tls`: `certificate` and `key` belong together; give both or neither");
        }
        let file = |path: PathBuf| project.join(path).display().to_string();
        // Where the system keeps its certificates is found out.
        set(settings, config, "ssl.ca.location", &ca.map_or_else(|| "probe".to_owned(), file));
        let files = [("ssl.certificate.location", certificate), ("ssl.key.location", key)];
        for (name, path) in files {
            if let Some(path) = path {
                set(settings, config, name, &file(path));
            }
        }
        if let Some(Secret(password)) = key_password {
            set(settings, config, "ssl.key.password", &password);
        }
    }
    if let Some(Sasl { mechanism, user, password }) = sasl {
        let mechanism = mechanism.unwrap_or_else(|| PLAIN.to_owned());
        if !MECHANISMS.contains(&mechanism.as_str()) {
            let known = MECHANISMS.join(", ");
            settings.error(SECURITY.name, format!("`sasl.mechanism`: `{mechanism}` is not one of {known}"));
        }
        let names_a_user = mechanism.starts_with("SCRAM") || mechanism == PLAIN;
        if names_a_user && (user.is_none() || password.is_none()) {
            settings.error(SECURITY.name, format!("`sasl`: {mechanism} needs `user` and `password`"));
        }
        set(settings, config, "sasl.mechanism", &mechanism);
        let password = password.map(|Secret(password)| password);
        for (name, value) in [("sasl.username", user), ("sasl.password", password)] {
            if let Some(value) = value {
                set(settings, config, name, &value);
            }
        }
    }
}

/// Two places that say the same would hide one another.
fn set(settings: &mut Settings<'_>, config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_some() {
        settings.error("options", format!("`{name}` is what `{}` says; remove one of them", SECURITY.name));
    }
    config.set(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KEYS: &[KeyDoc] = &[SECURITY];

    fn read(security: Value) -> Result<ClientConfig, String> {
        let value = json!({"security": security});
        let (mut settings, mut config) = (Settings::new(&value, KEYS), ClientConfig::new());
        configure(&mut settings, Path::new("/project"), &mut config);
        settings.finish().map(|()| config).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn it_says_what_librdkafka_is_to_do() {
        for (security, protocol, mechanism, ca) in [
            (json!({}), None, None, None),
            (json!({"tls": {}}), Some("ssl"), None, Some("probe")),
            (json!({"tls": {"ca": "ca.pem"}}), Some("ssl"), None, Some("/project/ca.pem")),
            (json!({"sasl": {"user": "u", "password": 1}}), Some("sasl_plaintext"), Some("PLAIN"), None),
            (
                json!({"tls": {}, "sasl": {"mechanism": "SCRAM-SHA-512", "user": "u", "password": "p"}}),
                Some("sasl_ssl"),
                Some("SCRAM-SHA-512"),
                Some("probe"),
            ),
        ] {
            let config = read(security).unwrap();
            let of = |name| config.get(name);
            assert_eq!(
                (of("security.protocol"), of("sasl.mechanism"), of("ssl.ca.location")),
                (protocol, mechanism, ca)
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (security, said) in [
            (json!({"sasl": "hunter2"}), "write how brokers are spoken to"),
            (json!({"sasl": {"user": "u", "password": ["hunter2"]}}), "write how brokers are spoken to"),
            (json!({"sasl": {"user": "u", "pasword": "hunter2"}}), "unknown field `pasword`"),
            (json!({"sasl": {"user": "u"}}), "needs `user` and `password`"),
            (json!({"sasl": {"mechanism": "GSSAPI", "password": "hunter2"}}), "`GSSAPI` is not one of"),
            (json!({"tls": {"key": "k.pem"}}), "belong together"),
        ] {
            let error = read(security).unwrap_err();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
        let config = read(json!({"sasl": {"user": "u", "password": "hunter2"}})).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
