//! `weir pack ..`: streams, jobs and plugins as one artifact.

mod build;
mod install;
mod keygen;
mod registry;
mod show;
mod source;
mod trust;

use crate::failure::Failure;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum PackCommand {
    Build(build::BuildPack),
    Show(show::ShowPack),
    Push(registry::PushPack),
    Pull(registry::PullPack),
    Install(install::InstallPack),
    Keygen(keygen::Keygen),
}

pub(super) fn run(command: PackCommand) -> Result<(), Failure> {
    match command {
        PackCommand::Build(arguments) => build::run(&arguments),
        PackCommand::Show(arguments) => show::run(&arguments),
        PackCommand::Push(arguments) => registry::push(&arguments),
        PackCommand::Pull(arguments) => registry::pull(&arguments),
        PackCommand::Install(arguments) => install::run(&arguments),
        PackCommand::Keygen(arguments) => keygen::run(&arguments),
    }
}
