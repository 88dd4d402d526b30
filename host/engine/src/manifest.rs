//! What a job writes of itself into a checkpoint beside its state: positions, watermarks, tokens, counts.
//!
//! JSON, versioned, read by every later weir.

use crate::beside::DeclinedFilling;
use crate::bootstrap::{Bootstrap, Phase};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::Token;
use weir_core::{Beginning, Counts, Extent, Reached, StoredShape};
use weir_event::schema::TAKEN_BACK;
use weir_event::{EventTime, Field, PartitionId, Position, Span};
use weir_plan::{JobPlan, KeyedStage, LatePolicy, StreamInput};
use weir_store::Manifest;

/// The format of [`Body`] and of the state's keys that this build writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 2;
/// State of an older format does not say of its key groups how far they have come: what [`Body`] says holds for all.
pub(crate) const SAYS_OF_GROUPS: u32 = 2;

/// The body of a job's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Body {
    /// Version of the definition.
    pub(crate) version: u32,
    /// Hash of the definition.
    pub(crate) definition: String,
    /// What stays of it when other versions of plugins are activated; empty in a body of an older weir.
    #[serde(default)]
    pub(crate) without_components: String,
    /// The hash of each feature, by name; none in a body of an older weir.
    #[serde(default)]
    pub(crate) features: BTreeMap<String, String>,
    /// The version of each feature, by name; none in a body of an older weir, where it is that of the definition.
    #[serde(default)]
    pub(crate) feature_versions: BTreeMap<String, u32>,
    /// What values depend on of the stream, each part with how it is declared; nothing in a body of an older weir.
    #[serde(default)]
    pub(crate) stream: BTreeMap<String, String>,
    /// What becomes of late rows, in words; nothing in a body of an older weir.
    #[serde(default)]
    pub(crate) late: Option<String>,
    /// Fingerprint of what the state is made of: all that a body of an older weir says of it.
    pub(crate) state: String,
    /// The versions of plugins that have made it, by plugin; nothing in a body of an older weir.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) made_by: BTreeMap<String, MadeBy>,
    /// What the state consists of; nothing in a body of an older weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shape: Option<StoredShape>,
    /// Number of this checkpoint of the job, rising.
    pub(crate) checkpoint: u64,
    /// How often the job was started.
    pub(crate) attempt: u64,
    /// Where the revisions of the newest attempt began; 0 in a body of an older weir, which numbered them by the attempt.
    #[serde(default)]
    pub(crate) revised: u64,
    /// Where each partition was read to, and its newest event time.
    pub(crate) partitions: Vec<PartitionState>,
    /// The job's watermark.
    pub(crate) watermark: Option<EventTime>,
    /// How far the job's time was behind the wall's; `None` before any event, and from a weir that did not say it.
    #[serde(default)]
    pub(crate) behind: Option<Span>,
    /// The oldest time that some key may be asked for; bodies of some builds do not say it. Of state of the first format
    /// it holds for every key group; of newer state each says its own.
    #[serde(default)]
    pub(crate) reached: Option<EventTime>,
    /// Each sink's token, by its name.
    pub(crate) sinks: BTreeMap<String, Token>,
    /// What each sink is known by when the job's definition is edited, by its name; nothing in a body of an older weir,
    /// whose sinks are known by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sink_identities: BTreeMap<String, String>,
    /// The last tokens of sinks that the definition does not have any more, by what they are known by: one that comes back
    /// goes on with what it had written, or makes it visible.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) gone_sinks: BTreeMap<String, Token>,
    /// What the token of each sink is good for, by its name; nothing in a body of an older weir.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) covered: BTreeMap<String, Covered>,
    /// By what they are known by, sinks that the definition does not have any more and whose last rows are not visible:
    /// how many these are, or 0 where nobody knows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hidden: BTreeMap<String, u64>,
    /// What each sink's token does not cover, where there is such; nothing in a body of an older weir.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) outboxes: BTreeMap<String, Kept>,
    /// Dead letters that were not kept, by stream, where there are such.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) lost_letters: BTreeMap<String, u64>,
    /// How the job began with the past of its streams; nothing where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bootstrap: Option<Bootstrap>,
    /// Why what was made beside the job has not taken its place, where that was so with this definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) declined: Option<DeclinedFilling>,
    /// When the rows were that the job has taken; of a job of an older weir, those since.
    #[serde(default)]
    pub(crate) extent: Extent,
    /// What was counted so far.
    pub(crate) counts: Counts,
}

/// A version of a plugin that has made state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeBy {
    /// Its number.
    pub version: u32,
    /// The sha256 of its component.
    pub component: String,
}

