//! A format: a row out of the payload of each message.

weir::export! { decoder: {{NAME}} }

/// What a payload has.
#[derive(Debug, PartialEq, weir::Row)]
pub struct Ride {
    user_id: String,
    at: weir::Timestamp,
    fare: Option<f64>,
}

/// `USER MILLISECONDS [FARE]`
#[weir::decode]
pub fn {{NAME}}(payload: &[u8]) -> Result<Ride, String> {
    let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [user_id, at, ref fare @ ..] = words[..] else {
        return Err("has no time".to_owned());
    };
    let at = at.parse().map_err(|error| format!("the time: {error}"))?;
    let fare = fare.first().map(|fare| fare.parse()).transpose();
    let fare = fare.map_err(|error| format!("the fare: {error}"))?;
    Ok(Ride { user_id: user_id.to_owned(), at: weir::Timestamp(at), fare })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_ride_and_others_are_refused() {
        let ride = {{NAME}}(b"u1 1700000000000 12.5").unwrap();
        assert_eq!((ride.user_id.as_str(), ride.fare), ("u1", Some(12.5)));
        assert_eq!({{NAME}}(b"u1 1700000000000").unwrap().fare, None);
        assert!({{NAME}}(b"u1 yesterday").is_err());
    }
}
