//! The command line: one file per command. What is known but not built yet is refused by name, never ignored.

mod check;
mod compile_plugin;
mod completions;
mod demo;
mod generate;
mod greeting;
mod init;
mod lookup;
mod plugin;
mod restart;
mod run;
mod sample;
mod serve;
mod status;

use crate::failure::Failure;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Turns event streams into machine-learning features and serves them.
///
/// Exit codes: 0 done, 1 yours to correct, 2 another system failed, 3 weir's own fault or damaged state.
/// WEIR_LOG says how much is logged: warn, info, debug.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = "To begin:
  weir demo                                          made-up events and live lookups, with no other service
  weir init my-features --template http              a project whose README is a tour of five minutes
  weir check my-features && weir serve my-features")]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Init(init::Arguments),
    Check(check::Arguments),
    Generate(generate::Arguments),
    Run(run::Arguments),
    Serve(serve::Arguments),
    Status(status::Arguments),
    Restart(restart::Arguments),
    Lookup(lookup::Arguments),
    Sample(sample::Arguments),
    Completions(completions::Arguments),
    /// The life of a plugin: new, build, push, list, activate
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
    #[command(hide = true)]
    CompilePlugin(compile_plugin::Arguments),
    #[command(hide = true)]
    Apply(NotYet),
    #[command(hide = true)]
    Train(NotYet),
    #[command(hide = true)]
    Savepoint(NotYet),
}

/// What a command that is known but not built yet is called with: anything.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct NotYet {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

/// How a project's state is opened.
#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// Drop the state of this job and start it anew from its source's start; may be repeated
    #[arg(long, value_name = "JOB")]
    pub(crate) reset: Vec<String>,
    /// Where the newest checkpoint is damaged or lost, go on from the newest intact one
    #[arg(long)]
    pub(crate) accept_older: bool,
}

/// The folder of a project.
#[derive(Debug, Args)]
pub(crate) struct ProjectArgument {
    /// The project's folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// Reads the arguments of this process and does what they say.
pub(crate) fn run() -> Result<(), Failure> {
    let arguments = match CommandLine::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    match &arguments.command {
        // A child with little memory and no environment, whose stderr is read by the server.
        Command::CompilePlugin(_) => {}
        // The project's settings say how they log.
        Command::Run(_) | Command::Serve(_) => {}
        Command::Demo(_) => crate::log::start("error"),
        _ => crate::log::start("info"),
    }
    match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Serve(arguments) => serve::run(arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Restart(arguments) => restart::run(&arguments),
        Command::Lookup(arguments) => lookup::run(&arguments),
        Command::Sample(arguments) => sample::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Plugin { command } => plugin::run(command),
        Command::CompilePlugin(arguments) => compile_plugin::run(&arguments),
        Command::Apply(_) => Err(not_yet("weir apply")),
        Command::Train(_) => Err(not_yet("weir train")),
        Command::Savepoint(_) => Err(not_yet("weir savepoint")),
    }
}

/// The refusal of what is in the contract and not in this version.
pub(crate) fn not_yet(what: &str) -> Failure {
    Failure::user(format!("weir 0.1 does not have `{what}` yet"))
}

/// Help and version are no errors and go to stdout; the rest is the user's fault.
fn refuse(error: &clap::Error) -> Result<(), Failure> {
    if !error.use_stderr() {
        return error.print().map_err(|error| Failure::external(format!("cannot write: {error}")));
    }
    Err(Failure::user(error.render().to_string().trim_end()))
}

/// Writes what was asked for to stdout. Whoever closes the pipe early has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::external(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// JSON for people and programs alike.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = sonic_rs::to_string_pretty(value).map_err(|error| Failure::weir(error.to_string()))?;
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        CommandLine::command().debug_assert();
    }

    /// Every command that help shows, with those below it.
    fn commands(above: &clap::Command) -> Vec<clap::Command> {
        let shown =
            above.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
        shown
            .flat_map(
                |command| if command.has_subcommands() { commands(command) } else { vec![command.clone()] },
            )
            .collect()
    }

    #[test]
    fn every_command_has_an_example_that_can_be_typed() {
        let commands = commands(&CommandLine::command());
        assert!(commands.len() > 10, "{}", commands.len());
        for command in commands {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  weir ")).collect();
            assert!(!examples.is_empty(), "{} has no example", command.get_name());
            for example in examples {
                let typed = example.split(" > ").next().unwrap_or_default();
                let words = std::iter::once("weir").chain(typed.split_whitespace());
                if let Err(error) = CommandLine::try_parse_from(words) {
                    panic!("weir {example}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_waits_takes_any_arguments_and_is_refused_by_name() {
        for line in [
            &["weir", "apply", "dir", "--dry-run"][..],
            &["weir", "train", "--spine", "f", "-o", "g"],
            &["weir", "savepoint", "create", "--help"],
            &["weir", "plugin", "check", "geo"],
        ] {
            assert!(CommandLine::try_parse_from(line).is_ok(), "{line:?}");
        }
        assert!(format!("{:?}", not_yet("weir apply")).contains("does not have `weir apply` yet"));
    }

    #[test]
    fn a_wrong_argument_is_the_users_fault() {
        let error = CommandLine::try_parse_from(["weir", "serv", "dir"]).unwrap_err();
        assert_eq!(refuse(&error).unwrap_err().exit_code(), 1);
        let help = CommandLine::try_parse_from(["weir", "--help"]).unwrap_err();
        assert!(!help.use_stderr());
    }
}
