//! Enhanced fan-out: a registered consumer has each shard pushed to it, at a pace of its own.
//!
//! A subscription lasts five minutes and is then made anew behind the last record that came. Nothing is kept at AWS but
//! the consumer's name, which stays registered when weir stops.

use super::place::{At, ShardPlace};
use super::stream::{Page, Stream};
use crate::aws::{Failure, Trouble};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEventStream,
};
use std::time::Duration;
use weir_connect::ConnectError;
use weir_event::Clock;

/// A consumer that was registered is active within seconds.
const ACTIVE_AFTER: Duration = Duration::from_secs(1);
const ASK_AGAIN: usize = 60;

/// What is pushed of one shard.
pub(super) struct Subscription {
    events: EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>,
}

/// What comes of a subscription.
pub(super) enum Pushed {
    Page(Page),
    /// The same, and the shard has ended.
    Last(Page),
    /// It is over, and another one is to be made.
    Over,
}

impl Stream {
    /// The ARN of the consumer of this name, which is registered where it is not yet.
    pub(super) async fn consumer(
        &self,
        stream: &str,
        name: &str,
        clock: &dyn Clock,
    ) -> Result<String, ConnectError> {
        let client = self.client().await?;
        for _ in 0..ASK_AGAIN {
            let asked = client.describe_stream_consumer().stream_arn(stream).consumer_name(name).send().await;
            match asked {
                Ok(answer) => {
                    let found = answer.consumer_description();
                    if let Some(active) = found.filter(|it| *it.consumer_status() == ConsumerStatus::Active) {
                        return Ok(active.consumer_arn().to_owned());
                    }
                }
                Err(error) => {
                    let failure = Failure::of(&error);
                    if failure.trouble != Trouble::Missing {
                        return Err(self.failed(&format!("find the consumer `{name}`"), failure));
                    }
                    let asked =
                        client.register_stream_consumer().stream_arn(stream).consumer_name(name).send().await;
                    asked.map_err(|error| {
                        self.failed(&format!("register the consumer `{name}`"), Failure::of(&error))
                    })?;
                }
            }
            clock.sleep(ACTIVE_AFTER).await;
        }
        let stream = &self.name;
        Err(ConnectError::unavailable(format!(
            "kinesis stream `{stream}`: the consumer `{name}` is not active yet"
        )))
    }

    /// Has a shard pushed from a place on.
    pub(super) async fn subscribe(
        &self,
        client: &Client,
        consumer: &str,
        place: &ShardPlace,
    ) -> Result<Subscription, Failure> {
        let from = StartingPosition::builder();
        let from = match &place.at {
            At::Beginning | At::End => from.r#type(ShardIteratorType::TrimHorizon),
            At::From(time) => {
                from.r#type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(time.millis()))
            }
            At::After(sequence) => {
                from.r#type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence)
            }
        };
        let from = from.build().map_err(|error| Failure {
            trouble: Trouble::Refused,
            code: String::new(),
            message: error.to_string(),
        })?;
        let asked =
            client.subscribe_to_shard().consumer_arn(consumer).shard_id(&place.shard).starting_position(from);
        let answer = asked.send().await.map_err(|error| Failure::of(&error))?;
        Ok(Subscription { events: answer.event_stream })
    }
}

impl Subscription {
    /// What is pushed next. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Pushed, Failure> {
        let event = match self.events.recv().await {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Pushed::Over),
            Err(SdkError::ServiceError(error)) => return Err(Failure::of_event(error.err())),
            // The connection is gone, as it is after five minutes at the latest.
            Err(_) => return Ok(Pushed::Over),
        };
        let SubscribeToShardEventStream::SubscribeToShardEvent(event) = event else {
            return Ok(Pushed::Page(Page { behind_ms: 1, ..Page::default() }));
        };
        let has_ended = !event.child_shards().is_empty();
        let page = Page { behind_ms: event.millis_behind_latest(), records: event.records };
        Ok(if has_ended { Pushed::Last(page) } else { Pushed::Page(page) })
    }
}
