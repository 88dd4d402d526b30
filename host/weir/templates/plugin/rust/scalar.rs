//! Scalar functions: one value from the arguments of each row.

weir::export! { scalars: [{{NAME}}] }

/// The share of a fare that is tip, in percent.
#[weir::scalar]
pub fn {{NAME}}(fare: f64, tip: Option<f64>) -> Option<f64> {
    (fare > 0.0).then(|| tip.unwrap_or(0.0) / fare * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tip_is_nothing_and_no_fare_has_no_share() {
        assert_eq!({{NAME}}(10.0, Some(2.0)), Some(20.0));
        assert_eq!({{NAME}}(10.0, None), Some(0.0));
        assert_eq!({{NAME}}(0.0, None), None);
    }
}
