//! Numbers of bytes as people write them.

use std::str::FromStr;

const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("B", 1)];

/// So many bytes, at least one.
///
/// ```
/// use weir_event::ByteSize;
/// assert_eq!("64MiB".parse::<ByteSize>().unwrap().bytes(), 64 << 20);
/// assert_eq!("512".parse::<ByteSize>().unwrap().bytes(), 512);
/// assert!("10MB".parse::<ByteSize>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// A text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size; write a whole number above 0 and B, KiB, MiB or GiB, as 64MiB")]
pub struct SizeError(String);

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(bytes));
        size.filter(|size| *size > 0).map(ByteSize).ok_or_else(|| SizeError(text.to_owned()))
    }
}
