//! A pack as its parts, each named by its digest, and a pack as its files; from one to the other.
//!
//! [`Artifact`] is what lies in a layout or a registry and is copied as it is. [`Pack`] is what it says, after everything was
//! compared: the manifest's digests with the parts, the config's list with the files.

use crate::archive::{self, Files};
use crate::bounds;
use crate::config::{PackConfig, PackFile, PackPlugin, check_name, version};
use crate::digest::Digest;
use crate::error::{PackError, Result};
use crate::oci::{self, Descriptor, Manifest};
use crate::paths;
use std::collections::BTreeMap;

/// The parts of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The bytes of the manifest, which its digest and its signatures are of.
    pub manifest: Vec<u8>,
    /// The config and the layers.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// What was signed, each as minisign writes it.
    pub signatures: Vec<String>,
}

/// What a pack says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// The digest of its manifest.
    pub digest: Digest,
    /// What it says of itself.
    pub config: PackConfig,
    /// Every file by its path, components among them.
    pub files: Files,
}

/// Reads the manifest of a pack; whatever else it may be is refused.
pub fn manifest(bytes: &[u8]) -> Result<Manifest> {
    bounds::check("the manifest", bytes.len() as u64, bounds::MANIFEST_BYTES)?;
    let other = |what: &str| {
        PackError::user(format!("this is not a feature pack but {what}; `weir pack build` makes packs"))
    };
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else {
        let several = serde_json::from_slice::<oci::Index>(bytes).is_ok();
        return Err(other(if several { "an index of several images" } else { "something else" }));
    };
    if manifest.config.media_type != oci::PACK_CONFIG {
        let kind = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
        return Err(other(&format!("`{}`", kind.escape_debug())));
    }
    bounds::check("the config", manifest.config.size, bounds::CONFIG_BYTES)?;
    let (mut components, mut all) = (0, manifest.config.size);
    for (at, layer) in manifest.layers.iter().enumerate() {
        let what = format!("layer {} (`{}`)", at + 1, layer.title().escape_debug());
        let limit = match layer.media_type.as_str() {
            oci::DEFINITIONS if at == 0 => bounds::DEFINITIONS_BYTES,
            oci::WASM if at > 0 => bounds::COMPONENT_BYTES,
            _ => {
                return Err(PackError::user(format!(
                    "{what} is none that a pack has there; a newer weir may have made it"
                )));
            }
        };
        components += usize::from(at > 0);
        bounds::check(&what, layer.size, limit)?;
        all = all.saturating_add(layer.size);
    }
    if manifest.layers.is_empty() || components > bounds::COMPONENTS {
        return Err(PackError::user("the pack has no layer, or more than a pack may have; it is refused"));
    }
    bounds::check("the pack", all, bounds::ALL_BYTES)?;
    Ok(manifest)
}

/// The parts that a manifest names, each once.
pub fn parts(manifest: &Manifest) -> impl Iterator<Item = &Descriptor> {
    let all = [&manifest.config].into_iter().chain(&manifest.layers);
    let mut seen = std::collections::BTreeSet::new();
    all.filter(move |part| seen.insert(part.digest))
}

