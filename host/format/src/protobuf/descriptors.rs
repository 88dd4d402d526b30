//! Descriptors of messages: from a set that a compiler wrote, from a `.proto` file, or from what a registry has.

use prost_reflect::{DescriptorPool, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use std::collections::HashMap;
use weir_event::suggestion::unknown;

/// Files of definitions, by the names by which they import each other.
pub(super) struct Sources<F>(pub(super) F);

impl<F: Fn(&str) -> Option<String>> FileResolver for Sources<F> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match (self.0)(name) {
            Some(text) if is_nested_too_deeply(text.as_bytes()) => {
                Err(protox::Error::new(format!("`{name}` is nested too deeply")))
            }
            Some(text) => File::from_source(name, &text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Nobody nests deeper, and the parser goes as deep as the text does.
const NESTING_LIMIT: usize = 64;

/// Whether brackets outside of comments and texts are nested deeper than any that people write.
fn is_nested_too_deeply(text: &[u8]) -> bool {
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some((first, behind)) = rest.split_first() {
        let end = match (first, behind.first()) {
            (b'/', Some(b'/')) => memchr::memchr(b'\n', behind),
            (b'/', Some(b'*')) => memchr::memmem::find(&behind[1..], b"*/").map(|at| at + 2),
            (b'"' | b'\'', _) => text_end(behind, *first),
            (b'{' | b'[' | b'<', _) => {
                depth += 1;
                Some(0)
            }
            (b'}' | b']' | b'>', _) => {
                depth = depth.saturating_sub(1);
                Some(0)
            }
            _ => Some(0),
        };
        if depth > NESTING_LIMIT {
            return true;
        }
        rest = end.map_or(&[], |end| &behind[end..]);
    }
    false
}

/// Where a text ends that is closed by this quote, behind it.
fn text_end(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(quote, b'\\', text.get(at..)?)?;
        if text[at] == quote {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// The descriptors of a set (`protoc --include_imports --descriptor_set_out`).
pub(super) fn of_set(bytes: &[u8]) -> Result<DescriptorPool, String> {
    DescriptorPool::decode(bytes).map_err(|error| {
        format!("not a set of descriptors: {error}; write one with protoc --include_imports --descriptor_set_out=FILE")
    })
}

/// The descriptors of a `.proto` file, whose imports `read` gives.
pub(super) fn of_source(
    name: &str,
    read: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> Result<DescriptorPool, String> {
    let mut files = ChainFileResolver::new();
    files.add(Sources(read));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true);
    compiler.open_file(name).map_err(|error| format!("not a definition of messages: {error}"))?;
    Ok(compiler.descriptor_pool())
}

/// The message of a name: with its package, or without where that is clear.
pub(super) fn message(pool: &DescriptorPool, name: &str) -> Result<MessageDescriptor, String> {
    if let Some(found) = pool.get_message_by_name(name) {
        return Ok(found);
    }
    let own = || pool.all_messages().filter(|message| !message.full_name().starts_with("google.protobuf."));
    let mut short = own().filter(|message| message.name() == name);
    if let (Some(found), None) = (short.next(), short.next()) {
        return Ok(found);
    }
    let known: Vec<String> = own()
        .filter(|message| !message.is_map_entry())
        .map(|message| message.full_name().to_owned())
        .collect();
    Err(format!("`{name}`: {}", unknown("message", name, known.iter().map(String::as_str))))
}

/// The message at a path of places: the first among those of the file, each further among those within it.
pub(super) fn message_at(pool: &DescriptorPool, file: &str, path: &[usize]) -> Option<MessageDescriptor> {
    let (first, rest) = path.split_first()?;
    let file = pool.get_file_by_name(file)?;
    let mut message = file.messages().nth(*first)?;
    for place in rest {
        let child = message.child_messages().filter(|child| !child.is_map_entry()).nth(*place);
        message = child?;
    }
    Some(message)
}

/// The descriptors of a text that a registry has, and of those that it imports.
pub(super) fn of_texts(
    name: &'static str,
    text: &str,
    imports: HashMap<String, String>,
) -> Result<DescriptorPool, String> {
    let text = text.to_owned();
    of_source(
        name,
        move |wanted| if wanted == name { Some(text.clone()) } else { imports.get(wanted).cloned() },
    )
}
