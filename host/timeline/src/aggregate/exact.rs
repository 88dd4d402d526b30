//! The exact sum of doubles: no order and no cutting of the input can change its bits.
//!
//! Every finite double is a whole number times a power of two. The sum is kept as such: 128 bits over a common
//! exponent as long as the input's spread allows (about 22 decimal digits between the largest and the smallest),
//! and else in an accumulator wide enough for all doubles. NaN and the infinities are counted, so that they can
//! be taken out again. It is rounded once, when it is asked for.

use crate::bytes::{self, Reader};

/// The exponent of the lowest bit that any double has.
const LOWEST_EXPONENT: i32 = -1074;
/// 64-bit limbs of the wide accumulator: bits from 2^-1074 to 2^1024, 64 more for the number of summands, a sign.
const LIMBS: usize = 35;

/// A sum of doubles. Its default is the sum of none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ExactSum {
    // Not an i128, whose alignment would make every state 16 bytes longer.
    low: u64,
    high: i64,
    exponent: i16,
    rare: Option<Box<Rare>>,
}

/// What few sums need.
#[derive(Debug, Clone, Default, PartialEq)]
struct Rare {
    nans: i64,
    positive_infinities: i64,
    negative_infinities: i64,
    /// Two's complement, the lowest limb first; `low` and `high` are then unused. Empty if not in use.
    wide: Vec<u64>,
}

impl ExactSum {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        self.change(value, 1);
    }

    /// Takes a value out that had been added.
    pub(crate) fn subtract(&mut self, value: f64) {
        self.change(value, -1);
    }

    /// Adds all that was added to another sum (`sign` 1) or takes it out (`sign` -1).
    pub(crate) fn combine(&mut self, other: &ExactSum, sign: i64) {
        if let Some(rare) = &other.rare {
            let mine = self.rare.get_or_insert_default();
            mine.nans += sign * rare.nans;
            mine.positive_infinities += sign * rare.positive_infinities;
            mine.negative_infinities += sign * rare.negative_infinities;
            if !rare.wide.is_empty() {
                let wide = self.widen();
                add_limbs(wide, &rare.wide, sign < 0);
                return;
            }
        }
        let mantissa = other.mantissa();
        if mantissa != 0 {
            // The mantissa is above i128::MIN: `accumulate` widens before it could get there.
            self.accumulate(if sign < 0 { -mantissa } else { mantissa }, i32::from(other.exponent));
        }
    }

    /// The sum, rounded to the nearest double, ties to even.
    pub(crate) fn value(&self) -> f64 {
        if let Some(rare) = &self.rare {
            match (rare.nans, rare.positive_infinities, rare.negative_infinities) {
                (0, 0, 0) => {}
                (0, _, 0) => return f64::INFINITY,
                (0, 0, _) => return f64::NEG_INFINITY,
                _ => return f64::NAN,
            }
            if !rare.wide.is_empty() {
                return round_wide(&rare.wide);
            }
        }
        // A rounded mantissa is at least 2^53, so that scaling it cannot reach the doubles that are rounded again.
        self.mantissa() as f64 * power_of_two(i32::from(self.exponent))
    }

    fn change(&mut self, value: f64, sign: i64) {
        if !value.is_finite() {
            let rare = self.rare.get_or_insert_default();
            let counter = if value.is_nan() {
                &mut rare.nans
            } else if value > 0.0 {
                &mut rare.positive_infinities
            } else {
                &mut rare.negative_infinities
            };
            *counter += sign;
            return;
        }
        let bits = value.to_bits();
        let (fraction, biased) = ((bits & ((1 << 52) - 1)) as i64, (bits >> 52 & 0x7FF) as i32);
        let (mantissa, exponent) =
            if biased == 0 { (fraction, LOWEST_EXPONENT) } else { (fraction | 1 << 52, biased - 1075) };
        if mantissa != 0 {
            let negative = (value < 0.0) != (sign < 0);
            self.accumulate(i128::from(if negative { -mantissa } else { mantissa }), exponent);
        }
    }

    fn mantissa(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    /// Adds `mantissa * 2^exponent`.
    fn accumulate(&mut self, mantissa: i128, exponent: i32) {
        if self.rare.as_ref().is_none_or(|rare| rare.wide.is_empty()) {
            let own = self.mantissa();
            let own_exponent = if own == 0 { exponent } else { i32::from(self.exponent) };
            let common = exponent.min(own_exponent);
            let shifted = shift_left(own, own_exponent - common).zip(shift_left(mantissa, exponent - common));
            // One bit is left free, so that the negative of a mantissa always exists.
            if let Some(sum) =
                shifted.map(|(own, other)| own + other).filter(|sum| sum.unsigned_abs() < 1 << 126)
            {
                (self.low, self.high) = (sum as u64, (sum >> 64) as i64);
                self.exponent = common as i16;
                return;
            }
        }
        let limbs = limbs_of(mantissa, exponent);
        add_limbs(self.widen(), &limbs, false);
    }

    /// The wide accumulator, filled with what the narrow one held if it was not in use.
    fn widen(&mut self) -> &mut [u64] {
        let (mantissa, exponent) = (self.mantissa(), i32::from(self.exponent));
        let rare = self.rare.get_or_insert_default();
        if rare.wide.is_empty() {
            rare.wide = if mantissa == 0 { vec![0; LIMBS] } else { limbs_of(mantissa, exponent).to_vec() };
            (self.low, self.high, self.exponent) = (0, 0, 0);
        }
        &mut rare.wide
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let rare = self.rare.as_deref();
        let is_wide = rare.is_some_and(|rare| !rare.wide.is_empty());
        out.push(u8::from(rare.is_some()) | u8::from(is_wide) << 1);
        if let Some(rare) = rare {
            for count in [rare.nans, rare.positive_infinities, rare.negative_infinities] {
                bytes::put_signed(count, out);
            }
            rare.wide.iter().for_each(|limb| out.extend_from_slice(&limb.to_le_bytes()));
        }
        if !is_wide {
            bytes::put_signed(i64::from(self.exponent), out);
            bytes::put_unsigned(self.low, out);
            bytes::put_signed(self.high, out);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<ExactSum> {
        let flags = reader.byte().filter(|flags| matches!(flags, 0 | 1 | 3))?;
        let mut sum = ExactSum::default();
        if flags & 1 == 1 {
            let rare = sum.rare.get_or_insert_default();
            rare.nans = reader.signed()?;
            rare.positive_infinities = reader.signed()?;
            rare.negative_infinities = reader.signed()?;
            if flags & 2 == 2 {
                let limbs = reader.take(LIMBS * 8)?.chunks_exact(8);
                rare.wide =
                    limbs.filter_map(|limb| limb.first_chunk().map(|it| u64::from_le_bytes(*it))).collect();
                return Some(sum);
            }
        }
        sum.exponent = reader.signed().filter(|it| (-1074..=971).contains(it))? as i16;
        sum.low = reader.unsigned()?;
        sum.high = reader.signed()?;
        (sum.mantissa().unsigned_abs() < 1 << 126).then_some(sum)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| size_of::<Rare>() + rare.wide.len() * 8)
    }
}

/// `value << by` if 126 bits hold it.
fn shift_left(value: i128, by: i32) -> Option<i128> {
    let free = value.unsigned_abs().leading_zeros() as i32 - 2;
    (by <= free).then(|| value << by).or((value == 0).then_some(0))
}

/// 2^exponent for exponents from -1074 to 1023.
fn power_of_two(exponent: i32) -> f64 {
    if exponent >= -1022 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent - LOWEST_EXPONENT))
    }
}

