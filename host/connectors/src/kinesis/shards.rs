//! Which shards are which partitions.
//!
//! A shard's number never changes: it is in the job's positions, beside the shard's name. A shard that was split or
//! merged is closed, and its children are new shards with numbers of their own. Pure: knows lists and positions, and
//! asks nobody.

use super::place::{At, ShardPlace};
use std::collections::{BTreeMap, BTreeSet};
use weir_connect::{ConnectError, OpenPartition};

/// A shard as the stream lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) id: String,
    /// What it was split or merged from, whether that is still listed or not.
    pub(super) parents: Vec<String>,
    /// Whether nothing more is written to it.
    pub(super) closed: bool,
    /// The hash keys of its records.
    pub(super) keys: Option<(u128, u128)>,
}

/// Where a job begins that has read nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    pub(super) at: At,
    /// Whether the oldest records of the stream's first shards may have been deleted already.
    pub(super) trimmed: bool,
    /// Shards that nothing more is written to are passed over.
    pub(super) only_open: bool,
}

/// All partitions of a job that stands at `known`, when the stream lists these shards: new shards are given numbers and
/// where they begin.
pub(super) fn partitions(
    known: &[OpenPartition],
    listed: &[Shard],
    first: &First,
) -> Result<Vec<OpenPartition>, ConnectError> {
    let places = places(known)?;
    if places.is_empty() {
        return begin(listed, first);
    }
    let shards: BTreeMap<&str, &Shard> = listed.iter().map(|shard| (shard.id.as_str(), shard)).collect();
    let unread = |place: &&ShardPlace| place.at != At::End && !shards.contains_key(place.shard.as_str());
    if let Some(gone) = places.values().find(unread) {
        return Err(lost(&format!("`{}` has expired before it was read to its end", gone.shard)));
    }
    let mut all = known.to_vec();
    let mut numbered: BTreeSet<String> = places.into_values().map(|place| place.shard).collect();
    let ancestors = ancestors(&shards, &numbered);
    for shard in shards.values() {
        let is_new = !numbered.contains(&shard.id) && !ancestors.contains(shard.id.as_str());
        // Names rise, so parents come before their children.
        if !is_new {
            continue;
        }
        if !shard.parents.iter().any(|parent| numbered.contains(parent)) {
            return Err(lost(&format!("shards between what was read and `{}` have expired", shard.id)));
        }
        let place = ShardPlace { shard: shard.id.clone(), at: At::Beginning };
        all.push(OpenPartition { partition: next_number(&all)?, from: Some(place.position(0)) });
        numbered.insert(shard.id.clone());
    }
    Ok(all)
}

/// The children of a shard among those that are listed.
pub(super) fn children<'a>(listed: &'a [Shard], of: &'a str) -> impl Iterator<Item = &'a Shard> {
    listed.iter().filter(move |shard| shard.parents.iter().any(|parent| parent == of))
}

/// A number that none of these has.
pub(super) fn next_number(all: &[OpenPartition]) -> Result<u16, ConnectError> {
    let Some(last) = all.iter().map(|open| open.partition).max() else { return Ok(0) };
    last.checked_add(1).ok_or_else(|| {
        ConnectError::external(
            "the stream was resharded into more than 65536 shards; start the job with --reset",
        )
    })
}

/// The places of partitions by their number.
pub(super) fn places(known: &[OpenPartition]) -> Result<BTreeMap<u16, ShardPlace>, ConnectError> {
    let place = |open: &OpenPartition| {
        let from = open.from.as_ref().map(ShardPlace::of);
        from.map(|place| place.map(|place| (open.partition, place)))
    };
    known.iter().filter_map(place).collect()
}

fn begin(listed: &[Shard], first: &First) -> Result<Vec<OpenPartition>, ConnectError> {
    let ids: BTreeSet<&str> = listed.iter().map(|shard| shard.id.as_str()).collect();
    let mut shards: Vec<_> = listed.iter().filter(|shard| !(first.only_open && shard.closed)).collect();
    shards.sort_by(|one, other| one.id.cmp(&other.id));
    let mut all = Vec::with_capacity(shards.len());
    for shard in shards {
        let follows = !shard.parents.is_empty();
        let is_cut = if follows {
            !shard.parents.iter().all(|parent| ids.contains(parent.as_str()))
        } else {
            first.trimmed
        };
        // A partition that begins at record 0 has everything that was ever in it.
        let is_whole = first.at == At::Beginning && !is_cut;
        let place = ShardPlace { shard: shard.id.clone(), at: first.at.clone() };
        let from = Some(place.position(u64::from(!is_whole)));
        all.push(OpenPartition { partition: next_number(&all)?, from });
    }
    Ok(all)
}

