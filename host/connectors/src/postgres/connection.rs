//! A connection to PostgreSQL, and what its errors mean.
//!
//! The client waits for a connection by the machine's clock. Must not know what is said over it.

use crate::blocking::blocking;
use crate::trust::{TRUST, is_mistrust, roots};
use rustls::{ClientConfig, RootCertStore};
use std::error::Error as _;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use weir_connect::{ConnectError, CpuTime};
use weir_event::{Clock, within};

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long it may take until a server has let the login in, with the hosts that are tried before it.
const LETTING_IN: Duration = Duration::from_secs(20);
/// How long an answer may take: to move what a checkpoint holds into a large table takes seconds.
const ANSWERING: Duration = Duration::from_secs(60);
/// The code of a statement that was ended, by a person or by a time limit.
const CANCELED: &str = "57014";
/// The code of an insertion by a key that the table does not have.
const NO_KEY: &str = "42P10";
/// The code of a statement that the login may not give.
const NOT_PERMITTED: &str = "42501";
/// The code of a value that is too large for what it would be part of: an index, mostly.
const LIMIT_EXCEEDED: &str = "54000";

/// Where a server is, as messages name it: without user and password.
pub(super) fn address(config: &Config) -> String {
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let ports = config.get_ports();
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => path.display().to_string(),
        }
    });
    let hosts: Vec<String> = hosts.collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
}

/// Connects.
pub(super) async fn connect(
    clock: &dyn Clock,
    config: &Config,
    at: &str,
    ca: Option<&Path>,
) -> Result<Client, ConnectError> {
    // Whoever takes the connection may be no server, and never say anything.
    within(clock, LETTING_IN, let_in(config, at, ca)).await.unwrap_or_else(|| {
        Err(ConnectError::unavailable(format!(
            "postgres {at} takes connections, and has not let weir in for {LETTING_IN:?}; see whether it is PostgreSQL that \
             listens there"
        )))
    })
}

async fn let_in(config: &Config, at: &str, ca: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = config.clone();
    config.connect_timeout(CONNECTING);
    if config.get_application_name().is_none() {
        config.application_name("weir");
    }
    let failed = |error: Error| failure(at, &error);
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        keep_up(connection);
        return Ok(client);
    }
    // Certificates are read from the machine's disk.
    let tls = blocking({
        let (at, ca) = (at.to_owned(), ca.map(Path::to_owned));
        move || tls(&at, roots(ca.as_deref(), &format!("postgres {at}"))?)
    });
    let (client, connection) = config.connect(tls.await?).await.map_err(failed)?;
    keep_up(connection);
    Ok(client)
}

/// The connection works in a task of its own, for whom the caller works, until the client is dropped.
fn keep_up(connection: impl Future<Output = Result<(), Error>> + Send + 'static) {
    let owner = CpuTime::current();
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        // What ends it is told to whoever waits for an answer.
        let _ = std::future::poll_fn(|context| match &owner {
            Some(owner) => owner.measure(|| connection.as_mut().poll(context)),
            None => connection.as_mut().poll(context),
        })
        .await;
    });
}

/// TLS that trusts these.
fn tls(at: &str, roots: RootCertStore) -> Result<MakeRustlsConnect, ConnectError> {
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConnectError::internal(format!("postgres {at}: TLS cannot be set up: {error}")))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Why something that was asked did not come about.
#[derive(Debug)]
pub(super) struct AskFailure {
    pub(super) error: ConnectError,
    /// Whether the transaction stood in the way of another one, so that it may be tried again on the same connection.
    pub(super) is_passing: bool,
}

impl From<ConnectError> for AskFailure {
    fn from(error: ConnectError) -> Self {
        AskFailure { error, is_passing: false }
    }
}

impl From<AskFailure> for ConnectError {
    fn from(failure: AskFailure) -> Self {
        failure.error
    }
}

/// What was asked, if the answer comes in time.
pub(super) async fn answered<T>(
    clock: &dyn Clock,
    at: &str,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, AskFailure> {
    match within(clock, ANSWERING, asked).await {
        Some(answer) => answer.map_err(|error| {
            let code = error.as_db_error().map_or("", |said| said.code().code());
            let is_passing = code == CANCELED || matches!(code.get(..2), Some("40" | "55"));
            AskFailure { error: failure(at, &error), is_passing }
        }),
        None => {
            Err(ConnectError::unavailable(format!("postgres {at} has not answered for {ANSWERING:?}")).into())
        }
    }
}

/// What is wrong, whose fault it is, and whether to try again.
pub(super) fn failure(at: &str, error: &Error) -> ConnectError {
    let Some(said) = error.as_db_error() else {
        let mut message = format!("postgres {at} is not reachable: {error}");
        let mut cause = error.source();
        while let Some(deeper) = cause {
            message += &format!(": {deeper}");
            cause = deeper.source();
        }
        return if is_mistrust(&message) {
            ConnectError::external(format!("{message}; {TRUST}"))
        } else if message.contains("server does not support TLS") {
            let help = "turn that on there, or write `?sslmode=disable`";
            ConnectError::external(format!("postgres {at} does not speak TLS; {help}"))
        } else {
            ConnectError::unavailable(message)
        };
    };
    let code = said.code().code();
    let detail = said.detail().map_or(String::new(), |detail| format!(" ({detail})"));
    let message = format!("{}{detail}", said.message());
    match code.get(..2) {
        Some("28") => ConnectError::external(format!(
            "postgres {at} refuses the login: {message}; correct `url`: its user, its password, or `?sslmode=require` for TLS"
        )),
        _ if code == NOT_PERMITTED => ConnectError::external(format!(
            "postgres {at}: the login lacks a permission: {message}; grant it SELECT, INSERT, UPDATE and DELETE on the three tables"
        )),
        _ if code == NO_KEY => ConnectError::external(format!(
            "postgres {at}: the table has no primary key or unique constraint of the columns of `key`, by which a newer row \
             takes an older one's place; `weir sink ddl` prints the table that has"
        )),
        Some("08" | "25" | "40" | "53" | "55" | "57" | "58") => {
            ConnectError::unavailable(format!("postgres {at} does not take rows now: {message}"))
        }
        _ => ConnectError::external(format!("postgres {at}: {message} (code {code})")),
    }
}

/// Whether some row is to blame for an error, and why: a value that its column does not hold, a constraint, a trigger that
/// raises, a key that is too long for its index, or two rows that the table takes for one.
pub(super) fn is_of_rows(error: &Error) -> Option<String> {
    let said = error.as_db_error()?;
    let code = said.code().code();
    let is_of_rows =
        matches!(code.get(..2), Some("21" | "22" | "23" | "44" | "P0")) || code == LIMIT_EXCEEDED;
    let detail = said.detail().map_or(String::new(), |detail| format!(" ({detail})"));
    is_of_rows.then(|| format!("{}{detail}", said.message()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::ManualClock;

    #[tokio::test]
    async fn who_takes_connections_and_says_nothing_is_not_waited_for_without_end() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let clock = ManualClock::default();
        let config: Config = format!("postgres://me@127.0.0.1:{port}/d?sslmode=disable").parse().unwrap();
        let time_passes = async {
            clock.advance(LETTING_IN);
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            biased;
            connected = connect(&clock, &config, "h/d", None) => connected.err().unwrap(),
            () = time_passes => return,
        };
        assert!(error.retry && error.message.contains("has not let weir in for 20s"), "{error}");
    }
}
