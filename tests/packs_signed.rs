//! Signatures of feature packs: whose packs are installed, and minisign's own program on the other side.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use crate::packs::{build, install, pack, pack_with, project, read, refused};
use crate::services::oci::{Registry, minisign, minisign_told};
use crate::services::said;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// A pair of keys: the secret one's file, and the line that is trusted.
fn keys(at: &Project, name: &str) -> (String, String) {
    let secret = at.path().join(name).display().to_string();
    pack(&["keygen", "-o", &secret, "--no-password"]);
    let public = String::from_utf8(read(format!("{secret}.pub"))).unwrap();
    (secret, public.lines().nth(1).unwrap().to_owned())
}

#[test]
fn only_what_a_trusted_key_signed_is_installed() {
    let registry = Registry::open();
    let source = project();
    let ((ours, our_line), (theirs, _)) = (keys(&source, "ours.key"), keys(&source, "theirs.key"));
    let signed = build(&source, "1.0.0", "signed", &["--sign", &ours]);
    let unsigned = build(&source, "1.0.0", "unsigned", &[]);
    let by_them = build(&source, "1.0.0", "by-them", &["--sign", &theirs]);
    let into = Project::new();
    into.file("weir.yaml", &format!("packs: {{require_signature: true, trusted_keys: [{our_line}]}}\n"));
    let path = into.path().display().to_string();
    let words = |pack_at: &str| ["install", pack_at, "--project", &path, "--yes"].map(str::to_owned);
    let refused_at = |pack_at: &str, parts: &[&str]| {
        let words = words(pack_at);
        refused(&words.each_ref().map(String::as_str), parts);
        assert!(!into.path().join("jobs").exists());
    };
    refused_at(&unsigned, &["the pack is not signed", "`packs.require_signature`"]);
    refused_at(&by_them, &["the pack is signed by key", "alone"]);
    refused(&["show", &signed, "--key", &format!("{theirs}.pub")], &["demands one by key"]);
    // Another pack's signature.
    let (code, _) = pack_with(
        &[],
        "",
        &[
            "build",
            &source.path().display().to_string(),
            "--name",
            "user-risk",
            "--version",
            "9.0.0",
            "--sign",
            &ours,
            "-o",
            &source.path().join("nine").display().to_string(),
        ],
    );
    assert_eq!(code, Some(0));
    let forged = forged(&source, &signed, &source.path().join("nine").display().to_string());
    refused_at(&forged, &["does not fit this pack", "do not install it"]);

    // By way of a registry that does not list referrers, under the tag for that.
    let at = registry.address("user-risk");
    pack(&["push", &signed, &at]);
    let (_, tags) = registry.get("/v2/user-risk/tags/list").unwrap();
    assert!(tags.contains("\"sha256-"), "{tags}");
    let text = install(&at, &into, &[]);
    assert!(
        text.contains("signed by key") && text.contains("which is trusted: weir pack user-risk 1.0.0"),
        "{text}"
    );
    let record: Value = serde_json::from_slice(&read(into.path().join("packs/user-risk.json"))).unwrap();
    assert!(record["signed_by"].is_string(), "{record}");
    // Whoever demands nothing is still told.
    let open = Project::new();
    assert!(install(&by_them, &open, &[]).contains("which nobody here trusts"));
}

