//! Which files are one log that is rotated, and which of them is the older.
//!
//! `app.log.1`, `app.log.2.gz`, `app.log-20260131` and `app-2026-01-31.log` are what `app.log` was called before: the
//! file that is written to has the plain name and is the newest. Dates say which of the others is older. Numbers
//! mostly count up with age, but some count the other way: when files were last written shows it.
//!
//! Pure. Knows names and times; reads nothing.

use super::names::{Listed, Order};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

/// Longer numbers are dates: a year, a day, seconds since 1970.
const MOST_DIGITS: usize = 3;
/// With fewer digits it may be anything.
const LEAST_DATE_DIGITS: usize = 8;

/// What is added to a log's name when it is rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark<'n> {
    Date(&'n str),
    Number(u16),
}

/// The logs that are rotated, by the names of the files that are written to, and whether the greater number is the
/// newer file.
#[derive(Debug, Clone, Default)]
pub(super) struct Families {
    numbers_grow: BTreeMap<String, bool>,
}

impl Families {
    /// The families among these files: those whose newest file is there, or is this one.
    pub(super) fn of(files: &[Listed], newest: Option<&str>) -> Families {
        let mut members: BTreeMap<String, Vec<(u16, &Listed)>> = BTreeMap::new();
        let names: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        for file in files {
            let Some((base, mark)) = rotated(&file.name) else { continue };
            if names.contains(base.as_str()) || newest == Some(base.as_str()) {
                let numbered = members.entry(base).or_default();
                if let Mark::Number(number) = mark {
                    numbered.push((number, file));
                }
            }
        }
        let numbers_grow = members.into_iter().map(|(base, numbered)| (base, grow(numbered)));
        Families { numbers_grow: numbers_grow.collect() }
    }

    /// The name that the newest file of this one's family has, if this one is older.
    pub(super) fn newest_of(&self, name: &str) -> Option<String> {
        self.member(name).map(|(base, _)| base)
    }

    fn member<'n>(&self, name: &'n str) -> Option<(String, Mark<'n>)> {
        rotated(name).filter(|(base, _)| self.numbers_grow.contains_key(base))
    }

    /// By name, but a family by age where the name of its newest file belongs.
    pub(super) fn compare(&self, one: &str, other: &str) -> Ordering {
        if self.numbers_grow.is_empty() {
            return Order::Natural.compare(one, other);
        }
        let of = |name| self.member(name).map_or((None, None), |(base, mark)| (Some(base), Some(mark)));
        let ((base, mark), (others_base, others_mark)) = (of(one), of(other));
        let (group, others_group) = (base.as_deref().unwrap_or(one), others_base.as_deref().unwrap_or(other));
        let by_age = || match (mark, others_mark) {
            (Some(mark), Some(others)) => self.by_age(group, mark, others),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let by_group = Order::Natural.compare(group, others_group);
        by_group.then_with(by_age).then_with(|| Order::Natural.compare(one, other))
    }

    fn by_age(&self, base: &str, one: Mark, other: Mark) -> Ordering {
        match (one, other) {
            (Mark::Number(one), Mark::Number(other)) => {
                let grows = self.numbers_grow.get(base).is_some_and(|grows| *grows);
                if grows { one.cmp(&other) } else { other.cmp(&one) }
            }
            (Mark::Date(one), Mark::Date(other)) => Order::Natural.compare(one, other),
            (Mark::Date(_), Mark::Number(_)) => Ordering::Less,
            (Mark::Number(_), Mark::Date(_)) => Ordering::Greater,
        }
    }
}

