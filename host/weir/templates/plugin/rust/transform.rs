//! A transform: several columns, computed when a job is asked, of what it has stored and of what the request says.

weir::export! { transforms: [{{NAME}}] }

/// What is told of an amount.
#[derive(Debug, PartialEq, weir::Row)]
pub struct Unusual {
    times: f64,
    band: String,
}

/// How many times what a rider usually pays an amount is; nothing of a rider of whom nothing is known.
#[weir::transform]
pub fn {{NAME}}(amount: f64, mean_fare: Option<f64>) -> Option<Unusual> {
    let mean = mean_fare.filter(|mean| *mean > 0.0)?;
    let times = amount / mean;
    Some(Unusual { times, band: if times < 2.0 { "low" } else { "high" }.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_as_much_is_unusual_and_nothing_is_told_of_a_new_rider() {
        let (low, high) = ("low".to_owned(), "high".to_owned());
        assert_eq!({{NAME}}(10.0, Some(8.0)), Some(Unusual { times: 1.25, band: low }));
        assert_eq!({{NAME}}(16.0, Some(8.0)), Some(Unusual { times: 2.0, band: high }));
        assert_eq!({{NAME}}(16.0, None), None);
    }
}
