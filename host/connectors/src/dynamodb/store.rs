//! A table as a store of keys: each row is one conditional write.
//!
//! A row takes the place of what is there only if its fence is the greater one. Where it is not, DynamoDB hands back what is
//! there: its own fence says that the row was written by a call whose answer was lost.

use super::row::{FENCE, attributes, feast_attributes, kept};
use super::table::Table;
use crate::aws::{Failure, Trouble};
use crate::feast::StoreLayout;
use crate::upsert::{Item, KeyedClient, KeyedStore, Opened, Outcome};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use std::sync::Arc;
use weir_connect::ConnectError;
use weir_event::{Clock, Span};

/// Codes of what DynamoDB never takes because of what a row is.
const REFUSALS_OF_ROWS: [&str; 2] = ["ValidationException", "ItemCollectionSizeLimitExceededException"];

/// Writes of one batch that are on their way at once.
const WRITES_AT_ONCE: usize = 32;

/// A table that rows are put into.
pub(super) struct DynamoStore {
    pub(super) table: Arc<Table>,
    pub(super) layout: StoreLayout,
    pub(super) ttl: Option<Span>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl KeyedStore for DynamoStore {
    fn place(&self) -> String {
        self.table.place()
    }

    fn ddl(&self) -> Option<String> {
        Some(self.table.ddl())
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        let client = self.table.client().await?;
        let found = self.table.check(&client).await?;
        let DynamoStore { layout, ttl, .. } = *self;
        let writer =
            TableWriter { table: self.table.clone(), client, layout, ttl, clock: self.clock.clone() };
        Ok(Opened { found, client: Arc::new(writer) })
    }
}

struct TableWriter {
    table: Arc<Table>,
    client: Client,
    layout: StoreLayout,
    ttl: Option<Span>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl KeyedClient for TableWriter {
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let puts: Vec<BoxFuture<'_, _>> = items.iter().map(|item| self.put_one(item).boxed()).collect();
        let outcomes: Vec<_> = stream::iter(puts).buffered(WRITES_AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }
}

impl TableWriter {
    async fn put_one(&self, item: &Item) -> Result<Outcome, ConnectError> {
        let made = match self.layout {
            StoreLayout::Weir => attributes(item, &self.table.keys),
            StoreLayout::Feast => feast_attributes(item),
        };
        let attributes = match made.map(|made| kept(made, item, self.ttl, self.clock.now())) {
            Ok(attributes) => attributes,
            Err(reason) => return Ok(Outcome::Refused(reason)),
        };
        let fence = item.fence.text();
        let put = self.client.put_item().table_name(&self.table.name).set_item(Some(attributes));
        let put = put
            .condition_expression("attribute_not_exists(#fence) OR #fence < :fence")
            .expression_attribute_names("#fence", FENCE)
            .expression_attribute_values(":fence", AttributeValue::S(fence.clone()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(Outcome::Written) };
        if let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() {
            let there = failed.item().and_then(|there| there.get(FENCE)).and_then(|fence| fence.as_s().ok());
            return Ok(if there == Some(&fence) { Outcome::Written } else { Outcome::Stale });
        }
        self.judge(Failure::of(&error))
    }

    fn judge(&self, failure: Failure) -> Result<Outcome, ConnectError> {
        match failure.trouble {
            // Each row is tried again by itself: those beside it may have been written.
            Trouble::Throttled | Trouble::Faulty | Trouble::Unreachable => {
                Ok(Outcome::Later(self.table.failed("write", failure).message))
            }
            // Of any other refusal it is not known that it is of this row.
            Trouble::Refused if REFUSALS_OF_ROWS.contains(&failure.code.as_str()) => {
                Ok(Outcome::Refused(format!("{}: {}", failure.code, failure.message)))
            }
            _ => Err(self.table.failed("write", failure)),
        }
    }
}