impl Artifact {
    /// Makes a pack of files. The config says all but which files and plugins there are.
    pub fn build(config: PackConfig, files: &Files) -> Result<Artifact> {
        check_name(&config.name)?;
        version(&config.version)?;
        for path in files.keys() {
            paths::check(path)?;
        }
        let (components, definitions): (Files, Files) =
            files.clone().into_iter().partition(|(path, _)| paths::is_component(path));
        let unpacked = definitions.values().map(|bytes| bytes.len() as u64).sum();
        bounds::check("the pack's definitions and data", unpacked, bounds::UNPACKED_BYTES)?;
        let config = PackConfig { plugins: plugins(files), files: listed(files), ..config };

        let mut blobs = BTreeMap::new();
        let mut add = |media_type: &str, bytes: Vec<u8>| {
            let descriptor = Descriptor::of(media_type, &bytes);
            blobs.insert(descriptor.digest, bytes);
            descriptor
        };
        let mut layers =
            vec![add(oci::DEFINITIONS, archive::pack(&definitions)?).with(oci::TITLE, "definitions.tar.gz")];
        layers.extend(
            components.into_iter().map(|(path, bytes)| add(oci::WASM, bytes).with(oci::TITLE, &path)),
        );
        let mut annotations = oci::Annotations::from([
            (oci::TITLE.to_owned(), config.name.clone()),
            (oci::VERSION.to_owned(), config.version.clone()),
        ]);
        if !config.description.is_empty() {
            annotations.insert(oci::DESCRIPTION.to_owned(), config.description.clone());
        }
        let made = Manifest {
            schema_version: 2,
            media_type: oci::MANIFEST.to_owned(),
            artifact_type: Some(oci::PACK.to_owned()),
            config: add(oci::PACK_CONFIG, oci::bytes(&config)).with(oci::TITLE, "config.json"),
            layers,
            subject: None,
            annotations,
        };
        let artifact = Artifact { manifest: oci::bytes(&made), blobs, signatures: Vec::new() };
        // What is refused when it is read is not written.
        artifact.open()?;
        Ok(artifact)
    }

    /// What its manifest is, by its digest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: Some(oci::PACK.to_owned()),
            ..Descriptor::of(oci::MANIFEST, &self.manifest)
        }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What it says, after all of it was compared.
    pub fn open(&self) -> Result<Pack> {
        let manifest = manifest(&self.manifest)?;
        let config = PackConfig::parse(self.part(&manifest.config)?)?;
        let mut files = match manifest.layers.first() {
            Some(layer) => archive::unpack(self.part(layer)?)?,
            None => Files::new(),
        };
        for layer in manifest.layers.iter().skip(1) {
            let path = layer.title().to_owned();
            paths::check(&path)?;
            if !paths::is_component(&path) {
                return Err(PackError::user(format!(
                    "a component of the pack is called `{path}`, and not plugins/NAME.wasm"
                )));
            }
            if files.insert(path.clone(), self.part(layer)?.to_vec()).is_some() {
                return Err(PackError::user(format!("the pack has {path} twice; it is refused")));
            }
        }
        check_listing(&config, &files)?;
        Ok(Pack { digest: self.digest(), config, files })
    }

    fn part(&self, descriptor: &Descriptor) -> Result<&[u8]> {
        let bytes = self.blobs.get(&descriptor.digest).ok_or_else(|| {
            let title = descriptor.title().escape_debug();
            PackError::user(format!("the pack lacks `{title}` ({}); get it anew", descriptor.digest))
        })?;
        descriptor.check(bytes)?;
        Ok(bytes)
    }
}

fn listed(files: &Files) -> BTreeMap<String, PackFile> {
    let one = |bytes: &Vec<u8>| PackFile { digest: Digest::of(bytes), bytes: bytes.len() as u64 };
    files.iter().map(|(path, bytes)| (path.clone(), one(bytes))).collect()
}

/// The components among files.
fn plugins(files: &Files) -> Vec<PackPlugin> {
    let name = |path: &str| path.trim_start_matches("plugins/").trim_end_matches(".wasm").to_owned();
    let one = |(path, bytes): (&String, &Vec<u8>)| PackPlugin {
        name: name(path),
        digest: Digest::of(bytes),
        bytes: bytes.len() as u64,
    };
    files.iter().filter(|(path, _)| paths::is_component(path)).map(one).collect()
}

/// What is shown of a pack is what it holds: a config that lists other files or plugins is refused.
fn check_listing(config: &PackConfig, files: &Files) -> Result<()> {
    let found = listed(files);
    let differs = |path: &&String| config.files.get(*path) != found.get(*path);
    if let Some(path) = config.files.keys().chain(found.keys()).find(differs) {
        return Err(PackError::user(format!(
            "the pack's config and its layers differ in `{}`; it is refused",
            path.escape_debug()
        )));
    }
    if config.plugins != plugins(files) {
        return Err(PackError::user("the pack's config lists other plugins than it has; it is refused"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
