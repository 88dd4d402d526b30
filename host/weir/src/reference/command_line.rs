//! Commands and options, as the command line's parser has them.

use super::{code, table};
use crate::command::CommandLine;
use clap::{Arg, Command, CommandFactory};

pub(super) fn part() -> String {
    let line = CommandLine::command();
    let about = line.get_long_about().map(ToString::to_string).unwrap_or_default();
    let exits = about.split("\n\n").skip(1).collect::<Vec<_>>().join("\n\n");
    format!("## Command line\n\n{exits}\n{}", commands("weir", &line))
}

fn commands(above: &str, command: &Command) -> String {
    let shown = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    shown.fold(String::new(), |part, below| {
        let name = format!("{above} {}", below.get_name());
        if below.has_subcommands() { part + &commands(&name, below) } else { part + &one(&name, below) }
    })
}

fn one(name: &str, command: &Command) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let examples: Vec<&str> = examples.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let shown = |arg: &&Arg| !arg.is_hide_set() && arg.get_id() != "help";
    let rows = command.get_arguments().filter(shown).map(row);
    format!(
        "\n### `{name}`\n\n{about}.\n\n```\n{}\n```\n\n{}",
        examples.join("\n"),
        table(&["argument", "default", "environment", "meaning"], rows)
    )
}

fn row(arg: &Arg) -> Vec<String> {
    let takes = arg.get_action().takes_values();
    let values: Vec<String> = arg.get_value_names().into_iter().flatten().map(ToString::to_string).collect();
    let typed = match (arg.get_long(), arg.get_short()) {
        (Some(long), _) if !takes => format!("--{long}"),
        (Some(long), None) => format!("--{long} {}", values.join(" ")),
        (Some(long), Some(short)) => format!("-{short}, --{long} {}", values.join(" ")),
        (None, Some(short)) => format!("-{short} {}", values.join(" ")).trim_end().to_owned(),
        (None, None) => values.join(" "),
    };
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = if arg.is_required_set() {
        "required".to_owned()
    } else if takes {
        code(&defaults.join(" "))
    } else {
        String::new()
    };
    let environment = arg.get_env().map(|name| code(&name.to_string_lossy())).unwrap_or_default();
    let mut meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let choices = arg.get_possible_values();
    if takes && !choices.is_empty() {
        let choice = |value: &clap::builder::PossibleValue| match value.get_help() {
            Some(help) => format!("`{}` ({help})", value.get_name()),
            None => format!("`{}`", value.get_name()),
        };
        meaning += &format!(": {}", choices.iter().map(choice).collect::<Vec<_>>().join(", "));
    }
    vec![code(&typed), default, environment, meaning]
}