/// A layout with the pack of one and the signature of another, said to be of the first.
fn forged(at: &Project, pack_of: &str, signature_of: &str) -> String {
    let script = r#"
import hashlib, json, pathlib, shutil, sys
one, other, out = map(pathlib.Path, sys.argv[1:])
shutil.copytree(one, out)
blob = lambda folder, digest: folder / "blobs/sha256" / digest[7:]
index, theirs = (json.loads((folder / "index.json").read_text()) for folder in (one, other))
signed = json.loads(blob(other, theirs["manifests"][1]["digest"]).read_text())
text = blob(other, signed["layers"][0]["digest"]).read_bytes()
blob(out, signed["layers"][0]["digest"]).write_bytes(text)
signed["subject"] = {key: index["manifests"][0][key] for key in ("mediaType", "digest", "size")}
made = json.dumps(signed).encode()
digest = "sha256:" + hashlib.sha256(made).hexdigest()
blob(out, digest).write_bytes(made)
index["manifests"][1].update(digest=digest, size=len(made))
(out / "index.json").write_text(json.dumps(index))
"#;
    let out = at.path().join("forged").display().to_string();
    said(Command::new("python3").args(["-c", script, pack_of, signature_of, &out]));
    out
}

#[test]
fn minisign_takes_our_signatures_and_we_take_its_keys() {
    let source = project();
    let (ours, _) = keys(&source, "ours.key");
    let folder = build(&source, "1.0.0", "signed", &["--sign", &ours]);
    let blobs = Path::new(&folder).join("blobs/sha256");
    let index: Value = serde_json::from_slice(&read(Path::new(&folder).join("index.json"))).unwrap();
    let hex = |digest: &Value| digest.as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let manifest = blobs.join(hex(&index["manifests"][0]["digest"])).display().to_string();
    let of_signature: Value =
        serde_json::from_slice(&read(blobs.join(hex(&index["manifests"][1]["digest"])))).unwrap();
    let signature = blobs.join(hex(&of_signature["layers"][0]["digest"])).display().to_string();
    let verify =
        |key: &str| minisign(&["-V", "-m", &manifest, "-x", &signature, "-p", &format!("{key}.pub")]);
    let output = verify(&ours);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("weir pack user-risk 1.0.0"), "{output:?}");

    let own = source.path().join("minisign.key").display().to_string();
    let made = minisign(&["-G", "-W", "-p", &format!("{own}.pub"), "-s", &own]);
    assert!(made.status.success(), "{made:?}");
    assert!(!verify(&own).status.success());
    let folder = build(&source, "1.0.0", "by-minisign", &["--sign", &own]);
    assert!(pack(&["show", &folder, "--key", &format!("{own}.pub")]).contains("which is trusted"));
    let own = source.path().join("minisign-locked.key").display().to_string();
    let made = minisign_told(&["-G", "-p", &format!("{own}.pub"), "-s", &own], "sesame\nsesame\n");
    assert!(made.status.success(), "{made:?}");
    let (output, folder) = (source.path().join("by-locked"), source.path().display().to_string());
    let output = output.display().to_string();
    let words = ["build", &folder, "--name", "a", "--version", "1.0.0", "--sign", &own, "-o", &output];
    let (code, text) = pack_with(&[("WEIR_KEY_PASSWORD", "sesame")], "", &words);
    assert_eq!(code, Some(0), "{text}");
    assert!(pack(&["show", &output, "--key", &format!("{own}.pub")]).contains("which is trusted"));

    // A key with a password, which a program gives.
    let locked = source.path().join("locked.key").display().to_string();
    let variables = [("WEIR_KEY_PASSWORD", "sesame")];
    assert_eq!(pack_with(&variables, "", &["keygen", "-o", &locked]).0, Some(0));
    refused(&["keygen", "-o", &locked, "--no-password"], &["is there already"]);
    let words = [
        "build",
        &source.path().display().to_string(),
        "--name",
        "a",
        "--version",
        "1.0.0",
        "--sign",
        &locked,
        "-o",
        &source.path().join("a").display().to_string(),
    ]
    .map(str::to_owned);
    let words = words.each_ref().map(String::as_str);
    refused(&words, &["WEIR_KEY_PASSWORD"]);
    let (code, text) = pack_with(&[("WEIR_KEY_PASSWORD", "other")], "", &words);
    assert!(code == Some(1) && text.contains("locked.key"), "{text}");
    let (code, text) = pack_with(&variables, "", &words);
    assert_eq!(code, Some(0), "{text}");
}
