//! What a checkpoint knows of the files that a sink writes: the content of its token.
//!
//! Knows numbers and names; must not look at a disk, except to tell one folder from another.

use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{fs, io};
use weir_event::EventTime;

/// What a checkpoint knows of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Written {
    /// The files that are finished once the checkpoint is safe.
    pub(super) finish: Vec<Ready>,
    /// The files that go on.
    #[serde(default, with = "several")]
    pub(super) open: Vec<Unfinished>,
    /// The number of the next file.
    pub(super) next: u64,
    /// The folder that it is about; tokens of an older weir do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<FolderId>,
}

/// A file that is whole, and has its name once its checkpoint is safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ReadyForm", into = "ReadyForm")]
pub(super) struct Ready {
    pub(super) number: u64,
    /// The folder below the sink's that it belongs into; empty for that itself.
    pub(super) under: String,
    /// Where it was brought already.
    pub(super) upload: Option<Upload>,
}

/// A file that was sent to an object store in parts and only has to be completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) id: String,
    /// What the store calls each part, in their order.
    pub(super) parts: Vec<String>,
}

/// How a [`Ready`] is written down: by its number alone where that says all.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ReadyForm {
    Number(u64),
    Whole {
        number: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        under: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upload: Option<Upload>,
    },
}

impl From<ReadyForm> for Ready {
    fn from(form: ReadyForm) -> Ready {
        match form {
            ReadyForm::Number(number) => Ready { number, under: String::new(), upload: None },
            ReadyForm::Whole { number, under, upload } => Ready { number, under, upload },
        }
    }
}

impl From<Ready> for ReadyForm {
    fn from(Ready { number, under, upload }: Ready) -> ReadyForm {
        if under.is_empty() && upload.is_none() {
            ReadyForm::Number(number)
        } else {
            ReadyForm::Whole { number, under, upload }
        }
    }
}

/// What tells a folder from another of the same path: one that was put in its place, or that shows where a disk is not
/// mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FolderId {
    inode: u64,
    /// When it was made, milliseconds, where the file system knows.
    born: Option<u64>,
}

impl FolderId {
    pub(super) fn of(path: &Path) -> io::Result<FolderId> {
        let about = fs::metadata(path)?;
        let born = about.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(FolderId { inode: about.ino(), born: born.map(|born| born.as_millis() as u64) })
    }
}

/// A file that collects the rows of several checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    pub(super) number: u64,
    /// How many bytes of what was appended belong to the checkpoint.
    pub(super) length: u64,
    /// When it was begun.
    pub(super) since: EventTime,
    /// The folder below the sink's that it belongs into; empty for that itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) under: String,
    /// What its rows have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<u32>,
}

/// None, one or several files: written down as nothing, as that one, as a list.
mod several {
    use super::Unfinished;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Several {
        One(Unfinished),
        All(Vec<Unfinished>),
    }

    #[allow(clippy::ptr_arg, reason = "serde hands the field as it is")]
    pub(super) fn serialize<S: Serializer>(files: &Vec<Unfinished>, out: S) -> Result<S::Ok, S::Error> {
        match files.as_slice() {
            [] => None::<Unfinished>.serialize(out),
            [one] => one.serialize(out),
            all => all.serialize(out),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Unfinished>, D::Error> {
        Ok(match Option::<Several>::deserialize(from)? {
            None => Vec::new(),
            Some(Several::One(one)) => vec![one],
            Some(Several::All(all)) => all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn tokens_of_an_older_weir_are_read_and_written_as_before() {
        let file = json!({"number": 3, "length": 12, "since": 1000});
        for token in [
            json!({"finish": [1, 2], "open": null, "next": 3}),
            json!({"finish": [], "open": file, "next": 4, "folder": {"inode": 7, "born": 9}}),
        ] {
            let written: Written = serde_json::from_value(token.clone()).unwrap();
            assert_eq!(serde_json::to_value(&written).unwrap(), token);
        }
    }

    #[test]
    fn files_of_several_folders_come_back() {
        let open = |number, under: &str| Unfinished {
            number,
            length: 5,
            since: EventTime::from_millis(1),
            under: under.to_owned(),
            kind: Some(8),
        };
        let upload = Upload { id: "u".to_owned(), parts: vec!["a".to_owned(), "b".to_owned()] };
        let finish = vec![
            Ready { number: 1, under: "dt=2026-01-01".to_owned(), upload: None },
            Ready { number: 2, under: String::new(), upload: Some(upload) },
        ];
        for open in [vec![open(2, "dt=a")], vec![open(2, "dt=a"), open(3, "")]] {
            let written = Written { finish: finish.clone(), open, next: 4, folder: None };
            let token: Value = serde_json::to_value(&written).unwrap();
            assert_eq!(serde_json::from_value::<Written>(token).unwrap(), written);
        }
    }
}
