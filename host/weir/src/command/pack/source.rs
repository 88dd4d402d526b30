//! Where a pack is that a command was given: a path, or an address of a registry; and who asks the registry.

use crate::failure::Failure;
use clap::Args;
use std::io::Read;
use std::path::Path;
use weir_pack::address::{Address, is_address};
use weir_pack::{Artifact, layout};

/// A pack that is looked at.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// The pack: a .tar or a folder, or oci://HOST/REPOSITORY with :TAG, @sha256:.. or, for the newest version, nothing behind it
    #[arg(value_name = "PATH|ADDRESS")]
    pack: String,
    #[command(flatten)]
    access: AccessArguments,
}

/// How a registry is spoken to.
#[derive(Debug, Args)]
pub(super) struct AccessArguments {
    /// Who asks the registry; otherwise who `docker login` has noted in Docker's config.json
    #[arg(long, env = "WEIR_REGISTRY_USERNAME")]
    username: Option<String>,
    /// Read the password from standard input; otherwise it is WEIR_REGISTRY_PASSWORD
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Speak to the registry without TLS, as to one of this machine anyway
    #[arg(long)]
    plain_http: bool,
}

/// In place of `--password-stdin`.
const PASSWORD: &str = "WEIR_REGISTRY_PASSWORD";
/// A password is shorter, tokens of clouds included.
const PASSWORD_BYTES: u64 = 64 << 10;

impl Source {
    /// Reads it; what it says is not yet known.
    pub(super) fn read(&self) -> Result<Artifact, Failure> {
        if is_address(&self.pack) {
            return pull(&Address::parse(&self.pack)?, &self.access);
        }
        Ok(layout::read(Path::new(&self.pack))?)
    }
}

impl AccessArguments {
    /// Who asks, and with what.
    fn login(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(username) = self.username.clone() else { return Ok(None) };
        if self.password_stdin {
            let mut password = String::new();
            let read = std::io::stdin().lock().take(PASSWORD_BYTES).read_to_string(&mut password);
            read.map_err(|error| {
                Failure::user(format!("cannot read a password from standard input: {error}"))
            })?;
            return Ok(Some((username, password.trim_end_matches(['\r', '\n']).to_owned())));
        }
        let password = std::env::var(PASSWORD).map_err(|_| {
            Failure::user(format!("{username} has no password: give --password-stdin, or set {PASSWORD}"))
        })?;
        Ok(Some((username, password)))
    }
}

#[cfg(feature = "packs")]
mod remote {
    //! The client of registries, driven to its end.

    use super::AccessArguments;
    use crate::failure::Failure;
    use weir_pack::Artifact;
    use weir_pack::address::Address;
    use weir_pack::registry::{Access, Repository};

    fn access(arguments: &AccessArguments) -> Result<Access, Failure> {
        Ok(Access { login: arguments.login()?, plain_http: arguments.plain_http })
    }

    fn wait<T>(work: impl Future<Output = weir_pack::Result<T>>) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure::external(format!("cannot wait for a registry: {error}")))?;
        Ok(runtime.block_on(work)?)
    }

    fn say(line: String) {
        eprintln!("weir: {line}");
    }

    /// Takes a pack from where it is.
    pub(in super::super) fn pull(
        address: &Address,
        arguments: &AccessArguments,
    ) -> Result<Artifact, Failure> {
        let mut repository = Repository::to_pull(address, &access(arguments)?)?;
        wait(repository.pull(&mut say))
    }

    /// Puts a pack where it is to be.
    pub(in super::super) fn push(
        artifact: &Artifact,
        address: &Address,
        arguments: &AccessArguments,
        replace: bool,
    ) -> Result<Address, Failure> {
        let mut repository = Repository::to_push(address, &access(arguments)?)?;
        wait(repository.push(artifact, replace, &mut say))
    }
}

#[cfg(not(feature = "packs"))]
mod remote {
    //! What a weir says that was built without the client of registries.

    use super::AccessArguments;
    use crate::failure::Failure;
    use weir_connect::settings::left_out;
    use weir_pack::Artifact;
    use weir_pack::address::Address;

    pub(in super::super) fn pull(_: &Address, arguments: &AccessArguments) -> Result<Artifact, Failure> {
        arguments.login()?;
        Err(Failure::user(left_out("the client of registries of packs")))
    }

    pub(in super::super) fn push(
        _: &Artifact,
        address: &Address,
        arguments: &AccessArguments,
        _: bool,
    ) -> Result<Address, Failure> {
        pull(address, arguments).map(|_| address.clone())
    }
}

pub(super) use remote::{pull, push};
