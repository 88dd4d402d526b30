//! Feature packs: streams, jobs, plugins and sample data as one OCI artifact.
//!
//! A pack is what a project's folder is made of, except the settings of its server. As an artifact it is
//!
//! | part | media type | what it holds |
//! |---|---|---|
//! | manifest | `application/vnd.oci.image.manifest.v1+json`, artifact type `application/vnd.weir.pack.v1` | the digests of the parts below |
//! | config | `application/vnd.weir.pack.config.v1+json` | [`PackConfig`]: name, version, what is in it, what the installer has to set |
//! | first layer | `application/vnd.weir.pack.definitions.v1.tar+gzip` | every file except components |
//! | a layer for each component | `application/wasm` | so that a registry keeps a component once, whatever packs and versions have it |
//!
//! The same files make the same bytes: entries are sorted and have no owner and no time, and nothing says when it was
//! made. So a digest names what is in a pack.
//!
//! A pack lies in an OCI image layout, a folder or a `.tar` of one, or in a registry; `oras`, `skopeo` and `crane` copy
//! it as they copy images. Whatever is read is compared with its digest and with [`bounds`] before it is used, and every
//! path in it is judged by [`paths`]: who made a pack is not trusted with more than the folders of a project.
//!
//! # Signatures
//!
//! A signature is minisign's, over the bytes of the manifest, which names every other byte by its digest: `minisign -V`
//! takes it with the manifest's file. It is an artifact of its own whose `subject` is the pack's manifest, the way of the
//! OCI specification 1.1. An annotation of the manifest cannot hold it (a manifest does not hold its own signature), one of
//! an index is lost when the pack alone is copied, and a further layer would make another pack of each signature.
//! Registries that know of referrers list it by themselves; for the others the tag `sha256-HEX` of the subject holds an
//! index of what refers to it, which the specification has for them, and which this crate reads and writes.
//!
//! Knows artifacts: their form, their bytes, where they lie, and how their files get into a folder. Must not know what a
//! stream, a job or a plugin means, the engine, SQL, or the command line.

pub mod address;
pub mod archive;
pub mod artifact;
pub mod bounds;
pub mod config;
pub mod digest;
pub mod error;
pub mod install;
pub mod layout;
pub mod oci;
pub mod paths;
pub mod record;
#[cfg(feature = "registry")]
pub mod registry;
pub mod signature;

pub use artifact::{Artifact, Pack};
pub use config::{PackConfig, PackJob, PackStream, PackVariable};
pub use digest::Digest;
pub use error::{PackError, Result};
