//! Who asks, and what a registry wants to see of that: a password with each request, or a token that another address gives for
//! it.
//!
//! Knows Docker's configuration and the token protocol of registries. Must not know what is asked for.

use super::Access;
use super::http::innermost;
use crate::address::Address;
use crate::bounds;
use crate::error::{PackError, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential};
use reqwest::header::HeaderValue;
use reqwest::{Client, Request, Url};
use serde::Deserialize;

/// Under which name Docker's configuration has Docker's own registry.
const DOCKER: (&str, &str) = ("docker.io", "https://index.docker.io/v1/");
const TOKEN_BYTES: u64 = 1 << 20;

/// Who asks.
pub(super) enum Login {
    Nobody,
    Password(String, String),
    /// What a helper of Docker's keeps in place of a password.
    Refresh(String),
}

/// What is shown with each request.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Grant {
    None,
    Password,
    Token(String),
}

impl Grant {
    /// The header; `None` where nothing is shown.
    pub(super) fn header(&self, login: &Login) -> Option<HeaderValue> {
        let mut value = match (self, login) {
            (Grant::Token(token), _) => HeaderValue::from_str(&format!("Bearer {token}")).ok()?,
            (Grant::Password, Login::Password(name, password)) => {
                let both = STANDARD.encode(format!("{name}:{password}"));
                HeaderValue::from_str(&format!("Basic {both}")).ok()?
            }
            _ => return None,
        };
        value.set_sensitive(true);
        Some(value)
    }
}

/// What a registry asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Login {
    /// Who the command line says, or Docker's configuration.
    pub(super) fn of(address: &Address, access: &Access) -> Result<Login> {
        if let Some((name, password)) = &access.login {
            return Ok(Login::Password(name.clone(), password.clone()));
        }
        let (named, key) = DOCKER;
        let key = if address.host == named { key } else { &address.host };
        match get_credential(key) {
            Ok(DockerCredential::UsernamePassword(name, password)) => Ok(Login::Password(name, password)),
            Ok(DockerCredential::IdentityToken(token)) => Ok(Login::Refresh(token)),
            // Nobody has to have one, and a public pack needs none: what is wrong is said where it is needed.
            Err(CredentialRetrievalError::HelperFailure { helper, stderr, .. })
                if !stderr.trim().is_empty() =>
            {
                Err(PackError::user(format!(
                    "{helper}, which Docker's configuration names for {}, fails: {}; correct that, or give --username and \
                     --password-stdin",
                    address.host,
                    stderr.trim().escape_debug()
                )))
            }
            Err(_) => Ok(Login::Nobody),
        }
    }

    /// Who that is, for a message.
    pub(super) fn who(&self) -> String {
        match self {
            Login::Nobody => "whoever has no login".to_owned(),
            Login::Password(name, _) => format!("`{}`", name.escape_debug()),
            Login::Refresh(_) => "who Docker's configuration names".to_owned(),
        }
    }

    /// What answers these challenges; `None` where nothing that we have does.
    pub(super) async fn grant(
        &self,
        client: &Client,
        base: &Url,
        challenges: &[String],
        scope: &str,
    ) -> Result<Option<Grant>> {
        if let Some(challenge) = bearer(challenges) {
            return Ok(Some(Grant::Token(self.token(client, base, &challenge, scope).await?)));
        }
        let asks_for_password =
            parsed(challenges).iter().any(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
        Ok((asks_for_password && matches!(self, Login::Password(..))).then_some(Grant::Password))
    }

    /// Gets a token where the registry says.
    async fn token(&self, client: &Client, base: &Url, challenge: &Challenge, scope: &str) -> Result<String> {
        let wrong = |what: &str| {
            let realm = challenge.realm.escape_debug();
            PackError::external(format!("the registry sends us for a token to `{realm}`, {what}"))
        };
        let realm = Url::parse(&challenge.realm).map_err(|_| wrong("which is no address"))?;
        if base.scheme() == "https" && realm.scheme() != "https" {
            return Err(wrong("where a password would be read by others; it is not sent there"));
        }
        let request = self.token_request(client, realm.clone(), challenge, scope);
        let request =
            request.map_err(|error| wrong(&format!("which cannot be asked: {}", innermost(&error))))?;
        let mut response = client
            .execute(request)
            .await
            .map_err(|error| wrong(&format!("which does not answer: {}", innermost(&error))))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| wrong(&innermost(&error)))? {
            bounds::check("a token", (body.len() + bytes.len()) as u64, TOKEN_BYTES)?;
            body.extend_from_slice(&bytes);
        }
        if status == 401 || status == 403 {
            return Err(PackError::user(format!(
                "{} does not let {} in ({status}); give --username and --password-stdin, set WEIR_REGISTRY_USERNAME and \
                 WEIR_REGISTRY_PASSWORD, or type `docker login`",
                realm.host_str().unwrap_or("the registry"),
                self.who()
            )));
        }
        #[derive(Deserialize)]
        struct Given {
            token: Option<String>,
            access_token: Option<String>,
        }
        let given: Option<Given> = serde_json::from_slice(&body).ok();
        let token = given.and_then(|given| given.token.or(given.access_token)).filter(|_| status == 200);
        token.ok_or_else(|| wrong(&format!("which gives none (status {status}); try again later")))
    }

    fn token_request(
        &self,
        client: &Client,
        mut realm: Url,
        challenge: &Challenge,
        scope: &str,
    ) -> reqwest::Result<Request> {
        let service = challenge.service.iter().map(|service| ("service", service.as_str()));
        if let Login::Refresh(token) = self {
            let rest = [
                ("grant_type", "refresh_token"),
                ("refresh_token", token),
                ("client_id", "weir"),
                ("scope", scope),
            ];
            return client.post(realm).form(&service.chain(rest).collect::<Vec<_>>()).build();
        }
        realm.query_pairs_mut().extend_pairs(service.chain([("scope", scope)]));
        match self {
            Login::Password(name, password) => client.get(realm).basic_auth(name, Some(password)).build(),
            _ => client.get(realm).build(),
        }
    }
}

