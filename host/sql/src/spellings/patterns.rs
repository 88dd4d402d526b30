//! Patterns of times: Java's, as Flink's `DATE_FORMAT` takes them, in those of the expression library.
//!
//! A pattern with `%` is the library's own. What cannot be said exactly in it is refused. Must not know functions.

/// How a pattern of the library looks, in messages.
pub(super) const LIBRARY_PATTERN: &str = "'%Y-%m-%d %H:%M:%S'";

/// Java's letters, as often as they may stand, and what they are in the library.
const JAVA: [(&str, &str); 28] = [
    ("yyyy", "%Y"),
    ("uuuu", "%Y"),
    ("yy", "%y"),
    ("M", "%-m"),
    ("MM", "%m"),
    ("MMM", "%b"),
    ("MMMM", "%B"),
    ("L", "%-m"),
    ("LL", "%m"),
    ("LLL", "%b"),
    ("LLLL", "%B"),
    ("d", "%-d"),
    ("dd", "%d"),
    ("D", "%-j"),
    ("DDD", "%j"),
    ("E", "%a"),
    ("EE", "%a"),
    ("EEE", "%a"),
    ("EEEE", "%A"),
    ("H", "%-H"),
    ("HH", "%H"),
    ("h", "%-I"),
    ("hh", "%I"),
    ("m", "%-M"),
    ("mm", "%M"),
    ("s", "%-S"),
    ("ss", "%S"),
    ("a", "%p"),
];

/// Fractions of a second.
const FRACTIONS: [(&str, &str); 3] = [("SSS", "%3f"), ("SSSSSS", "%6f"), ("SSSSSSSSS", "%9f")];

/// Letters of the library, and those of them that tell a zone.
const LIBRARY: &str = "YCyqmbBhdeaAwuUWGgVjDxFvHkIlPpMSfRTXrcs+nt%";
const LIBRARY_OF_ZONE: &str = "zZ";

/// A pattern of the library; the error says what cannot be read in it, or not be said in the library's.
pub(super) fn translated(pattern: &str, takes_java: bool, is_zoned: bool) -> Result<String, String> {
    if pattern.contains('%') {
        check_library(pattern, is_zoned)?;
        return Ok(pattern.to_owned());
    }
    if takes_java {
        return java(pattern);
    }
    Err(format!(
        "the pattern '{pattern}' has no `%`; TO_CHAR takes patterns such as {LIBRARY_PATTERN}, and DATE_FORMAT also \
         'yyyy-MM-dd HH:mm:ss'"
    ))
}

fn java(pattern: &str) -> Result<String, String> {
    let (mut library, mut rest) = (String::new(), pattern);
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' {
            quoted(rest, &mut library)
                .ok_or_else(|| format!("a quote in the pattern '{pattern}' does not close"))?
        } else if first.is_ascii_alphabetic() {
            let run = &rest[..rest.len() - rest.trim_start_matches(first).len()];
            let found = JAVA.iter().chain(&FRACTIONS).find(|(letters, _)| *letters == run);
            let (_, letter) = found.ok_or_else(|| unknown_letters(run))?;
            library.push_str(letter);
            run.len()
        } else if matches!(first, '[' | ']' | '{' | '}' | '#') {
            return Err(format!(
                "`{first}` in a pattern has a meaning that weir does not have; put it into quotes"
            ));
        } else {
            library.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    Ok(library)
}

/// Copies the text in quotes that a pattern begins with; two quotes are one. How long it is in the pattern.
fn quoted(text: &str, library: &mut String) -> Option<usize> {
    if text.starts_with("''") {
        library.push('\'');
        return Some(2);
    }
    let mut at = 1;
    loop {
        let end = at + text[at..].find('\'')?;
        library.push_str(&text[at..end]);
        if !text[end + 1..].starts_with('\'') {
            return Some(end + 1);
        }
        library.push('\'');
        at = end + 2;
    }
}

/// What Java's pattern probably does not mean: minutes beside a date, a month beside an hour, hours that come twice.
pub(super) fn doubt(pattern: &str) -> Option<&'static str> {
    if pattern.contains('%') {
        return None;
    }
    let outside = pattern.split('\'').step_by(2).collect::<Vec<_>>().join(" ");
    let mut runs: Vec<char> = outside.chars().filter(char::is_ascii_alphabetic).collect();
    runs.dedup();
    let beside = |at: usize, letters: &str| {
        let before = at.checked_sub(1).and_then(|at| runs.get(at));
        before.into_iter().chain(runs.get(at + 1)).any(|letter| letters.contains(*letter))
    };
    let is_misplaced = |letter: char, there: &str, own: &str| {
        let mut places = (0..runs.len()).filter(|at| runs[*at] == letter);
        places.any(|at| beside(at, there) && !beside(at, own))
    };
    if is_misplaced('m', "yud", "HhKks") {
        Some("mm are minutes; for the month write MM")
    } else if is_misplaced('M', "HhKks", "yudE") {
        Some("MM is the month; for minutes write mm")
    } else if runs.contains(&'h') && !runs.contains(&'a') {
        Some(
            "hh goes from 1 to 12 and comes twice a day; for hours from 0 to 23 write HH, or add a for am and pm",
        )
    } else {
        None
    }
}