/// What these shards come from, as far as it is listed.
fn ancestors<'a>(shards: &BTreeMap<&'a str, &'a Shard>, of: &BTreeSet<String>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Shard> = of.iter().filter_map(|id| shards.get(id.as_str()).copied()).collect();
    while let Some(shard) = open.pop() {
        for parent in shard.parents.iter().filter_map(|id| shards.get(id.as_str()).copied()) {
            if found.insert(parent.id.as_str()) {
                open.push(parent);
            }
        }
    }
    found
}

fn lost(what: &str) -> ConnectError {
    ConnectError::external(format!(
        "the stream's retention deleted records before they were read: {what}; start the job anew with --reset, and let \
         the stream keep its records longer"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::EventTime;

    fn shard(id: &str, parents: &[&str], closed: bool) -> Shard {
        let parents = parents.iter().map(|parent| (*parent).to_owned()).collect();
        Shard { id: id.to_owned(), parents, closed, keys: None }
    }

    fn first(at: At) -> First {
        First { only_open: at != At::Beginning, at, trimmed: false }
    }

    fn stands(partition: u16, shard: &str, at: At) -> OpenPartition {
        let place = ShardPlace { shard: shard.to_owned(), at };
        OpenPartition { partition, from: Some(place.position(5)) }
    }

    fn shown(all: &[OpenPartition]) -> Vec<String> {
        let shown = |open: &OpenPartition| {
            let position = open.from.as_ref().unwrap();
            format!("{}: {} {}", open.partition, position.place, position.next)
        };
        all.iter().map(shown).collect()
    }

    #[test]
    fn a_first_start_takes_all_shards_or_only_the_open_ones() {
        let listed = [shard("s1", &["s0"], false), shard("s0", &[], true), shard("s3", &["s2"], false)];
        let all = partitions(&[], &listed, &first(At::Beginning)).unwrap();
        assert_eq!(shown(&all), ["0: s0 beginning 0", "1: s1 beginning 0", "2: s3 beginning 1"]);
        let at = At::From(EventTime::from_millis(7));
        let all = partitions(&[], &listed, &first(at)).unwrap();
        assert_eq!(shown(&all), ["0: s1 from 7 1", "1: s3 from 7 1"]);
    }

    #[test]
    fn children_get_numbers_of_their_own_and_known_ones_keep_theirs() {
        let known = [stands(0, "s1", At::After("9".to_owned())), stands(4, "s0", At::End)];
        let listed = [
            shard("s1", &[], true),
            shard("s2", &["s1"], true),
            shard("s3", &["s2", "s0"], false),
            shard("s4", &["s1"], false),
        ];
        let all = partitions(&known, &listed, &first(At::Beginning)).unwrap();
        let new = ["5: s2 beginning 0", "6: s3 beginning 0", "7: s4 beginning 0"];
        assert_eq!(shown(&all)[2..], new);
        assert_eq!(all[..2], known, "s0 was read to its end, and has expired since");
        assert_eq!(partitions(&all, &listed, &first(At::Beginning)).unwrap(), all);
    }

    #[test]
    fn what_lies_before_a_late_start_is_never_read() {
        let known = [stands(0, "s1", At::After("9".to_owned()))];
        let listed = [shard("s0", &[], true), shard("s1", &["s0"], false)];
        assert_eq!(partitions(&known, &listed, &first(At::Beginning)).unwrap(), known);
    }

    #[test]
    fn what_has_expired_unread_is_an_error() {
        let known = [stands(0, "s0", At::After("9".to_owned()))];
        let error = partitions(&known, &[shard("s1", &["s0"], false)], &first(At::Beginning)).unwrap_err();
        assert!(error.message.contains("`s0` has expired before"), "{error}");
        let known = [stands(0, "s0", At::End)];
        let error = partitions(&known, &[shard("s2", &["s1"], false)], &first(At::Beginning)).unwrap_err();
        assert!(error.message.contains("between what was read and `s2`"), "{error}");
    }

    #[test]
    fn there_are_as_many_numbers_as_a_partition_can_have() {
        let error = next_number(&[stands(u16::MAX, "s", At::End)]).unwrap_err();
        assert!(error.message.contains("65536"), "{error}");
    }
}
