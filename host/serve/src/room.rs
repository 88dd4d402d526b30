//! Memory for what requests bring and what answers hold: one budget for all of them, taken as bytes come, so that no
//! number of slow clients takes the memory that state needs.
//!
//! Knows bytes. Must not know what they say.

use crate::problem::{Kind, Problem};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In memory at once, unless a few of the largest bodies take more: enough to keep the log's group commit busy, little
/// beside the state.
const ROOM_BYTES: u64 = 128 << 20;
/// However large the bounds on bodies are, so many of the largest fit.
const LARGEST_BODIES: u64 = 4;
/// What each request has of its own, for its body as for its answer, so that ordinary lookups and small posts go on
/// where others have taken all: connections are bounded, and this with them.
const FREE_BYTES: usize = 16 << 10;
/// What room is counted in, so that its permits fit 32 bits.
const UNIT_BYTES: usize = 16 << 10;

/// The budget.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

/// What one body or answer has of it; given back on drop.
#[derive(Debug)]
pub(crate) struct Held {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
}

/// The budget is spent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Room {
    /// Room for bodies of at most `largest_bytes`.
    pub(crate) fn for_bodies_of(largest_bytes: u64) -> Room {
        let bytes = ROOM_BYTES.max(largest_bytes.saturating_mul(LARGEST_BODIES));
        let units = (bytes / UNIT_BYTES as u64).min(Semaphore::MAX_PERMITS as u64);
        Room(Arc::new(Semaphore::new(units as usize)))
    }

    /// Nothing of it yet.
    pub(crate) fn hold(&self) -> Held {
        Held { room: self.clone(), permit: None }
    }
}

impl Held {
    /// Takes as much as so many bytes need, if there is so much.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let wanted = bytes.saturating_sub(FREE_BYTES).div_ceil(UNIT_BYTES);
        let have = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = wanted.checked_sub(have).filter(|more| *more > 0) else { return Ok(()) };
        let more = u32::try_from(more).map_err(|_| NoRoom)?;
        let taken = self.room.0.clone().try_acquire_many_owned(more).map_err(|_| NoRoom)?;
        match &mut self.permit {
            Some(permit) => permit.merge(taken),
            None => self.permit = Some(taken),
        }
        Ok(())
    }

    /// These bytes, which give the room back when the last copy of them is gone.
    pub(crate) fn with(self, bytes: Bytes) -> Bytes {
        match self.permit {
            Some(permit) => Bytes::from_owner(Kept { bytes, _permit: permit }),
            None => bytes,
        }
    }
}

/// Bytes with their room.
struct Kept {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<NoRoom> for Problem {
    fn from(_: NoRoom) -> Problem {
        let detail =
            "requests and answers in memory take all the room that there is for them; try again in a moment";
        Problem::new(Kind::Unavailable, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_as_bytes_come_and_given_back_with_the_last_of_them() {
        let room = Room::for_bodies_of(0);
        let (mut large, mut other) = (room.hold(), room.hold());
        large.grow_to(0).unwrap();
        large.grow_to(ROOM_BYTES as usize / 2).unwrap();
        large.grow_to(1000).unwrap();
        assert_eq!(other.grow_to(ROOM_BYTES as usize / 2 + FREE_BYTES + 1), Ok(()));
        assert_eq!(other.grow_to(ROOM_BYTES as usize), Err(NoRoom));
        assert_eq!(room.hold().grow_to(ROOM_BYTES as usize), Err(NoRoom));
        assert_eq!(room.hold().grow_to(FREE_BYTES), Ok(()), "what is small needs none");
        let bytes = large.with(Bytes::from_static(b"a body"));
        let part = bytes.slice(2..);
        drop((bytes, other));
        assert_eq!(room.hold().grow_to(ROOM_BYTES as usize), Err(NoRoom), "a part of it is still there");
        assert_eq!(part, "body");
        drop(part);
        assert_eq!(room.hold().grow_to(ROOM_BYTES as usize), Ok(()));
        assert_eq!(Room::for_bodies_of(1 << 30).hold().grow_to(4 << 30), Ok(()));
    }
}
