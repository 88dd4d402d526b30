//! Exact arithmetic for sums of products: numbers are whole numbers times a power of two, as long as they need to be.
//!
//! Every finite double and every product of doubles is such a number, so that sums of squares or fourth powers lose
//! nothing, and no order and no cutting of the input can change them. [`BigSum`] is what a state keeps, [`Exact`]
//! what a formula is computed with when a value is asked for, and [`Scaled`] what is left after rounding.

use crate::bytes::{self, Reader};

/// Limbs lie between these, in units of 64 bits: the fourth power of a double has its lowest bit at 2^-4296 and its
/// highest at 2^4096; the rest is for the number of summands.
const LOWEST_LIMB: i64 = -80;
const HIGHEST_LIMB: i64 = 80;

/// A product of up to four doubles or whole numbers: `magnitude * 2^exponent`, its sign apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term {
    negative: bool,
    /// The lowest limb first.
    magnitude: [u64; 4],
    exponent: i32,
}

impl Term {
    /// A whole number.
    pub(crate) fn whole(value: i64) -> Term {
        Term { negative: value < 0, magnitude: [value.unsigned_abs(), 0, 0, 0], exponent: 0 }
    }

    /// A double; `None` if it is infinite or NaN.
    pub(crate) fn double(value: f64) -> Option<Term> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let (fraction, biased) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7FF) as i32);
        let (mantissa, exponent) =
            if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
        Some(Term { negative: value < 0.0, magnitude: [mantissa, 0, 0, 0], exponent })
    }

    /// The product with a single number, which `whole` or `double` gave. Four of them fit.
    pub(crate) fn times(&self, single: &Term) -> Term {
        let mut magnitude = [0_u64; 4];
        let mut carry = 0_u128;
        for (product, limb) in magnitude.iter_mut().zip(self.magnitude) {
            let wide = u128::from(limb) * u128::from(single.magnitude[0]) + carry;
            (*product, carry) = (wide as u64, wide >> 64);
        }
        Term {
            negative: self.negative != single.negative,
            magnitude,
            exponent: self.exponent + single.exponent,
        }
    }

    fn is_zero(&self) -> bool {
        self.magnitude == [0; 4]
    }
}

/// An exact sum of terms. Its default is the sum of none.
#[derive(Debug, Clone, Default)]
pub(crate) struct BigSum {
    /// Two's complement, the lowest limb first; empty is zero.
    limbs: Vec<u64>,
    /// Where the lowest limb stands, in units of 64 bits.
    low: i32,
}

impl BigSum {
    /// Adds a term, or takes it out.
    pub(crate) fn add(&mut self, term: &Term, takes_out: bool) {
        if term.is_zero() {
            return;
        }
        let (limb, shift) = (term.exponent.div_euclid(64), term.exponent.rem_euclid(64) as u32);
        let mut shifted = [0_u64; 5];
        for (at, part) in term.magnitude.into_iter().enumerate() {
            shifted[at] |= part << shift;
            shifted[at + 1] = if shift == 0 { 0 } else { part >> (64 - shift) };
        }
        let used = 5 - shifted.iter().rev().take_while(|part| **part == 0).count();
        self.cover(limb, limb + used as i32);
        let from = (limb - self.low) as usize;
        add_limbs(&mut self.limbs[from..], &shifted[..used], 0, term.negative != takes_out);
    }

    /// Adds all that was added to another sum, or takes it out.
    pub(crate) fn combine(&mut self, other: &BigSum, takes_out: bool) {
        if other.limbs.is_empty() {
            return;
        }
        self.cover(other.low, other.low + other.limbs.len() as i32);
        let from = (other.low - self.low) as usize;
        add_limbs(&mut self.limbs[from..], &other.limbs, sign_limb(&other.limbs), takes_out);
    }

