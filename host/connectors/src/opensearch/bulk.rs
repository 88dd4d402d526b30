//! One bulk request and what became of each of its actions.
//!
//! Knows the form of both. Must not send anything, nor know why an action is made.

use super::Keep;
use crate::upsert::{Item, Outcome};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_connect::Op;
use weir_format::json::push_time;

/// An id is not longer.
const LONGEST_ID_BYTES: usize = 512;

/// What has to be so for an action to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// The document is not newer than this version, which it then has.
    Version(u64),
    /// There is no such document.
    Absent,
    /// The document is the one that was read.
    Unchanged { seq_no: i64, primary_term: i64 },
}

/// The id of an item's document.
pub(super) fn id_of(item: &Item) -> String {
    let id = item.keys.concat();
    match &item.identity {
        Some(identity) => format!("{id}@{identity}"),
        None => id,
    }
}

/// Why no document can have this id, which would have the whole request refused.
pub(super) fn id_fault(id: &str) -> Option<Outcome> {
    let reason = match id.len() {
        0 => "its id is empty".to_owned(),
        bytes if bytes > LONGEST_ID_BYTES => {
            format!("its id has {bytes} bytes, and an index takes {LONGEST_ID_BYTES}")
        }
        _ => return None,
    };
    Some(Outcome::Refused(reason))
}

/// Appends what is done with a document: written, or deleted where the item takes it away.
pub(super) fn push_action(item: &Item, id: &str, condition: Condition, document: &[u8], out: &mut Vec<u8>) {
    let mut about = match condition {
        Condition::Version(version) => json!({"version": version, "version_type": "external_gte"}),
        Condition::Absent => json!({}),
        Condition::Unchanged { seq_no, primary_term } => {
            json!({"if_seq_no": seq_no, "if_primary_term": primary_term})
        }
    };
    about["_id"] = Value::from(id);
    let verb = match (item.op(), condition) {
        (Op::Delete, _) => "delete",
        (Op::Upsert, Condition::Absent) => "create",
        (Op::Upsert, _) => "index",
    };
    out.extend_from_slice(json!({verb: about}).to_string().as_bytes());
    out.push(b'\n');
    if item.op() == Op::Upsert {
        out.extend_from_slice(document);
        out.push(b'\n');
    }
}

/// Appends the members of a document that are weir's own.
pub(super) fn push_own(item: &Item, keep: Keep, out: &mut Vec<u8>) {
    let mut time = |name: &str, millis: i64| {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        push_time(millis, out);
    };
    if let Some((start, end)) = item.window() {
        time("_window_start", start);
        time("_window_end", end);
    } else if let Some(of_event) = item.event_time() {
        time("_event_time", of_event.millis());
    }
    out.extend_from_slice(format!(",\"_revision\":{}", item.fence.revision).as_bytes());
    if keep == Keep::Newest {
        out.extend_from_slice(format!(",\"_fence\":\"{}\"", item.fence.text()).as_bytes());
    }
}

/// The answer to a bulk request.
#[derive(Debug, Deserialize)]
pub(super) struct BulkAnswer {
    pub(super) items: Vec<BTreeMap<String, ActionAnswer>>,
}

/// The answer to one action.
#[derive(Debug, Deserialize)]
pub(super) struct ActionAnswer {
    pub(super) status: u16,
    pub(super) error: Option<ActionError>,
}

/// Why an action was not done.
#[derive(Debug, Deserialize)]
pub(super) struct ActionError {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    reason: Option<String>,
    caused_by: Option<Box<ActionError>>,
}

impl ActionError {
    /// In words, with what is behind it.
    pub(super) fn reason(&self) -> String {
        let own = self.reason.as_deref().unwrap_or(&self.kind).to_owned();
        match self.caused_by.as_ref().map(|cause| cause.reason()) {
            Some(cause) if !own.contains(&cause) => format!("{own}: {cause}"),
            _ => own,
        }
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ActionOutcome {
    /// It was done, or there was nothing to delete.
    Done,
    /// Its condition did not hold.
    Conflict,
    /// It may be done later.
    Later(String),
    /// It is never done: this is about the document.
    Refused(String),
    /// It is about whoever writes, or the index.
    Whole(String),
}

impl ActionAnswer {
    pub(super) fn outcome(&self) -> ActionOutcome {
        let Some(error) = &self.error else {
            return if self.status < 300 || self.status == 404 {
                ActionOutcome::Done
            } else {
                ActionOutcome::Later(format!("status {} without a reason", self.status))
            };
        };
        let reason = error.reason();
        match (self.status, error.kind.as_str()) {
            (409, _) => ActionOutcome::Conflict,
            (429 | 500.., _) | (_, "cluster_block_exception" | "index_closed_exception") => {
                ActionOutcome::Later(reason)
            }
            (401 | 403, _) | (_, "index_not_found_exception" | "security_exception") => {
                ActionOutcome::Whole(reason)
            }
            _ => ActionOutcome::Refused(reason),
        }
    }
}