fn unknown_letters(run: &str) -> String {
    let instead = match run.chars().next() {
        Some('Y') => "write yyyy for the year (YYYY is the year of the week)",
        Some('D') => "write dd for the day of the month (D and DDD are the day of the year)",
        Some('y' | 'u') => "write yyyy for the year",
        Some('S') => "write SSS for milliseconds",
        Some('k' | 'K') => "write HH for the hour from 0 to 23, or hh with a",
        Some('z' | 'Z' | 'X' | 'x' | 'O' | 'V') => {
            "times are in UTC, so write '''Z''' for a Z, or %:z in a pattern with % for AT TIME ZONE"
        }
        Some('w' | 'W') => "write %V in a pattern with % for the week of the year",
        Some('T') => "text goes into quotes, doubled in SQL: 'yyyy-MM-dd''T''HH:mm:ss'",
        _ => "text goes into quotes, doubled in SQL, as in 'HH ''o''''clock'''",
    };
    format!("`{run}` in a pattern of a time is not available; {instead}")
}

fn check_library(pattern: &str, is_zoned: bool) -> Result<(), String> {
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let after = &rest[at + 1..];
        let letters = after.trim_start_matches(['-', '_', '0', ':', '#', '.', '3', '6', '9']);
        let modifiers = &after[..after.len() - letters.len()];
        let Some(letter) = letters.chars().next() else {
            return Err(format!("the pattern '{pattern}' ends with `%`; write %% for a percent sign"));
        };
        let known = match modifiers {
            "" => LIBRARY.contains(letter) || LIBRARY_OF_ZONE.contains(letter),
            "-" | "_" | "0" => "YCymdeHkIlMSjUWVGg".contains(letter),
            ":" | "::" | ":::" | "#" => letter == 'z',
            ".3" | ".6" | ".9" | "." | "3" | "6" | "9" => letter == 'f',
            _ => false,
        };
        if !known {
            return Err(format!(
                "`%{modifiers}{letter}` in the pattern '{pattern}' is not known; write one such as {LIBRARY_PATTERN}"
            ));
        }
        if !is_zoned && (LIBRARY_OF_ZONE.contains(letter) || letter == '+') {
            return Err(format!(
                "`%{modifiers}{letter}` is of a zone, and the time has none; write t AT TIME ZONE 'Europe/Berlin' for \
                 the time"
            ));
        }
        rest = &letters[letter.len_utf8()..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn java(pattern: &str) -> Result<String, String> {
        translated(pattern, true, false)
    }

    #[test]
    fn javas_patterns_are_said_in_the_librarys() {
        assert_eq!(java("yyyy-MM-dd HH:mm:ss.SSS").unwrap(), "%Y-%m-%d %H:%M:%S.%3f");
        assert_eq!(java("yyyy-MM-dd'T'HH:mm:ss'Z'").unwrap(), "%Y-%m-%dT%H:%M:%SZ");
        assert_eq!(java("d MMM yy, h:mm a").unwrap(), "%-d %b %y, %-I:%M %p");
        assert_eq!(java("HH 'o''clock'").unwrap(), "%H o'clock");
        assert_eq!(java("yyyyMMdd").unwrap(), "%Y%m%d");
        assert_eq!(java("''yy").unwrap(), "'%y");
    }

    #[test]
    fn what_has_no_exact_counterpart_is_refused() {
        for pattern in
            ["YYYY-MM-dd", "y", "SS", "kk", "HH:mm z", "ww", "yyyy-MM-ddTHH", "'open", "[HH]", "MMMMM"]
        {
            assert!(java(pattern).is_err(), "{pattern}");
        }
        assert!(translated("yyyy", false, false).is_err());
    }

    #[test]
    fn a_pattern_that_probably_means_something_else_is_told() {
        for (pattern, said) in [
            ("yyyy-mm-dd", "for the month write MM"),
            ("yyyy-mm-dd HH:mm:ss", "for the month write MM"),
            ("yyyymmdd", "for the month write MM"),
            ("HH:MM", "for minutes write mm"),
            ("yyyy-MM-dd HH:MM:ss", "for minutes write mm"),
            ("hh:mm", "write HH"),
            ("yyyy-MM-dd'T'hh:mm:ss", "write HH"),
        ] {
            assert!(
                doubt(pattern).is_some_and(|doubt| doubt.contains(said)),
                "{pattern}: {:?}",
                doubt(pattern)
            );
        }
        for pattern in [
            "yyyy-MM-dd HH:mm:ss",
            "hh:mm a",
            "mm",
            "mm:ss",
            "MM",
            "dd.MM. HH:mm",
            "MMdd HHmm",
            "%H:%M",
            "d MMM",
            "HH 'h'",
        ] {
            assert_eq!(doubt(pattern), None, "{pattern}");
        }
        assert!(unknown_letters("DD").contains("write dd"));
    }

    #[test]
    fn a_pattern_of_the_library_stays_and_is_checked() {
        assert_eq!(java("%Y %-d %.3f %%").unwrap(), "%Y %-d %.3f %%");
        assert!(translated("%H %:z", true, true).is_ok());
        for pattern in ["%H %:z", "%Q", "%", "%-", "%4f", "%H%"] {
            assert!(java(pattern).is_err(), "{pattern}");
        }
    }
}
