//! The calls that reading a stream takes, and their failures.

use super::place::{At, ShardPlace};
use super::shards::Shard;
use crate::aws::{Account, Failure};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType, StreamStatus};
use tokio::sync::OnceCell;
use weir_connect::ConnectError;
use weir_event::{EventTime, Span};

/// The most that one call hands out; it is at most 10 MB also.
const RECORDS_PER_CALL: i32 = 10_000;
/// A page lists up to 1,000 shards.
const MOST_PAGES: usize = 1_000;

/// A stream of an account.
#[derive(Debug)]
pub(super) struct Stream {
    account: Account,
    pub(super) name: String,
    client: OnceCell<Client>,
}

/// What is known of a stream as a whole.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) arn: String,
    pub(super) created: EventTime,
    pub(super) keeps: Span,
}

/// Some records of a shard.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// How far behind the newest record it is.
    pub(super) behind_ms: i64,
}

impl Stream {
    pub(super) fn new(account: Account, name: String) -> Stream {
        Stream { account, name, client: OnceCell::new() }
    }

    /// What failed, for messages: the stream, and what was tried.
    pub(super) fn failed(&self, action: &str, failure: Failure) -> ConnectError {
        failure.into_error(&format!(
            "kinesis stream `{}` {}: cannot {action}",
            self.name,
            self.account.place()
        ))
    }

    pub(super) async fn client(&self) -> Result<&Client, ConnectError> {
        let service = || format!("kinesis stream `{}`", self.name);
        self.client
            .get_or_try_init(|| async { Ok(Client::new(self.account.config(&service()).await?)) })
            .await
    }

    /// Whether it can be read, and since when it exists.
    pub(super) async fn about(&self) -> Result<About, ConnectError> {
        let asked = self.client().await?.describe_stream_summary().stream_name(&self.name).send().await;
        let answer = asked.map_err(|error| self.failed("describe it", Failure::of(&error)))?;
        let Some(about) = answer.stream_description_summary() else {
            return Err(ConnectError::unavailable(format!(
                "kinesis stream `{}`: described by nothing",
                self.name
            )));
        };
        let name = &self.name;
        match about.stream_status() {
            StreamStatus::Creating => {
                return Err(ConnectError::unavailable(format!(
                    "kinesis stream `{name}` is still being created"
                )));
            }
            StreamStatus::Deleting => {
                return Err(ConnectError::external(format!("kinesis stream `{name}` is being deleted")));
            }
            _ => {}
        }
        Ok(About {
            arn: about.stream_arn().to_owned(),
            created: time(Some(about.stream_creation_timestamp())).unwrap_or(EventTime::MIN),
            keeps: Span::from_millis(i64::from(about.retention_period_hours()) * 3_600_000),
        })
    }

    /// All its shards that have not expired.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, ConnectError> {
        let (mut shards, mut next) = (Vec::new(), None::<String>);
        for _ in 0..MOST_PAGES {
            let ask = self.client().await?.list_shards();
            // A name beside a token is refused.
            let ask = match next.take() {
                Some(token) => ask.next_token(token),
                None => ask.stream_name(&self.name),
            };
            let answer =
                ask.send().await.map_err(|error| self.failed("list its shards", Failure::of(&error)))?;
            shards.extend(answer.shards().iter().map(shard));
            match answer.next_token() {
                Some(token) => next = Some(token.to_owned()),
                None => return Ok(shards),
            }
        }
        Err(ConnectError::unavailable(format!(
            "kinesis stream `{}` {}: the list of its shards does not end after {MOST_PAGES} pages; what answers there is not \
             Amazon Kinesis, or is broken",
            self.name,
            self.account.place()
        )))
    }

    /// An iterator at a place; it is good for five minutes.
    pub(super) async fn iterator(
        &self,
        client: &Client,
        place: &ShardPlace,
    ) -> Result<Option<String>, Failure> {
        let ask = client.get_shard_iterator().stream_name(&self.name).shard_id(&place.shard);
        let ask = match &place.at {
            At::Beginning => ask.shard_iterator_type(ShardIteratorType::TrimHorizon),
            At::From(time) => ask
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(time.millis())),
            At::After(sequence) => ask
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence),
            At::End => return Ok(None),
        };
        let answer = ask.send().await.map_err(|error| Failure::of(&error))?;
        Ok(answer.shard_iterator)
    }

    /// What comes at an iterator, and the iterator behind it, which a shard that has ended does not have.
    pub(super) async fn page(
        &self,
        client: &Client,
        iterator: &str,
    ) -> Result<(Page, Option<String>), Failure> {
        let ask = client.get_records().shard_iterator(iterator).limit(RECORDS_PER_CALL);
        let answer = ask.send().await.map_err(|error| Failure::of(&error))?;
        let behind_ms = answer.millis_behind_latest().unwrap_or_default();
        Ok((Page { records: answer.records, behind_ms }, answer.next_shard_iterator))
    }
}

/// A time as AWS says it.
pub(super) fn time(time: Option<&DateTime>) -> Option<EventTime> {
    Some(EventTime::from_millis(time?.to_millis().ok()?))
}

fn shard(shard: &aws_sdk_kinesis::types::Shard) -> Shard {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    let keys = shard.hash_key_range().and_then(|keys| {
        Some((keys.starting_hash_key().parse().ok()?, keys.ending_hash_key().parse().ok()?))
    });
    Shard {
        id: shard.shard_id().to_owned(),
        parents: parents.into_iter().flatten().map(str::to_owned).collect(),
        closed: shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some()),
        keys,
    }
}