/// One partition at a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartitionState {
    pub(crate) id: PartitionId,
    /// The stream that it is of, for whoever has no plan to look it up in; `None` in a body of an older weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream: Option<String>,
    pub(crate) position: Position,
    /// Newest event time seen; `None` before the first row.
    pub(crate) newest: Option<EventTime>,
    /// What the source had promised of the rest; `None` where it promises nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) promised: Option<EventTime>,
    /// Where in its log the job began to read it.
    #[serde(default)]
    pub(crate) beginning: Beginning,
}

/// Rows in files that a checkpoint keeps for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spooled {
    #[serde(flatten)]
    pub(crate) stretch: Stretch,
    pub(crate) rows: u64,
    /// When the first of them was made.
    pub(crate) since: EventTime,
}

/// What a checkpoint says of a sink beside its token.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Rows that its token does not cover, oldest first.
    pub(crate) files: Vec<Spooled>,
    /// Rows that it did not get while it was suspended, or that waited for the sink whose name it has taken.
    #[serde(default)]
    pub(crate) missed: u64,
    /// Rows of the past that its token does not cover, where there are such; nothing in a body of an older weir.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) past: Option<KeptPast>,
}

/// Rows of the past that wait for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeptPast {
    /// The most rows a second that the sink is to be given, where the definition does not say it any more.
    pub(crate) rate: u64,
    /// Oldest first.
    pub(crate) files: Vec<Spooled>,
}

impl Kept {
    /// How many rows wait for the sink.
    pub(crate) fn waiting_rows(&self) -> u64 {
        let past = self.past.iter().flat_map(|past| &past.files);
        self.files.iter().chain(past).map(|file| file.rows).sum()
    }
}

/// What a sink's token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Covered {
    /// Whether the sink goes on from it where it was out of the definition for a while.
    pub(crate) goes_on: bool,
    /// Whether the sink had left nothing unfinished.
    pub(crate) is_last: bool,
    /// Rows that become visible with it, where the sink shows them only when their checkpoint is safe.
    pub(crate) rows: u64,
}

/// Part of a file of rows that wait for a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub(crate) file: Arc<str>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The hash of each feature, by name.
pub(crate) fn features(plan: &JobPlan) -> BTreeMap<String, String> {
    plan.features.iter().map(|feature| (feature.name.clone(), feature.definition.clone())).collect()
}

/// The version of each feature, by name.
pub(crate) fn feature_versions(plan: &JobPlan) -> BTreeMap<String, u32> {
    plan.features.iter().map(|feature| (feature.name.clone(), feature.version)).collect()
}

/// The versions of plugins that make a plan's state, by plugin.
pub(crate) fn makers(plan: &JobPlan) -> BTreeMap<String, MadeBy> {
    let making = plan.versions.iter().filter(|used| used.makes_state).map(|used| &used.of);
    let made_by = making.map(|of| {
        let (version, component) = (of.version, of.component.clone());
        (of.plugin.clone(), MadeBy { version, component })
    });
    made_by.collect()
}

/// What becomes of late rows, as a definition says it.
pub(crate) fn late_words(plan: &JobPlan) -> String {
    let policy = match plan.late.policy {
        LatePolicy::Correct => "correct",
        LatePolicy::Drop => "drop",
        LatePolicy::Divert => "divert",
    };
    format!("{{policy: {policy}, allow: {}}}", plan.late.allow)
}

/// What values depend on of the streams that a job reads; where there are several, with the stream's name.
pub(crate) fn stream_parts(plan: &JobPlan) -> BTreeMap<String, String> {
    let is_only = plan.inputs.len() == 1;
    let named = |input: &StreamInput, (part, declared): (String, String)| {
        let part = if is_only { part } else { format!("`{}`: {part}", input.stream.name) };
        (part, declared)
    };
    let parts = |input| parts_of(input).into_iter().map(move |part| named(input, part));
    plan.inputs.iter().flat_map(parts).collect()
}

fn parts_of(input: &StreamInput) -> Vec<(String, String)> {
    let (stream, fields) = (&input.stream, &input.stream.schema.fields);
    let declared = |field: &Field| {
        if field.name == TAKEN_BACK {
            return ("`deletes`".to_owned(), "retract".to_owned());
        }
        let name = (format!("field `{}`", field.name), field.data_type.to_string());
        let path = field.path.join(".");
        if path == field.name { name } else { (name.0, format!("{} from {path}", name.1)) }
    };
    let read = input.columns.iter().filter_map(|column| fields.get(*column)).map(declared);
    let event_time = fields.get(stream.schema.event_time).map(|field| field.name.clone());
    let dedup = stream.dedup.and_then(|dedup| Some((fields.get(dedup.event_id)?.name.clone(), dedup.within)));
    let settings = [
        ("event_time", event_time),
        ("disorder", Some(stream.disorder.to_string())),
        ("event_id", dedup.as_ref().map(|(id, _)| id.clone())),
        ("dedup_for", dedup.map(|(_, within)| within.to_string())),
    ];
    let none = || "none".to_owned();
    let settings = settings.into_iter().map(|(key, value)| (format!("`{key}`"), value.unwrap_or_else(none)));
    read.chain(settings).collect()
}

