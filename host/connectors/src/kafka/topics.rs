//! Which topics a source reads, and what its partitions are called.
//!
//! Of one topic, a partition has its own number. Of topics that a pattern names, each partition of each topic is given the
//! next number that is free, and its positions say whose it is: `rides-eu/3 ..`; so numbers never change their meaning,
//! whatever topics come and go. Pure: knows names and positions, and asks nobody.

use super::identity::LastRead;
use crate::settings::Settings;
use rdkafka::metadata::{Metadata, MetadataPartition};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use weir_connect::{ConnectError, OpenPartition};
use weir_event::Position;
use weir_event::suggestion::shown;

/// Brokers keep topics of their own under such names.
const INTERNAL: &str = "__";

/// Names of topics that match are told of up to so many.
const MOST_NAMES: usize = 10;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicPartition {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
}

/// The topics of a source, or that of a sink.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    One(Arc<str>),
    /// All whose whole names a regular expression matches, also those that come later.
    Matching {
        /// As it was written.
        pattern: Arc<str>,
        regex: Regex,
    },
}

/// What is wrong with a topic's name, by Kafka's own rules.
fn fault_of(name: &str) -> Option<String> {
    const LONGEST: usize = 249;
    let is_legal =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    if name.is_empty() || name.len() > LONGEST || matches!(name, "." | "..") || !name.chars().all(is_legal) {
        return Some(format!(
            "`{}` cannot be a topic's name: Kafka has letters, digits, `.`, `_` and `-`, {LONGEST} at most",
            shown(name)
        ));
    }
    None
}

impl Topics {
    /// Reads `topic`, which may be a pattern where several can be read.
    pub(super) fn read(settings: &mut Settings<'_>, may_be_several: bool) -> Topics {
        let form = if may_be_several {
            "the topic's name, or {pattern: EXPRESSION} for all whose names match"
        } else {
            "the topic's name"
        };
        let value: Value = settings.required("topic", form).unwrap_or_default();
        let pattern = value.as_object().filter(|members| members.len() == 1);
        let pattern = pattern.and_then(|members| members.get("pattern")?.as_str());
        match (&value, pattern) {
            (Value::Null, _) => Topics::One("".into()),
            (Value::String(name), _) => {
                if let Some(fault) = fault_of(name) {
                    settings.error("topic", fault);
                }
                Topics::One(name.as_str().into())
            }
            // Digits alone are a name too.
            (Value::Number(name), _) => Topics::One(name.to_string().into()),
            (_, Some(pattern)) if may_be_several => Topics::matching(pattern).unwrap_or_else(|fault| {
                settings.error("topic", fault);
                Topics::One("".into())
            }),
            (_, Some(_)) => {
                settings
                    .error("topic", "a pattern names topics to read; rows are written to one: give its name");
                Topics::One("".into())
            }
            _ => {
                settings.error("topic", format!("write {form}"));
                Topics::One("".into())
            }
        }
    }

