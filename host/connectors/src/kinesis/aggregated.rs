//! Records that Amazon's producer library has packed together: one record of the stream that holds several of a user's.
//!
//! Four bytes of magic, a Protobuf message, its MD5. What is not exactly so is a record of its own. After a shard was
//! split, a producer that does not know it yet packs records for both halves into one; it sends those that came to the
//! wrong shard again, so that here only those count whose hash keys are the shard's.

use bytes::Bytes;
use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;

/// The records in a record of the stream: itself, or what was packed into it and belongs to a shard with these hash keys.
pub(super) fn unpack(data: &Bytes, keys: Option<(u128, u128)>) -> Vec<Bytes> {
    let Some(records) = packed(data).and_then(|message| read(data, message)) else {
        return vec![data.clone()];
    };
    let belongs = |hash: u128| keys.is_none_or(|(first, last)| (first..=last).contains(&hash));
    records.into_iter().filter(|(hash, _)| belongs(*hash)).map(|(_, data)| data).collect()
}

/// The message, where the data is magic, message and digest.
fn packed(data: &[u8]) -> Option<&[u8]> {
    let (message, digest) = data.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    (Md5::digest(message)[..] == digest[..]).then_some(message)
}

/// The records of a message with their hash keys; `None` where it is not one.
fn read(whole: &Bytes, message: &[u8]) -> Option<Vec<(u128, Bytes)>> {
    let (mut partition_keys, mut hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (1, Value::Bytes(key)) => partition_keys.push(key),
            (2, Value::Bytes(key)) => hash_keys.push(std::str::from_utf8(key).ok()?.parse::<u128>().ok()?),
            (3, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    let record = |record: &[u8]| {
        let (mut partition_key, mut hash_key, mut data) = (None, None, None);
        let mut fields = Fields(record);
        while let Some(field) = fields.next()? {
            match field {
                (1, Value::Number(index)) => partition_key = partition_keys.get(usize::try_from(index).ok()?),
                (2, Value::Number(index)) => hash_key = hash_keys.get(usize::try_from(index).ok()?).copied(),
                (3, Value::Bytes(bytes)) => data = Some(whole.slice_ref(bytes)),
                _ => {}
            }
        }
        let of_key = |key: &&[u8]| u128::from_be_bytes(Md5::digest(key).into());
        Some((hash_key.or_else(|| partition_key.map(of_key))?, data?))
    };
    records.into_iter().map(record).collect()
}

/// The fields of a Protobuf message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// The next field's number and value, `Some(None)` behind the last; `None` where there is no message.
    #[allow(clippy::option_option, reason = "the end of a message is not the end of its meaning")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            _ => return None,
        };
        Some(Some((tag >> 3, value)))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        [&[tag << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    /// What the producer library makes of records with partition keys and hash keys.
    fn pack(records: &[(&str, Option<&str>, &str)]) -> Bytes {
        let mut message = Vec::new();
        for (key, _, _) in records {
            message.extend(field(1, key.as_bytes()));
        }
        let hashes: Vec<&str> = records.iter().filter_map(|(_, hash, _)| *hash).collect();
        hashes.iter().for_each(|hash| message.extend(field(2, hash.as_bytes())));
        for (index, (_, hash, data)) in records.iter().enumerate() {
            let mut record = vec![1 << 3, index as u8];
            if let Some(hash) = hash {
                let at = hashes.iter().position(|known| known == hash).unwrap();
                record.extend([2 << 3, at as u8]);
            }
            record.extend(field(3, data.as_bytes()));
            message.extend(field(3, &record));
        }
        let digest = Md5::digest(&message);
        Bytes::from([&MAGIC[..], &message, &digest[..]].concat())
    }

    fn texts(records: &[Bytes]) -> Vec<&str> {
        records.iter().map(|record| std::str::from_utf8(record).unwrap()).collect()
    }

    #[test]
    fn what_was_packed_comes_out_in_order() {
        let packed = pack(&[("a", None, "one"), ("b", Some("7"), "two"), ("a", None, "")]);
        assert_eq!(texts(&unpack(&packed, None)), ["one", "two", ""]);
    }

    #[test]
    fn only_what_belongs_to_the_shard_counts() {
        // The MD5 of "a" is 0cc175b9.., of "b" 92eb5ffe...
        let packed = pack(&[("a", None, "low"), ("b", None, "high"), ("b", Some("5"), "told to be low")]);
        let half = 1_u128 << 127;
        assert_eq!(texts(&unpack(&packed, Some((0, half - 1)))), ["low", "told to be low"]);
        assert_eq!(texts(&unpack(&packed, Some((half, u128::MAX)))), ["high"]);
    }

    #[test]
    fn what_only_looks_packed_is_a_record_of_its_own() {
        let packed = pack(&[("a", None, "one")]);
        let mut wrong = packed.to_vec();
        *wrong.last_mut().unwrap() ^= 1;
        for data in [Bytes::from(wrong), packed.slice(..packed.len() - 1), Bytes::from_static(&MAGIC)] {
            assert_eq!(unpack(&data, None), [data]);
        }
    }

    proptest! {
        #[test]
        fn no_message_panics(message in prop::collection::vec(any::<u8>(), 0..60)) {
            let digest = Md5::digest(&message);
            let data = Bytes::from([&MAGIC[..], &message, &digest[..]].concat());
            unpack(&data, None);
        }
    }
}