impl Body {
    /// How far the job has come with the past; one that began without any is done with it.
    pub(crate) fn phase(&self) -> Phase {
        self.bootstrap.as_ref().map_or(Phase::Done, |bootstrap| bootstrap.phase)
    }

    /// The body of a job that starts anew.
    pub(crate) fn first(plan: &JobPlan) -> Body {
        Body {
            version: plan.version,
            definition: plan.definition.clone(),
            without_components: plan.definition_without_components.clone(),
            features: features(plan),
            feature_versions: feature_versions(plan),
            stream: stream_parts(plan),
            late: Some(late_words(plan)),
            state: plan.state_fingerprint.clone(),
            made_by: makers(plan),
            shape: Some(StoredShape::of(plan)),
            checkpoint: 0,
            attempt: 0,
            revised: 0,
            partitions: Vec::new(),
            watermark: None,
            behind: None,
            reached: None,
            sinks: BTreeMap::new(),
            sink_identities: BTreeMap::new(),
            gone_sinks: BTreeMap::new(),
            covered: BTreeMap::new(),
            hidden: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            lost_letters: BTreeMap::new(),
            bootstrap: None,
            declined: None,
            extent: Extent::default(),
            counts: Counts::default(),
        }
    }

    /// Where a manifest says that partitions were read to, whether a plan fits the rest of it or not; nothing where it
    /// cannot be read.
    pub(crate) fn partitions_of(manifest: &Manifest) -> Vec<PartitionState> {
        let partitions = manifest.body.get("partitions").cloned().unwrap_or_default();
        serde_json::from_value(partitions).unwrap_or_default()
    }

    /// Since when the job has all data; `None` for all that was ever in its source.
    pub(crate) fn data_since(&self) -> Option<EventTime> {
        let is_covered = |id| self.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.covers(id));
        let partitions = self.partitions.iter().filter(|partition| !is_covered(partition.id));
        let of_logs = partitions.filter_map(|partition| partition.beginning.since()).max();
        of_logs.max(self.bootstrap.as_ref().and_then(Bootstrap::data_since))
    }

    /// How a manifest says that its job began with the past, while it reads that.
    fn past_of(manifest: &Manifest) -> Option<Bootstrap> {
        let bootstrap = manifest.body.get("bootstrap").cloned().unwrap_or_default();
        let bootstrap: Option<Bootstrap> = serde_json::from_value(bootstrap).unwrap_or_default();
        bootstrap.filter(|bootstrap| bootstrap.phase == Phase::Past)
    }

    /// Whether a manifest is of a job that reads the past of its streams.
    pub(crate) fn reads_past(manifest: &Manifest) -> bool {
        Body::past_of(manifest).is_some()
    }

    /// Where logs begin that a manifest says are to be read once the past is: by the names of their streams.
    pub(crate) fn waiting_logs(manifest: &Manifest) -> Vec<(String, Position)> {
        let cuts = Body::past_of(manifest).into_iter().flat_map(|bootstrap| bootstrap.cuts.into_values());
        cuts.flat_map(|cut| cut.starts.into_iter().map(move |(_, at)| (cut.stream.clone(), at))).collect()
    }

    /// How far every key group of state of the first format has come; a longer history that the definition got since
    /// does not reach further back.
    pub(crate) fn reached(&self, stage: &KeyedStage) -> Reached {
        let (never, counts) = (EventTime::MIN, Counts::default());
        let unknown = Reached { settled: never, oldest: never, revision: 0, counts };
        let Some(watermark) = self.watermark else { return unknown };
        // Builds that do not say it kept only windows that ended within the history.
        let of_first_builds = || {
            let next = stage.spec.frames.windows()?.open_at(watermark - stage.spec.history)?;
            Some(next.1 - Span::from_millis(1))
        };
        let oldest = self.reached.or_else(of_first_builds).unwrap_or(EventTime::MIN);
        Reached { settled: watermark, oldest, ..unknown }
    }

    /// The manifest's JSON.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}
