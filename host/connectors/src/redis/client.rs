//! A connection to Redis: the script that puts rows, its arguments and its answers.
//!
//! The client waits for connections and answers by the machine's clock.

use super::row::{HashLayout, HashRow};
use super::{address, is_tls};
use crate::blocking::blocking;
use crate::trust::{TRUST, is_mistrust, pem};
use crate::upsert::{Item, KeyedClient, Opened, Outcome};
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ConnectionInfo, ErrorKind, RedisError, Script, ServerErrorKind, TlsCertificates, Value,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;

/// Puts rows; see there.
const SCRIPT: &str = include_str!("put.lua");
/// So many rows go into one run of the script, during which the server does nothing else: a millisecond or two.
const ROWS_PER_RUN: usize = 100;
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWERING: Duration = Duration::from_secs(10);

/// The servers.
pub(super) struct Servers {
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) is_cluster: bool,
    /// Whom their certificates may be signed by, beside whom the machine trusts.
    pub(super) ca: Option<PathBuf>,
}

impl fmt::Display for Servers {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<String> = self.nodes.iter().map(address).collect();
        addresses.sort_unstable();
        f.write_str(&addresses.join(","))
    }
}

#[derive(Clone)]
enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> Result<Value, RedisError> {
        match self {
            Connection::One(connection) => command.query_async(connection).await,
            Connection::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

/// An open connection.
struct RedisClient {
    connection: Connection,
    at: String,
    layout: HashLayout,
    ttl: Option<Duration>,
    /// Known to servers that have run it by its hash.
    script: Script,
}

/// Connects, and checks that scripts may be run and rows be written.
pub(super) async fn open(
    servers: &Servers,
    layout: HashLayout,
    ttl: Option<Duration>,
) -> Result<Opened, ConnectError> {
    let at = servers.to_string();
    let failed = |error: RedisError| failure(&at, &error);
    let certificates = match &servers.ca {
        // Certificates are read from the machine's disk.
        Some(ca) => {
            let (ca, shown) = (ca.clone(), format!("redis {at}"));
            let root_cert = blocking(move || pem(Some(&ca), &shown)).await?;
            Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
        }
        None => None,
    };
    let connection = connect(servers, certificates).await.map_err(|error| {
        let is_silent = error.is_timeout() && servers.nodes.iter().any(is_tls);
        let help = "; one that does not speak TLS answers nothing: write redis:// for that";
        let told = failed(error);
        if is_silent { ConnectError { message: told.message + help, ..told } } else { told }
    })?;
    let client = RedisClient { connection, at: at.clone(), layout, ttl, script: Script::new(SCRIPT) };
    client
        .clone_connection()
        .ask(redis::cmd("EVAL").arg("return redis.sha1hex('')").arg(0))
        .await
        .map_err(failed)?;
    if !servers.is_cluster
        // Where the login may not ask for it, the first row will tell.
        && let Ok(Value::Array(role)) = client.clone_connection().ask(&redis::cmd("ROLE")).await
        && matches!(role.first(), Some(Value::BulkString(role)) if role == b"slave")
    {
        return Err(ConnectError::external(format!(
            "redis {at} is a replica, which takes no rows; name its primary"
        )));
    }
    let found = format!("redis {at} answers and runs scripts");
    Ok(Opened { found, client: Arc::new(client) })
}

async fn connect(servers: &Servers, certificates: Option<TlsCertificates>) -> Result<Connection, RedisError> {
    if servers.is_cluster {
        let mut builder = ClusterClientBuilder::new(servers.nodes.clone());
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        let builder = builder.connection_timeout(CONNECTING).response_timeout(ANSWERING).retries(1);
        return Ok(Connection::Cluster(builder.build()?.get_async_connection().await?));
    }
    let Some(node) = servers.nodes.first() else {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "no server is named")));
    };
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(1)
        .set_connection_timeout(Some(CONNECTING))
        .set_response_timeout(Some(ANSWERING));
    let client = match certificates {
        Some(certificates) => Client::build_with_tls(node.clone(), certificates)?,
        None => Client::open(node.clone())?,
    };
    Ok(Connection::One(ConnectionManager::new_with_config(client, config).await?))
}

