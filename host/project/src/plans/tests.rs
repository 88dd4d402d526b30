//! Whole projects as texts: what is planned, what is refused and why, and that planning stays with its caller.

use super::*;
use crate::AnyConnectors;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use weir_plan::{BuiltIns, ScalarFunction};

const STREAM: &str =
    "fields: {user_id: string, n: bigint, at: timestamp}\nevent_time: at\nsource: {http: {}}\n";

fn planned(texts: &[(&str, &str)], functions: &dyn JobCatalogs) -> Planned {
    plan(&texts.iter().copied().collect(), &|_: &str| None, &AnyConnectors, functions)
}

#[test]
fn a_job_is_planned_whatever_its_connectors_and_its_neighbours() {
    let planned = planned(
        &[
            ("streams/rides.yaml", STREAM),
            ("streams/broken.yaml", "fields: {at: timestamp}\n"),
            ("jobs/sound.yaml", "sinks: [lake: {table: t}]\n"),
            (
                "jobs/sound.sql",
                "SELECT user_id, SUM(n) AS n FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '1' DAY)",
            ),
            ("jobs/typing.yaml", "query: SELECT usr_id FROM rides\n"),
            ("jobs/of_job.yaml", "query: SELECT n FROM sound\n"),
            ("jobs/of_broken.yaml", "query: SELECT at FROM broken\n"),
        ],
        &BuiltIns,
    );
    let names: Vec<_> = planned.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names, ["sound"]);
    assert_eq!(planned.jobs[0].sinks[0].kind, "lake");
    let why = |name: &str| {
        let job = planned.refused.iter().find(|job| job.name == name);
        job.unwrap_or_else(|| panic!("{name}: {:?}", planned.refused)).reasons.join("; ")
    };
    assert!(why("typing").contains("jobs/typing.yaml:1:15: "), "{}", why("typing"));
    assert!(why("of_job").contains("`sound`"), "{}", why("of_job"));
    assert!(
        why("of_broken").starts_with("it reads the stream `broken`, which is refused; "),
        "{}",
        why("of_broken")
    );
    assert!(planned.errors().count() >= 3 && planned.refused.iter().all(|job| job.lacks.is_empty()));
}

#[test]
fn what_the_environment_put_into_a_query_is_not_shown() {
    let texts = [
        ("streams/rides.yaml", STREAM),
        (
            "jobs/wrong.yaml",
            "query: \"SELECT user_id FROM rides WHERE ${NAME} = 'a' AND n > 'x-${NAME}-y'\"\n",
        ),
        ("jobs/sound.yaml", "query: SELECT ${NAME} AS n FROM rides\n"),
    ];
    let environment = |name: &str| (name == "NAME").then(|| "n_of_mine_s3cret".to_owned());
    let planned = plan(&texts.into_iter().collect(), &environment, &AnyConnectors, &BuiltIns);
    assert_eq!(planned.refused.len(), 2, "{:?}", planned.diagnostics);
    let reasons = planned.refused.iter().flat_map(|job| job.reasons.clone());
    let told: Vec<String> = reasons.chain(planned.diagnostics.iter().map(ToString::to_string)).collect();
    assert!(told.iter().any(|line| line.contains("`${NAME}`")), "{told:?}");
    assert!(told.iter().all(|line| !line.contains("s3cret")), "{told:?}");
    assert!(!format!("{:?}", planned.diagnostics).contains("s3cret"));
}

#[test]
fn a_job_without_lookups_and_sinks_is_warned_of() {
    let remarks = |job: &str| {
        let planned = planned(&[("streams/rides.yaml", STREAM), ("jobs/j.yaml", job)], &BuiltIns);
        assert_eq!(planned.jobs.len(), 1, "{:?}", planned.diagnostics);
        planned.remarks().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = remarks("query: SELECT n FROM rides\n");
    assert!(said.len() == 1 && said[0].starts_with("jobs/j.yaml:1:1: warning: "), "{said:?}");
    assert!(said[0].contains("it does nothing"), "{said:?}");
    assert!(remarks("query: SELECT n FROM rides\nsinks: [lake: {table: t}]\n").is_empty());
}

#[test]
fn formats_are_judged_also_where_connectors_are_not() {
    let stream = format!("{STREAM}format: jsn\n");
    let planned = planned(&[("streams/rides.yaml", &stream)], &BuiltIns);
    let said: Vec<_> = planned.errors().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("did you mean `json`?"), "{said:?}");
}

/// Notes the thread that asks.
struct Asked(Mutex<Vec<ThreadId>>);

impl FunctionCatalog for Asked {
    fn scalar(&self, _job: &str, _name: &str) -> Option<Arc<dyn ScalarFunction>> {
        self.0.lock().unwrap().push(thread::current().id());
        None
    }
}

#[test]
fn a_job_that_lacks_a_function_says_which_and_planning_stays_on_its_caller_s_thread() {
    let asked = Asked(Mutex::default());
    let job = "query: SELECT distance_km(n, n), distance_km(n, 1), rank_of(n) FROM rides\n";
    let planned = planned(&[("streams/rides.yaml", STREAM), ("jobs/j.yaml", job)], &asked);
    assert_eq!(planned.refused[0].lacks.functions, ["distance_km", "rank_of"]);
    let threads = asked.0.into_inner().unwrap();
    assert!(!threads.is_empty() && threads.iter().all(|id| *id == thread::current().id()), "{threads:?}");
}

#[test]
fn a_single_feature_that_the_query_calls_otherwise_is_told_with_its_column() {
    let told = |value: &str, features: &str| {
        let query = format!(
            "query: SELECT user_id, {value} FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '1' DAY)\n"
        );
        let job = format!("{query}features: {{{features}}}\n");
        let planned = planned(&[("streams/rides.yaml", STREAM), ("jobs/j.yaml", &job)], &BuiltIns);
        assert_eq!(planned.jobs.len(), 1, "{:?}", planned.diagnostics);
        planned.remarks().map(ToString::to_string).collect::<Vec<_>>()
    };
    let said = told("SUM(n) AS total", "totl: {version: 2}");
    assert!(said.len() == 1 && said[0].starts_with("jobs/j.yaml:2:12: notice: "), "{said:?}");
    assert!(said[0].contains("`totl` is the query's `total`, its only value"), "{said:?}");
    assert!(told("SUM(n) AS total", "total: {version: 2}").is_empty());
    assert!(told("SUM(n)", "total: {version: 2}").is_empty(), "the query has no name for it");
}
