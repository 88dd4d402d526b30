//! `weir pack push` and `weir pack pull`: a pack to a registry and from it, as it is.

use super::source::{AccessArguments, pull as pull_from, push as push_to};
use crate::command::print;
use crate::failure::Failure;
use clap::Args;
use std::path::PathBuf;
use weir_pack::address::Address;
use weir_pack::layout;

/// Put a pack and its signatures into a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Who asks is --username with its password, or who `docker login` has noted. Without a tag the pack's version is \
                  the tag; such a tag stays what it is unless --replace is given. What the registry has already is not sent \
                  again.\n\nExamples:\n  weir pack push user-risk-1.2.0.tar oci://ghcr.io/team/user-risk\n  weir pack push user-risk-1.2.0.tar \
                  oci://127.0.0.1:5000/user-risk:latest"
)]
pub(crate) struct PushPack {
    /// The pack: a .tar or a folder
    #[arg(value_name = "PATH")]
    pack: PathBuf,
    /// Where to: oci://HOST/REPOSITORY:TAG
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Take the place of another pack of the same version
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    access: AccessArguments,
}

/// Take a pack and its signatures from a registry
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir pack pull oci://ghcr.io/team/user-risk:1.2.0\n  weir pack pull oci://127.0.0.1:5000/user-risk -o risk.tar"
)]
pub(crate) struct PullPack {
    /// Which: oci://HOST/REPOSITORY with :TAG, @sha256:.. or, for the newest version, nothing behind it
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Where to write it: a .tar, which is replaced, or a folder  [default: NAME-VERSION.tar]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    #[command(flatten)]
    access: AccessArguments,
}

pub(super) fn push(arguments: &PushPack) -> Result<(), Failure> {
    let artifact = layout::read(&arguments.pack)?;
    let pack = artifact.open()?;
    let address =
        push_to(&artifact, &Address::parse(&arguments.address)?, &arguments.access, arguments.replace)?;
    print(&format!("{address}\n{}", pack.digest))
}

pub(super) fn pull(arguments: &PullPack) -> Result<(), Failure> {
    let artifact = pull_from(&Address::parse(&arguments.address)?, &arguments.access)?;
    let pack = artifact.open()?;
    let default = || format!("{}-{}.tar", pack.config.name, pack.config.version).into();
    let output = arguments.output.clone().unwrap_or_else(default);
    layout::write(&artifact, &output)?;
    print(&format!("{}: {}\n{}", output.display(), pack.config.title(), pack.digest))
}
