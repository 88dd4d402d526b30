//! The syntax of JSON: where a value starts and ends, and that everything between is legal.
//!
//! Knows bytes only. Must not know columns, types or what a member is for. The bytes are UTF-8: who calls has
//! made sure. What counts as JSON is said in the parent module.

use std::ops::Range;

/// Containers nested deeper than this are refused, so that hostile input cannot use up the stack.
const NESTING_LIMIT: u32 = 127;

/// What kind of value stands at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The member is not there at all.
    Absent,
    /// The path to the member leads through something that is no object.
    NoObject,
    Null,
    True,
    False,
    /// A number without fraction or exponent.
    Integer,
    /// Any other number.
    Number,
    /// Text without escapes; the span leaves out the quotes.
    Text,
    /// Text with escapes; the span leaves out the quotes.
    EscapedText,
    Object,
    Array,
}

/// A value: its kind and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    pub(super) const ABSENT: Token = Token { kind: Kind::Absent, start: 0, end: 0 };

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// The span with the quotes of a text.
    pub(super) fn outer_range(self) -> Range<usize> {
        match self.kind {
            Kind::Text | Kind::EscapedText => self.start - 1..self.end + 1,
            _ => self.range(),
        }
    }
}

/// The bytes are not JSON: what was expected where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) at: usize,
    pub(super) expected: &'static str,
    /// Whether the object itself was whole and the fault is what follows it.
    pub(super) is_after_object: bool,
}

/// A place in the bytes of a record. `bytes` ends where the record ends, but may start before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Scanner { bytes, at }
    }

    pub(super) fn error<T>(&self, expected: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { at: self.at, expected, is_after_object: false })
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over the mark that some programs write at the beginning, and the space after it.
    pub(super) fn skip_byte_order_mark(&mut self) {
        if self.bytes[self.at..].starts_with("\u{feff}".as_bytes()) {
            self.at += '\u{feff}'.len_utf8();
            self.skip_space();
        }
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.peek() != Some(byte) {
            return self.error(expected);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but space may follow.
    #[inline]
    pub(super) fn end(&mut self) -> Result<(), SyntaxError> {
        self.skip_space();
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(SyntaxError { at: self.at, expected: "nothing after the object", is_after_object: true })
    }

    /// Reads the value that starts here, inside `depth` containers.
    #[inline]
    pub(super) fn value(&mut self, depth: u32) -> Result<Token, SyntaxError> {
        match self.peek() {
            Some(b'"') => self.text(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.literal(b"null", Kind::Null),
            Some(b't') => self.literal(b"true", Kind::True),
            Some(b'f') => self.literal(b"false", Kind::False),
            Some(b'{') => {
                let start = self.at;
                self.members(depth, |scanner, _, inside| scanner.value(inside).map(drop))?;
                Ok(Token { kind: Kind::Object, start, end: self.at })
            }
            Some(b'[') => {
                let start = self.at;
                self.items(depth, |scanner, inside| scanner.value(inside).map(drop))?;
                Ok(Token { kind: Kind::Array, start, end: self.at })
            }
            _ => self.error("a value"),
        }
    }

    fn literal(&mut self, word: &'static [u8], kind: Kind) -> Result<Token, SyntaxError> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return self.error("a value");
        }
        self.at += word.len();
        Ok(Token { kind, start, end: self.at })
    }

    /// Walks the object that starts here; `each` is called at every member's value, which it must read, with
    /// the key and the number of containers around the value.
    pub(super) fn members(
        &mut self,
        depth: u32,
        mut each: impl FnMut(&mut Self, Token, u32) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.open(b'{', depth)?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            each(self, key, depth + 1)?;
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Walks the array that starts here; `each` is called at every item, which it must read.
    pub(super) fn items(
        &mut self,
        depth: u32,
        mut each: impl FnMut(&mut Self, u32) -> Result<(), SyntaxError>,
    ) -> Result<(), SyntaxError> {
        self.open(b'[', depth)?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            each(self, depth + 1)?;
            if !self.more(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    /// Enters a container and stands at its first byte that is no space.
    pub(super) fn open(&mut self, bracket: u8, depth: u32) -> Result<(), SyntaxError> {
        if depth >= NESTING_LIMIT {
            return self.error("less nesting");
        }
        self.expect(bracket, "a container")?;
        self.skip_space();
        Ok(())
    }

    /// After a value in a container: steps over the comma to what comes next, or over the closing bracket.
    #[inline]
    pub(super) fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.error(expected),
        }
    }

    /// Reads a key and its colon, and stands at the value.
    pub(super) fn key(&mut self) -> Result<Token, SyntaxError> {
        if self.peek() != Some(b'"') {
            return self.error("a member's name in quotes");
        }
        let key = self.text()?;
        self.skip_space();
        self.expect(b':', "`:`")?;
        self.skip_space();
        Ok(key)
    }

    /// Reads the text that starts here with its quote.
    #[inline]
    pub(super) fn text(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at + 1;
        self.at = start;
        let mut kind = Kind::Text;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    return Ok(Token { kind, start, end });
                }
                Some(b'\\') => {
                    self.escape()?;
                    kind = Kind::EscapedText;
                }
                Some(_) => return self.error("no raw control character in a text"),
                None => return self.error("the text's closing quote"),
            }
        }
    }

    /// Moves on to the next quote, backslash or control character, or to the end.
    #[inline]
    fn skip_plain(&mut self) {
        while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let special = special_bytes(u64::from_le_bytes(*chunk));
            if special != 0 {
                self.at += (special.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let (_, length) = unicode_escape(&self.bytes[self.at..]).ok_or(SyntaxError {
                    at: self.at,
                    expected: "four hexadecimal digits that name a character, surrogates in pairs",
                    is_after_object: false,
                })?;
                self.at += length;
                Ok(())
            }
            _ => self.error("a legal escape"),
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Token, SyntaxError> {
        let start = self.at;
        let mut kind = Kind::Integer;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            kind = Kind::Number;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            kind = Kind::Number;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Token { kind, start, end: self.at })
    }

    #[inline]
    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.error("a digit") } else { Ok(()) }
    }
}

/// Marks, in the high bit of each of eight bytes, quotes, backslashes and control characters. Bytes above the
/// first marked one may be marked wrongly, so only the lowest mark counts.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & HIGHS
}

/// The character that `\uXXXX` (or a pair of them) at the start of `bytes` names, and its length in bytes.
pub(super) fn unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0_u32, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    };
    let first = unit(0)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first).map(|character| (character, 6));
    }
    let second = unit(6).filter(|second| (0xDC00..0xE000).contains(second))?;
    char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)).map(|character| (character, 12))
}

/// Appends a text with its escapes resolved.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (character, length) = match rest.get(1) {
            Some(b'u') => unicode_escape(rest).unwrap_or((char::REPLACEMENT_CHARACTER, 2)),
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(byte) => (char::from(*byte), 2),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}
