//! Signatures of packs in minisign's formats, and as artifacts that refer to what they sign.
//!
//! Keys and signatures are those of `minisign` and `rsign`: either side takes what the other made. What a signature is of is
//! the manifest's bytes. Signing is the crate `minisign`; whatever came from elsewhere is read by `minisign-verify`, which
//! takes any text.

use crate::artifact::manifest as pack_manifest;
use crate::bounds;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use crate::oci::{self, Descriptor, Manifest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minisign::{KeyPair, SecretKey, SecretKeyBox};
use std::fmt;

/// A signature as an artifact.
pub(crate) struct SignatureArtifact {
    pub(crate) manifest: Vec<u8>,
    /// Its config and its layer.
    pub(crate) blobs: [Vec<u8>; 2],
}

impl SignatureArtifact {
    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor {
            artifact_type: Some(oci::SIGNATURE.to_owned()),
            ..Descriptor::of(oci::MANIFEST, &self.manifest)
        }
    }
}

/// The artifact of a signature of this pack; the same signature always makes the same.
pub(crate) fn artifact(pack: &Descriptor, text: &str) -> SignatureArtifact {
    let subject = Descriptor { artifact_type: None, ..pack.clone() };
    let manifest = Manifest {
        schema_version: 2,
        media_type: oci::MANIFEST.to_owned(),
        artifact_type: Some(oci::SIGNATURE.to_owned()),
        config: Descriptor::of(oci::EMPTY, oci::EMPTY_BYTES),
        layers: vec![
            Descriptor::of(oci::SIGNATURE, text.as_bytes()).with(oci::TITLE, "manifest.json.minisig"),
        ],
        subject: Some(subject),
        annotations: oci::Annotations::new(),
    };
    SignatureArtifact {
        manifest: oci::bytes(&manifest),
        blobs: [oci::EMPTY_BYTES.to_vec(), text.as_bytes().to_vec()],
    }
}

/// The part that holds the signature, of an artifact's manifest; `None` where that is of something else than this pack.
pub(crate) fn layer(manifest: &[u8], pack: &Digest) -> Result<Option<Descriptor>> {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(manifest) else {
        return Err(PackError::user(
            "what is said to be a signature of the pack has no manifest; it is refused",
        ));
    };
    let is_of_it = manifest.subject.is_some_and(|subject| subject.digest == *pack);
    let mut layers = manifest.layers.into_iter().filter(|layer| layer.media_type == oci::SIGNATURE);
    let Some(layer) = layers.next().filter(|_| is_of_it) else { return Ok(None) };
    bounds::check("a signature", layer.size, bounds::SIGNATURE_BYTES)?;
    Ok(Some(layer))
}

/// A signature's text.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|_| PackError::user("a signature of the pack is not text; it is refused"))
}

/// The number of a key, as minisign shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(u64);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// A key that signatures are checked with.
#[derive(Clone)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: KeyId,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

impl PublicKey {
    /// Reads a key: the line that begins with `RW`, or a `.pub` file's text, whose second line that is.
    pub fn parse(text: &str) -> Result<PublicKey> {
        let wrong = || {
            PackError::user(format!(
                "`{}` is not a public key; write the line of its .pub file that begins with RW",
                text.trim().chars().take(80).collect::<String>().escape_debug()
            ))
        };
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with("untrusted comment:"));
        let line = line.ok_or_else(wrong)?;
        let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| wrong())?;
        let id = minisign::PublicKey::from_base64(line).map_err(|_| wrong())?;
        Ok(PublicKey { key, id: key_id(id.keynum()) })
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        self.id
    }
}