    fn matching(pattern: &str) -> Result<Topics, String> {
        let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
            // The last line says what is wrong; those before point at it in what was made of the pattern.
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{pattern}` is not a regular expression: {reason}")
        })?;
        Ok(Topics::Matching { pattern: pattern.into(), regex })
    }

    /// The name of the one topic, or the pattern.
    pub(super) fn text(&self) -> &Arc<str> {
        match self {
            Topics::One(name) => name,
            Topics::Matching { pattern, .. } => pattern,
        }
    }

    fn has(&self, topic: &str) -> bool {
        match self {
            Topics::One(name) => **name == *topic,
            Topics::Matching { regex, .. } => !topic.starts_with(INTERNAL) && regex.is_match(topic),
        }
    }

    /// Their partitions among all that brokers list, in order.
    pub(super) fn listed(&self, all: &Metadata) -> BTreeSet<TopicPartition> {
        self.among(all, |_| true)
    }

    /// Those of them that have a leader, whom alone their offsets can be asked of.
    pub(super) fn led(&self, all: &Metadata) -> BTreeSet<TopicPartition> {
        self.among(all, |partition| partition.leader() >= 0)
    }

    fn among(
        &self,
        all: &Metadata,
        is_meant: impl Fn(&MetadataPartition) -> bool + Copy,
    ) -> BTreeSet<TopicPartition> {
        let mine = all.topics().iter().filter(|topic| topic.error().is_none() && self.has(topic.name()));
        let partitions = mine.flat_map(|topic| {
            let name: Arc<str> = topic.name().into();
            topic
                .partitions()
                .iter()
                .filter(move |partition| is_meant(partition))
                .map(move |partition| TopicPartition { topic: name.clone(), number: partition.id() })
        });
        partitions.collect()
    }

    /// Whose a partition of the source is.
    pub(super) fn of(&self, open: &OpenPartition) -> Result<TopicPartition, ConnectError> {
        let at = open.from.as_ref().and_then(named);
        let other = |had: String, write: String| {
            ConnectError::user(format!(
                "{self}: the job has read {had}; write `topic: {write}`, or start it anew with --reset"
            ))
        };
        match (self, at) {
            (Topics::One(topic), None) => {
                Ok(TopicPartition { topic: topic.clone(), number: i32::from(open.partition) })
            }
            (Topics::Matching { .. }, Some(at)) => Ok(at),
            (Topics::One(_), Some(at)) => {
                Err(other(format!("topic `{}` by a pattern", at.topic), "{pattern: ..}".to_owned()))
            }
            (Topics::Matching { .. }, None) => {
                Err(other("one topic by its name".to_owned(), "NAME".to_owned()))
            }
        }
    }

    /// The text of a position in a partition, before which this record was read last.
    pub(super) fn place(&self, of: &TopicPartition, last: Option<&LastRead>) -> String {
        let last = last.map(LastRead::to_string);
        match (self, last) {
            (Topics::One(_), last) => last.unwrap_or_default(),
            (Topics::Matching { .. }, None) => of.to_string(),
            (Topics::Matching { .. }, Some(last)) => format!("{of} {last}"),
        }
    }

    /// What was found, for a person.
    pub(super) fn found(&self, listed: &BTreeSet<TopicPartition>) -> String {
        let count = |count: usize, of: &str| format!("{count} {of}{}", if count == 1 { "" } else { "s" });
        let partitions = count(listed.len(), "partition");
        if let Topics::One(_) = self {
            return partitions;
        }
        let names: BTreeSet<&str> = listed.iter().map(|of| &*of.topic).collect();
        let more = names.len().saturating_sub(MOST_NAMES);
        let told = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{partitions} of {}: {told}{more}", count(names.len(), "topic"))
    }
}

/// The partition that a position names, where topics are read by a pattern.
pub(super) fn named(position: &Position) -> Option<TopicPartition> {
    let (topic, number) = position.place.split(' ').next()?.rsplit_once('/')?;
    Some(TopicPartition { topic: topic.into(), number: number.parse().ok()? })
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topics::One(name) => write!(f, "topic `{name}`"),
            Topics::Matching { pattern, .. } => write!(f, "topics like `{pattern}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;
    use serde_json::json;
    use weir_connect::KeyDoc;
    use weir_connect::key::REQUIRED;

    const KEYS: &[KeyDoc] = &[KeyDoc::new("topic", "text", REQUIRED, "")];

    fn read(topic: Value, may_be_several: bool) -> Result<Topics, String> {
        let value = json!({"topic": topic});
        let mut settings = Settings::new(&value, KEYS);
        let topics = Topics::read(&mut settings, may_be_several);
        settings.finish().map(|()| topics).map_err(|errors| errors[0].to_string())
    }

    #[test]
    fn a_pattern_is_of_whole_names_and_not_of_the_brokers_own() {
        let topics = read(json!({"pattern": "rides-.*|_.*"}), true).unwrap();
        for (name, matches) in [
            ("rides-eu", true),
            ("rides-", true),
            ("old-rides-eu", false),
            ("_x", true),
            ("__offsets", false),
        ] {
            assert_eq!(topics.has(name), matches, "{name}");
        }
        assert!(read(json!("rides.eu"), true).unwrap().has("rides.eu"));
        assert!(!read(json!("rides.eu"), true).unwrap().has("rides-eu"));
    }

    #[test]
    fn what_is_no_topic_is_said() {
        for (topic, several, said) in [
            (json!({"pattern": "rides-("}), true, "`rides-(` is not a regular expression: unclosed group"),
            (json!({"pattern": "x", "other": 1}), true, "write the topic's name, or {pattern: EXPRESSION}"),
            (json!({"pattern": 7}), true, "write the topic's name, or {pattern: EXPRESSION}"),
            (json!(["a", "b"]), true, "write the topic's name"),
            (json!({"pattern": "x"}), false, "rows are written to one"),
            (json!(true), false, "write the topic's name"),
        ] {
            let error = read(topic, several).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_position_says_whose_it_is() {
        let (one, several) = (read(json!("t"), true).unwrap(), read(json!({"pattern": ".*"}), true).unwrap());
        let of = TopicPartition { topic: "rides.eu-1".into(), number: 3 };
        let last = LastRead::new(41, Timestamp::CreateTime(7), None);
        let open = |place: String| OpenPartition { partition: 9, from: Some(Position { next: 42, place }) };
        for last in [None, Some(&last)] {
            let named = open(several.place(&of, last));
            assert_eq!(several.of(&named).unwrap(), of);
            assert_eq!(LastRead::before(named.from.as_ref().unwrap()).as_ref(), last);
            assert!(one.of(&named).unwrap_err().message.contains("topic `rides.eu-1` by a pattern"));
            let plain = open(one.place(&of, last));
            assert_eq!(one.of(&plain).unwrap(), TopicPartition { topic: "t".into(), number: 9 });
            assert_eq!(LastRead::before(plain.from.as_ref().unwrap()).as_ref(), last);
            assert!(several.of(&plain).unwrap_err().message.contains("one topic by its name"));
        }
    }
}
