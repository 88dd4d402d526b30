//! `weir plugin ..`: the life of a plugin. `new`, `build` and `test` work on folders, `check` on a component, the others
//! ask a running server.

mod build;
mod check;
mod kit;
mod new;
mod report;
mod server;

use crate::failure::Failure;
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    New(new::New),
    Build(build::Build),
    Test(build::Test),
    Check(check::Check),
    Push(server::Push),
    List(server::List),
    Logs(server::Logs),
    Activate(server::Activate),
    Rollback(server::Rollback),
    Delete(server::Delete),
}

pub(super) fn run(command: PluginCommand) -> Result<(), Failure> {
    match command {
        PluginCommand::New(arguments) => new::run(&arguments),
        PluginCommand::Build(arguments) => build::run(&arguments),
        PluginCommand::Test(arguments) => build::test(&arguments),
        PluginCommand::Check(arguments) => check::run(&arguments),
        PluginCommand::Push(arguments) => server::push(&arguments),
        PluginCommand::List(arguments) => server::list(&arguments),
        PluginCommand::Logs(arguments) => server::logs(&arguments),
        PluginCommand::Activate(arguments) => server::activate(&arguments),
        PluginCommand::Rollback(arguments) => server::rollback(&arguments),
        PluginCommand::Delete(arguments) => server::delete(&arguments),
    }
}

fn check_name(name: &str) -> Result<(), Failure> {
    if weir_plan::is_name(name) {
        return Ok(());
    }
    let rule = "a name is a lower-case letter and then at most 63 of a-z, 0-9 and _";
    Err(Failure::user(format!("`{name}` is not a name of a plugin; {rule}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_is_made() {
        assert_eq!(check_name("Fare-Rise").unwrap_err().exit_code(), 1);
    }
}