/// Of the files of a folder, those that were written between `moved`, which was called `newest` before, and the
/// present `newest`, oldest first.
///
/// # Errors
/// Those of which it cannot be told.
pub(super) fn between<'l>(
    files: &'l [Listed],
    moved: &Listed,
    newest: &str,
) -> Result<Vec<&'l Listed>, Vec<&'l Listed>> {
    let families = Families::of(files, Some(newest));
    let kind = |name| match rotated(name) {
        Some((base, mark)) if base == newest => Some(std::mem::discriminant(&mark)),
        _ => None,
    };
    let siblings = files.iter().filter(|file| file.name != moved.name && kind(&file.name).is_some());
    let (mut like, unlike): (Vec<_>, Vec<_>) =
        siblings.partition(|file| kind(&file.name) == kind(&moved.name));
    // Where names do not say which is older, only what was not written since is known to be.
    let unlike: Vec<_> = unlike.into_iter().filter(|file| file.modified > moved.modified).collect();
    if !unlike.is_empty() {
        return Err(unlike);
    }
    like.retain(|file| families.compare(&file.name, &moved.name).is_gt());
    like.sort_by(|one, other| families.compare(&one.name, &other.name));
    Ok(like)
}

/// Whether greater numbers are the newer files: no two of them, both compressed or neither, say otherwise. What
/// compresses a file may give it another time.
fn grow(mut numbered: Vec<(u16, &Listed)>) -> bool {
    numbered.sort_by_key(|(number, _)| *number);
    let is_gzip = |file: &Listed| super::input::is_gzip(Path::new(&file.name));
    let mut grows = false;
    for pair in numbered.windows(2) {
        let ((lower, one), (higher, other)) = (pair[0], pair[1]);
        if lower != higher && is_gzip(one) == is_gzip(other) {
            match one.modified.cmp(&other.modified) {
                Ordering::Less => grows = true,
                Ordering::Equal => {}
                Ordering::Greater => return false,
            }
        }
    }
    grows
}

/// The name that the newest file of this one's family would have.
pub(super) fn newest_of(name: &str) -> String {
    rotated(name).map_or_else(|| name.to_owned(), |(base, _)| base)
}

/// The name that a file had before it was rotated, and what was added to it.
fn rotated(name: &str) -> Option<(String, Mark<'_>)> {
    let plain = name.strip_suffix(".gz").unwrap_or(name);
    let start = plain.rfind('/').map_or(0, |slash| slash + 1);
    if let Some((end, mark)) = marked(plain, start) {
        return Some((plain[..end].to_owned(), mark));
    }
    let (stem, _) = plain.rsplit_once('.').filter(|(stem, _)| stem.len() > start)?;
    let (end, mark) = marked(stem, start)?;
    Some((format!("{}{}", &plain[..end], &plain[stem.len()..]), mark))
}

/// Where the mark at the end of a name begins, and the mark.
fn marked(name: &str, start: usize) -> Option<(usize, Mark<'_>)> {
    let separators = name.match_indices(['.', '-', '_']).filter(|(at, _)| *at > start);
    separators
        .map(|(at, separator)| (at, mark(separator, &name[at + 1..])))
        .find_map(|(at, mark)| Some((at, mark?)))
}

fn mark<'n>(separator: &str, text: &'n str) -> Option<Mark<'n>> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    if digits == text.len() && digits <= MOST_DIGITS {
        // `x.01` is a part of something that was cut, and `part-1` of something larger.
        let is_number = separator == "." && (!text.starts_with('0') || digits == 1);
        return text.parse().ok().filter(|_| is_number).map(Mark::Number);
    }
    let is_date = |byte: u8| byte.is_ascii_digit() || b"-_.:T".contains(&byte);
    let is_date = digits >= LEAST_DATE_DIGITS
        && text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(is_date);
    is_date.then_some(Mark::Date(text))
}

#[cfg(test)]
mod tests {
    use super::super::trace::Identity;
    use super::*;

    fn listed(name: &str, modified: i64) -> Listed {
        let metadata = std::fs::metadata(".").unwrap();
        Listed { name: name.to_owned(), identity: Identity::of(&metadata), bytes: 1, modified: (modified, 0) }
    }

