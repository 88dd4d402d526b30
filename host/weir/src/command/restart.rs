//! `weir restart JOB`: one job of a running server anew.

use super::{print, print_json};
use crate::client::{Client, ServerArguments, encode};
use crate::failure::Failure;
use clap::Args;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

/// Start one job of a running server anew, from its definition as it is now and its last commit
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir restart user_day\n  weir restart user_day --reset\n  weir restart user_day --upgrade"
)]
pub(crate) struct RestartArguments {
    /// The job
    job: String,
    /// Drop its state: it begins at its source's start; its sinks keep the rows that they have and get its results
    /// again
    #[arg(long)]
    reset: bool,
    /// Change to the active versions of plugins also where others have made its state: what these have made begins anew,
    /// filled from the archive of its stream if there is one
    #[arg(long, conflicts_with = "reset")]
    upgrade: bool,
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: &RestartArguments) -> Result<(), Failure> {
    let job = &arguments.job;
    let how = match (arguments.reset, arguments.upgrade) {
        (true, _) => "?reset=true",
        (false, true) => "?upgrade=true",
        (false, false) => "",
    };
    let path = format!("/v1/jobs/{}/restart{how}", encode(job));
    let answer = Client::new(&arguments.server)?.post(&path, "application/json", b"")?;
    if arguments.json {
        return print_json(&answer);
    }
    print(&shown(job, arguments.reset, &answer))
}

fn shown(job: &str, reset: bool, answer: &Value) -> String {
    if answer.get("filling").is_some() {
        return format!(
            "job {job} goes on as it was: what its definition has now lacks some of the past, is made beside it and takes \
             its place when it has that; `weir status` says how far it is"
        );
    }
    let from = if reset { "from its source's start" } else { "from its last commit" };
    let started = format!("job {job} was started anew {from}; `weir status` says how far it is");
    let sinks = answer.get("sinks").and_then(JsonContainerTrait::as_array).map_or(&[][..], |list| &**list);
    let sinks: Vec<String> =
        sinks.iter().filter_map(|sink| sink.as_str().map(|name| format!("`{name}`"))).collect();
    if !reset || sinks.is_empty() {
        return started;
    }
    let (noun, keep) = if sinks.len() == 1 { ("sink", "keeps") } else { ("sinks", "keep") };
    format!(
        "{started}\nits {noun} {} {keep} the rows that were written before, and its results are written again beside \
         them: take the older ones away where they are not wanted",
        sinks.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonic_rs::json;

    #[test]
    fn a_job_that_is_filled_first_is_not_said_to_have_been_started() {
        let answer = json!({"sinks": ["file"], "filling": {"state": "starting"}});
        assert!(shown("j", false, &answer).starts_with("job j goes on as it was"));
    }

    #[test]
    fn a_reset_says_that_sinks_get_the_results_again() {
        let answer = json!({"sinks": ["file"]});
        assert!(
            shown("j", true, &answer).contains("its sink `file` keeps the rows"),
            "{}",
            shown("j", true, &answer)
        );
        for (reset, answer) in [(false, answer), (true, json!({"sinks": []})), (true, json!({}))] {
            assert_eq!(shown("j", reset, &answer).lines().count(), 1, "{answer}");
        }
    }
}
