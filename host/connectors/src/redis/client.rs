//! A connection to Redis: the script that puts rows, its arguments and its answers.
//!
//! The client waits for connections and answers by the machine's clock.

use super::address;
use crate::upsert::{Item, KeyedClient, Opened, Outcome};
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, ConnectionInfo, ErrorKind, RedisError, Script, ServerErrorKind, Value};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Op};
use weir_event::EventTime;

/// Puts rows; see there.
const SCRIPT: &str = include_str!("put.lua");
/// So many rows go into one run of the script, during which the server does nothing else: a millisecond or two.
const ROWS_PER_RUN: usize = 100;
/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWERING: Duration = Duration::from_secs(10);
/// How long the mark of a row that was taken away stays: older rows that are still on their way are known by it.
const MARK_STAYS: Duration = Duration::from_hours(24);

/// The servers.
pub(super) struct Servers {
    pub(super) nodes: Vec<ConnectionInfo>,
    pub(super) is_cluster: bool,
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
    ttl: Option<Duration>,
    /// Known to servers that have run it by its hash.
    script: Script,
}

/// Connects, and checks that scripts may be run and rows be written.
pub(super) async fn open(servers: &Servers, ttl: Option<Duration>) -> Result<Opened, ConnectError> {
    let at = servers.to_string();
    let failed = |error: RedisError| failure(&at, &error);
    let connection = connect(servers).await.map_err(failed)?;
    let client = RedisClient { connection, at: at.clone(), ttl, script: Script::new(SCRIPT) };
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

async fn connect(servers: &Servers) -> Result<Connection, RedisError> {
    if servers.is_cluster {
        let builder = ClusterClientBuilder::new(servers.nodes.clone());
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
    let client = Client::open(node.clone())?;
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
        let mut connection = self.clone_connection();
        let mut answer = connection.ask(&self.command("EVALSHA", self.script.get_hash(), items)).await;
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)) {
            // A server that was started anew, or has not seen it yet.
            answer = connection.ask(&self.command("EVAL", SCRIPT, items)).await;
        }
        let Value::Array(answers) = answer? else {
            return Err(RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "the script's answer is not a list",
            )));
        };
        answers.into_iter().map(outcome).collect()
    }

    /// The call of the script, which is called so, for some items.
    fn command(&self, call: &str, script: &str, items: &[Item]) -> Cmd {
        let mut command = redis::cmd(call);
        command.arg(script).arg(items.len());
        for item in items {
            command.arg(&item.keys[0]);
        }
        for item in items {
            self.push_arguments(item, &mut command);
        }
        command
    }

    fn push_arguments(&self, item: &Item, command: &mut Cmd) {
        let deletes = item.op() == Op::Delete;
        let ttl = if deletes { Some(self.ttl.unwrap_or(MARK_STAYS)) } else { self.ttl };
        command.arg(item.fence.text()).arg(ttl.map_or(0, |ttl| ttl.as_millis() as u64));
        if deletes {
            command.arg(0).arg(0);
            return;
        }
        let columns = item.columns().enumerate().map(|(at, (name, _))| (name, item.text(at)));
        let own = [
            ("_event_time", item.event_time().map(|time| time.to_string())),
            ("_window_end", item.window().map(|(_, end)| EventTime::from_millis(end).to_string())),
            ("_version", Some(item.meta().version.to_string())),
        ];
        let (sets, removes): (Vec<_>, Vec<_>) = columns.chain(own).partition(|(_, value)| value.is_some());
        command.arg(sets.len()).arg(removes.len());
        for (name, value) in &sets {
            command.arg(*name).arg(value.as_deref());
        }
        for (name, _) in &removes {
            command.arg(*name);
        }
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
