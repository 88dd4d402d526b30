//! `weir pack keygen`: keys that packs are signed with, as minisign has them; and the passwords that they are opened with.

use crate::command::print;
use crate::failure::Failure;
use clap::Args;
use std::fs::{self, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use weir_pack::signature::{self, PublicKey, SigningKey};
use weir_pack::{PackError, bounds};

/// Opens keys where nobody can be asked.
const PASSWORD: &str = "WEIR_KEY_PASSWORD";

/// Make a pair of keys to sign packs with, in the formats of minisign
#[derive(Debug, Args)]
#[command(
    after_help = "The secret key is KEY, which nobody else may have; the public one is KEY.pub, whose second line goes into \
                  `packs: {trusted_keys: [..]}` of whoever installs your packs. The password is asked for, or taken from \
                  WEIR_KEY_PASSWORD.\n\nExamples:\n  weir pack keygen -o team.key\n  weir pack keygen -o ci.key --no-password"
)]
pub(crate) struct Keygen {
    /// Where to write the secret key; the public one is beside it, with .pub behind its name
    #[arg(short, long, value_name = "KEY")]
    output: PathBuf,
    /// A secret key that needs no password: whoever can read the file can sign
    #[arg(long)]
    no_password: bool,
}

pub(super) fn run(arguments: &Keygen) -> Result<(), Failure> {
    let secret = &arguments.output;
    let public = with_pub(secret);
    for path in [secret, &public] {
        if path.exists() {
            return Err(Failure::user(format!("{} is there already; give another name", path.display())));
        }
    }
    let password = if arguments.no_password { None } else { Some(new_password()?) };
    let keys = signature::generate(password)?;
    write(secret, &keys.secret, 0o600)?;
    write(&public, &keys.public, 0o644)?;
    let id = PublicKey::parse(&keys.public)?.id();
    let line = keys.public.lines().nth(1).unwrap_or_default();
    print(&format!(
        "key {id}: {} is secret, {} is for everybody. Who installs your packs writes into weir.yaml:\n\n  packs:\n    \
         require_signature: true\n    trusted_keys: [{line}]",
        secret.display(),
        public.display()
    ))
}

fn with_pub(secret: &Path) -> PathBuf {
    let mut name = secret.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// A new file; one that is there is never written over, as a secret key that is gone cannot be had again.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::user(format!("cannot write {}: {error}", path.display()));
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// The key of a file, opened with its password where it has one.
pub(super) fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let told = |error: PackError| {
        Failure::from(PackError { message: format!("{}: {}", path.display(), error.message), ..error })
    };
    let text = text_of(path)?;
    let ask = || {
        password(&format!("Password of {}: ", path.display()))
            .map_err(|failure| PackError::user(failure.lines().join("; ")))
    };
    SigningKey::parse(&text, ask).map_err(told)
}

/// The text of a file of a key.
pub(super) fn text_of(path: &Path) -> Result<String, Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::user(format!("cannot read {}: {error}", path.display()));
    let bytes = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if bytes > bounds::SIGNATURE_BYTES {
        return Err(unreadable(&"it is too large to be a key"));
    }
    fs::read_to_string(path).map_err(|error| unreadable(&error))
}

fn new_password() -> Result<String, Failure> {
    let first = password("Password of the new key: ")?;
    if first.is_empty() {
        return Err(Failure::user("the password is empty; --no-password makes a key without one"));
    }
    if std::env::var_os(PASSWORD).is_none() && first != password("The same once more: ")? {
        return Err(Failure::user("the two passwords differ; type the command again"));
    }
    Ok(first)
}

fn password(prompt: &str) -> Result<String, Failure> {
    if let Ok(password) = std::env::var(PASSWORD) {
        return Ok(password);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user(format!(
            "the key has a password, and nobody can be asked for it here; set {PASSWORD}"
        )));
    }
    rpassword::prompt_password(prompt)
        .map_err(|error| Failure::user(format!("cannot ask for a password: {error}")))
}
