//! Which folder below a sink's a row belongs into: `dt=2026-01-31/hour=07`, as Hive lays out tables.
//!
//! A template such as `dt=%Y-%m-%d` is filled with the row's time in UTC, which is the end of its window or else its
//! event's, and with the values of columns. Must not know files.

use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::{ArrowError, Schema};
use arrow_select::take::take_record_batch;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, RowIdentity, RowShape, SinkRows};
use weir_event::EventTime;
use weir_event::suggestion::{shown, unknown};
use weir_format::json::push_cell;

/// Rows of an aggregate over all time have none.
const NO_TIME: &str = "the rows have no time of their own, as those of an aggregate over all time; name columns alone, such as \
                       `country={country}`";
/// What Hive writes for a value that is null or empty.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The longest name of a folder, of file systems; of all of them one in the other, of object stores less a file's name.
const FOLDER_BYTES: usize = 255;
const PATH_BYTES: usize = 768;

/// Rows by the folder that they belong into.
#[derive(Debug)]
pub(super) struct Divided {
    pub(super) folders: Vec<(String, SinkRows)>,
    /// Those that no folder can be made for, with the reason.
    pub(super) refused: Vec<(usize, String)>,
}

/// The folders of a sink's rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partitioning {
    levels: Vec<Level>,
}

