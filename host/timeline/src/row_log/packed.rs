//! Whole numbers of one block, each as small as their spread allows: their distances from the least one.

/// A short list of whole numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Packed {
    base: i64,
    distances: Distances,
}

#[derive(Debug, Clone, PartialEq)]
enum Distances {
    /// All are the base: just how many.
    Same(usize),
    Bytes(Vec<u8>),
    Halves(Vec<u16>),
    Words(Vec<u32>),
    /// The numbers themselves; the base is 0.
    Full(Vec<i64>),
}

impl Default for Packed {
    fn default() -> Self {
        Packed { base: 0, distances: Distances::Same(0) }
    }
}

impl FromIterator<i64> for Packed {
    fn from_iter<I: IntoIterator<Item = i64>>(values: I) -> Self {
        Packed::pack(values.into_iter().collect())
    }
}

impl Packed {
    pub(crate) fn len(&self) -> usize {
        match &self.distances {
            Distances::Same(length) => *length,
            Distances::Bytes(list) => list.len(),
            Distances::Halves(list) => list.len(),
            Distances::Words(list) => list.len(),
            Distances::Full(list) => list.len(),
        }
    }

    pub(crate) fn get(&self, index: usize) -> i64 {
        let distance = match &self.distances {
            Distances::Same(_) => 0,
            Distances::Bytes(list) => i64::from(list[index]),
            Distances::Halves(list) => i64::from(list[index]),
            Distances::Words(list) => i64::from(list[index]),
            Distances::Full(list) => list[index],
        };
        self.base.wrapping_add(distance)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Shows a range of the numbers to `visit`, the choice of their width made once.
    pub(crate) fn for_range(&self, range: std::ops::Range<usize>, mut visit: impl FnMut(i64)) {
        let base = self.base;
        match &self.distances {
            Distances::Same(_) => range.for_each(|_| visit(base)),
            Distances::Bytes(list) => {
                list[range].iter().for_each(|it| visit(base.wrapping_add(i64::from(*it))));
            }
            Distances::Halves(list) => {
                list[range].iter().for_each(|it| visit(base.wrapping_add(i64::from(*it))));
            }
            Distances::Words(list) => {
                list[range].iter().for_each(|it| visit(base.wrapping_add(i64::from(*it))));
            }
            Distances::Full(list) => list[range].iter().for_each(|it| visit(*it)),
        }
    }

    /// Whether all are this number.
    pub(crate) fn is_only(&self, value: i64) -> bool {
        matches!(self.distances, Distances::Same(length) if length == 0 || self.base == value)
    }

    pub(crate) fn insert(&mut self, at: usize, value: i64) {
        let distance = i128::from(value) - i128::from(self.base);
        match &mut self.distances {
            Distances::Same(length) if distance == 0 || *length == 0 => {
                self.base = value;
                *length += 1;
            }
            Distances::Bytes(list) if u8::try_from(distance).is_ok() => list.insert(at, distance as u8),
            Distances::Halves(list) if u16::try_from(distance).is_ok() => list.insert(at, distance as u16),
            Distances::Words(list) if u32::try_from(distance).is_ok() => list.insert(at, distance as u32),
            Distances::Full(list) => list.insert(at, value),
            _ => {
                let mut values: Vec<i64> = self.iter().collect();
                values.insert(at, value);
                *self = Packed::pack(values);
            }
        }
    }

    pub(crate) fn set(&mut self, at: usize, value: i64) {
        if self.get(at) != value {
            let mut values: Vec<i64> = self.iter().collect();
            values[at] = value;
            *self = Packed::pack(values);
        }
    }

    pub(crate) fn remove(&mut self, at: usize) {
        match &mut self.distances {
            Distances::Same(length) => *length -= 1,
            Distances::Bytes(list) => drop(list.remove(at)),
            Distances::Halves(list) => drop(list.remove(at)),
            Distances::Words(list) => drop(list.remove(at)),
            Distances::Full(list) => drop(list.remove(at)),
        }
        if !self.is_short() && self.iter().all(|value| value == self.get(0)) {
            *self = Packed::pack(self.iter().collect());
        }
    }

    /// Whether it is known to be of one number.
    fn is_short(&self) -> bool {
        matches!(self.distances, Distances::Same(_))
    }

    /// Cuts off and returns what comes from `at` on.
    pub(crate) fn split_off(&mut self, at: usize) -> Packed {
        let tail = (at..self.len()).map(|index| self.get(index)).collect();
        *self = (0..at).map(|index| self.get(index)).collect();
        tail
    }

    /// Bytes of the numbers.
    pub(crate) fn bytes(&self) -> usize {
        match &self.distances {
            Distances::Same(_) => 0,
            Distances::Bytes(list) => list.len(),
            Distances::Halves(list) => list.len() * 2,
            Distances::Words(list) => list.len() * 4,
            Distances::Full(list) => list.len() * 8,
        }
    }

    fn pack(values: Vec<i64>) -> Packed {
        let (Some(least), Some(greatest)) = (values.iter().min(), values.iter().max()) else {
            return Packed::default();
        };
        let (base, spread) = (*least, i128::from(*greatest) - i128::from(*least));
        let distances = if spread == 0 {
            Distances::Same(values.len())
        } else if spread <= i128::from(u8::MAX) {
            Distances::Bytes(values.iter().map(|value| value.wrapping_sub(base) as u8).collect())
        } else if spread <= i128::from(u16::MAX) {
            Distances::Halves(values.iter().map(|value| value.wrapping_sub(base) as u16).collect())
        } else if spread <= i128::from(u32::MAX) {
            Distances::Words(values.iter().map(|value| value.wrapping_sub(base) as u32).collect())
        } else {
            return Packed { base: 0, distances: Distances::Full(values) };
        };
        Packed { base, distances }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![Just(0_i64), -3..300_i64, -70_000..70_000_i64, any::<i64>()]
    }

    proptest! {
        #[test]
        fn it_is_a_list(numbers in proptest::collection::vec((number(), 0_usize..100), 0..60), cut in 0_usize..60) {
            let (mut list, mut packed) = (Vec::new(), Packed::default());
            for (number, at) in numbers {
                let at = at.min(list.len());
                list.insert(at, number);
                packed.insert(at, number);
            }
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), list.clone());
            let tail = packed.split_off(cut.min(list.len()));
            let list_tail = list.split_off(cut.min(list.len()));
            prop_assert_eq!(tail.iter().collect::<Vec<_>>(), list_tail);
            if !list.is_empty() {
                packed.set(0, 77);
                packed.remove(list.len() - 1);
                list[0] = 77;
                list.pop();
            }
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), list.clone());
            while let Some(first) = list.first().copied() {
                prop_assert_eq!(packed.is_only(first), list.iter().all(|number| *number == first));
                packed.remove(list.len() / 2);
                list.remove(list.len() / 2);
            }
        }
    }
}
