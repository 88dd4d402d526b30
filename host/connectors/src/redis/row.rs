//! A result row as a hash of Redis: its key, the fields that are set and those that are removed.
//!
//! In Feast's layout the feature views of an entity share its hash, so that each has a fence of its own. Must not connect.

use crate::feast;
use crate::upsert::Item;
use std::borrow::Cow;
use std::time::Duration;
use weir_connect::Op;
use weir_event::EventTime;

/// What tells newer rows from older ones.
pub(super) const FENCE: &str = "_fence";
/// Fields that are weir's own.
pub(super) const OWN_FIELDS: [&str; 4] = ["_event_time", "_window_end", "_version", FENCE];
/// How long the mark of a row that was taken away stays: older rows that are still on their way are known by it.
const MARK_STAYS: Duration = Duration::from_hours(24);

/// What hashes look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HashLayout {
    /// The text of the item's only key, with fields as the query's columns are named.
    Weir,
    /// The entity of a project of Feast, with the fields of one feature view.
    Feast { project: String, view: String },
}

/// Bytes that may be those of the row.
type Part<'r> = Cow<'r, [u8]>;

/// A row on its way into a hash.
pub(super) struct HashRow<'r> {
    pub(super) key: Part<'r>,
    pub(super) fence: String,
    /// How long the hash lives from now on.
    pub(super) ttl: Option<Duration>,
    /// None where the row takes others away.
    pub(super) sets: Vec<(Part<'r>, Part<'r>)>,
    pub(super) removes: Vec<Part<'r>>,
}

impl HashLayout {
    /// The field of a row's fence.
    pub(super) fn fence_field(&self) -> String {
        match self {
            HashLayout::Weir => FENCE.to_owned(),
            HashLayout::Feast { view, .. } => format!("{FENCE}:{view}"),
        }
    }

    /// Whether others have fields in the same hashes.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, HashLayout::Feast { .. })
    }

    /// A row; or why it cannot be one.
    pub(super) fn row<'r>(&self, item: &'r Item, ttl: Option<Duration>) -> Result<HashRow<'r>, String> {
        let deletes = item.op() == Op::Delete;
        let ttl = if deletes { Some(ttl.unwrap_or(MARK_STAYS)) } else { ttl };
        let fence = item.fence.text();
        let (key, fields) = match self {
            HashLayout::Weir => (item.keys[0].as_bytes().into(), fields(item)),
            HashLayout::Feast { project, view } => {
                let mut key = feast::entity_key(item)?;
                key.extend_from_slice(project.as_bytes());
                (key.into(), feast_fields(item, view)?)
            }
        };
        let (mut sets, mut removes) = (Vec::with_capacity(fields.len()), Vec::new());
        for (name, value) in fields {
            match value.filter(|_| !deletes) {
                Some(value) => sets.push((name, value)),
                // Of a hash that no other has fields in, all go.
                None if deletes && !self.is_shared() => {}
                None => removes.push(name),
            }
        }
        Ok(HashRow { key, fence, ttl, sets, removes })
    }
}

/// A field's name and its value, where it has one.
type Field<'r> = (Part<'r>, Option<Part<'r>>);

fn fields(item: &Item) -> Vec<Field<'_>> {
    let text = |text: String| Cow::Owned(text.into_bytes());
    let columns = item.columns().enumerate();
    let columns = columns.map(|(at, (name, _))| (name.as_bytes().into(), item.text(at).map(text)));
    let [of_event, of_window, of_version, _] = OWN_FIELDS.map(|name| Cow::Borrowed(name.as_bytes()));
    let own = [
        (of_event, item.event_time().map(|time| text(time.to_string()))),
        (of_window, item.window().map(|(_, end)| text(EventTime::from_millis(end).to_string()))),
        (of_version, Some(text(item.meta().version.to_string()))),
    ];
    columns.chain(own).collect()
}

fn feast_fields<'r>(item: &'r Item, view: &str) -> Result<Vec<Field<'r>>, String> {
    let features = feast::features(item)?.into_iter().map(|(name, value)| {
        let name = Cow::Owned(feast::field(view, name).to_vec());
        (name, Some(value).filter(|value| !value.is_empty()).map(Cow::Owned))
    });
    let time = feast::timestamp(item.event_time().unwrap_or(EventTime::from_millis(0)));
    let of_view = (Cow::Owned(format!("_ts:{view}").into_bytes()), Some(Cow::Owned(time)));
    Ok(features.chain([of_view]).collect())
}