    /// Makes the limbs reach from `low` to beyond `high`, with a limb of nothing but sign on top.
    fn cover(&mut self, low: i32, high: i32) {
        if self.limbs.is_empty() {
            self.low = low;
        }
        if low < self.low {
            let missing = (self.low - low) as usize;
            self.limbs.splice(0..0, std::iter::repeat_n(0, missing));
            self.low = low;
        }
        let sign = sign_limb(&self.limbs);
        let length = (high - self.low) as usize + 1;
        if self.limbs.len() < length {
            self.limbs.resize(length, sign);
        }
        if self.limbs.last().is_some_and(|top| *top != sign) {
            self.limbs.push(sign);
        }
    }

    /// The sum as a number to compute with.
    pub(crate) fn exact(&self) -> Exact {
        let negative = sign_limb(&self.limbs) != 0;
        let mut magnitude = self.limbs.clone();
        if negative {
            magnitude.fill(0);
            add_limbs(&mut magnitude, &self.limbs, u64::MAX, true);
        }
        Exact { negative, magnitude, low: i64::from(self.low) }.trimmed()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let Exact { negative, magnitude, low } = self.exact();
        bytes::put_unsigned((magnitude.len() as u64) << 1 | u64::from(negative), out);
        if !magnitude.is_empty() {
            bytes::put_signed(low, out);
            magnitude.iter().for_each(|limb| out.extend_from_slice(&limb.to_le_bytes()));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<BigSum> {
        let head = reader.unsigned()?;
        let (length, negative) = (i64::try_from(head >> 1).ok()?, head & 1 == 1);
        if length == 0 {
            return (!negative).then(BigSum::default);
        }
        let low =
            reader.signed().filter(|low| *low >= LOWEST_LIMB && length <= HIGHEST_LIMB - LOWEST_LIMB)?;
        if low > HIGHEST_LIMB - length {
            return None;
        }
        let taken = reader.take(length as usize * 8)?.chunks_exact(8);
        let magnitude: Vec<u64> =
            taken.filter_map(|limb| limb.first_chunk().map(|it| u64::from_le_bytes(*it))).collect();
        let mut sum = BigSum::default();
        sum.cover(low as i32, (low + length) as i32);
        add_limbs(&mut sum.limbs, &magnitude, 0, negative);
        Some(sum)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.limbs.capacity() * 8
    }
}

/// The limb that continues a number upwards.
fn sign_limb(limbs: &[u64]) -> u64 {
    limbs.last().map_or(0, |top| ((*top as i64) >> 63) as u64)
}

/// `into += other`, or `into -= other`, where `sign` continues `other` upwards.
fn add_limbs(into: &mut [u64], other: &[u64], sign: u64, subtract: bool) {
    let flip = if subtract { u64::MAX } else { 0 };
    let mut carry = subtract;
    for (at, limb) in into.iter_mut().enumerate() {
        let part = match other.get(at) {
            Some(part) => part ^ flip,
            // Nothing but carries is left, and none comes.
            None if sign ^ flip == if carry { u64::MAX } else { 0 } => return,
            None => sign ^ flip,
        };
        let (sum, over) = limb.overflowing_add(part);
        let (sum, again) = sum.overflowing_add(u64::from(carry));
        *limb = sum;
        carry = over | again;
    }
}

/// An exact number to compute with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exact {
    negative: bool,
    /// The lowest limb first, the highest not zero; empty is zero.
    magnitude: Vec<u64>,
    /// Where the lowest limb stands, in units of 64 bits.
    low: i64,
}

impl Exact {
    /// A whole number.
    pub(crate) fn whole(value: i64) -> Exact {
        Exact { negative: value < 0, magnitude: vec![value.unsigned_abs()], low: 0 }.trimmed()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.magnitude.is_empty()
    }

    pub(crate) fn times(&self, other: &Exact) -> Exact {
        let mut magnitude = vec![0_u64; self.magnitude.len() + other.magnitude.len()];
        for (at, a) in self.magnitude.iter().enumerate() {
            let mut carry = 0_u128;
            for (offset, b) in other.magnitude.iter().enumerate() {
                let wide = u128::from(*a) * u128::from(*b) + u128::from(magnitude[at + offset]) + carry;
                (magnitude[at + offset], carry) = (wide as u64, wide >> 64);
            }
            magnitude[at + other.magnitude.len()] = carry as u64;
        }
        Exact { negative: self.negative != other.negative, magnitude, low: self.low + other.low }.trimmed()
    }

