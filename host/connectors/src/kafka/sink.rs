//! A topic as a sink: one message per result row.
//!
//! At least once: rows are sent as they come, and a checkpoint waits until the brokers have acknowledged all of
//! them. After a crash the rows since the last safe checkpoint are sent again.
//!
//! Exactly once: rows wait in a [`spool`](super::spool) until their checkpoint is safe, and then go into the topic in
//! [`transactions`](super::transaction), each with the mark that its rows are there. Who reads with `read_committed` sees each
//! once, those of a large checkpoint bit by bit.

use super::client::Cluster;
use super::messages::{Limits, Shaping};
use super::policy::TopicPolicy;
use super::producer::{Client, deliver_all, offer};
use super::transaction::{Promised, Transacted};
use crate::blocking::blocking;
use crate::context::SinkContext;
use crate::shell::in_shell;
use crate::upsert::{RefusedRows, Template};
use async_trait::async_trait;
use rdkafka::producer::Producer;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_connect::{ConnectError, Delivery, Encoder, Probe, Sink, SinkCounts, SinkRows, Token};
use weir_event::Clock;
use xxhash_rust::xxh3::xxh3_64;

/// How long to wait for room in librdkafka's queue before looking again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(5);

/// What a sink is made of.
pub(super) struct KafkaSinkSettings {
    pub(super) cluster: Cluster,
    pub(super) encoder: Arc<dyn Encoder>,
    pub(super) key: Option<Template>,
    /// Whether a result that is taken back is a message without a value.
    pub(super) tombstones: bool,
    /// Whether what weir says of rows is of use: their keys, and that some take others away.
    pub(super) needs_meta: bool,
    pub(super) delivery: Delivery,
}

/// Writes to one topic.
pub struct KafkaSink {
    cluster: Cluster,
    encoder: Arc<dyn Encoder>,
    shaping: Shaping,
    needs_meta: bool,
    delivery: Delivery,
    /// Where messages wait that are sent exactly once.
    spool: PathBuf,
    /// What names of this sink's at the brokers begin with.
    name: String,
    refused: RefusedRows,
    clock: Arc<dyn Clock>,
    started: Option<Started>,
    counts: SinkCounts,
}

/// A sink that was started.
struct Started {
    limits: Limits,
    route: Route,
}

/// Where messages go.
enum Route {
    Topic(Arc<Client>),
    Spool(Arc<Mutex<Transacted>>),
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink")
            .field("cluster", &self.cluster)
            .field("key", &self.shaping.key)
            .finish_non_exhaustive()
    }
}

impl KafkaSink {
    pub(super) fn new(settings: KafkaSinkSettings, context: &SinkContext) -> KafkaSink {
        let KafkaSinkSettings { cluster, encoder, key, tombstones, needs_meta, delivery } = settings;
        let SinkContext { data_dir, job, sink, refused_bytes, clock, .. } = context;
        let folder = format!("{:016x}", xxh3_64(place(&cluster).as_bytes()));
        KafkaSink {
            spool: data_dir.join("kafka").join(job).join(folder),
            name: format!("weir-{job}-"),
            refused: RefusedRows::new(data_dir, job, sink, *refused_bytes),
            cluster,
            encoder,
            shaping: Shaping { key, tombstones },
            delivery,
            needs_meta,
            clock: clock.clone(),
            started: None,
            counts: SinkCounts::default(),
        }
    }

    fn started(&self) -> Result<&Started, ConnectError> {
        self.started.as_ref().ok_or_else(|| ConnectError::internal("a kafka sink was used before its start"))
    }

    /// Keeps rows that the topic would never take.
    async fn set_aside(&mut self, refused: Vec<Vec<u8>>) -> Result<(), ConnectError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.counts.refused += refused.len() as u64;
        let folder = self.refused.clone();
        blocking(move || folder.append(&refused.concat())).await
    }
}

/// Where it writes, in one form whatever its settings are written as.
fn place(cluster: &Cluster) -> String {
    let mut brokers: Vec<&str> = cluster.brokers.split(',').map(str::trim).collect();
    brokers.sort_unstable();
    format!("{} at {}", cluster.topic(), brokers.join(","))
}

fn read_token(token: &Token) -> Result<Option<Promised>, ConnectError> {
    if token.0.is_null() {
        // Of a sink that sent at least once until now.
        return Ok(None);
    }
    serde_json::from_value(token.0.clone()).map(Some).map_err(|error| {
        ConnectError::internal(format!("`{}` is not a token of a kafka sink: {error}", token.0))
    })
}

