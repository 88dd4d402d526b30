//! Which members of an object are wanted, and one walk over an object that finds them all.
//!
//! Events of a stream mostly have the same keys in the same order. [`Keys`] remembers the keys that it saw as
//! raw bytes, from the quote to the colon: while the next key is the expected one, one comparison of bytes
//! stands in for reading and looking it up. A key that is not expected is read in full, so what is expected
//! never changes what is found, only how fast.

use super::scan::{Kind, Scanner, SyntaxError, Token, unescape};

/// A wanted member, or one that leads to wanted ones.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// By name, sorted.
    children: Vec<(Vec<u8>, Members)>,
    /// The columns that are this member's value.
    columns: Vec<usize>,
    /// The columns that stand anywhere below it.
    below: Vec<usize>,
}

impl Members {
    /// The tree of these paths; path `i` belongs to column `i`.
    pub(super) fn new<'a>(paths: impl Iterator<Item = &'a [String]>) -> Members {
        let mut root = Members::default();
        for (column, path) in paths.enumerate() {
            let mut node = &mut root;
            for name in path {
                node.below.push(column);
                node = node.child_mut(name.as_bytes());
            }
            node.columns.push(column);
        }
        root
    }

    fn child_mut(&mut self, name: &[u8]) -> &mut Members {
        let at = match self.find(name) {
            Ok(at) => at,
            Err(at) => {
                self.children.insert(at, (name.to_vec(), Members::default()));
                at
            }
        };
        &mut self.children[at].1
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.children.binary_search_by(|(child, _)| child.as_slice().cmp(name))
    }

    /// The index of the child of this key.
    fn child(&self, bytes: &[u8], key: Token) -> Option<usize> {
        let name = &bytes[key.range()];
        if key.kind != Kind::EscapedText {
            return self.find(name).ok();
        }
        let mut plain = Vec::with_capacity(name.len());
        unescape(name, &mut plain);
        self.find(&plain).ok()
    }

    /// Reads the object that starts at the scanner's place, inside `depth` containers, and puts what it finds
    /// into `tokens`, one per column. Of members of the same name the last counts.
    pub(super) fn read(
        &self,
        scanner: &mut Scanner<'_>,
        depth: u32,
        tokens: &mut [Token],
    ) -> Result<(), SyntaxError> {
        scanner.members(depth, |scanner, key, inside| {
            let child = self.child(scanner.bytes, key);
            self.member(child, scanner, inside, tokens)
        })
    }

    /// As [`Members::read`] for a record's outermost object, with the help of the keys seen before.
    #[inline]
    pub(super) fn read_expecting(
        &self,
        scanner: &mut Scanner<'_>,
        keys: &mut Keys,
        tokens: &mut [Token],
    ) -> Result<(), SyntaxError> {
        scanner.open(b'{', 0)?;
        if scanner.peek() == Some(b'}') {
            scanner.at += 1;
            return Ok(());
        }
        keys.next = 0;
        loop {
            let child = match keys.expected(scanner) {
                Expected::Child(child) => {
                    scanner.skip_space();
                    child
                }
                Expected::Other => keys.learn(scanner, self)?,
            };
            self.member(child, scanner, 1, tokens)?;
            if !scanner.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    #[inline]
    fn member(
        &self,
        child: Option<usize>,
        scanner: &mut Scanner<'_>,
        depth: u32,
        tokens: &mut [Token],
    ) -> Result<(), SyntaxError> {
        let Some(index) = child else {
            return scanner.value(depth).map(drop);
        };
        let node = &self.children[index].1;
        if !node.children.is_empty() {
            return node.read_parent(scanner, depth, tokens);
        }
        let token = scanner.value(depth)?;
        for column in &node.columns {
            tokens[*column] = token;
        }
        Ok(())
    }

    /// Reads the value of a member that leads to others.
    fn read_parent(
        &self,
        scanner: &mut Scanner<'_>,
        depth: u32,
        tokens: &mut [Token],
    ) -> Result<(), SyntaxError> {
        let start = scanner.at;
        let is_object = scanner.peek() == Some(b'{');
        for column in &self.below {
            tokens[*column] = Token::ABSENT;
        }
        let token = if is_object {
            self.read(scanner, depth, tokens)?;
            Token { kind: Kind::Object, start, end: scanner.at }
        } else {
            scanner.value(depth)?
        };
        if !is_object && token.kind != Kind::Null {
            for column in &self.below {
                tokens[*column] = Token { kind: Kind::NoObject, ..token };
            }
        }
        for column in &self.columns {
            tokens[*column] = token;
        }
        Ok(())
    }
}

/// Keys that are longer, or more than this, are not remembered: comparing must stay cheaper than reading.
const KEY_BYTES: usize = 128;
const KEYS_REMEMBERED: usize = 256;

/// How many remembered keys are tried before a key is read in full: so many absent members cost little.
const KEYS_TRIED: usize = 4;

/// The keys of the records so far, in order.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The bytes from a key's quote to its colon, and the child that it means.
    seen: Vec<(Vec<u8>, Option<usize>)>,
    /// Which one is expected next.
    next: usize,
}

/// What a key turned out to be.
enum Expected {
    /// One of those expected, and the wanted child that it means, if any.
    Child(Option<usize>),
    /// Another one, still unread.
    Other,
}

impl Keys {
    /// Steps over the key at the scanner's place if it is one that is expected.
    #[inline]
    fn expected(&mut self, scanner: &mut Scanner<'_>) -> Expected {
        let rest = scanner.bytes.get(scanner.at..).unwrap_or_default();
        for (skipped, (key, child)) in self.seen.iter().skip(self.next).take(KEYS_TRIED).enumerate() {
            if rest.starts_with(key) {
                scanner.at += key.len();
                self.next += skipped + 1;
                return Expected::Child(*child);
            }
        }
        Expected::Other
    }

    /// Reads the key at the scanner's place and expects it here from now on.
    #[cold]
    fn learn(&mut self, scanner: &mut Scanner<'_>, members: &Members) -> Result<Option<usize>, SyntaxError> {
        let start = scanner.at;
        let key = scanner.key()?;
        let child = members.child(scanner.bytes, key);
        let colon = memchr::memchr(b':', &scanner.bytes[key.end..scanner.at]).unwrap_or_default();
        let raw = &scanner.bytes[start..=key.end + colon];
        if raw.len() <= KEY_BYTES {
            if self.seen.len() >= KEYS_REMEMBERED {
                self.seen.clear();
                self.next = 0;
            }
            self.seen.insert(self.next, (raw.to_vec(), child));
            self.next += 1;
        }
        Ok(child)
    }
}