    pub(crate) fn plus(&self, other: &Exact) -> Exact {
        if self.is_zero() || other.is_zero() {
            return if self.is_zero() { other.clone() } else { self.clone() };
        }
        let low = self.low.min(other.low);
        let end = |it: &Exact| it.low + it.magnitude.len() as i64;
        let length = (end(self).max(end(other)) - low) as usize + 1;
        let mut limbs = vec![0_u64; length];
        for part in [self, other] {
            add_limbs(&mut limbs[(part.low - low) as usize..], &part.magnitude, 0, part.negative);
        }
        let negative = sign_limb(&limbs) != 0;
        if negative {
            let twos = std::mem::replace(&mut limbs, vec![0; length]);
            add_limbs(&mut limbs, &twos, u64::MAX, true);
        }
        Exact { negative, magnitude: limbs, low }.trimmed()
    }

    pub(crate) fn minus(&self, other: &Exact) -> Exact {
        self.plus(&Exact { negative: !other.negative, ..other.clone() })
    }

    fn trimmed(mut self) -> Exact {
        while self.magnitude.last() == Some(&0) {
            self.magnitude.pop();
        }
        let zeros = self.magnitude.iter().take_while(|limb| **limb == 0).count();
        self.magnitude.drain(..zeros);
        self.low += zeros as i64;
        if self.magnitude.is_empty() {
            (self.negative, self.low) = (false, 0);
        }
        self
    }

    /// The nearest number of 53 bits, ties to even.
    pub(crate) fn rounded(&self) -> Scaled {
        let Some(top) = self.magnitude.last() else { return Scaled { mantissa: 0.0, exponent: 0 } };
        let zeros = top.leading_zeros();
        let count = self.magnitude.len();
        let below = if count > 1 { self.magnitude[count - 2] } else { 0 };
        let shifted = (u128::from(*top) << 64 | u128::from(below)) << zeros;
        let rest = self.magnitude.iter().rev().skip(2).any(|limb| *limb != 0);
        // The 64 highest bits and one that says whether anything below is set round as the whole does.
        let highest = (shifted >> 64) << 1 | u128::from(shifted as u64 != 0 || rest);
        let sign = if self.negative { -1.0 } else { 1.0 };
        let exponent = (self.low + count as i64) * 64 - i64::from(zeros) - 65;
        Scaled { mantissa: sign * highest as f64, exponent }.normal()
    }
}

/// A double whose exponent has no limits: `mantissa * 2^exponent`, the mantissa's magnitude in [1, 2) or zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scaled {
    mantissa: f64,
    exponent: i64,
}

impl Scaled {
    fn normal(self) -> Scaled {
        if self.mantissa == 0.0 {
            return Scaled { mantissa: 0.0, exponent: 0 };
        }
        // Mantissas come from products, quotients and roots of ordinary ones: they are never subnormal.
        let bits = self.mantissa.to_bits();
        let exponent = (bits >> 52 & 0x7FF) as i64 - 1023;
        Scaled {
            mantissa: f64::from_bits(bits & !(0x7FF << 52) | 1023 << 52),
            exponent: self.exponent + exponent,
        }
    }

    pub(crate) fn times(self, other: Scaled) -> Scaled {
        Scaled { mantissa: self.mantissa * other.mantissa, exponent: self.exponent + other.exponent }.normal()
    }

    /// The divisor is not zero.
    pub(crate) fn over(self, divisor: Scaled) -> Scaled {
        Scaled { mantissa: self.mantissa / divisor.mantissa, exponent: self.exponent - divisor.exponent }
            .normal()
    }

    pub(crate) fn square_root(self) -> Scaled {
        let odd = self.exponent.rem_euclid(2);
        let mantissa = if odd == 1 { self.mantissa * 2.0 } else { self.mantissa };
        Scaled { mantissa: mantissa.sqrt(), exponent: (self.exponent - odd) / 2 }.normal()
    }

