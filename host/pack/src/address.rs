//! Where packs are in registries: `oci://HOST/REPOSITORY`, with `:TAG`, `@sha256:..` or neither behind it.
//!
//! Knows how addresses are written. Must not know what answers there.

use crate::digest::Digest;
use crate::error::{PackError, Result};
use std::fmt;

const SCHEME: &str = "oci://";
const TAG_BYTES: usize = 128;
const REPOSITORY_BYTES: usize = 255;

/// Whether a text is an address of a registry, and not a path.
pub fn is_address(text: &str) -> bool {
    text.starts_with(SCHEME)
}

/// A repository of a registry, and which of its packs is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The registry, with its port where that is given.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// Which pack.
    pub wanted: Wanted,
}

/// Which pack of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Whichever is the newest version.
    Newest,
    /// The one of this tag.
    Tag(String),
    /// The one of this digest.
    Digest(Digest),
}

impl Address {
    /// Reads an address.
    ///
    /// ```
    /// use weir_pack::address::{Address, Wanted};
    /// let address = Address::parse("oci://localhost:5000/team/user-risk:1.2.0").unwrap();
    /// assert_eq!((address.host.as_str(), address.repository.as_str()), ("localhost:5000", "team/user-risk"));
    /// assert_eq!(address.wanted, Wanted::Tag("1.2.0".to_owned()));
    /// ```
    pub fn parse(text: &str) -> Result<Address> {
        let wrong = |what: &str| {
            PackError::user(format!(
                "`{}`: {what}; write oci://HOST/REPOSITORY:TAG, such as oci://ghcr.io/team/user-risk:1.2.0",
                text.escape_debug()
            ))
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("does not begin with oci://"))?;
        let (host, rest) = rest.split_once('/').ok_or_else(|| wrong("names no repository"))?;
        if !is_host(host) {
            return Err(wrong("names no registry"));
        }
        let (repository, wanted) = if let Some((repository, digest)) = rest.split_once('@') {
            // A tag in front of a digest says nothing more.
            let repository = repository.split_once(':').map_or(repository, |(repository, _)| repository);
            (repository, Wanted::Digest(digest.parse().map_err(|error: String| wrong(&error))?))
        } else if let Some((repository, tag)) = rest.split_once(':') {
            if !is_tag(tag) {
                return Err(wrong("has a tag that is none"));
            }
            (repository, Wanted::Tag(tag.to_owned()))
        } else {
            (rest, Wanted::Newest)
        };
        if !is_repository(repository) {
            return Err(wrong("has a repository that is none: a-z and 0-9, with -, _, . and / between them"));
        }
        Ok(Address { host: host.to_owned(), repository: repository.to_owned(), wanted })
    }

    /// Another pack of the same repository.
    #[must_use]
    pub fn with(&self, wanted: Wanted) -> Address {
        Address { wanted, ..self.clone() }
    }

    /// The repository, as it is written.
    pub fn repository_shown(&self) -> String {
        format!("{SCHEME}{}/{}", self.host, self.repository)
    }

    /// Whether the registry is on this machine.
    pub fn is_loopback(&self) -> bool {
        let name = match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.split(':').next().unwrap_or_default(),
        };
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

fn is_host(host: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    !host.is_empty() && host.chars().all(fits) && host.chars().any(char::is_alphanumeric)
}

fn is_tag(tag: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    !tag.is_empty() && tag.len() <= TAG_BYTES && tag.chars().all(fits) && !tag.starts_with(['-', '.'])
}

fn is_repository(repository: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
    let is_part = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        part.chars().all(fits) && edge(part.chars().next()) && edge(part.chars().next_back())
    };
    repository.len() <= REPOSITORY_BYTES && repository.split('/').all(is_part)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repository = self.repository_shown();
        match &self.wanted {
            Wanted::Newest => f.write_str(&repository),
            Wanted::Tag(tag) => write!(f, "{repository}:{tag}"),
            Wanted::Digest(digest) => write!(f, "{repository}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let digest = Digest::of(b"");
        for text in [
            "oci://ghcr.io/team/a",
            "oci://127.0.0.1:5000/a:1.2.0-rc.1",
            &format!("oci://[::1]:5000/a/b@{digest}"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        let both = Address::parse(&format!("oci://h/a:1.0.0@{digest}")).unwrap();
        assert_eq!(both.to_string(), format!("oci://h/a@{digest}"));
        for bad in [
            "ghcr.io/team/a",
            "oci://ghcr.io",
            "oci:///a",
            "oci://h/",
            "oci://h/A",
            "oci://h/a//b",
            "oci://h/../b",
            "oci://h/a:",
            "oci://h/a:x y",
            "oci://h/a@sha256:12",
            "oci://user@h/a",
            "oci://h?x/a",
        ] {
            let said = Address::parse(bad).unwrap_err().message;
            assert!(said.contains("such as oci://"), "{bad}: {said}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (host, wanted) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("[::1]:5000", true),
            ("ghcr.io", false),
            ("10.0.0.1:5000", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(Address::parse(&format!("oci://{host}/a")).unwrap().is_loopback(), wanted, "{host}");
        }
    }
}