/// `mantissa * 2^exponent` as wide limbs.
fn limbs_of(mantissa: i128, exponent: i32) -> [u64; LIMBS] {
    let at = (exponent - LOWEST_EXPONENT) as usize;
    let (limb, shift) = (at / 64, at % 64);
    let magnitude = mantissa.unsigned_abs();
    let mut limbs = [0; LIMBS];
    let parts = [(magnitude << shift) as u64, (magnitude << shift >> 64) as u64];
    let over = if shift == 0 { 0 } else { (magnitude >> (128 - shift)) as u64 };
    for (offset, part) in parts.into_iter().chain([over]).enumerate() {
        if let Some(limb) = limbs.get_mut(limb + offset) {
            *limb = part;
        }
    }
    if mantissa < 0 { negated(&limbs) } else { limbs }
}

fn negated(limbs: &[u64; LIMBS]) -> [u64; LIMBS] {
    let mut negated = [0; LIMBS];
    add_limbs(&mut negated, limbs, true);
    negated
}

/// `into += other`, or `into -= other`; overflow beyond the last limb is the sign's and may go.
fn add_limbs(into: &mut [u64], other: &[u64], subtract: bool) {
    let mut carry = subtract;
    for (into, other) in into.iter_mut().zip(other) {
        let other = if subtract { !other } else { *other };
        let (sum, over) = into.overflowing_add(other);
        let (sum, again) = sum.overflowing_add(u64::from(carry));
        *into = sum;
        carry = over | again;
    }
}

