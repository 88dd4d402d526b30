//! Where a record of CSV ends, and where its fields are.
//!
//! Knows bytes only. Whoever cuts files into blocks and whoever reads the blocks use the same rules, so they agree on
//! what is one record.

/// The characters that mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields.
    pub quote: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// At the beginning of a record.
    #[default]
    Record,
    /// At the beginning of a field.
    Begin,
    /// In a field without quotes, or behind its closing quote.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes the field, unless another follows.
    Closing,
}

/// Finds the ends of records in bytes that may come bit by bit.
///
/// ```
/// use weir_format::csv::{Boundary, Dialect};
/// let mut boundary = Boundary::new(Dialect { delimiter: b',', quote: b'"' });
/// let bytes = b"a,\"b\nc\"\nd,e\nf";
/// assert_eq!(boundary.next_end(bytes), Some(8));
/// assert_eq!(boundary.next_end(bytes), Some(12));
/// assert_eq!(boundary.next_end(bytes), None);
/// ```
#[derive(Debug, Clone)]
pub struct Boundary {
    dialect: Dialect,
    state: State,
    /// Up to where the bytes were looked at.
    at: usize,
    /// Up to where every line end is known to be within quotes for a record that has a quote open at one of them, and the
    /// state there.
    open: Option<(usize, State)>,
}

impl Boundary {
    /// Begins before the first record.
    pub fn new(dialect: Dialect) -> Boundary {
        Boundary { dialect, state: State::Record, at: 0, open: None }
    }

    /// The place behind the next line end that is outside of quotes; `None` if there is none yet: to be asked again with
    /// the same bytes and more behind them.
    pub fn next_end(&mut self, bytes: &[u8]) -> Option<usize> {
        loop {
            let rest = bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
            match self.state {
                State::Record => {
                    // Most lines have no quotes at all.
                    let length = memchr::memchr(b'\n', rest)?;
                    if memchr::memchr(self.dialect.quote, &rest[..length]).is_none() {
                        return Some(self.end_at(length));
                    }
                    self.state = State::Begin;
                }
                State::Begin => {
                    let is_quoted = rest[0] == self.dialect.quote;
                    self.state = if is_quoted { State::Quoted } else { State::Plain };
                    self.at += usize::from(is_quoted);
                }
                State::Plain => match memchr::memchr2(self.dialect.delimiter, b'\n', rest) {
                    Some(length) if rest[length] == b'\n' => return Some(self.end_at(length)),
                    Some(length) => {
                        self.at += length + 1;
                        self.state = State::Begin;
                    }
                    None => self.at = bytes.len(),
                },
                State::Quoted if self.is_open_beyond(rest) => {
                    if let Some((at, state)) = self.open.take() {
                        (self.at, self.state) = (at, state);
                    }
                }
                State::Quoted => match memchr::memchr(self.dialect.quote, rest) {
                    Some(length) => {
                        self.at += length + 1;
                        self.state = State::Closing;
                    }
                    None => self.at = bytes.len(),
                },
                State::Closing if rest[0] == self.dialect.quote => {
                    self.at += 1;
                    self.state = State::Quoted;
                }
                State::Closing => self.state = State::Plain,
            }
        }
    }

    /// Whether the next line end is within these quotes and among those of which it is known what follows.
    fn is_open_beyond(&self, rest: &[u8]) -> bool {
        let Some((until, _)) = self.open.filter(|(until, _)| *until > self.at) else { return false };
        let known = &rest[..rest.len().min(until - self.at)];
        memchr::memchr2(self.dialect.quote, b'\n', known).is_some_and(|at| known[at] == b'\n')
    }

    /// The line end so far behind the present place ends a record.
    fn end_at(&mut self, length: usize) -> usize {
        self.at += length + 1;
        self.state = State::Record;
        self.at
    }

    /// Whether what was looked at ends within a field in quotes.
    pub fn is_within_quotes(&self) -> bool {
        self.state == State::Quoted
    }

    /// The first so many bytes are gone from what is looked at; a record began behind them.
    pub fn shift(&mut self, bytes: usize) {
        self.at = self.at.saturating_sub(bytes);
        self.open = self.open.map(|(until, state)| (until.saturating_sub(bytes), state));
    }

    /// Begins again before the first record.
    pub fn restart(&mut self) {
        (self.state, self.at, self.open) = (State::Record, 0, None);
    }

    /// The first line, of so many bytes, is gone from a record that did not end in what was looked at; one begins behind it.
    /// What was looked at is not looked at again for each line: where a quote is open at a line end, it was open there
    /// before.
    pub fn restart_behind_line(&mut self, bytes: usize) {
        self.open = Some((self.at.saturating_sub(bytes), self.state));
        (self.state, self.at) = (State::Record, 0);
    }
}

/// A field: its bytes in its record, without the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) is_quoted: bool,
    /// Whether quotes in it are doubled.
    pub(super) is_doubled: bool,
}

/// Why a record cannot be told into fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvFault {
    #[error("not CSV: the quote at byte {0} is not closed")]
    Open(usize),
    #[error("not CSV: text follows the closing quote at byte {0}; double the quotes within a field")]
    Follows(usize),
}

/// Finds the fields of a record without its line end.
pub(super) fn fields(record: &[u8], dialect: Dialect, cells: &mut Vec<Cell>) -> Result<(), CsvFault> {
    cells.clear();
    let mut start = 0;
    loop {
        let end = if record.get(start) == Some(&dialect.quote) {
            quoted(record, start, dialect, cells)?
        } else {
            let rest = &record[start..];
            let end = memchr::memchr(dialect.delimiter, rest).map_or(record.len(), |length| start + length);
            cells.push(Cell { start, end, is_quoted: false, is_doubled: false });
            end
        };
        if end >= record.len() {
            return Ok(());
        }
        start = end + 1;
    }
}

/// Adds the field whose opening quote is at `open`, and says where it ends: at a delimiter or the record's end.
fn quoted(record: &[u8], open: usize, dialect: Dialect, cells: &mut Vec<Cell>) -> Result<usize, CsvFault> {
    let (mut at, mut is_doubled) = (open + 1, false);
    loop {
        let close = at + memchr::memchr(dialect.quote, &record[at..]).ok_or(CsvFault::Open(open))?;
        match record.get(close + 1) {
            Some(byte) if *byte == dialect.quote => {
                is_doubled = true;
                at = close + 2;
            }
            Some(byte) if *byte != dialect.delimiter => return Err(CsvFault::Follows(close)),
            _ => {
                cells.push(Cell { start: open + 1, end: close, is_quoted: true, is_doubled });
                return Ok(close + 1);
            }
        }
    }
}

/// Appends a field's text with its doubled quotes made single.
pub(super) fn undouble(text: &[u8], quote: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(quote, rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}
