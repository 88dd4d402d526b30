//! A partition's part of the intake as bytes: everything that decides which of its further rows count. It moves with the
//! partition, whatever reads it next.
//!
//! Layout, integers little endian: format (1 byte); the length of the state's fingerprint (2 bytes) and its text; newest
//! event time (1 byte whether there is one, 8 bytes); beginning (1 byte: none, whole, cut, since; 8 bytes); revision, and what
//! was counted (8 bytes each); what the source has promised (1 byte whether it has, 8 bytes); then ids of 24 bytes each to
//! the end.

use crate::counts::{COUNTS, Counts};
use crate::error::CoreError;
use crate::intake::beginning::Beginning;
use crate::intake::{Intake, Standing, not_of_the_plan};
use weir_event::{EventTime, PartitionId};

/// The format that this build writes, and the newest that it reads.
const FORMAT: u8 = 2;
/// It said nothing of revisions, of what was counted, and of promises.
const WITHOUT_NUMBERS: u8 = 1;

impl Intake {
    /// All that decides which further rows of a partition count.
    pub fn snapshot(&self, partition: PartitionId) -> Vec<u8> {
        let Standing { newest, promised, beginning } = self.standing(partition);
        let mut bytes = vec![FORMAT];
        let fingerprint = self.plan.state_fingerprint.as_bytes();
        bytes.extend_from_slice(&(fingerprint.len() as u16).to_le_bytes());
        bytes.extend_from_slice(fingerprint);
        put_time(u8::from(newest.is_some()), newest, &mut bytes);
        match beginning {
            None => put_time(0, None, &mut bytes),
            Some(Beginning::Whole) => put_time(1, None, &mut bytes),
            Some(Beginning::Cut) => put_time(2, None, &mut bytes),
            Some(Beginning::Since(time)) => put_time(3, Some(time), &mut bytes),
        }
        let counts = self.counts.get(&partition).copied().unwrap_or_default().to_numbers();
        let numbers = std::iter::once(&self.revision).chain(&counts);
        numbers.for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        put_time(u8::from(promised.is_some()), promised, &mut bytes);
        let input = self.inputs.get(partition.input());
        if let Some(seen) = input.and_then(|input| input.seen.as_ref()) {
            seen.put_all(partition, &mut bytes);
        }
        bytes
    }

    /// Takes a partition's snapshot back.
    pub fn restore(&mut self, partition: PartitionId, snapshot: &[u8]) -> Result<(), CoreError> {
        let damaged = || CoreError::Damaged(format!("the snapshot of partition {partition} does not read"));
        let (format, rest) = snapshot.split_first().ok_or_else(damaged)?;
        if !(WITHOUT_NUMBERS..=FORMAT).contains(format) {
            return Err(CoreError::Damaged(format!(
                "the snapshot of partition {partition} has format {format}, this weir reads {FORMAT}"
            )));
        }
        let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(damaged)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (fingerprint, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
        if fingerprint != self.plan.state_fingerprint.as_bytes() {
            return Err(CoreError::Input(format!(
                "the snapshot of partition {partition} was made by another query; start it anew, or with that query"
            )));
        }
        let ((has_newest, newest), rest) = take_time(rest).ok_or_else(damaged)?;
        let ((beginning, since), rest) = take_time(rest).ok_or_else(damaged)?;
        let ((revision, counts), rest) = match *format {
            WITHOUT_NUMBERS => ((0, Counts::default()), rest),
            _ => take_numbers(rest).ok_or_else(damaged)?,
        };
        let ((has_promised, promised), ids) = match *format {
            WITHOUT_NUMBERS => ((0, EventTime::MIN), rest),
            _ => take_time(rest).ok_or_else(damaged)?,
        };
        let promised = (has_promised == 1).then_some(promised);
        let newest = match has_newest {
            0 => None,
            1 => Some(newest),
            _ => return Err(damaged()),
        };
        let beginning = match beginning {
            0 => None,
            1 => Some(Beginning::Whole),
            2 => Some(Beginning::Cut),
            3 => Some(Beginning::Since(since)),
            _ => return Err(damaged()),
        };
        let input = self.inputs.get_mut(partition.input()).ok_or_else(|| not_of_the_plan(partition))?;
        match &mut input.seen {
            Some(seen) => seen.take_all(partition, ids).ok_or_else(damaged)?,
            None if ids.is_empty() => {}
            None => return Err(damaged()),
        }
        self.revision = self.revision.max(revision);
        self.counts.insert(partition, counts);
        self.resume(partition, Standing { newest, promised, beginning });
        Ok(())
    }
}

fn put_time(tag: u8, time: Option<EventTime>, bytes: &mut Vec<u8>) {
    bytes.push(tag);
    bytes.extend_from_slice(&time.map_or(0, EventTime::millis).to_le_bytes());
}

type Tagged = (u8, EventTime);

fn take_time(bytes: &[u8]) -> Option<(Tagged, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (millis, rest) = take_number(rest)?;
    Some(((*tag, EventTime::from_millis(millis as i64)), rest))
}

fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn take_numbers(bytes: &[u8]) -> Option<((u64, Counts), &[u8])> {
    let (revision, mut rest) = take_number(bytes)?;
    let mut numbers = [0; COUNTS];
    for number in &mut numbers {
        (*number, rest) = take_number(rest)?;
    }
    Some(((revision, Counts::of_numbers(numbers)), rest))
}
