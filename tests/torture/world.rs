//! Rows that are posted, and what has to become of each that was acknowledged: it counts once, its result is written once,
//! and where that fails there is a dead letter.

#![allow(clippy::disallowed_methods, reason = "a sender that is refused waits a little")]

use crate::harness::{Project, Server};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const USERS: u64 = 5;
const BATCH: u64 = 40;
/// 2026-01-01.
const BASE: u64 = 1_767_225_600_000;
/// Rows of numbers that this divides cannot be used: they are dead letters, and do not count.
const FAILING: u64 = 97;

/// What was sent so far.
#[derive(Debug, Default, Clone)]
pub(super) struct World {
    next: Arc<AtomicU64>,
    acknowledged: BTreeSet<u64>,
    /// Sent without an answer: they may count or not.
    unsure: BTreeSet<u64>,
}

/// Those who post.
pub(super) struct Senders(Vec<JoinHandle<(BTreeSet<u64>, BTreeSet<u64>)>>);

pub(super) const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 30ms}\n";

pub(super) fn project() -> Project {
    let project = Project::new();
    project.file(
        "streams/rides.yaml",
        "fields: {user_id: string, n: bigint, t: timestamp}\nevent_time: t\ndisorder: 10m\nsource: {http: {}}\n",
    );
    project.file(
        "jobs/rows.yaml",
        &format!(
            "query: |\n  SELECT user_id, n, COUNT(*) OVER w AS c, SUM(n) OVER w AS s, 10 / (n % {FAILING}) AS q FROM rides WINDOW w AS \
             (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '3650' DAY PRECEDING)\nsinks: [{{file: {{path: out}}}}]\n"
        ),
    );
    project
}

impl World {
    /// Two senders that post until nobody answers.
    pub(super) fn post_to(&self, server: &Server) -> Senders {
        let send = || {
            let (url, next) = (format!("{}/v1/streams/rides/events", server.url()), self.next.clone());
            std::thread::spawn(move || post(&url, &next))
        };
        Senders(vec![send(), send()])
    }

    pub(super) fn learn(&mut self, senders: Senders) {
        for sender in senders.0 {
            let (acknowledged, unsure) = sender.join().expect("a sender ends");
            self.acknowledged.extend(acknowledged);
            self.unsure.extend(unsure);
        }
    }

    /// Reads everything to its end, and looks at what was written, served and put aside.
    #[track_caller]
    pub(super) fn check(&self, project: &Project) {
        project.run(&[]);
        let found = self.written(project).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.check_letters(project);
        check_served(project, &found);
    }

    /// The numbers of the rows that have results, or what is wrong with these.
    pub(super) fn written(&self, project: &Project) -> Result<BTreeSet<u64>, String> {
        let mut rows: Vec<(u64, Value)> = Vec::new();
        for row in project.rows("out") {
            rows.push((row["n"].as_u64().ok_or("a row without a number")?, row));
        }
        rows.sort_by_key(|(n, _)| *n);
        let (mut found, mut totals) = (BTreeSet::new(), [(0, 0); USERS as usize]);
        for (n, row) in &rows {
            let (count, sum) = &mut totals[(n % USERS) as usize];
            (*count, *sum) = (*count + 1, *sum + n);
            if !found.insert(*n) {
                return Err(format!("the result of {n} is written twice"));
            }
            let is_right = row["c"] == *count && row["s"] == *sum;
            if !is_right {
                return Err(format!("it should be the {count}th, with the sum {sum}: {row}"));
            }
        }
        let lost = self.acknowledged.difference(&found).filter(|n| *n % FAILING > 0);
        let lost: Vec<&u64> = lost.take(5).collect();
        if !lost.is_empty() {
            return Err(format!("acknowledged, and not there: {lost:?} of {}", self.acknowledged.len()));
        }
        match found.iter().find(|n| !self.acknowledged.contains(n) && !self.unsure.contains(n)) {
            Some(n) => Err(format!("nobody sent {n}")),
            None => Ok(found),
        }
    }

    /// Each row that cannot be used has a dead letter.
    #[track_caller]
    fn check_letters(&self, project: &Project) {
        let letters = std::fs::read_to_string(project.path().join(".weir/dead_letters/rides.jsonl"));
        let letters = letters.unwrap_or_default();
        let number = |letter: &str| {
            let letter: Value = serde_json::from_str(letter).ok()?;
            let payload: Value = serde_json::from_str(letter["payload"].as_str()?).ok()?;
            payload["n"].as_u64()
        };
        let told: BTreeSet<u64> = letters.lines().filter_map(number).collect();
        let missing = self.acknowledged.iter().find(|n| *n % FAILING == 0 && !told.contains(n));
        assert_eq!(missing, None, "it has no dead letter: {letters:.600}");
    }
}

#[track_caller]
fn check_served(project: &Project, found: &BTreeSet<u64>) {
    let server = Server::start(project, SETTINGS);
    server.wait_ready();
    for user in 0..USERS {
        let rows = found.iter().filter(|n| **n % USERS == user).count();
        let (_, answer) = server.get(&format!("/v1/jobs/rows/values?user_id=u{user}"));
        assert_eq!(answer["features"]["c"]["value"], rows, "{answer}");
    }
    assert!(server.terminate().success());
}

fn post(url: &str, next: &AtomicU64) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build();
    let agent: ureq::Agent = config.into();
    let (mut acknowledged, mut unsure) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        let line =
            |n: u64| format!("{{\"user_id\":\"u{}\",\"n\":{n},\"t\":{}}}\n", n % USERS, BASE + n * 1000);
        let body: String = (first..first + BATCH).map(line).collect();
        match agent.post(url).send(body.as_bytes()) {
            Ok(answer) if answer.status().as_u16() == 200 => acknowledged.extend(first..first + BATCH),
            // Refused, as the disk fails: it may be there all the same, and the sender goes on.
            Ok(_) => {
                unsure.extend(first..first + BATCH);
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => {
                unsure.extend(first..first + BATCH);
                return (acknowledged, unsure);
            }
        }
    }
}