#[async_trait]
impl Sink for KafkaSink {
    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn wants_meta(&self) -> bool {
        self.needs_meta
    }

    fn keeps_what_goes(&self) -> Option<&'static str> {
        let advice = "write `tombstones: true` and a `key` for it, so that a message without a value says so";
        (!self.shaping.tombstones).then_some(advice)
    }

    fn own_place(&self) -> Option<String> {
        (self.delivery == Delivery::ExactlyOnce).then(|| self.place())
    }

    fn place(&self) -> String {
        place(&self.cluster)
    }

    fn counts(&self) -> SinkCounts {
        self.counts
    }

    fn ddl(&self) -> Option<String> {
        let (brokers, topic) = (&self.cluster.brokers, self.cluster.topic());
        let policy = if self.shaping.tombstones { " --config cleanup.policy=compact" } else { "" };
        let (brokers, topic) = (in_shell(brokers), in_shell(topic));
        Some(format!("kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic}{policy}"))
    }

    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        let cluster = self.cluster.clone();
        let found = blocking(move || {
            let client: Client = cluster.client()?;
            Ok(cluster.topics.found(&cluster.look_for_topics(client.client())?))
        });
        let found = found.await?;
        let found = [Some(found), self.encoder.probe().await?];
        Ok(Probe::Ready(found.into_iter().flatten().collect::<Vec<_>>().join(", ")))
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        // What was promised exactly once is kept, also where that is not asked for any more.
        let last = last.map(read_token).transpose()?.flatten();
        let is_exact = self.delivery == Delivery::ExactlyOnce;
        let limits = Limits::new(TopicPolicy::ask(&self.cluster, self.cluster.topic()).await, &self.cluster);
        let (cluster, folder, name) = (self.cluster.clone(), self.spool.clone(), self.name.clone());
        let route = blocking(move || {
            let settings = limits.settings();
            let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let start = || Transacted::start(&cluster, &settings, folder, &name, last.as_ref());
            let transacted = if is_exact || last.is_some() { Some(start()?) } else { None };
            match transacted.filter(|_| is_exact) {
                Some(transacted) => Ok(Route::Spool(Arc::new(Mutex::new(transacted)))),
                None => {
                    let client: Client = cluster.client_with(&settings)?;
                    cluster.look_for_topics(client.client())?;
                    Ok(Route::Topic(Arc::new(client)))
                }
            }
        });
        self.started = Some(Started { limits, route: route.await? });
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let limits = self.started()?.limits;
        self.encoder.ready(rows).await?;
        let mut messages = self.shaping.messages(&*self.encoder, limits, rows)?;
        self.set_aside(std::mem::take(&mut messages.refused)).await?;
        let bytes = messages.values.len() as u64;
        match &self.started()?.route {
            Route::Topic(client) => {
                for (key, value) in messages.iter() {
                    while !offer(&self.cluster, client, key, value)? {
                        self.clock.sleep(FULL_QUEUE_WAIT).await;
                    }
                }
            }
            Route::Spool(transacted) => {
                let transacted = transacted.clone();
                let appended = blocking(move || {
                    let mut transacted = transacted.lock().unwrap_or_else(PoisonError::into_inner);
                    messages.iter().try_for_each(|(key, value)| transacted.append(key, value))
                });
                appended.await?;
            }
        }
        self.counts.bytes += bytes;
        Ok(())
    }

    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        match &self.started()?.route {
            Route::Topic(client) => {
                let (cluster, client) = (self.cluster.clone(), client.clone());
                blocking(move || deliver_all(&cluster, &client)).await?;
                Ok(Token::default())
            }
            Route::Spool(transacted) => {
                let transacted = transacted.clone();
                let prepared =
                    blocking(move || transacted.lock().unwrap_or_else(PoisonError::into_inner).prepare());
                let prepared = serde_json::to_value(prepared.await?);
                prepared
                    .map(Token)
                    .map_err(|error| ConnectError::internal(format!("a kafka sink's token: {error}")))
            }
        }
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        let (Route::Spool(transacted), Some(promised)) = (&self.started()?.route, read_token(token)?) else {
            return Ok(());
        };
        let transacted = transacted.clone();
        blocking(move || transacted.lock().unwrap_or_else(PoisonError::into_inner).commit(&promised)).await
    }
}