    /// As a double; beyond all doubles it is infinite.
    pub(crate) fn value(self) -> f64 {
        let half = |exponent: i64| f64::from_bits(((exponent + 1023) as u64) << 52);
        match self.exponent {
            1024.. => self.mantissa * f64::INFINITY,
            -1022..=1023 => self.mantissa * half(self.exponent),
            -1100..-1022 => self.mantissa * half(self.exponent + 1000) * half(-1000),
            _ => self.mantissa * 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> BigSum {
        let mut sum = BigSum::default();
        values.iter().for_each(|value| sum.add(&Term::double(*value).unwrap(), false));
        sum
    }

    fn any_double() -> impl Strategy<Value = f64> {
        let bits = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite());
        prop_oneof![bits, -1e6..1e6_f64, Just(5e-324), Just(-0.0), Just(f64::MAX), Just(f64::MIN)]
    }

    #[test]
    fn products_of_the_largest_and_the_least_are_exact() {
        for value in [f64::MAX, -5e-324, 3.0, -0.1] {
            let term = Term::double(value).unwrap();
            let fourth = term.times(&term).times(&term).times(&term);
            let mut sum = BigSum::default();
            sum.add(&fourth, false);
            let single = sum_of(term).exact();
            let square = single.times(&single);
            assert_eq!(sum.exact(), square.times(&square));
            sum.add(&fourth, true);
            assert!(sum.exact().is_zero());
        }
    }

    fn sum_of(term: Term) -> BigSum {
        let mut sum = BigSum::default();
        sum.add(&term, false);
        sum
    }

    #[test]
    fn numbers_beyond_doubles_come_back_by_division_and_roots() {
        let large = sum(&[f64::MAX]).exact();
        let square = large.times(&large).rounded();
        assert_eq!(square.value(), f64::INFINITY);
        assert_eq!(square.square_root().value(), f64::MAX);
        assert_eq!(square.over(large.rounded()).value(), f64::MAX);
        let small = sum(&[-5e-324]).exact();
        assert_eq!(small.rounded().value(), -5e-324);
        assert_eq!(small.times(&small).rounded().square_root().value(), 5e-324);
    }

    proptest! {
        #[test]
        fn order_cuts_and_storage_do_not_matter(
            values in prop::collection::vec(any_double(), 0..30),
            more in prop::collection::vec(any_double(), 0..30),
        ) {
            let reversed: Vec<f64> = values.iter().rev().copied().collect();
            let whole = sum(&values);
            prop_assert_eq!(whole.exact(), sum(&reversed).exact());
            let mut parts = sum(&values[..values.len() / 2]);
            parts.combine(&sum(&values[values.len() / 2..]), false);
            prop_assert_eq!(whole.exact(), parts.exact());
            parts.combine(&sum(&more), false);
            more.iter().for_each(|value| parts.add(&Term::double(*value).unwrap(), true));
            prop_assert_eq!(whole.exact(), parts.exact());
            parts.combine(&whole, true);
            prop_assert!(parts.exact().is_zero());
            let mut bytes = Vec::new();
            whole.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(BigSum::decode(&mut reader).unwrap().exact(), whole.exact());
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn rounds_as_the_exact_sum_of_doubles_does(values in prop::collection::vec(any_double(), 0..30)) {
            let mut other = super::super::exact::ExactSum::default();
            values.iter().for_each(|value| other.add(*value));
            prop_assert_eq!(sum(&values).exact().rounded().value(), other.value());
        }

        #[test]
        fn whole_numbers_compute_as_they_do(a in any::<i64>(), b in any::<i64>()) {
            let product = i128::from(a) * i128::from(b);
            let (exact_a, exact_b) = (Exact::whole(a), Exact::whole(b));
            let squares = exact_a.times(&exact_a).minus(&exact_b.times(&exact_b));
            let factors = exact_a.plus(&exact_b).times(&exact_a.minus(&exact_b));
            prop_assert_eq!(squares, factors);
            prop_assert_eq!(exact_a.times(&exact_b).rounded().value(), product as f64);
        }
    }
}
