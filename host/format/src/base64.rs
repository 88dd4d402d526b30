//! Bytes as text: base64 of the standard alphabet, written with padding, read with all of it or none.
//!
//! Knows no JSON and no column.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
const PADDED: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const BARE: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, CONFIG.with_decode_padding_mode(DecodePaddingMode::RequireNone));

/// Appends the text of some bytes.
pub fn push(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true).unwrap_or(usize::MAX);
    out.resize(start + length, 0);
    if PADDED.encode_slice(bytes, &mut out[start..]).is_err() {
        unreachable!("there is room for the text");
    }
}

/// Appends the bytes of a text; `None` where it is not base64, and then nothing of what was appended means anything.
pub fn read(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let engine = if text.ends_with(b"=") { &PADDED } else { &BARE };
    engine.decode_vec(text, out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_with_and_without_padding() {
        for (text, bytes) in
            [("", &b""[..]), ("QQ==", b"A"), ("QUI=", b"AB"), ("QUJD", b"ABC"), ("/+8=", b"\xFF\xEF")]
        {
            let mut written = b"so ".to_vec();
            push(bytes, &mut written);
            assert_eq!(written, [b"so ", text.as_bytes()].concat());
            for text in [text, text.trim_end_matches('=')] {
                let mut out = b"x".to_vec();
                assert_eq!(read(text.as_bytes(), &mut out), Some(()), "{text}");
                assert_eq!(out, [b"x", bytes].concat(), "{text}");
            }
        }
        for text in ["Q", "QQ=", "Q===", "QU_D", "=QQ=", "TQ===", "T Q=", "TWFuT"] {
            assert_eq!(read(text.as_bytes(), &mut Vec::new()), None, "{text}");
        }
    }
}
