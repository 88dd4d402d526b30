//! Packs in registries, by the OCI distribution specification 1.1: blobs before the manifest that names them, signatures as
//! artifacts that refer to it.
//!
//! Of our own over the workspace's HTTP client, and not the crate `oci-client`: that reads manifests, listings and errors
//! without a bound, so that a registry could take all memory, and of its versions those that share this client upload again
//! what is there, and the others bring a second one.
//!
//! Knows the specification's routes. Must not know how a request is sent and let in ([`http`], [`login`]), or what a pack
//! says.

mod http;
mod login;

use crate::address::{Address, Wanted};
use crate::artifact::{self, Artifact};
use crate::bounds;
use crate::config;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use crate::oci::{self, Descriptor, Index};
use crate::signature;
use http::{Answer, Connection, Sent};
use reqwest::Method;
use serde::Deserialize;
use std::collections::BTreeMap;

/// How a registry is spoken to.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Who asks; otherwise who Docker's configuration says, or nobody.
    pub login: Option<(String, String)>,
    /// Without TLS, which a registry of this machine is spoken to anyway.
    pub plain_http: bool,
}

/// A repository of a registry.
#[derive(Debug)]
pub struct Repository {
    address: Address,
    connection: Connection,
}

/// A listing of tags has at most so many pages, each of a thousand.
const TAG_PAGES: usize = 20;
/// So many tags are named in a message.
const TAGS_SHOWN: usize = 10;
/// Other answers than documents and blobs.
const ANSWER_BYTES: u64 = 1 << 20;
/// The header by which a registry says that it lists what refers to a manifest.
const SUBJECT: &str = "oci-subject";

#[derive(Deserialize)]
struct TagList {
    tags: Option<Vec<String>>,
}

impl Repository {
    /// To take packs from.
    pub fn to_pull(address: &Address, access: &Access) -> Result<Repository> {
        Repository::open(address, access, "pull")
    }

    /// To put packs into.
    pub fn to_push(address: &Address, access: &Access) -> Result<Repository> {
        Repository::open(address, access, "pull,push")
    }

    fn open(address: &Address, access: &Access, action: &'static str) -> Result<Repository> {
        Ok(Repository { address: address.clone(), connection: Connection::open(address, access, action)? })
    }

    fn path(&self, below: &str) -> String {
        format!("/v2/{}/{below}", self.address.repository)
    }

    /// Takes a pack and its signatures. Its parts are compared with their digests, and not yet with each other.
    pub async fn pull(&mut self, told: &mut impl FnMut(String)) -> Result<Artifact> {
        let wanted = match &self.address.wanted {
            Wanted::Newest => Wanted::Tag(self.newest().await?),
            given => given.clone(),
        };
        let address = self.address.with(wanted.clone());
        let Some(manifest) = self.manifest(&wanted).await? else {
            return Err(self.not_there(&address).await);
        };
        if let Wanted::Digest(digest) = &wanted {
            digest.check(&format!("what {} gives", self.address.host), &manifest)?;
        }
        let parsed = artifact::manifest(&manifest)?;
        let mut blobs = BTreeMap::new();
        for part in artifact::parts(&parsed) {
            told(format!("pulling {} ({})", part.title().escape_debug(), bounds::shown(part.size)));
            blobs.insert(part.digest, self.blob(part).await?);
        }
        let signatures = self.signatures(&Digest::of(&manifest)).await?;
        Ok(Artifact { manifest, blobs, signatures })
    }

    /// Puts a pack there under a tag, and its signatures. A tag that is the pack's own version stays what it is, unless it
    /// is to be replaced: others have installed that.
    pub async fn push(
        &mut self,
        artifact: &Artifact,
        replace: bool,
        told: &mut impl FnMut(String),
    ) -> Result<Address> {
        let version = artifact.open()?.config.version;
        let tag = match &self.address.wanted {
            Wanted::Tag(tag) => tag.clone(),
            Wanted::Newest => version.clone(),
            Wanted::Digest(_) => {
                return Err(PackError::user(
                    "a pack is pushed to a tag, not to a digest; write oci://HOST/REPOSITORY:TAG",
                ));
            }
        };
        let address = self.address.with(Wanted::Tag(tag.clone()));
        if tag == version
            && !replace
            && let Some(there) = self.manifest(&Wanted::Tag(tag.clone())).await?
            && there != artifact.manifest
        {
            return Err(PackError::user(format!(
                "{address} is another pack ({}); give yours a new version, or --replace to take that one's place",
                Digest::of(&there)
            )));
        }
        let parsed = artifact::manifest(&artifact.manifest)?;
        for part in artifact::parts(&parsed) {
            let bytes = artifact.blobs.get(&part.digest).map(Vec::as_slice).unwrap_or_default();
            self.put_blob(part, bytes, told).await?;
        }
        // Signatures first: what has a name is never there without them. A registry takes what refers to nothing yet.
        for text in &artifact.signatures {
            self.push_signature(&artifact.descriptor(), text).await?;
        }
        self.put_manifest(&tag, oci::MANIFEST, &artifact.manifest).await?;
        Ok(address)
    }

