//! Randomness that is a function of numbers: a stream of draws per seed and purpose, and weighted choice.

/// A stream of draws: a counter that is stepped by the golden ratio and mixed.
#[derive(Debug, Clone)]
pub(super) struct Draws(u64);

impl Draws {
    /// The stream number `stream` of a seed; streams of one seed have nothing to do with each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Draws(mix(seed ^ mix(stream.wrapping_add(1))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A whole number from 0 to below `count`.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(count)) >> 64) as u64
    }

    /// A number from 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Every bit of the result depends on every bit of the input.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Choice among weighted items in constant time (Walker's alias method): every item shares its slot with at most
/// one other.
#[derive(Debug)]
pub(super) struct Weighted {
    /// How much of each slot is its own item's, and whose the rest is.
    slots: Vec<(f64, u32)>,
}

impl Weighted {
    /// Weights are positive; there is at least one.
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.collect();
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut slots: Vec<(f64, u32)> = weights.iter().map(|weight| (weight / mean, 0)).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..slots.len()).partition(|slot| slots[*slot].0 < 1.0);
        while let (Some(taker), Some(giver)) = (poor.pop(), rich.last().copied()) {
            slots[taker].1 = giver as u32;
            slots[giver].0 -= 1.0 - slots[taker].0;
            if slots[giver].0 < 1.0 {
                rich.pop();
                poor.push(giver);
            }
        }
        // What is left differs from a full slot by rounding only.
        for slot in poor.into_iter().chain(rich) {
            slots[slot].0 = 1.0;
        }
        Weighted { slots }
    }

    /// Items whose weight falls with their rank, as `rank ^ -exponent`.
    pub(super) fn zipf(count: usize, exponent: f64) -> Self {
        Weighted::new((1..=count).map(|rank| (rank as f64).powf(-exponent)))
    }

    pub(super) fn pick(&self, draws: &mut Draws) -> usize {
        let slot = draws.below(self.slots.len() as u64) as usize;
        let (own, other) = self.slots[slot];
        if draws.unit() < own { slot } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_follows_the_weights() {
        let weighted = Weighted::new([1.0, 5.0, 0.5, 3.5].into_iter());
        let mut draws = Draws::new(7, 0);
        let mut counts = [0_u32; 4];
        (0..100_000).for_each(|_| counts[weighted.pick(&mut draws)] += 1);
        for (count, share) in counts.iter().zip([0.1, 0.5, 0.05, 0.35]) {
            assert!((f64::from(*count) / 100_000.0 - share).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn streams_of_a_seed_differ() {
        let mut firsts: Vec<_> = (0..1000).map(|stream| Draws::new(1, stream).next()).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), 1000);
    }
}
