//! MurmurHash3, as Feast names entities and fields by it.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// MurmurHash3's variant of 128 bits for 64-bit machines, seed 0.
pub(super) fn of_128_bits(data: &[u8]) -> [u8; 16] {
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
    let mix1 = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let mix2 = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (mut one, mut two) = (0_u64, 0_u64);
    let (blocks, tail) = data.as_chunks::<16>();
    for block in blocks {
        one ^= mix1(word(&block[..8]));
        one = one.rotate_left(27).wrapping_add(two).wrapping_mul(5).wrapping_add(0x52dc_e729);
        two ^= mix2(word(&block[8..]));
        two = two.rotate_left(31).wrapping_add(one).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    if tail.len() > 8 {
        two ^= mix2(word(&tail[8..]));
    }
    one ^= mix1(word(&tail[..tail.len().min(8)]));
    let length = data.len() as u64;
    (one, two) = (one ^ length, two ^ length);
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    (one, two) = (last_mix(one), last_mix(two));
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    let mut out = [0; 16];
    out[..8].copy_from_slice(&one.to_le_bytes());
    out[8..].copy_from_slice(&two.to_le_bytes());
    out
}

fn last_mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

const C1_32: u32 = 0xcc9e_2d51;
const C2_32: u32 = 0x1b87_3593;

/// Its variant of 32 bits, seed 0.
pub(super) fn of_32_bits(data: &[u8]) -> u32 {
    let mix = |word: u32| word.wrapping_mul(C1_32).rotate_left(15).wrapping_mul(C2_32);
    let (blocks, tail) = data.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0_u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    if !tail.is_empty() {
        hash ^= mix(tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)));
    }
    hash ^= data.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's mmh3 says.
    #[test]
    fn hashes_are_those_of_murmur3() {
        let bytes: Vec<u8> = (0..37).collect();
        let hex = |hash: [u8; 16]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for (length, long, short) in [
            (0, "00000000000000000000000000000000", 0),
            (16, "303f9091b524494445e82f76566490ab", 0x1915_73dd),
            (37, "20d802dd5ead7451b0cd03c799538480", 0xb147_e275),
            (3, "bee653ef2fa172b8b696b352c25562fb", 0x51d4_d0d7),
        ] {
            assert_eq!(
                (hex(of_128_bits(&bytes[..length])).as_str(), of_32_bits(&bytes[..length])),
                (long, short)
            );
        }
    }
}
