//! The command line: one file per command. What is known but not built yet is refused by name, never ignored.

mod check;
mod compile_plugin;
mod completions;
mod demo;
mod generate;
mod greeting;
mod init;
mod lookup;
mod make_training_set;
mod pack;
mod plugin;
mod restart;
mod run;
mod sample;
mod serve;
mod sink;
mod status;
mod train;

use crate::failure::Failure;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
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
    Demo(demo::DemoArguments),
    Init(init::InitArguments),
    Check(check::CheckArguments),
    Generate(generate::GenerateArguments),
    Run(run::RunArguments),
    Serve(serve::ServeArguments),
    Status(status::StatusArguments),
    Restart(restart::RestartArguments),
    Lookup(lookup::LookupArguments),
    Sample(sample::SampleArguments),
    Train(train::TrainArguments),
    Completions(completions::CompletionsArguments),
    /// Streams, jobs and plugins as one artifact: build, push, pull, show, install, keygen
    Pack {
        #[command(subcommand)]
        command: pack::PackCommand,
    },
    /// What belongs to a job's sinks: ddl
    Sink {
        #[command(subcommand)]
        command: sink::SinkCommand,
    },
    /// The life of a plugin: new, build, test, check, push, list, logs, activate, rollback, delete
    Plugin {
        #[command(subcommand)]
        command: plugin::PluginCommand,
    },
}

/// Commands of the contract that this version does not have: refused by name when they are typed, and otherwise
/// unknown to the command line, so that no help, suggestion or completion leads to them.
const NOT_YET: [&[&str]; 2] = [&["apply"], &["savepoint"]];

/// The command of [`NOT_YET`] that the words behind `weir` begin with, also where help is asked for it.
fn waiting(words: &[String]) -> Option<String> {
    let words = if words.first().is_some_and(|word| word == "help") { &words[1..] } else { words };
    let begins = |known: &&&[&str]| known.iter().eq(words.iter().take(known.len()));
    NOT_YET.iter().find(begins).map(|known| known.join(" "))
}

/// How a project's state is opened.
#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// Drop the state of this job and start it anew from its source's start, where its sinks keep the rows that they have
    /// and get its results again; may be repeated
    #[arg(long, value_name = "JOB")]
    pub(crate) reset: Vec<String>,
    /// Where the newest checkpoint is damaged or lost, go on from the newest intact one; where the whole state is, without
    /// it. What was read and written since is read and written again
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
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if words.first().is_some_and(|word| word == compile_plugin::NAME) {
        return compile_plugin::run();
    }
    if words.first().is_some_and(|word| word == make_training_set::NAME) {
        return make_training_set::run();
    }
    if let Some(command) = waiting(&words) {
        return Err(not_yet(&format!("weir {command}")));
    }
    let arguments = match CommandLine::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(error),
    };
    match &arguments.command {
        // The project's settings say how they log.
        Command::Run(_) | Command::Serve(_) => {}
        Command::Demo(_) => crate::log::start("error"),
        // What a plugin prints while it is tried is nobody's concern.
        Command::Plugin { command: plugin::PluginCommand::Check(_) } => crate::log::start("error"),
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
        Command::Train(arguments) => train::run(arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Pack { command } => pack::run(command),
        Command::Sink { command } => sink::run(&command),
        Command::Plugin { command } => plugin::run(command),
    }
}

/// The refusal of what is in the contract and not in this version.
pub(crate) fn not_yet(what: &str) -> Failure {
    Failure::user(format!("weir 0.1 does not have `{what}` yet"))
}

/// Help and version are no errors and go to stdout; the rest is the user's fault.
fn refuse(error: clap::Error) -> Result<(), Failure> {
    if !error.use_stderr() {
        return error.print().map_err(|error| Failure::external(format!("cannot write: {error}")));
    }
    Err(Failure::user(in_words(error)))
}

/// Options that people bring from other programs: of which command, and what it has instead.
const OPTIONS_ELSEWHERE: [(&str, &str, &str); 6] = [
    ("serve", "--address", LISTEN),
    ("serve", "--bind", LISTEN),
    ("serve", "--host", LISTEN),
    ("serve", "--port", LISTEN),
    ("sample", "--limit", "-n KEYS"),
    ("generate", "--output", "-o FILE"),
];
const LISTEN: &str = "--listen ADDRESS:PORT";

