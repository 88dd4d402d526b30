//! Packs that were made, and packs that were tampered with.

use super::*;

pub(crate) fn files() -> Files {
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    [
        file("streams/rides.yaml", "stream: rides"),
        file("jobs/risk.yaml", "job: risk"),
        file("plugins/geo.wasm", "\0asm geo"),
        file("data/rides.jsonl", "{}"),
    ]
    .into_iter()
    .collect()
}

pub(crate) fn config() -> PackConfig {
    PackConfig { name: "user-risk".to_owned(), version: "1.2.0".to_owned(), ..PackConfig::default() }
}

#[test]
fn a_pack_is_what_it_was_made_of() {
    let artifact = Artifact::build(config(), &files()).unwrap();
    assert_eq!(artifact, Artifact::build(config(), &files()).unwrap());
    let pack = artifact.open().unwrap();
    assert_eq!((pack.digest, &pack.files), (artifact.digest(), &files()));
    assert_eq!(pack.config.plugins[0].name, "geo");
    assert_eq!(pack.config.files.len(), 4);
    let manifest = manifest(&artifact.manifest).unwrap();
    let kinds: Vec<&str> = parts(&manifest).map(|part| part.media_type.as_str()).collect();
    assert_eq!(kinds, [oci::PACK_CONFIG, oci::DEFINITIONS, oci::WASM]);
}

#[test]
fn what_is_not_a_pack_is_refused_by_what_it_is() {
    let image = br#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",
        "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
    for (bytes, part) in [
        (&b""[..], "something else"),
        (b"[]", "something else"),
        (br#"{"schemaVersion":2,"manifests":[]}"#, "an index of several images"),
        (image, "application/vnd.oci.image.config.v1+json"),
    ] {
        let said = manifest(bytes).unwrap_err().message;
        assert!(said.contains("not a feature pack") && said.contains(part), "{said}");
    }
    assert!(manifest(&vec![b' '; 2 << 20]).unwrap_err().message.contains("more than 1.0 MiB"));
}

/// A pack of which something was changed, with digests that fit again.
fn forged(change: impl Fn(&mut Manifest, &mut PackConfig, &mut Artifact)) -> String {
    let mut artifact = Artifact::build(config(), &files()).unwrap();
    let mut parsed = manifest(&artifact.manifest).unwrap();
    let mut config = artifact.open().unwrap().config;
    change(&mut parsed, &mut config, &mut artifact);
    let bytes = oci::bytes(&config);
    parsed.config = Descriptor::of(oci::PACK_CONFIG, &bytes);
    artifact.blobs.insert(parsed.config.digest, bytes);
    artifact.manifest = oci::bytes(&parsed);
    artifact.open().map_or_else(|error| error.message, |_| "taken".to_owned())
}

#[test]
fn a_pack_that_was_tampered_with_is_refused() {
    assert_eq!(forged(|_, _, _| ()), "taken");
    for (said, part) in [
        (forged(|_, config, _| config.plugins.clear()), "lists other plugins"),
        (
            forged(|_, config, _| {
                config.files.remove("jobs/risk.yaml");
            }),
            "differ in `jobs/risk.yaml`",
        ),
        (forged(|_, config, _| config.name = "../x".to_owned()), "not a name"),
        (forged(|manifest, _, _| drop(manifest.layers.pop())), "differ in `plugins/geo.wasm`"),
        (forged(|manifest, _, _| manifest.layers.clear()), "no layer"),
        (forged(|manifest, _, _| manifest.layers.reverse()), "none that a pack has there"),
        (forged(|manifest, _, _| manifest.layers[1].size += 1), "its manifest says"),
        (forged(|manifest, _, _| manifest.layers[1].size = u64::MAX), "more than 128.0 MiB"),
        (forged(|manifest, _, artifact| drop(artifact.blobs.remove(&manifest.layers[1].digest))), "lacks"),
        (
            forged(|manifest, _, artifact| {
                artifact.blobs.get_mut(&manifest.layers[1].digest).unwrap()[1] ^= 1
            }),
            "is expected",
        ),
        (
            forged(|manifest, _, artifact| {
                artifact.blobs.get_mut(&manifest.layers[0].digest).unwrap()[20] ^= 1
            }),
            "is expected",
        ),
        (
            forged(|manifest, _, _| {
                manifest.layers[1]
                    .annotations
                    .insert(oci::TITLE.to_owned(), "plugins/../../geo.wasm".to_owned());
            }),
            "leads out",
        ),
        (
            forged(|manifest, _, _| {
                manifest.layers[1].annotations.insert(oci::TITLE.to_owned(), "jobs/risk.yaml".to_owned());
            }),
            "not plugins/NAME.wasm",
        ),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn files_that_a_pack_may_not_hold_are_not_packed() {
    let mut files = files();
    files.insert("weir.yaml".to_owned(), Vec::new());
    assert!(Artifact::build(config(), &files).unwrap_err().message.contains("weir.yaml"));
}