/// One folder: a name and what its value is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    name: String,
    value: Vec<LevelPart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum LevelPart {
    Text(String),
    /// A part of the row's time.
    Time(TimePart),
    Column(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TimePart {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

impl TimePart {
    fn of(letter: char) -> Option<TimePart> {
        Some(match letter {
            'Y' => TimePart::Year,
            'm' => TimePart::Month,
            'd' => TimePart::Day,
            'H' => TimePart::Hour,
            'M' => TimePart::Minute,
            _ => return None,
        })
    }

    /// Its digits in a time's text, `2026-01-31T07:00:00.000Z`.
    fn digits(self, time: &str) -> Option<&str> {
        time.get(match self {
            TimePart::Year => 0..4,
            TimePart::Month => 5..7,
            TimePart::Day => 8..10,
            TimePart::Hour => 11..13,
            TimePart::Minute => 14..16,
        })
    }
}

impl Level {
    fn parse(text: &str) -> Result<Level, String> {
        let Some((name, template)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!(
                "`{text}` is not a partition; write a name and a value, such as `dt=%Y-%m-%d`"
            ));
        };
        if name.contains(['/', '%', '{', '}']) {
            return Err(format!("`{name}` cannot be the name of a partition; use letters, digits and `_`"));
        }
        let (mut value, mut literal) = (Vec::new(), String::new());
        let mut letters = template.chars();
        while let Some(letter) = letters.next() {
            let part = match letter {
                '%' => match letters.next() {
                    Some('%') => None,
                    Some(code) => {
                        Some(LevelPart::Time(TimePart::of(code).ok_or_else(|| unknown_code(code))?))
                    }
                    None => return Err(format!("`{text}` ends in `%`; write `%%` for the character itself")),
                },
                '{' => {
                    let column: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                    let is_closed = template.contains(&format!("{{{column}}}"));
                    if !is_closed || column.is_empty() {
                        return Err(format!(
                            "`{text}` has a `{{` without a column's name and `}}` behind it"
                        ));
                    }
                    Some(LevelPart::Column(column))
                }
                _ => None,
            };
            match part {
                None => literal.push(letter),
                Some(part) => {
                    if !literal.is_empty() {
                        value.push(LevelPart::Text(std::mem::take(&mut literal)));
                    }
                    value.push(part);
                }
            }
        }
        if !literal.is_empty() {
            value.push(LevelPart::Text(literal));
        }
        if value.is_empty() {
            return Err(format!("`{text}` has no value; write one, such as `dt=%Y-%m-%d`"));
        }
        Ok(Level { name: name.to_owned(), value })
    }

    fn has_time(&self) -> bool {
        self.value.iter().any(|part| matches!(part, LevelPart::Time(_)))
    }

    /// Its folder for a row; `time` is its time's text.
    fn push(&self, columns: &RecordBatch, row: usize, time: Option<&str>, path: &mut String) {
        let mut value = String::new();
        for part in &self.value {
            match part {
                LevelPart::Text(text) => value.push_str(text),
                LevelPart::Time(part) => match time.and_then(|time| part.digits(time)) {
                    Some(digits) => value.push_str(digits),
                    None => return self.push_value("", path),
                },
                LevelPart::Column(name) => value.push_str(&cell_text(columns, name, row)),
            }
        }
        self.push_value(&value, path);
    }

    fn push_value(&self, value: &str, path: &mut String) {
        if !path.is_empty() {
            path.push('/');
        }
        push_escaped(&self.name, path);
        path.push('=');
        if value.is_empty() {
            path.push_str(NO_VALUE);
        } else {
            push_escaped(value, path);
        }
    }
}

fn unknown_code(code: char) -> String {
    format!("`%{code}` is not a part of a time that is known here; there are %Y, %m, %d, %H and %M")
}

/// The text of a cell as JSON has it, without quotes; empty for null.
fn cell_text(columns: &RecordBatch, name: &str, row: usize) -> String {
    let Some(array) = columns.column_by_name(name).filter(|array| array.is_valid(row)) else {
        return String::new();
    };
    let mut json = Vec::new();
    push_cell(array.as_ref(), row, &mut json);
    match serde_json::from_slice(&json) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => String::new(),
        _ => String::from_utf8_lossy(&json).into_owned(),
    }
}

/// What Hive escapes in names of partitions, beside control characters.
const ESCAPED: &str = "\"#%'*/:=?\\{[]^";

fn push_escaped(text: &str, path: &mut String) {
    for letter in text.chars() {
        if letter.is_ascii_control() || ESCAPED.contains(letter) {
            // Writing to a text does not fail.
            let _ = write!(path, "%{:02X}", u32::from(letter));
        } else {
            path.push(letter);
        }
    }
}

impl Partitioning {
    /// Reads templates, outermost folder first; the errors say what is wrong with each.
    pub(super) fn parse(templates: &[String]) -> Result<Partitioning, Vec<String>> {
        let (levels, mut errors): (Vec<_>, Vec<_>) =
            templates.iter().map(|text| Level::parse(text)).partition(Result::is_ok);
        let levels: Vec<Level> = levels.into_iter().flatten().collect();
        let mut names: Vec<_> = levels.iter().map(|level| level.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.windows(2).find(|names| names[0] == names[1]) {
            errors.push(Err(format!("the partition `{twice}` is there twice")));
        }
        if errors.is_empty() {
            return Ok(Partitioning { levels });
        }
        Err(errors.into_iter().filter_map(Result::err).collect())
    }

    /// How deep its folders are.
    pub(super) fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Whether a row's time decides.
    pub(super) fn has_time(&self) -> bool {
        self.levels.iter().any(Level::has_time)
    }

    /// The rows of each folder, in the order in which they stand. A column that is a partition of its own name is not
    /// among theirs: it stands in the folder's name.
    pub(super) fn split(&self, rows: SinkRows) -> Result<Divided, ConnectError> {
        if self.levels.is_empty() {
            return Ok(Divided { folders: vec![(String::new(), rows)], refused: Vec::new() });
        }
        if let Some(error) = self.unknown_column(rows.columns.schema_ref()) {
            return Err(ConnectError::user(format!("`partition`: {error}")));
        }
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        let mut refused = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut last: Option<(i64, usize)> = None;
        let is_time_alone = self
            .levels
            .iter()
            .all(|level| level.value.iter().all(|part| !matches!(part, LevelPart::Column(_))));
        for row in 0..rows.columns.num_rows() {
            let time = self.time(&rows.meta, row)?;
            let group = match last.filter(|(of, _)| is_time_alone && *of == time) {
                Some((_, group)) => group,
                None => {
                    let path = self.path(&rows.columns, row, time);
                    if let Err(reason) = fits(&path) {
                        refused.push((row, reason));
                        continue;
                    }
                    *known.entry(path).or_insert_with_key(|path| {
                        groups.push((path.clone(), Vec::new()));
                        groups.len() - 1
                    })
                }
            };
            last = Some((time, group));
            groups[group].1.push(row as u32);
        }
        let taken = |(path, indices): (String, Vec<u32>)| {
            let mut taken =
                if groups_whole(&indices, &rows) { rows.clone() } else { take_rows(&rows, indices)? };
            taken.columns = self.without_partitions(&taken.columns)?;
            Ok((path, taken))
        };
        let folders = groups.into_iter().map(taken).collect::<Result<_, ArrowError>>().map_err(|error| {
            ConnectError::internal(format!("result rows cannot be divided into partitions: {error}"))
        })?;
        Ok(Divided { folders, refused })
    }

    fn path(&self, columns: &RecordBatch, row: usize, time: i64) -> String {
        let text = EventTime::from_millis(time).to_string();
        // The text of a year that no calendar holds is a number.
        let text = Some(text.as_str()).filter(|text| text.as_bytes().get(4) == Some(&b'-'));
        let mut path = String::new();
        self.levels.iter().for_each(|level| level.push(columns, row, text, &mut path));
        path
    }

    /// The time of a row, or any if none is asked for.
    fn time(&self, meta: &RowMeta, row: usize) -> Result<i64, ConnectError> {
        if !self.has_time() {
            return Ok(0);
        }
        let end = meta.windows.get(row).map(|(_, end)| *end);
        end.or_else(|| meta.times.get(row).copied())
            .ok_or_else(|| ConnectError::user(format!("`partition`: {NO_TIME}")))
    }

    /// What is wrong with it for the result rows of a job.
    pub(super) fn check(&self, shape: &RowShape) -> Result<(), Vec<String>> {
        let mut errors: Vec<_> = self.unknown_column(&shape.columns).into_iter().collect();
        if self.has_time() && shape.identity == RowIdentity::Key {
            errors.push(NO_TIME.to_owned());
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// What is wrong with a column that it names and the query does not have.
    fn unknown_column(&self, schema: &Schema) -> Option<String> {
        let parts = self.levels.iter().flat_map(|level| &level.value);
        let named =
            parts.filter_map(|part| if let LevelPart::Column(name) = part { Some(name) } else { None });
        let unknown_one = named.into_iter().find(|name| schema.column_with_name(name).is_none())?;
        let known = schema.fields().iter().map(|field| field.name().as_str());
        Some(format!("`{{{unknown_one}}}`: {}", unknown("column", unknown_one, known)))
    }

    fn without_partitions(&self, columns: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = columns.schema();
        let stays = |name: &str| {
            !self.levels.iter().any(|level| {
                level.name == name && matches!(level.value.as_slice(), [LevelPart::Column(of)] if of == name)
            })
        };
        let fields = schema.fields().iter().enumerate();
        let kept: Vec<usize> = fields.filter(|(_, field)| stays(field.name())).map(|(at, _)| at).collect();
        columns.project(&kept)
    }
}

/// Whether folders of these names can be made, wherever they are.
fn fits(path: &str) -> Result<(), String> {
    match path.split('/').find(|folder| folder.len() > FOLDER_BYTES) {
        Some(folder) => Err(format!(
            "its folder's name would be of {} bytes, and begins with `{}`; the longest is of {FOLDER_BYTES}",
            folder.len(),
            shown(folder)
        )),
        None if path.len() > PATH_BYTES => {
            Err(format!("its folders would be of {} bytes together; the most is {PATH_BYTES}", path.len()))
        }
        None => Ok(()),
    }
}

fn groups_whole(indices: &[u32], rows: &SinkRows) -> bool {
    indices.len() == rows.columns.num_rows()
}

fn take_rows(rows: &SinkRows, indices: Vec<u32>) -> Result<SinkRows, ArrowError> {
    let meta = &rows.meta;
    let windows = indices.iter().filter_map(|row| meta.windows.get(*row as usize).copied()).collect();
    let times = indices.iter().filter_map(|row| meta.times.get(*row as usize).copied()).collect();
    let identities = indices.iter().filter_map(|row| meta.identities.get(*row as usize).cloned()).collect();
    let indices = UInt32Array::from(indices);
    let keys = meta.keys.as_ref().map(|keys| take_record_batch(keys, &indices)).transpose()?;
    let meta = RowMeta { windows, times, identities, keys, ..meta.clone() };
    Ok(SinkRows { columns: take_record_batch(&rows.columns, &indices)?, meta })
}