    fn sorted(names: &[(&str, i64)], newest: Option<&str>) -> Vec<String> {
        let files: Vec<_> = names.iter().map(|(name, modified)| listed(name, *modified)).collect();
        let families = Families::of(&files, newest);
        let mut names: Vec<_> = files.into_iter().map(|file| file.name).collect();
        names.sort_by(|one, other| families.compare(one, other));
        names
    }

    #[test]
    fn a_name_says_what_it_was_before() {
        for (name, base) in [
            ("app.log.1", Some("app.log")),
            ("d-20260101/app.log.12.gz", Some("d-20260101/app.log")),
            ("syslog.7", Some("syslog")),
            ("app.log-20260131", Some("app.log")),
            ("app.log.2026-01-31T10:00:00", Some("app.log")),
            ("app.log.2026-01-31_10.1.gz", Some("app.log")),
            ("app-2026-01-31.log", Some("app.log")),
            ("app.2.log.gz", Some("app.log")),
            ("app.log", None),
            ("app.log.gz", None),
            ("app.log.01", None),
            ("part-9.jsonl", None),
            ("part-9", None),
            ("dt=2026-01-01/part", None),
            (".20260131", None),
            ("2026-01-31.log", None),
        ] {
            assert_eq!(rotated(name).map(|(base, _)| base).as_deref(), base, "{name}");
        }
    }

    #[test]
    fn a_log_that_is_rotated_is_read_by_age_and_what_is_written_to_last() {
        let of =
            |names: &[&str], newest| sorted(&names.iter().map(|name| (*name, 0)).collect::<Vec<_>>(), newest);
        let names =
            ["a.log", "app.log", "app.log.1", "app.log.10.gz", "app.log.2", "b.log", "b.log-20260102"];
        let by_age =
            ["a.log", "app.log.10.gz", "app.log.2", "app.log.1", "app.log", "b.log-20260102", "b.log"];
        assert_eq!(of(&names, None), by_age);
        // Parts of something have no newest that is written to, unless it is only away for a moment.
        assert_eq!(of(&["x.log.2", "x.log.10"], None), ["x.log.2", "x.log.10"]);
        assert_eq!(of(&["x.log.2", "x.log.10"], Some("x.log")), ["x.log.10", "x.log.2"]);
    }

    #[test]
    fn numbers_that_count_the_other_way_are_known_by_when_files_were_written() {
        let growing = sorted(&[("x.log", 9), ("x.log.1", 1), ("x.log.2", 2), ("x.log.3", 3)], None);
        assert_eq!(growing, ["x.log.1", "x.log.2", "x.log.3", "x.log"]);
        for undecided in [[1, 3, 2], [1, 1, 1], [3, 2, 1]] {
            let files = [
                ("x.log", 9),
                ("x.log.1", undecided[0]),
                ("x.log.2", undecided[1]),
                ("x.log.3", undecided[2]),
            ];
            assert_eq!(sorted(&files, None)[0], "x.log.3", "{undecided:?}");
        }
        // Compressed after it was written.
        assert_eq!(sorted(&[("x.log", 9), ("x.log.1", 1), ("x.log.2.gz", 2)], None)[0], "x.log.2.gz");
    }

    #[test]
    fn what_comes_between_is_told_or_nothing_is() {
        let files =
            [("x.log", 9), ("x.log.1", 5), ("x.log.2", 4), ("x.log.3", 3), ("y.log.1", 8), ("x.log.old", 2)]
                .map(|(name, modified)| listed(name, modified));
        let names = |files: Vec<&Listed>| files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            between(&files, &files[3], "x.log").map(names),
            Ok(vec!["x.log.2".into(), "x.log.1".into()])
        );
        assert_eq!(between(&files, &files[1], "x.log").map(names), Ok(Vec::new()));
        assert_eq!(between(&files, &files[5], "x.log").map_err(names).unwrap_err().len(), 3);
        assert_eq!(between(&files, &listed("moved", 5), "x.log").map(names), Ok(Vec::new()));
    }
}
