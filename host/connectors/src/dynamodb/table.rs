//! The table that is written to: whether it is there and its keys are those of the definition, and the call that makes it.

use super::row::EXPIRES;
use crate::aws::{Account, Failure};
use crate::shell::in_shell;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    KeyType, ScalarAttributeType, TableDescription, TableStatus, TimeToLiveStatus,
};
use serde_json::json;
use weir_connect::ConnectError;

/// A table of an account, and the attributes that are its keys.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) account: Account,
    pub(super) name: String,
    /// In the order of the definition: what rows are spread by first.
    pub(super) keys: Vec<String>,
    /// Whether its items expire.
    pub(super) expires: bool,
}

impl Table {
    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        format!("dynamodb table `{}` {}", self.name, self.account.place())
    }

    /// A client, made anew.
    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        Ok(Client::new(self.account.config(&format!("dynamodb table `{}`", self.name)).await?))
    }

    /// Whether rows can be written to it; says what was found.
    pub(super) async fn check(&self, client: &Client) -> Result<String, ConnectError> {
        let asked = client.describe_table().table_name(&self.name).send().await;
        let answer = asked.map_err(|error| self.failed("describe it", Failure::of(&error)))?;
        let described = answer.table().ok_or_else(|| self.failed_for_good("it is described by nothing"))?;
        match described.table_status() {
            Some(TableStatus::Creating) => {
                return Err(ConnectError::unavailable(format!(
                    "{}: it is still being created",
                    self.place()
                )));
            }
            Some(TableStatus::Deleting) => return Err(self.failed_for_good("it is being deleted")),
            _ => {}
        }
        let found = keys_of(described);
        let wanted: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        let there: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        if wanted != there {
            let (wanted, there) = (wanted.join("`, `"), there.join("`, `"));
            return Err(self.failed_for_good(&format!(
                "its keys are `{there}`, but `key` gives `{wanted}`; give a text for each of its keys, what rows are spread by first, or make the table \
                 that `weir sink ddl JOB` prints"
            )));
        }
        if let Some((name, other)) = found.iter().find(|(_, of)| *of != ScalarAttributeType::S) {
            return Err(self.failed_for_good(&format!(
                "its key `{name}` is of the type {other}; weir's keys are texts (S)"
            )));
        }
        let expiry = if self.expires { self.expiry(client).await } else { "" };
        Ok(format!("table {} with the keys {}{expiry}", self.name, there.join(", ")))
    }

    /// What is to be said of whether the table takes away what has expired. Not every account may ask, and rows can be
    /// written without it.
    async fn expiry(&self, client: &Client) -> &'static str {
        let asked = client.describe_time_to_live().table_name(&self.name).send().await;
        let Ok(answer) = asked else { return "; whether items expire could not be asked" };
        let about = answer.time_to_live_description();
        let status = about.and_then(|about| about.time_to_live_status());
        let is_on = matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling));
        if is_on && about.and_then(|about| about.attribute_name()) == Some(EXPIRES) {
            return "";
        }
        "; but its items do not expire: its time to live is off, or of another attribute than `_expires`; the second call \
         that `weir sink ddl JOB` prints turns it on"
    }

    /// What failed, for messages.
    pub(super) fn failed(&self, action: &str, failure: Failure) -> ConnectError {
        failure.into_error(&format!("{}: cannot {action}", self.place()))
    }

    fn failed_for_good(&self, reason: &str) -> ConnectError {
        ConnectError::external(format!("{}: {reason}", self.place()))
    }

    /// The calls of AWS's command line that make it.
    pub(super) fn ddl(&self) -> String {
        let kinds = ["HASH", "RANGE"];
        let keys: Vec<_> = self
            .keys
            .iter()
            .zip(kinds)
            .map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}))
            .collect();
        let types: Vec<_> =
            self.keys.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect();
        let call = json!({
            "TableName": self.name,
            "AttributeDefinitions": types,
            "KeySchema": keys,
            "BillingMode": "PAY_PER_REQUEST",
        });
        let place = self.account.command_line();
        let mut calls =
            format!("aws dynamodb create-table{place} --cli-input-json {}\n", in_shell(&call.to_string()));
        if self.expires {
            let ttl = json!({
                "TableName": self.name,
                "TimeToLiveSpecification": {"Enabled": true, "AttributeName": EXPIRES},
            });
            calls = format!(
                "{calls}aws dynamodb update-time-to-live{place} --cli-input-json {}\n",
                in_shell(&ttl.to_string())
            );
        }
        calls
    }
}

/// The keys of a table with their types.
fn keys_of(described: &TableDescription) -> Vec<(String, ScalarAttributeType)> {
    let type_of = |name: &str| {
        let definition = described.attribute_definitions().iter().find(|it| it.attribute_name() == name);
        definition.map_or(ScalarAttributeType::S, |it| it.attribute_type().clone())
    };
    let mut keys: Vec<_> = described.key_schema().iter().collect();
    keys.sort_by_key(|key| *key.key_type() != KeyType::Hash);
    keys.iter().map(|key| (key.attribute_name().to_owned(), type_of(key.attribute_name()))).collect()
}
