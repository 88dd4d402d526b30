//! `weir restart JOB`: one job of a running server anew.

use super::{print, print_json};
use crate::client::{Client, ServerArguments, encode};
use crate::failure::Failure;
use clap::Args;

/// Start one job of a running server anew, from its definition as it is now and its last commit
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir restart user_day\n  weir restart user_day --reset")]
pub(crate) struct Arguments {
    /// The job
    job: String,
    /// Drop its state: it begins at its source's start
    #[arg(long)]
    reset: bool,
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let job = &arguments.job;
    let path =
        format!("/v1/jobs/{}/restart{}", encode(job), if arguments.reset { "?reset=true" } else { "" });
    let answer = Client::new(&arguments.server)?.post(&path, "application/json", b"")?;
    if arguments.json {
        return print_json(&answer);
    }
    let from = if arguments.reset { "from its source's start" } else { "from its last commit" };
    print(&format!("job {job} was started anew {from}; `weir status` says how far it is"))
}
