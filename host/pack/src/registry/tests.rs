//! The client of registries against one that is made for each test: with a list of referrers or without, with a login or
//! without, and with answers that no registry should give.

use super::*;
use crate::artifact::tests::{config, files};
use crate::config::PackConfig;
use crate::signature::{SigningKey, generate};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a registry holds and does.
#[derive(Default)]
struct Held {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, Vec<u8>>,
    lists_referrers: bool,
    /// Asks for a token, which its own address gives to `me` with `sesame`.
    wants_token: bool,
    /// In place of what it holds under a path.
    instead: BTreeMap<String, Vec<u8>>,
    /// What was put there.
    uploads: usize,
}

struct Registry {
    held: Arc<Mutex<Held>>,
    host: String,
}

type Reply = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Registry {
    fn start(held: Held) -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let held = Arc::new(Mutex::new(held));
        let registry = Registry { held: held.clone(), host: host.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One that goes away early has its reasons.
                let _ = serve(&stream, &held, &host);
            }
        });
        registry
    }

    fn address(&self, wanted: &str) -> Address {
        Address::parse(&format!("oci://{}/team/risk{wanted}", self.host)).unwrap()
    }

    async fn pull(&self, wanted: &str) -> Result<Artifact> {
        self.pull_as(wanted, &Access::default()).await
    }

    async fn pull_as(&self, wanted: &str, access: &Access) -> Result<Artifact> {
        Repository::to_pull(&self.address(wanted), access)?.pull(&mut |_| ()).await
    }

    async fn push(&self, wanted: &str, artifact: &Artifact) -> Result<Address> {
        self.push_as(wanted, artifact, &Access::default(), false).await
    }

    async fn push_as(
        &self,
        wanted: &str,
        artifact: &Artifact,
        access: &Access,
        replace: bool,
    ) -> Result<Address> {
        Repository::to_push(&self.address(wanted), access)?.push(artifact, replace, &mut |_| ()).await
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }
}

fn serve(mut stream: &TcpStream, held: &Mutex<Held>, host: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut asked, mut length, mut login) = (String::new(), 0, String::new());
    reader.read_line(&mut asked)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if lower.starts_with("authorization:") {
            line[14..].trim().clone_into(&mut login);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = asked.split_whitespace();
    let (method, to) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, headers, body) = reply(&mut held.lock().unwrap(), host, (method, to, &login), body);
    write!(stream, "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len())?;
    for (name, value) in headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if method == "HEAD" { Ok(()) } else { stream.write_all(&body) }
}