fn key_id(bytes: &[u8]) -> KeyId {
    KeyId(bytes.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

/// What became of the signatures of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    No,
    /// By a key that is trusted; with what the signer says of it.
    By(KeyId, String),
    /// By keys alone that nobody said to trust: it is not known whether they are sound.
    Unknown(Vec<KeyId>),
}

/// Compares the signatures of a pack with the keys that are trusted. One of a trusted key that does not fit is an error,
/// whatever else there is.
pub fn verify(manifest: &[u8], signatures: &[String], trusted: &[PublicKey]) -> Result<Signed> {
    let (mut by, mut unknown) = (None, Vec::new());
    for text in signatures.iter().take(bounds::SIGNATURES) {
        let signature = minisign_verify::Signature::decode(text).map_err(|error| {
            PackError::user(format!("a signature of the pack cannot be read ({error}); it is refused"))
        })?;
        let id = signer(text)?;
        let Some(key) = trusted.iter().find(|key| key.id == id) else {
            unknown.push(id);
            continue;
        };
        // What older versions of minisign signed, without hashing, is not taken.
        key.key.verify(manifest, &signature, false).map_err(|error| {
            PackError::user(format!(
                "the signature by key {id} does not fit this pack ({error}): it was changed after it was signed, or the \
                 signature is another pack's; do not install it"
            ))
        })?;
        by = by.or(Some((id, signature.trusted_comment().to_owned())));
    }
    Ok(match by {
        Some((id, comment)) => Signed::By(id, comment),
        None if unknown.is_empty() => Signed::No,
        None => Signed::Unknown(unknown),
    })
}

/// The number of the key that a signature says it is by.
pub fn signer(text: &str) -> Result<KeyId> {
    let unreadable =
        |error| PackError::user(format!("a signature of the pack cannot be read ({error}); it is refused"));
    Ok(key_id(minisign::SignatureBox::from_string(text).map_err(unreadable)?.keynum()))
}

/// The algorithm of a secret key that has no password.
const NO_PASSWORD: [u8; 2] = [0, 0];
/// Where the checksum of a secret key begins.
const CHECKSUM_AT: usize = 126;

/// A key that signs, ready to.
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl SigningKey {
    /// Reads a secret key's file. `password` is asked where the key has one.
    pub fn parse(text: &str, password: impl FnOnce() -> Result<String>) -> Result<SigningKey> {
        let unusable = |error: minisign::PError| {
            PackError::user(format!(
                "the key cannot be used: {error}; a key is a file that `weir pack keygen` or `minisign -G` makes"
            ))
        };
        // An algorithm of two bytes for the key, one for its password, one for its checksum, which are the last bytes.
        let bytes =
            text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok()).unwrap_or_default();
        let (Some(algorithm), Some(checksum)) = (bytes.get(2..4), bytes.get(CHECKSUM_AT..)) else {
            return Err(unusable(minisign::PError::new(minisign::ErrorKind::Io, "it holds no secret key")));
        };
        let boxed = SecretKeyBox::from_string(text).map_err(unusable)?;
        let key = if algorithm != NO_PASSWORD {
            let opened = boxed.into_secret_key(Some(password()?));
            return opened
                .map(SigningKey)
                .map_err(|error| PackError::user(format!("the key cannot be opened: {error}")));
        } else if checksum.iter().all(|byte| *byte == 0) {
            // minisign itself leaves the checksum of a key without password out.
            SecretKey::from_bytes(&bytes)
        } else {
            boxed.into_unencrypted_secret_key()
        };
        key.map(SigningKey).map_err(unusable)
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        minisign::PublicKey::from_secret_key(&self.0).map_or(KeyId(0), |key| key_id(key.keynum()))
    }

    /// Signs a pack's manifest.
    pub fn sign(&self, manifest: &[u8]) -> Result<String> {
        let parsed = pack_manifest(manifest)?;
        let said = |name: &str| parsed.annotations.get(name).cloned().unwrap_or_default();
        let comment =
            format!("weir pack {} {} {}", said(oci::TITLE), said(oci::VERSION), Digest::of(manifest));
        let signed =
            minisign::sign(None, &self.0, manifest, Some(&comment), Some("signature of a weir feature pack"));
        signed
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| PackError::user(format!("cannot sign: {error}")))
    }
}

/// The files of a new pair of keys.
pub struct NewKeys {
    /// The secret key's.
    pub secret: String,
    /// The public key's.
    pub public: String,
}