    async fn push_signature(&mut self, pack: &Descriptor, text: &str) -> Result<()> {
        let signed = signature::artifact(pack, text);
        for bytes in &signed.blobs {
            self.put_blob(&Descriptor::of(oci::SIGNATURE, bytes), bytes, &mut |_| ()).await?;
        }
        let descriptor = signed.descriptor();
        let answer =
            self.put_manifest(&descriptor.digest.to_string(), oci::MANIFEST, &signed.manifest).await?;
        // A registry that lists referrers says that it has taken it for one.
        if answer.headers.contains_key(SUBJECT) {
            return Ok(());
        }
        let tag = referrers_tag(&pack.digest);
        let mut index = self.tagged_referrers(&tag).await?.unwrap_or_else(|| Index::of(Vec::new()));
        if index.manifests.iter().any(|known| known.digest == descriptor.digest) {
            return Ok(());
        }
        index.manifests.push(descriptor);
        self.put_manifest(&tag, oci::INDEX, &oci::bytes(&index)).await?;
        Ok(())
    }

    /// A manifest or an index; `None` where there is none.
    async fn manifest(&mut self, wanted: &Wanted) -> Result<Option<Vec<u8>>> {
        let reference = match wanted {
            Wanted::Newest => "latest".to_owned(),
            Wanted::Tag(tag) => tag.clone(),
            Wanted::Digest(digest) => digest.to_string(),
        };
        let path = self.path(&format!("manifests/{reference}"));
        let accept = format!("{}, {}", oci::MANIFEST, oci::INDEX);
        let sent = Sent::get(&path).accept(&accept).limit("a manifest", bounds::MANIFEST_BYTES);
        let answer = self.connection.send(&sent).await?;
        match answer.status {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    async fn blob(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let path = self.path(&format!("blobs/{}", descriptor.digest));
        let what = format!("`{}`", descriptor.title().escape_debug());
        // It was judged by its manifest how large it may be, and is no larger than it says.
        let answer = self.connection.send(&Sent::get(&path).limit(&what, descriptor.size)).await?;
        match answer.status {
            200 => {}
            404 => {
                let message = format!(
                    "{} has lost a part of the pack: {what} ({}); push it anew",
                    self.address.host, descriptor.digest
                );
                return Err(PackError::external(message));
            }
            _ => return Err(self.refused(&answer)),
        }
        descriptor.check(&answer.body)?;
        Ok(answer.body)
    }

    async fn put_blob(
        &mut self,
        descriptor: &Descriptor,
        bytes: &[u8],
        told: &mut impl FnMut(String),
    ) -> Result<()> {
        let title = descriptor.title();
        let path = self.path(&format!("blobs/{}", descriptor.digest));
        if self.connection.send(&Sent::new(Method::HEAD, &path)).await?.status == 200 {
            told(format!("{title} is there already"));
            return Ok(());
        }
        told(format!("pushing {title} ({})", bounds::shown(descriptor.size)));
        let begun = self.connection.send(&Sent::new(Method::POST, &self.path("blobs/uploads/"))).await?;
        if begun.status != 202 {
            return Err(self.refused(&begun));
        }
        let to = begun.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
        let to = self.connection.upload(to, &descriptor.digest)?;
        let put = self.connection.send(&Sent::put(&to, "application/octet-stream", bytes)).await?;
        if put.status == 201 { Ok(()) } else { Err(self.refused(&put)) }
    }

    async fn put_manifest(&mut self, reference: &str, media_type: &str, bytes: &[u8]) -> Result<Answer> {
        let path = self.path(&format!("manifests/{reference}"));
        let answer = self.connection.send(&Sent::put(&path, media_type, bytes)).await?;
        if answer.status == 201 { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    /// What was signed of a pack.
    async fn signatures(&mut self, pack: &Digest) -> Result<Vec<String>> {
        let listed = self.listed_referrers(pack).await?.unwrap_or_default();
        // Whoever signed may have found a registry that did not list them yet.
        let tagged =
            if listed.is_empty() { self.tagged_referrers(&referrers_tag(pack)).await? } else { None };
        let all = listed.into_iter().chain(tagged.into_iter().flat_map(|index| index.manifests));
        let signed = all.filter(|found| found.artifact_type.as_deref() == Some(oci::SIGNATURE));
        let mut texts = Vec::new();
        for descriptor in signed.take(bounds::SIGNATURES).collect::<Vec<_>>() {
            let Some(manifest) = self.manifest(&Wanted::Digest(descriptor.digest)).await? else { continue };
            descriptor.check(&manifest)?;
            if let Some(layer) = signature::layer(&manifest, pack)? {
                texts.push(signature::text(self.blob(&layer).await?)?);
            }
        }
        Ok(texts)
    }

    /// What a registry lists as referring to a pack; `None` where it lists nothing of that kind.
    async fn listed_referrers(&mut self, pack: &Digest) -> Result<Option<Vec<Descriptor>>> {
        let path = self.path(&format!("referrers/{pack}"));
        let sent = Sent::get(&path).accept(oci::INDEX).limit("a list of referrers", bounds::MANIFEST_BYTES);
        let answer = self.connection.send(&sent).await?;
        // Registries without it answer in many ways, some with a page for people.
        let index =
            (answer.status == 200).then(|| serde_json::from_slice::<Index>(&answer.body).ok()).flatten();
        Ok(index.map(|index| index.manifests))
    }

    async fn tagged_referrers(&mut self, tag: &str) -> Result<Option<Index>> {
        let Some(bytes) = self.manifest(&Wanted::Tag(tag.to_owned())).await? else { return Ok(None) };
        let index = serde_json::from_slice(&bytes);
        index.map(Some).map_err(|error| {
            PackError::external(format!(
                "{}:{tag} is not the index of signatures that such a tag is for ({error}); remove the tag, and push the pack anew",
                self.address.repository_shown()
            ))
        })
    }

    async fn tags(&mut self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut next = Some(self.path("tags/list?n=1000"));
        for _ in 0..TAG_PAGES {
            let Some(path) = next.take() else { break };
            let answer =
                self.connection.send(&Sent::get(&path).limit("a list of tags", ANSWER_BYTES)).await?;
            match answer.status {
                200 => {}
                404 => break,
                _ => return Err(self.refused(&answer)),
            }
            let list: TagList = serde_json::from_slice(&answer.body).map_err(|error| {
                PackError::external(format!(
                    "{} does not answer as a registry does: {error}",
                    self.address.host
                ))
            })?;
            found.extend(list.tags.unwrap_or_default());
            next = answer.next();
        }
        Ok(found)
    }

    /// The newest version; one that is not a release yet only where there is no other.
    async fn newest(&mut self) -> Result<String> {
        let tags = self.tags().await?;
        let versions = tags.iter().filter_map(|tag| Some((config::version(tag).ok()?, tag)));
        let newest = versions
            .max_by(|(left, _), (right, _)| (left.pre.is_empty(), left).cmp(&(right.pre.is_empty(), right)));
        newest.map(|(_, tag)| tag.clone()).ok_or_else(|| {
            let shown = self.address.repository_shown();
            PackError::user(format!(
                "{shown} has no version of a pack{}; write which is meant: {shown}:TAG",
                listed(&tags)
            ))
        })
    }

    /// That there is no pack of that name, and which there are.
    async fn not_there(&mut self, address: &Address) -> PackError {
        let tags = self.tags().await.unwrap_or_default();
        let advice =
            if tags.is_empty() { "is the repository written as it is there?" } else { "write another" };
        PackError::user(format!("{} has no pack {address}{}; {advice}", self.address.host, listed(&tags)))
    }

    fn refused(&self, answer: &Answer) -> PackError {
        self.connection.refused(answer)
    }
}

fn listed(tags: &[String]) -> String {
    if tags.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = tags
        .iter()
        .rev()
        .map(String::as_str)
        .filter(|tag| !tag.starts_with("sha256-"))
        .take(TAGS_SHOWN)
        .collect();
    format!(" (its tags are {})", shown.join(", ").escape_debug())
}

/// The tag under which a registry without a list of referrers has them.
fn referrers_tag(digest: &Digest) -> String {
    format!("sha256-{}", digest.hex())
}

#[cfg(test)]
mod tests;
