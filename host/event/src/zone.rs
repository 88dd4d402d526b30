//! Time zones by name, and what was probably meant by a name that the database does not have.
//!
//! Must not know who names a zone.

use crate::suggestion::nearest;
use jiff::tz::TimeZone;

/// The longest name of the database has half as many bytes; a longer one is not looked at for what was meant.
const NAME_BYTES: usize = 64;

/// A name that the time zone database does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.quoted('`'))]
pub struct UnknownZone {
    /// The name, cut where it is far too long.
    name: String,
    /// What was probably meant.
    near: Option<String>,
}

impl UnknownZone {
    /// What is wrong and what to write, with names in the quotes of the language that names the zone.
    pub fn quoted(&self, quote: char) -> String {
        let named = |name: &str| format!("{quote}{name}{quote}");
        let instead = match &self.near {
            Some(near) => format!("did you mean {}?", named(near)),
            None => {
                format!("write a name of the time zone database, such as {}", named("Europe/Berlin"))
            }
        };
        format!("time zone {} not found; {instead}", named(&self.name))
    }
}

/// The zone of a name.
///
/// ```
/// use weir_event::zone_named;
/// assert_eq!(zone_named("europe/berlin").unwrap().iana_name(), Some("Europe/Berlin"));
/// let error = zone_named("Europe/Berln").unwrap_err().to_string();
/// assert_eq!(error, "time zone `Europe/Berln` not found; did you mean `Europe/Berlin`?");
/// ```
pub fn zone_named(name: &str) -> Result<TimeZone, UnknownZone> {
    if name.len() <= NAME_BYTES
        && let Ok(zone) = TimeZone::get(name)
    {
        return Ok(zone);
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let near = (name.len() <= NAME_BYTES).then(|| nearest(name, known.iter().map(String::as_str)));
    let near = near.flatten().map(str::to_owned);
    let mut shown: String = name.chars().take(NAME_BYTES).collect();
    if shown.len() < name.len() {
        shown.push_str("..");
    }
    Err(UnknownZone { name: shown, near })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_far_too_long_is_cut() {
        let error = zone_named(&"x".repeat(100_000)).unwrap_err().to_string();
        assert!(error.len() < 200 && error.contains("xx..` not found; write a name of"), "{error}");
    }
}
