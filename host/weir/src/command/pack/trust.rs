//! Whose packs are taken: what `weir.yaml` and the command line say, and what that comes to for one pack.

use super::keygen::text_of;
use crate::failure::Failure;
use clap::Args;
use std::path::Path;
use weir_pack::Artifact;
use weir_pack::signature::{KeyId, PublicKey, Signed, verify};
use weir_plan::definition::Packs;

/// Keys that the command line trusts.
#[derive(Debug, Args)]
pub(super) struct TrustArguments {
    /// The pack has to be signed with this key: the line of its .pub file that begins with RW, or the file; may be repeated
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

/// The keys that are trusted, and whether one of them has to have signed.
#[derive(Debug)]
pub(super) struct Trust {
    keys: Vec<PublicKey>,
    /// Who demands it.
    demanded_by: Option<&'static str>,
}

impl Trust {
    /// What the command line alone says.
    pub(super) fn of(arguments: &TrustArguments) -> Result<Trust, Failure> {
        let read = |given: &String| {
            let text = if Path::new(given).is_file() { text_of(Path::new(given))? } else { given.clone() };
            Ok(PublicKey::parse(&text)?)
        };
        let keys = arguments.key.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        Ok(Trust { demanded_by: (!keys.is_empty()).then_some("--key"), keys })
    }

    /// With what a project says. A key that the command line names is demanded there, whatever the project trusts.
    pub(super) fn within(self, packs: &Packs) -> Result<Trust, Failure> {
        if self.demanded_by.is_some() {
            return Ok(self);
        }
        let keys = packs.trusted_keys.iter().map(|key| PublicKey::parse(key)).collect::<Result<_, _>>()?;
        Ok(Trust {
            keys,
            demanded_by: packs.require_signature.then_some("`packs.require_signature` of weir.yaml"),
        })
    }

    /// What became of a pack's signatures; one that is not as it has to be is refused, with the reason.
    pub(super) fn judge(&self, artifact: &Artifact) -> Result<Signed, Failure> {
        let signed = verify(&artifact.manifest, &artifact.signatures, &self.keys)?;
        let Some(by) = self.demanded_by else { return Ok(signed) };
        let listed = |keys: &mut dyn Iterator<Item = KeyId>| {
            keys.map(|id| id.to_string()).collect::<Vec<_>>().join(", ")
        };
        let trusted = listed(&mut self.keys.iter().map(PublicKey::id));
        match &signed {
            Signed::By(..) => Ok(signed),
            Signed::No => Err(Failure::user(format!(
                "the pack is not signed, and {by} demands a signature by key {trusted}; get it from whom has that key"
            ))),
            Signed::Unknown(keys) => Err(Failure::user(format!(
                "the pack is signed by key {} alone, and {by} demands one by key {trusted}; trust the key only if you know whose \
                 it is",
                listed(&mut keys.iter().copied())
            ))),
        }
    }
}
