//! The name of bytes: `sha256:` and 64 hexadecimal digits.

use crate::error::{PackError, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;

const PREFIX: &str = "sha256:";

/// A SHA-256.
///
/// ```
/// let digest = weir_pack::Digest::of(b"");
/// assert!(digest.to_string().starts_with("sha256:e3b0c442"));
/// assert_eq!(digest.to_string().parse::<weir_pack::Digest>(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(sha2::Sha256::digest(bytes).into())
    }

    /// Its hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Refuses bytes that have another digest.
    pub(crate) fn check(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let found = Digest::of(bytes);
        if found == *self {
            return Ok(());
        }
        Err(PackError::external(format!(
            "{what} is not what its digest says: {self} is expected, and it is {found}; it was damaged or changed, so get it \
             anew from whom you trust"
        )))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Digest, String> {
        let wrong = || format!("`{text}` is not a digest; write sha256: and 64 hexadecimal digits");
        let hex =
            text.strip_prefix(PREFIX).map(str::as_bytes).filter(|hex| hex.len() == 64).ok_or_else(wrong)?;
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(wrong()),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_in_lower_case_is_a_digest() {
        let good = Digest::of(b"a").to_string();
        assert_eq!(good.parse::<Digest>().unwrap(), Digest::of(b"a"));
        for bad in
            ["", "sha256:", &good[..good.len() - 1], &good.to_uppercase(), &good.replace("sha256", "sha512")]
        {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
        let said = Digest::of(b"a").check("layer 1", b"b").unwrap_err();
        assert!(said.message.contains("layer 1") && said.message.contains(&good), "{said}");
    }
}
