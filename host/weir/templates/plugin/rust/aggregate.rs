//! An aggregate: one value from many rows, folded in event-time order.

weir::export! { aggregates: [{{TYPE}}] }

/// What is kept of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct {{TYPE}} {
    first: Option<f64>,
    last: Option<f64>,
}

/// How much a number rose from its first row to its last.
#[weir::aggregate(name = "{{NAME}}")]
impl weir::Aggregate for {{TYPE}} {
    type Input = f64;
    type Output = Option<f64>;

    fn update(&mut self, _time: i64, value: f64) {
        self.first.get_or_insert(value);
        self.last = Some(value);
    }

    fn merge(&mut self, later: &Self) {
        self.first = self.first.or(later.first);
        self.last = later.last.or(self.last);
    }

    fn finish(&self, _as_of: i64) -> Option<f64> {
        Some(self.last? - self.first?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir::Aggregate;

    #[test]
    fn a_cut_anywhere_changes_nothing() {
        let along = |values: &[f64]| {
            let mut state = {{TYPE}}::default();
            values.iter().zip(0..).for_each(|(value, time)| state.update(time, *value));
            state
        };
        let mut state = along(&[3.0, 1.0]);
        state.merge(&along(&[8.0]));
        assert_eq!(state, along(&[3.0, 1.0, 8.0]));
        assert_eq!(state.finish(0), Some(5.0));
    }
}
