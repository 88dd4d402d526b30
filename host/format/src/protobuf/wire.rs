//! Protocol Buffers' bytes: the fields of a message, found in one walk.
//!
//! Knows wire types. Must not know what a field means. Whatever the bytes, nothing here panics.

/// A message within a message within .. so deep is refused, so that hostile input cannot use up the stack.
pub(super) const NESTING_LIMIT: u32 = 64;

/// How a value stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// A value on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct WireValue {
    pub(super) wire: Wire,
    /// What a number holds.
    pub(super) bits: u64,
    /// Where bytes are.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl WireValue {
    /// What a field holds that is not there.
    pub(super) const ZERO: WireValue = WireValue { wire: Wire::Varint, bits: 0, start: 0, end: 0 };
}

/// A number of 64 bits in groups of seven; `None` where the bytes end or it has more.
#[inline]
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
    }
}

/// Calls `found` with the number and the value of each field of the message from `at` to the end of `bytes`; `None` where
/// they are not a message.
#[inline]
pub(super) fn walk(bytes: &[u8], mut at: usize, mut found: impl FnMut(u32, WireValue)) -> Option<()> {
    while at < bytes.len() {
        let tag = varint(bytes, &mut at)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
        if tag & 7 == 3 {
            skip_group(bytes, &mut at, number, NESTING_LIMIT)?;
        } else {
            found(number, value(bytes, &mut at, tag & 7)?);
        }
    }
    Some(())
}

#[inline]
fn value(bytes: &[u8], at: &mut usize, wire: u64) -> Option<WireValue> {
    let start = *at;
    Some(match wire {
        0 => WireValue { wire: Wire::Varint, bits: varint(bytes, at)?, start, end: *at },
        1 => {
            let eight: [u8; 8] = bytes.get(start..start.checked_add(8)?)?.try_into().ok()?;
            *at += 8;
            WireValue { wire: Wire::Fixed64, bits: u64::from_le_bytes(eight), start, end: *at }
        }
        2 => {
            let length = usize::try_from(varint(bytes, at)?).ok()?;
            let (start, end) = (*at, at.checked_add(length)?);
            if end > bytes.len() {
                return None;
            }
            *at = end;
            WireValue { wire: Wire::Bytes, bits: 0, start, end }
        }
        5 => {
            let four: [u8; 4] = bytes.get(start..start.checked_add(4)?)?.try_into().ok()?;
            *at += 4;
            WireValue { wire: Wire::Fixed32, bits: u64::from(u32::from_le_bytes(four)), start, end: *at }
        }
        _ => return None,
    })
}

/// Passes over a group, which nobody writes any more.
fn skip_group(bytes: &[u8], at: &mut usize, number: u32, depth: u32) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    loop {
        let tag = varint(bytes, at)?;
        match tag & 7 {
            3 => skip_group(bytes, at, u32::try_from(tag >> 3).ok()?, depth)?,
            4 => return (tag >> 3 == u64::from(number)).then_some(()),
            wire => drop(value(bytes, at, wire)?),
        }
    }
}

/// Appends a number.
pub(super) fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
