//! Where a shard is read next, as the text of a position: `shardId-000000000003 after 4959..`.
//!
//! The shard's name is part of it, so that a job's positions are the map from shards to the numbers of partitions.

use std::fmt;
use std::str::FromStr;
use weir_connect::ConnectError;
use weir_event::{EventTime, Position};

/// A place in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShardPlace {
    pub(super) shard: String,
    pub(super) at: At,
}

/// Where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    /// Before the oldest record that is kept.
    Beginning,
    /// Before the first record that arrived then or later.
    From(EventTime),
    /// Behind the record of this sequence number.
    After(String),
    /// Behind everything that it will ever have.
    End,
}

impl ShardPlace {
    /// The place that a position says.
    pub(super) fn of(position: &Position) -> Result<ShardPlace, ConnectError> {
        position.place.parse().map_err(|()| {
            let place = &position.place;
            ConnectError::internal(format!(
                "`{place}` is not a place in a Kinesis stream; start the job with --reset"
            ))
        })
    }

    /// As a position before which so many records were read.
    pub(super) fn position(&self, next: u64) -> Position {
        Position { next, place: self.to_string() }
    }
}

impl fmt::Display for ShardPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shard = &self.shard;
        match &self.at {
            At::Beginning => write!(f, "{shard} beginning"),
            At::From(time) => write!(f, "{shard} from {}", time.millis()),
            At::After(sequence) => write!(f, "{shard} after {sequence}"),
            At::End => write!(f, "{shard} end"),
        }
    }
}

impl FromStr for ShardPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<ShardPlace, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let (shard, at) = match words[..] {
            [shard, "beginning"] => (shard, At::Beginning),
            [shard, "end"] => (shard, At::End),
            [shard, "after", sequence] if !sequence.is_empty() => (shard, At::After(sequence.to_owned())),
            [shard, "from", millis] => {
                (shard, At::From(EventTime::from_millis(millis.parse().map_err(|_| ())?)))
            }
            _ => return Err(()),
        };
        if shard.is_empty() { Err(()) } else { Ok(ShardPlace { shard: shard.to_owned(), at }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let places =
            [At::Beginning, At::From(EventTime::from_millis(-7)), At::After("49590".to_owned()), At::End];
        for at in places {
            let place = ShardPlace { shard: "shardId-000000000003".to_owned(), at };
            assert_eq!(ShardPlace::of(&place.position(9)).unwrap(), place);
        }
        for text in ["", "x", "x after ", "x from soon", " end", "x end y"] {
            assert_eq!(text.parse::<ShardPlace>(), Err(()), "{text}");
        }
    }
}