fn round_wide(wide: &[u64]) -> f64 {
    let Ok(mut limbs) = <[u64; LIMBS]>::try_from(wide) else { return f64::NAN };
    let negative = limbs[LIMBS - 1] >> 63 == 1;
    if negative {
        limbs = negated(&limbs);
    }
    let sign = if negative { -1.0 } else { 1.0 };
    let Some(top_limb) = limbs.iter().rposition(|limb| *limb != 0) else { return 0.0 };
    if top_limb == 0 {
        return sign * (limbs[0] as f64) * power_of_two(LOWEST_EXPONENT);
    }
    // The 64 highest bits, and below them one that says whether anything else is set, round as the whole does.
    let zeros = limbs[top_limb].leading_zeros();
    let pair = u128::from(limbs[top_limb]) << 64 | u128::from(limbs[top_limb - 1]);
    let shifted = pair << zeros;
    let sticky = shifted as u64 != 0 || limbs[..top_limb - 1].iter().any(|limb| *limb != 0);
    let highest = (shifted >> 64) << 1 | u128::from(sticky);
    let exponent = (top_limb * 64) as i32 - zeros as i32 - 1 + LOWEST_EXPONENT;
    if exponent > 1023 {
        return sign * f64::INFINITY;
    }
    sign * highest as f64 * power_of_two(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        for value in values {
            sum.add(*value);
        }
        sum
    }

    #[test]
    fn nothing_is_lost_to_magnitude() {
        assert_eq!(sum(&[1e16, 1.0, -1e16]).value(), 1.0);
        assert_eq!(sum(&[1e300, 1e-300, -1e300]).value(), 1e-300);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[-f64::MAX, -f64::MAX, 5e-324]).value(), f64::NEG_INFINITY);
        assert_eq!(sum(&[5e-324, 5e-324]).value(), 1e-323);
        assert_eq!(sum(&[0.1; 10]).value(), 1.0);
        assert_eq!(sum(&[1e308, 5e-324, -1e308, -5e-324]).value(), 0.0);
    }

    #[test]
    fn rounding_is_to_nearest_ties_to_even() {
        let half_step = 2_f64.powi(-53);
        assert_eq!(sum(&[1.0, half_step]).value(), 1.0);
        assert_eq!(sum(&[1.0, half_step, 5e-324]).value(), 1.0 + 2.0 * half_step);
        assert_eq!(sum(&[-1.0, -half_step, -5e-324]).value(), -1.0 - 2.0 * half_step);
        assert_eq!(sum(&[1.0 + 2.0 * half_step, half_step]).value(), 1.0 + 4.0 * half_step);
        // In the wide accumulator, what lies just below the highest bits counts as what lies far below them.
        for small in [2_f64.powi(-65), 2_f64.powi(-100), 2_f64.powi(-120), 2_f64.powi(-200)] {
            let wide = sum(&[5e-324, 1.0, half_step, small, -5e-324]);
            assert_eq!(wide.value(), 1.0 + 2.0 * half_step, "{small}");
        }
    }

    #[test]
    fn nan_and_infinities_can_be_taken_out_again() {
        let mut sum = sum(&[1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]);
        assert!(sum.value().is_nan());
        sum.subtract(f64::NAN);
        assert!(sum.value().is_nan());
        sum.subtract(f64::INFINITY);
        assert_eq!(sum.value(), f64::NEG_INFINITY);
        sum.subtract(f64::NEG_INFINITY);
        assert_eq!(sum.value(), 1.0);
    }

    #[test]
    fn nan_and_infinities_leave_with_the_sum_that_they_came_with() {
        for rare in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let (mut whole, part) = (sum(&[1.0, 2.0]), sum(&[rare, 4.0]));
            whole.combine(&part, 1);
            assert!(!whole.value().is_finite());
            whole.combine(&part, -1);
            assert_eq!(whole.value(), 3.0, "{rare}");
        }
    }

    fn doubles() -> impl Strategy<Value = Vec<f64>> {
        let any_bits = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite());
        let value = prop_oneof![any_bits, -1e6..1e6_f64, Just(5e-324), Just(-0.0), Just(f64::MAX)];
        proptest::collection::vec(value, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn order_cuts_and_storage_do_not_matter(values in doubles(), cut in 0_usize..40, more in doubles()) {
            let whole = sum(&values);
            let reversed: Vec<f64> = values.iter().rev().copied().collect();
            prop_assert_eq!(whole.value().to_bits(), sum(&reversed).value().to_bits());
            let cut = cut.min(values.len());
            let mut parts = sum(&values[..cut]);
            parts.combine(&sum(&values[cut..]), 1);
            prop_assert_eq!(whole.value().to_bits(), parts.value().to_bits());
            parts.combine(&sum(&more), 1);
            for value in &more {
                parts.subtract(*value);
            }
            prop_assert_eq!(whole.value().to_bits(), parts.value().to_bits());
            let mut bytes = Vec::new();
            parts.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            let back = ExactSum::decode(&mut reader);
            prop_assert!(reader.is_empty());
            prop_assert_eq!(back, Some(parts));
        }

        #[test]
        fn two_summands_are_rounded_as_the_hardware_does(a in any::<f64>(), b in any::<f64>()) {
            let (exact, hardware) = (sum(&[a, b]).value(), a + b);
            prop_assert!(exact == hardware || exact.is_nan() && hardware.is_nan());
        }
    }
}