type Parameters = Vec<(String, String)>;

fn parsed(challenges: &[String]) -> Vec<(String, Parameters)> {
    let all = challenges.iter().filter_map(|text| http_auth::parse_challenges(text).ok()).flatten();
    all.map(|challenge| {
        let parameters =
            challenge.params.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_unescaped()));
        (challenge.scheme.to_owned(), parameters.collect())
    })
    .collect()
}

fn bearer(challenges: &[String]) -> Option<Challenge> {
    let found = parsed(challenges).into_iter().find(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))?;
    let value =
        |wanted: &str| found.1.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Some(Challenge { realm: value("realm")?, service: value("service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#;
        let found = bearer(&["Basic realm=\"x\"".to_owned(), docker.to_owned()]).unwrap();
        assert_eq!(
            (found.realm.as_str(), found.service.as_deref()),
            ("https://auth.docker.io/token", Some("registry.docker.io"))
        );
        assert_eq!(
            bearer(&["Basic realm=\"x\"".to_owned(), "junk,,=".to_owned(), "Bearer a=b".to_owned()]),
            None
        );
    }

    #[test]
    fn a_password_is_shown_as_http_has_it() {
        let login = Login::Password("me".to_owned(), "sesame".to_owned());
        assert_eq!(Grant::Password.header(&login).unwrap(), "Basic bWU6c2VzYW1l");
        assert!(Grant::Password.header(&login).unwrap().is_sensitive());
        assert_eq!(Grant::Token("t".to_owned()).header(&Login::Nobody).unwrap(), "Bearer t");
        assert_eq!(Grant::Password.header(&Login::Nobody), None);
    }
}
