//! A format of one's own: what vehicle trackers send, a device's number and a sentence of NMEA 0183.

weir::export! { decoder: position }

/// Where a device was.
#[derive(Debug, PartialEq, weir::Row)]
pub struct Position {
    device: String,
    at: weir::Timestamp,
    lat: f64,
    lon: f64,
    knots: Option<f64>,
}

/// `DEVICE $GPRMC,HHMMSS,A,DDMM.MM,N,DDDMM.MM,E,KNOTS,COURSE,DDMMYY,..*CHECKSUM`
#[weir::decode]
pub fn position(payload: &[u8]) -> Result<Position, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "is not text")?;
    let (device, sentence) = text.trim_end().split_once(" $").ok_or("has no sentence behind the device")?;
    let fields: Vec<&str> = checked(sentence)?.split(',').collect();
    let [kind, time, status, lat, north, lon, east, knots, _, date, ..] = fields[..] else {
        return Err(format!("has {} fields, where a position has ten", fields.len()));
    };
    if !kind.ends_with("RMC") {
        return Err(format!("is a sentence {kind}, and only RMC has positions"));
    }
    if status != "A" {
        return Err("was sent without a fix".to_owned());
    }
    Ok(Position {
        device: device.to_owned(),
        at: weir::Timestamp(moment(date, time).ok_or("has no moment that there is")?),
        lat: degrees(lat, 2, north == "S").ok_or("has no latitude that there is")?,
        lon: degrees(lon, 3, east == "W").ok_or("has no longitude that there is")?,
        knots: if knots.is_empty() {
            None
        } else {
            Some(knots.parse().map_err(|_| "has a speed that is no number")?)
        },
    })
}

/// The sentence without its checksum, which is that of all characters between `$` and `*`.
fn checked(sentence: &str) -> Result<&str, String> {
    let (content, sum) = sentence.split_once('*').ok_or("has no checksum")?;
    let due = content.bytes().fold(0, |sum, byte| sum ^ byte);
    let is_due = u8::from_str_radix(sum, 16) == Ok(due);
    if is_due { Ok(content) } else { Err(format!("has the checksum {sum}, and {due:02X} is due")) }
}

/// Degrees and minutes, as `4916.45`, whose degrees have so many digits.
fn degrees(text: &str, digits: usize, is_negative: bool) -> Option<f64> {
    let (whole, minutes) = text.split_at_checked(digits)?;
    let (whole, minutes): (f64, f64) = (whole.parse::<u16>().ok()?.into(), minutes.parse().ok()?);
    let found = whole + minutes / 60.0;
    let most = if digits == 2 { 90.0 } else { 180.0 };
    ((0.0..60.0).contains(&minutes) && found <= most).then_some(if is_negative { -found } else { found })
}

/// Milliseconds since 1970 of a date of this century `DDMMYY` and a time `HHMMSS` or `HHMMSS.sss`.
fn moment(date: &str, time: &str) -> Option<i64> {
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<i64>().ok();
    let (day, month, year) = (two(date, 0)?, two(date, 2)?, 2000 + two(date, 4)?);
    let (hour, minute, second) = (two(time, 0)?, two(time, 2)?, time.get(4..)?.parse::<f64>().ok()?);
    let days_of_month = match month {
        2 if year % 4 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    if !(1..=days_of_month).contains(&day) || hour >= 24 || minute >= 60 || !(0.0..60.0).contains(&second) {
        return None;
    }
    // Howard Hinnant's `days_from_civil`: years begin in March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    #[allow(clippy::cast_possible_truncation, reason = "it is below 60,000")]
    let millis = (second * 1000.0).round() as i64;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENTENCE: &str = "bus7 $GPRMC,225446,A,4916.45,N,12311.12,W,000.5,054.7,191126,020.3,E*61";

    #[test]
    fn a_position_is_read() {
        let found = position(SENTENCE.as_bytes()).unwrap();
        assert_eq!(found.device, "bus7");
        assert_eq!(found.at, weir::Timestamp(1_795_128_886_000));
        assert!((found.lat - 49.274_166).abs() < 1e-5 && (found.lon + 123.185_333).abs() < 1e-5, "{found:?}");
        assert_eq!(found.knots, Some(0.5));
    }

    #[test]
    fn what_is_no_position_says_why() {
        for (payload, reason) in [
            ("bus7", "has no sentence behind the device"),
            (&SENTENCE.replace("*61", "*62"), "has the checksum 62, and 61 is due"),
            (&SENTENCE.replace("*61", ""), "has no checksum"),
            ("bus7 $GPGGA*56", "has 1 fields, where a position has ten"),
        ] {
            assert_eq!(position(payload.as_bytes()).unwrap_err(), reason);
        }
        assert_eq!((moment("290226", "120000"), moment("310426", "120000")), (None, None));
        assert!(moment("290228", "120000").is_some());
        assert_eq!(moment("010113", "246000"), None);
        assert_eq!(degrees("9000.01", 2, false), None);
        assert_eq!(degrees("9000.00", 2, true), Some(-90.0));
    }
}