/// The parser's words; in place of its tip to pass an unknown option as a value, which is never meant, what the
/// command has instead.
fn in_words(mut error: clap::Error) -> String {
    let mut tips = match error.remove(ContextKind::Suggested) {
        Some(ContextValue::StyledStrs(tips)) => tips,
        _ => Vec::new(),
    };
    tips.retain(|tip| !tip.to_string().starts_with("to pass '"));
    tips.extend(instead(&error).map(|instead| StyledStr::from(format!("write {instead}"))));
    if !tips.is_empty() {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error.render().to_string().trim_end().to_owned()
}

/// What a command has in place of an option that it does not have.
fn instead(error: &clap::Error) -> Option<&'static str> {
    let given = error.get(ContextKind::InvalidArg)?.to_string();
    let usage = error.get(ContextKind::Usage)?.to_string();
    let command = usage.strip_prefix("Usage: weir ")?.split_whitespace().next()?;
    let is_it = |(of, option, _): &&(&str, &str, &str)| *of == command && *option == given;
    OPTIONS_ELSEWHERE.iter().find(is_it).map(|(.., instead)| *instead)
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
                let typed = example.split(['>', '|']).next().unwrap_or_default();
                let words = std::iter::once("weir").chain(typed.split_whitespace());
                if let Err(error) = CommandLine::try_parse_from(words) {
                    panic!("weir {example}: {error}");
                }
            }
        }
    }

    #[test]
    fn what_waits_takes_any_arguments_and_is_refused_by_name() {
        for (line, command) in [
            (&["apply", "dir", "--dry-run"][..], Some("apply")),
            (&["savepoint", "create", "--help"], Some("savepoint")),
            (&["help", "apply"], Some("apply")),
            (&["plugin", "list"], None),
            (&["run", "apply"], None),
            (&[], None),
        ] {
            let words: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(waiting(&words).as_deref(), command, "{line:?}");
        }
        assert!(format!("{:?}", not_yet("weir apply")).contains("does not have `weir apply` yet"));
    }

    #[test]
    fn nothing_leads_to_what_waits() {
        let known = |path: &[&str]| {
            let root = CommandLine::command();
            path.iter().try_fold(root, |above, name| above.find_subcommand(name).cloned()).is_some()
        };
        assert!(known(&["plugin", "push"]));
        for path in NOT_YET {
            assert!(!known(path), "{path:?}");
        }
        let said = in_words(CommandLine::try_parse_from(["weir", "aply"]).unwrap_err());
        assert!(!said.contains("apply"), "{said}");
    }

    #[test]
    fn an_option_that_a_command_does_not_have_is_told_by_what_it_has() {
        let said = |words: &[&str]| in_words(CommandLine::try_parse_from(words).unwrap_err());
        let port = said(&["weir", "serve", ".", "--port", "8081"]);
        assert!(port.contains("tip: write --listen ADDRESS:PORT") && !port.contains("-- --port"), "{port}");
        let other = said(&["weir", "check", ".", "--port=8081"]);
        assert!(!other.contains("tip") && other.contains("Usage: weir check"), "{other}");
        let few = said(&["weir", "sample", "job", "-n", "-1"]);
        assert!(few.contains("-1 is not in 1..") && !few.contains("tip"), "{few}");
        for (command, _, instead) in OPTIONS_ELSEWHERE {
            let command = CommandLine::command().find_subcommand(command).unwrap().clone();
            let name = instead.split(' ').next().unwrap().trim_start_matches('-').to_owned();
            let has = |option: &clap::Arg| {
                option.get_long() == Some(&name)
                    || option.get_short().map(String::from).as_ref() == Some(&name)
            };
            assert!(command.get_arguments().any(has), "{} {instead}", command.get_name());
        }
    }

    #[test]
    fn a_wrong_argument_is_the_users_fault() {
        let error = CommandLine::try_parse_from(["weir", "serv", "dir"]).unwrap_err();
        assert_eq!(refuse(error).unwrap_err().exit_code(), 1);
        let help = CommandLine::try_parse_from(["weir", "--help"]).unwrap_err();
        assert!(!help.use_stderr());
    }
}
