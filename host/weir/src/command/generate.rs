//! `weir generate rides`: the benchmark's events as a file.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::fs::File;
use std::path::PathBuf;
use weir_connectors::generator::{Users, write_rides};

/// Write made-up events to a file, the same ones for the same numbers
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weir generate rides --events 1000000 --days 30 --seed 7 -o data/rides.jsonl"
)]
pub(crate) struct GenerateArguments {
    /// What happens in them
    kind: GeneratorKind,
    /// How many
    #[arg(long)]
    events: u64,
    /// The time that they span, in days
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,
    /// The same seed makes the same events
    #[arg(long)]
    seed: u64,
    /// What `user_id` is: numbers, or text such as "u42"
    #[arg(long, default_value = "numbers")]
    users: UserKind,
    /// The file, JSON Lines; one that is there is replaced
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UserKind {
    Numbers,
    Text,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GeneratorKind {
    /// Ride-share actions: 100,000 users, 2,000 places, a tenth of the events out of order
    Rides,
}

pub(super) fn run(arguments: &GenerateArguments) -> Result<(), Failure> {
    let shown = arguments.output.display();
    let folder = arguments.output.parent().map_or(Ok(()), std::fs::create_dir_all);
    let file = folder
        .and_then(|()| File::create(&arguments.output))
        .map_err(|error| Failure::user(format!("cannot make {shown}: {error}")))?;
    let GeneratorKind::Rides = arguments.kind;
    let users = match arguments.users {
        UserKind::Numbers => Users::Numbers,
        UserKind::Text => Users::Text,
    };
    write_rides(arguments.events, arguments.days, arguments.seed, users, file)
        .map_err(|error| Failure::external(format!("cannot write {shown}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_lines_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data/rides.jsonl");
        let arguments = |output| GenerateArguments {
            kind: GeneratorKind::Rides,
            events: 1000,
            days: 1,
            seed: 7,
            users: UserKind::Numbers,
            output,
        };
        run(&arguments(output.clone())).unwrap();
        assert_eq!(std::fs::read_to_string(output).unwrap().lines().count(), 1000);
        let failure = run(&arguments(folder.path().join("data/rides.jsonl/more.jsonl"))).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
    }
}