/// Makes a pair of keys; with a password, the secret one cannot be used without it.
pub fn generate(password: Option<String>) -> Result<NewKeys> {
    let failed = |error: minisign::PError| PackError::external(format!("cannot make a key: {error}"));
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password)),
        None => KeyPair::generate_unencrypted_keypair(),
    };
    let KeyPair { pk, sk } = pair.map_err(failed)?;
    let comment = format!("secret key {} of weir packs", key_id(pk.keynum()));
    Ok(NewKeys {
        secret: sk.to_box(Some(&comment)).map_err(failed)?.into_string(),
        public: pk.to_box().map_err(failed)?.into_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::Artifact;
    use crate::artifact::tests::{config, files};

    fn no_password() -> Result<String> {
        panic!("no password is asked for")
    }

    fn keys() -> (SigningKey, PublicKey) {
        let made = generate(None).unwrap();
        (SigningKey::parse(&made.secret, no_password).unwrap(), PublicKey::parse(&made.public).unwrap())
    }

    #[test]
    fn what_was_signed_is_known_by_its_key_alone() {
        let manifest = Artifact::build(config(), &files()).unwrap().manifest;
        let ((key, public), (other, other_public)) = (keys(), keys());
        let signed = [key.sign(&manifest).unwrap()];
        let trusted = [other_public.clone(), public.clone()];
        let Signed::By(id, comment) = verify(&manifest, &signed, &trusted).unwrap() else {
            panic!("it is not known")
        };
        assert_eq!(id, public.id());
        assert!(comment.starts_with("weir pack user-risk 1.2.0 sha256:"), "{comment}");
        assert_eq!(verify(&manifest, &signed, &[other_public]), Ok(Signed::Unknown(vec![public.id()])));
        assert_eq!(verify(&manifest, &[], &trusted), Ok(Signed::No));
        // Of two signatures one that is known is enough.
        let both = [other.sign(&manifest).unwrap(), signed[0].clone()];
        assert!(matches!(verify(&manifest, &both, &[public]), Ok(Signed::By(..))));
    }

    #[test]
    fn a_signature_of_something_else_is_refused() {
        let manifest = Artifact::build(config(), &files()).unwrap().manifest;
        let (key, public) = keys();
        let text = key.sign(&manifest).unwrap();
        let refused = |manifest: &[u8], text: &str| {
            verify(manifest, &[text.to_owned()], std::slice::from_ref(&public)).unwrap_err().message
        };
        let mut changed = manifest.clone();
        changed[10] ^= 1;
        assert!(refused(&changed, &text).contains("does not fit this pack"));
        assert!(refused(&manifest, &text.replace("1.2.0", "1.2.1")).contains("does not fit this pack"));
        let lines: Vec<&str> = text.lines().collect();
        for bad in ["", "x", &lines[..3].join("\n"), &text.replace('=', ""), &text[..text.len() - 40]] {
            let said = refused(&manifest, bad);
            assert!(said.contains("cannot be read") || said.contains("does not fit"), "{bad:?}: {said}");
        }
    }

    #[test]
    fn a_key_with_a_password_opens_with_it_alone() {
        let made = generate(Some("sesame".to_owned())).unwrap();
        assert!(SigningKey::parse(&made.secret, || Ok("other".to_owned())).is_err());
        let key = SigningKey::parse(&made.secret, || Ok("sesame".to_owned())).unwrap();
        assert_eq!(key.id(), PublicKey::parse(&made.public).unwrap().id());
        for junk in ["", "untrusted comment: x", "untrusted comment: x\nRW", "a\nb\nc"] {
            assert!(SigningKey::parse(junk, no_password).is_err(), "{junk:?}");
            assert!(PublicKey::parse(junk).is_err(), "{junk:?}");
        }
    }

    #[test]
    fn an_artifact_of_a_signature_is_of_its_pack_alone() {
        let pack = Artifact::build(config(), &files()).unwrap();
        let made = artifact(&pack.descriptor(), "text");
        let layer_of = |digest: &Digest| layer(&made.manifest, digest).unwrap();
        assert_eq!(layer_of(&pack.digest()).unwrap().digest, Digest::of(b"text"));
        assert_eq!(layer_of(&Digest::of(b"other")), None);
        assert!(layer(b"junk", &pack.digest()).is_err());
    }
}