/// What is wrong, whose fault it is, and whether to try again.
fn failure(at: &str, error: &RedisError) -> ConnectError {
    let said = error.to_string();
    let is_login = matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig);
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => {
            ConnectError::external(format!("redis {at} refuses the login: {said}; correct `url`"))
        }
        Some("NOPERM") => ConnectError::external(format!(
            "redis {at}: the login lacks a permission: {said}; allow it EVAL, EVALSHA and hashes"
        )),
        Some("OOM") => ConnectError::unavailable(format!("redis {at} is out of memory: {said}")),
        _ if is_mistrust(&said) => {
            ConnectError::external(format!("redis {at} is not reachable: {said}; {TRUST}"))
        }
        _ if is_login => {
            ConnectError::external(format!("redis {at} refuses the login: {said}; correct `url`"))
        }
        _ if may_pass(error) => ConnectError::unavailable(format!("redis {at} is not reachable: {said}")),
        _ => ConnectError::external(format!("redis {at}: {said}")),
    }
}

fn may_pass(error: &RedisError) -> bool {
    let of_server = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    );
    let of_way = matches!(error.kind(), ErrorKind::Io | ErrorKind::ClusterConnectionNotFound);
    of_server
        || of_way
        || error.is_timeout()
        || error.is_connection_dropped()
        || matches!(error.code(), Some("MISCONF" | "BUSY" | "NOREPLICAS"))
}

impl RedisClient {
    fn clone_connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Runs the script for some items.
    async fn run(&self, items: &[Item]) -> Result<Vec<Outcome>, RedisError> {
        let rows: Vec<_> = items.iter().map(|item| self.layout.row(item, self.ttl)).collect();
        let good: Vec<&HashRow<'_>> = rows.iter().flatten().collect();
        let mut written = if good.is_empty() { Vec::new() } else { self.run_rows(&good).await? }.into_iter();
        let missing =
            || RedisError::from((ErrorKind::UnexpectedReturnType, "the script's answer is too short"));
        let outcome = |row: &Result<HashRow<'_>, String>| match row {
            Ok(_) => written.next().ok_or_else(missing),
            Err(reason) => Ok(Outcome::Refused(reason.clone())),
        };
        rows.iter().map(outcome).collect()
    }

    async fn run_rows(&self, rows: &[&HashRow<'_>]) -> Result<Vec<Outcome>, RedisError> {
        let mut connection = self.clone_connection();
        let mut answer = connection.ask(&self.command("EVALSHA", self.script.get_hash(), rows)).await;
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            // A server that was started anew, or has not seen it yet.
            answer = connection.ask(&self.command("EVAL", SCRIPT, rows)).await;
        }
        let Value::Array(answers) = answer? else {
            return Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "the script's answer is not a list",
            )));
        };
        answers.into_iter().map(outcome).collect()
    }

    /// The call of the script, which is called so, for some rows.
    fn command(&self, call: &str, script: &str, rows: &[&HashRow<'_>]) -> Cmd {
        let mut command = redis::cmd(call);
        command.arg(script).arg(rows.len());
        for row in rows {
            command.arg(&*row.key);
        }
        command.arg(self.layout.fence_field()).arg(u8::from(self.layout.is_shared()));
        for row in rows {
            command.arg(&row.fence).arg(row.ttl.map_or(0, |ttl| ttl.as_millis() as u64));
            command.arg(row.sets.len()).arg(row.removes.len());
            for (name, value) in &row.sets {
                command.arg(&**name).arg(&**value);
            }
            for name in &row.removes {
                command.arg(&**name);
            }
        }
        command
    }
}

fn outcome(answer: Value) -> Result<Outcome, RedisError> {
    Ok(match answer {
        Value::Int(1) => Outcome::Written,
        Value::Int(0) => Outcome::Stale,
        Value::BulkString(text) => Outcome::Refused(String::from_utf8_lossy(&text).into_owned()),
        Value::SimpleString(text) => Outcome::Refused(text),
        _ => {
            return Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "the script's answer is of another kind",
            )));
        }
    })
}

#[async_trait]
impl KeyedClient for RedisClient {
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let failed = |error: RedisError| failure(&self.at, &error);
        if let Connection::One(_) = self.connection {
            let runs = items.chunks(ROWS_PER_RUN).map(|items| self.run(items));
            return Ok(try_join_all(runs).await.map_err(failed)?.into_iter().flatten().collect());
        }
        // Keys of one run would have to be on one server.
        let runs = join_all(items.chunks(1).map(|item| self.run(item))).await;
        let mut outcomes = Vec::with_capacity(items.len());
        for run in runs {
            match run.map_err(failed) {
                Ok(outcome) => outcomes.extend(outcome),
                Err(error) if error.retry => outcomes.push(Outcome::Later(error.message)),
                Err(error) => return Err(error),
            }
        }
        Ok(outcomes)
    }
}