fn reply(held: &mut Held, host: &str, (method, to, login): (&str, &str, &str), body: Vec<u8>) -> Reply {
    let (path, query) = to.split_once('?').unwrap_or((to, ""));
    if path == "/token" {
        let is_known =
            login == "Basic bWU6c2VzYW1l" && query.contains("scope=repository%3Ateam%2Frisk%3Apull");
        return if is_known {
            (200, vec![], br#"{"token":"ticket"}"#.to_vec())
        } else {
            (401, vec![], vec![])
        };
    }
    if held.wants_token && login != "Bearer ticket" {
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
        return (
            401,
            vec![("www-authenticate", challenge)],
            br#"{"errors":[{"message":"who are you"}]}"#.to_vec(),
        );
    }
    if let Some(instead) = held.instead.get(path) {
        return (200, vec![], instead.clone());
    }
    let Some(below) = path.strip_prefix("/v2/team/risk/") else { return (404, vec![], vec![]) };
    let (kind, name) = below.split_once('/').unwrap_or((below, ""));
    match (method, kind) {
        ("POST", "blobs") => {
            (202, vec![("location", "/v2/team/risk/blobs/uploads/1?state=x".to_owned())], vec![])
        }
        ("PUT", "blobs") => {
            let digest =
                query.split('&').find_map(|part| part.strip_prefix("digest=")).unwrap().replace("%3A", ":");
            assert_eq!(digest, Digest::of(&body).to_string());
            held.uploads += 1;
            held.blobs.insert(digest, body);
            (201, vec![], vec![])
        }
        (_, "blobs") => {
            held.blobs.get(name).map_or((404, vec![], vec![]), |bytes| (200, vec![], bytes.clone()))
        }
        ("PUT", "manifests") => {
            let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let subject = parsed["subject"]["digest"].as_str().filter(|_| held.lists_referrers);
            let headers = subject.map(|subject| (SUBJECT, subject.to_owned())).into_iter().collect();
            held.manifests.insert(Digest::of(&body).to_string(), body.clone());
            held.manifests.insert(name.to_owned(), body);
            (201, headers, vec![])
        }
        ("GET", "manifests") => {
            held.manifests.get(name).map_or((404, vec![], vec![]), |bytes| (200, vec![], bytes.clone()))
        }
        ("GET", "tags") => {
            let tags: Vec<&String> = held.manifests.keys().filter(|name| !name.contains(':')).collect();
            (200, vec![], oci::bytes(&serde_json::json!({"tags": tags})))
        }
        ("GET", "referrers") if held.lists_referrers => (200, vec![], referrers(held, name)),
        _ => (404, vec![], b"<html>not found</html>".to_vec()),
    }
}

/// What refers to a manifest.
fn referrers(held: &Held, digest: &str) -> Vec<u8> {
    let of_it = held.manifests.iter().filter(|(name, _)| name.contains(':')).filter(|(_, bytes)| {
        let parsed: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        parsed["subject"]["digest"] == digest
    });
    let descriptor = |bytes: &Vec<u8>| Descriptor {
        artifact_type: Some(oci::SIGNATURE.to_owned()),
        ..Descriptor::of(oci::MANIFEST, bytes)
    };
    oci::bytes(&Index::of(of_it.map(|(_, bytes)| descriptor(bytes)).collect()))
}

fn artifact(version: &str) -> Artifact {
    Artifact::build(PackConfig { version: version.to_owned(), ..config() }, &files()).unwrap()
}

fn signed(version: &str) -> Artifact {
    let mut artifact = artifact(version);
    let key = SigningKey::parse(&generate(None).unwrap().secret, || panic!("no password")).unwrap();
    artifact.signatures.push(key.sign(&artifact.manifest).unwrap());
    artifact
}

#[tokio::test]
async fn a_pack_and_its_signature_come_back_with_a_list_of_referrers_and_without() {
    for lists_referrers in [true, false] {
        let registry = Registry::start(Held { lists_referrers, ..Held::default() });
        let pack = signed("1.2.0");
        let address = registry.push("", &pack).await.unwrap();
        assert_eq!(address, registry.address(":1.2.0"));
        for wanted in ["", ":1.2.0", &format!("@{}", pack.digest())] {
            assert_eq!(registry.pull(wanted).await.unwrap(), pack, "{wanted}");
        }
        let tag = referrers_tag(&pack.digest());
        assert_eq!(registry.held().manifests.contains_key(&tag), !lists_referrers);
        // Again nothing is uploaded, and the signature is listed once.
        let uploads = registry.held().uploads;
        registry.push(":latest", &pack).await.unwrap();
        assert_eq!(registry.held().uploads, uploads);
        assert_eq!(registry.pull(":latest").await.unwrap().signatures.len(), 1);
    }
}

#[tokio::test]
async fn a_version_stays_what_it_is_and_the_newest_is_found() {
    let registry = Registry::start(Held::default());
    for version in ["1.9.0", "1.10.0", "2.0.0-rc.1"] {
        registry.push("", &artifact(version)).await.unwrap();
    }
    assert_eq!(registry.pull("").await.unwrap(), artifact("1.10.0"));
    let other = Artifact::build(
        PackConfig { description: "other".to_owned(), version: "1.9.0".to_owned(), ..config() },
        &files(),
    );
    let other = other.unwrap();
    let said = registry.push("", &other).await.unwrap_err().message;
    assert!(said.contains(":1.9.0 is another pack (sha256:") && said.contains("--replace"), "{said}");
    registry.push_as("", &other, &Access::default(), true).await.unwrap();
    assert_eq!(registry.pull(":1.9.0").await.unwrap(), other);
    let said = registry.pull(":3.0.0").await.unwrap_err().message;
    assert!(said.contains("has no pack") && said.contains("1.10.0"), "{said}");
    let said = registry.push(&format!("@{}", other.digest()), &other).await.unwrap_err().message;
    assert!(said.contains("not to a digest"), "{said}");
}

#[tokio::test]
async fn a_registry_that_asks_who_that_is_is_told() {
    let registry = Registry::start(Held { wants_token: true, ..Held::default() });
    let me =
        |password: &str| Access { login: Some(("me".to_owned(), password.to_owned())), ..Access::default() };
    registry.push_as("", &artifact("1.0.0"), &me("sesame"), false).await.unwrap();
    assert_eq!(registry.pull_as("", &me("sesame")).await.unwrap(), artifact("1.0.0"));
    let said = registry.pull_as("", &me("other")).await.unwrap_err();
    assert!(said.message.contains("does not let `me` in (401)"), "{said}");
    assert_eq!(said.fault, weir_event::Fault::User);
}

#[tokio::test]
async fn what_a_registry_should_not_send_is_refused() {
    let pack = signed("1.0.0");
    let registry = Registry::start(Held::default());
    registry.push("", &pack).await.unwrap();
    let refused = async |path: String, bytes: &[u8], wanted: &str| {
        registry.held().instead = BTreeMap::from([(format!("/v2/team/risk/{path}"), bytes.to_vec())]);
        registry.pull(wanted).await.unwrap_err().message
    };
    let parsed = artifact::manifest(&pack.manifest).unwrap();
    let component = &parsed.layers[1];
    let mut other = pack.blobs[&component.digest].clone();
    other[0] ^= 1;
    let said = refused(format!("blobs/{}", component.digest), &other, "").await;
    assert!(said.contains("`plugins/geo.wasm`") && said.contains("is expected"), "{said}");
    let said = refused(format!("blobs/{}", component.digest), &[0; 100], "").await;
    assert!(said.contains("more than 8 B"), "{said}");
    let said = refused("manifests/1.0.0".to_owned(), &vec![b' '; 3 << 20], ":1.0.0").await;
    assert!(said.contains("more than 1.0 MiB"), "{said}");
    let said = refused("manifests/1.0.0".to_owned(), b"{}", ":1.0.0").await;
    assert!(said.contains("not a feature pack"), "{said}");
    let said = refused(
        format!("manifests/{}", pack.digest()),
        &artifact("2.0.0").manifest,
        &format!("@{}", pack.digest()),
    )
    .await;
    assert!(said.contains("is not what its digest says"), "{said}");
    let said = refused(format!("manifests/{}", referrers_tag(&pack.digest())), b"[]", "").await;
    assert!(said.contains("not the index of signatures"), "{said}");
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let address = Address::parse("oci://127.0.0.1:1/a:1.0.0").unwrap();
    let error =
        Repository::to_pull(&address, &Access::default()).unwrap().pull(&mut |_| ()).await.unwrap_err();
    assert_eq!(error.fault, weir_event::Fault::External);
    assert!(error.message.contains("no answer from the registry 127.0.0.1:1"), "{error}");
}
