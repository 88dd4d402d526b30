//! Training that is killed and typed again: it goes on where it was, to the bytes of a run that nobody disturbed, whatever
//! it was doing; what was done is not done again; and where anything is not what it was, it begins anew and says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a run is let be for a moment before it is killed")]

use crate::harness::{Project, wait_for};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::Clock;

const BASE: i64 = 1_770_000_000_000;
const USERS: u64 = 500;
/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

const STREAMS: [(&str, &str); 2] = [
    (
        "rides",
        "fields: {id: bigint, user_id: string, n: bigint, fare: double, at: timestamp, known: timestamp}\nevent_time: at\n\
         known_time: known\nevent_id: id\ndedup_for: 1h\ndisorder: 3s\nidle_after: 5s\nsource: {file: {path: 'rides/*.jsonl', \
         partitions: files}}\n",
    ),
    (
        "users",
        "fields: {who: string, level: bigint, at: timestamp}\nevent_time: at\ndisorder: 1s\nidle_after: 10s\nformat: csv\nsource: {file: \
         {path: users.csv}}\n",
    ),
];

const JOBS: [(&str, &str); 6] = [
    (
        "over",
        "query: |\n  SELECT user_id, COUNT(*) OVER w AS c, SUM(fare) OVER w AS s, LAST_VALUE(n) OVER w AS l FROM rides\n  WINDOW w \
         AS (PARTITION BY user_id ORDER BY at RANGE INTERVAL '10' MINUTE PRECEDING)\nlate: {allow: 5s}\n",
    ),
    (
        "five",
        "query: SELECT user_id, COUNT(*) AS c, COUNT(DISTINCT n) AS d FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '5' \
         MINUTE)\nlate: {allow: 5s}\n",
    ),
    (
        "session",
        "query: SELECT user_id, COUNT(*) AS c, MAX(fare) AS m FROM rides GROUP BY user_id, SESSION(at, INTERVAL '1' MINUTE)\n",
    ),
    (
        "life",
        "query: SELECT user_id, COUNT(*) AS c, AVG(fare) AS a FROM rides GROUP BY user_id\nemit: {on: change}\n",
    ),
    (
        "both",
        "query: |\n  SELECT user_id, SUM(x) OVER w AS s, COUNT(*) OVER w AS c\n  FROM (SELECT user_id, n AS x, rowtime FROM rides UNION \
         ALL SELECT who AS user_id, level AS x, rowtime FROM users)\n  WINDOW w AS (PARTITION BY user_id ORDER BY rowtime RANGE \
         INTERVAL '10' MINUTE PRECEDING)\nlate: {allow: 5s}\n",
    ),
    (
        "label",
        "query: |\n  SELECT user_id, COUNT(*) OVER w AS c FROM rides\n  WINDOW w AS (PARTITION BY user_id ORDER BY at RANGE BETWEEN \
         CURRENT ROW AND INTERVAL '2' MINUTE FOLLOWING)\n",
    ),
];

/// Dice.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides as u64) as i64
    }
}

/// So many rides in each of three files, out of order, late, repeated and without user, with breaks in which a file is
/// silent; and rows of a spine all over them.
fn world(rides: i64, asked: i64) -> Project {
    let (project, mut dice) = (Project::new(), Dice(7));
    for (name, text) in STREAMS {
        project.file(&format!("streams/{name}.yaml"), text);
    }
    for (name, text) in JOBS {
        project.file(&format!("jobs/{name}.yaml"), text);
    }
    let step = 7_200_000 / rides;
    for file in 0..3 {
        let (mut lines, mut clock) = (String::new(), BASE);
        for number in 0..rides {
            clock += dice.roll(2 * step) + if dice.roll(rides / 4) == 0 { 60_000 } else { 0 };
            let behind = if dice.roll(50) == 0 { dice.roll(20_000) } else { dice.roll(3000) };
            let id = file * rides + number - if dice.roll(20) == 0 { dice.roll(100) } else { 0 };
            let user = (dice.roll(50) > 0).then(|| format!("u{}", dice.roll(USERS as i64)));
            let known = (dice.roll(30) > 0).then_some(clock);
            let fare = dice.roll(400) as f64 / 4.0;
            let ride = json!({"id": id, "user_id": user, "n": dice.roll(9), "fare": fare, "at": clock - behind, "known": known});
            writeln!(lines, "{ride}").unwrap();
        }
        project.file(&format!("rides/{file}.jsonl"), &lines);
    }
    let mut users = String::from("who,level,at\n");
    for number in 0..rides / 4 {
        let at = BASE + number * 4 * step;
        writeln!(users, "u{},{},{at}", dice.roll(USERS as i64), dice.roll(5)).unwrap();
    }
    project.file("users.csv", &users);
    project.file("spine.jsonl", &spine(&mut dice, asked));
    project
}

fn spine(dice: &mut Dice, asked: i64) -> String {
    let row = |number| {
        let (user, at) = (dice.roll(USERS as i64 + 5), BASE - 60_000 + dice.roll(7_200_000));
        format!("{}\n", json!({"user_id": format!("u{user}"), "event_time": at, "number": number}))
    };
    (0..asked).map(row).collect()
}

/// All features by a rule, into this file.
fn command(project: &Project, rule: &str, output: &str) -> std::process::Command {
    let path = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let features = JOBS.map(|(name, _)| name).join(",");
    let arguments =
        ["--spine", &path("spine.jsonl"), "--features", &features, "--as-of", rule, "--status", "-o"];
    let mut command =
        project.command("train", &[&arguments[..], &[&path(output), "--keep-every", "20ms"]].concat());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(project: &Project, rule: &str) -> Child {
    command(project, rule, "out.jsonl").spawn().unwrap()
}

/// The file and what stands beside it, of a run that gets to its end, and what that said.
#[track_caller]
fn whole(project: &Project, output: &str, ended: Output) -> ([Vec<u8>; 2], String) {
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    let path = project.path().join(output);
    let beside = project.path().join(format!("{output}.meta.json"));
    let found = [&path, &beside].map(|path| std::fs::read(path).unwrap());
    [path, beside].iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(!project.path().join(format!(".weir-train-{output}")).exists());
    (found, said)
}

/// What a run makes that nobody disturbs.
#[track_caller]
fn undisturbed(project: &Project, rule: &str) -> [Vec<u8>; 2] {
    let ended = command(project, rule, "undisturbed.jsonl").output().unwrap();
    whole(project, "undisturbed.jsonl", ended).0
}

/// Whether what was made is that.
#[track_caller]
fn assert_same(found: &[Vec<u8>; 2], expected: &[Vec<u8>; 2], what: &str) {
    assert!(expected[0].len() > 1000);
    for (found, expected) in found.iter().zip(expected) {
        let lines =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
        let (found, expected) = (lines(found), lines(expected));
        let differ = found.iter().zip(&expected).position(|(one, other)| one != other);
        let differ = differ.map(|line| (line, &found[line], &expected[line]));
        assert!(found == expected, "{what}: {} and {} lines, {differ:?}", found.len(), expected.len());
    }
}

fn kept(project: &Project) -> PathBuf {
    project.path().join(".weir-train-out.jsonl/jobs")
}

/// The files that jobs have kept.
fn kept_files(project: &Project) -> Vec<PathBuf> {
    let entries =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let jobs = entries(&kept(project)).collect::<Vec<_>>();
    jobs.iter().flat_map(|job| entries(job)).collect()
}

/// Waits until a job that is being asked has kept how far it is.
#[track_caller]
fn wait_for_checkpoint(project: &Project, run: &mut Child) {
    let has = |path: &PathBuf, name: &str| path.file_name().unwrap().to_string_lossy().starts_with(name);
    wait_for("a checkpoint", SOON, || {
        let files = kept_files(project);
        let mut marks = files.iter().filter(|path| has(path, "mark"));
        // Timelines stand there before they are relied on.
        let is_kept = marks
            .any(|mark| files.iter().any(|path| has(path, "timelines-") && path.parent() == mark.parent()));
        assert!(is_kept || run.try_wait().unwrap().is_none(), "it was at its end before");
        is_kept.then_some(())
    });
}

/// A run that is killed when a job has kept something of its history.
#[track_caller]
fn killed(project: &Project, rule: &str) {
    let mut run = start(project, rule);
    wait_for_checkpoint(project, &mut run);
    run.kill().unwrap();
    run.wait().unwrap();
}

/// The events behind which jobs went on, as a run has said.
fn went_on(said: &str) -> Vec<u64> {
    let lines = said.lines().filter(|line| line.contains("goes on where an earlier run was ended"));
    let events = |line: &str| {
        let number = line.split_once("events=")?.1;
        number.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    };
    lines.filter_map(events).collect()
}

/// Kills runs at any moments until one gets to its end, again and again.
fn check(rule: &str) {
    const KILLS: usize = 12;
    let (project, clock) = (world(12_000, 1500), SystemClock::new());
    let began = clock.monotonic();
    let expected = undisturbed(&project, rule);
    let takes = clock.monotonic().saturating_sub(began).as_millis() as i64;
    let (mut dice, mut kills, mut rounds) = (Dice(takes as u64), 0, 0);
    let (mut behind, mut done, mut ended) = (Vec::new(), 0, 0);
    while kills < KILLS {
        rounds += 1;
        assert!(rounds <= 3 * KILLS, "{kills} kills of runs that take {takes} ms");
        loop {
            let mut run = start(&project, rule);
            let killed_at = clock.monotonic() + Duration::from_millis((takes / 10 + dice.roll(takes)) as u64);
            while run.try_wait().unwrap().is_none() && clock.monotonic() < killed_at {
                std::thread::sleep(Duration::from_millis(2));
            }
            // One that has ended is not there any more.
            let _ = run.kill();
            let output = run.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("begins anew"), "{said}");
            behind.extend(went_on(&said));
            done += said.matches("nothing is read again").count();
            if output.status.code().is_some() {
                let (found, said) = whole(&project, "out.jsonl", output);
                assert_same(&found, &expected, &format!("{rule}, after {kills} kills\n{said}"));
                ended += 1;
                break;
            }
            kills += 1;
        }
    }
    let far = behind.iter().filter(|events| **events > 5000).count();
    assert!(far > 3 && done > 3 && ended > 0, "{kills} kills, {done} were done, {behind:?}");
}

#[test]
fn killed_at_any_moments_it_is_what_it_had_been_by_what_was_known() {
    check("known");
}

#[test]
fn killed_at_any_moments_it_is_what_it_had_been_by_what_had_happened() {
    check("event");
}

#[test]
fn what_is_not_what_it_was_has_it_begin_anew_and_say_so() {
    let project = world(12_000, 2000);
    let again = |what: &str| {
        let expected = undisturbed(&project, "known");
        let (found, said) =
            whole(&project, "out.jsonl", start(&project, "known").wait_with_output().unwrap());
        assert_same(&found, &expected, &format!("{what}\n{said}"));
        said
    };
    killed(&project, "known");
    project.file("spine.jsonl", &spine(&mut Dice(8), 3000));
    let said = again("another spine");
    assert!(said.contains("of another request is removed") && went_on(&said).is_empty(), "{said}");

    killed(&project, "known");
    let (name, text) = JOBS[0];
    project.file(&format!("jobs/{name}.yaml"), &text.replace("'10' MINUTE", "'9' MINUTE"));
    let said = again("another definition");
    assert!(said.contains("of another request is removed") && went_on(&said).is_empty(), "{said}");

    killed(&project, "known");
    let path = project.path().join("rides/1.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.lines().skip(10).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let said = again("a shorter file");
    assert!(
        said.contains("begins anew") && said.contains("of stream `rides` was written to or replaced"),
        "{said}"
    );
    assert!(went_on(&said).is_empty(), "{said}");

    killed(&project, "known");
    std::fs::remove_file(&path).unwrap();
    let said = again("a file less");
    assert!(said.contains("begins anew") && said.contains("of stream `rides` is gone"), "{said}");

    killed(&project, "known");
    let said = again("nothing");
    assert!(!said.contains("begins anew") && !went_on(&said).is_empty(), "{said}");
}

#[test]
fn whatever_a_checkpoint_was_damaged_by_it_begins_anew() {
    let project = world(12_000, 1500);
    let expected = undisturbed(&project, "known");
    let mut dice = Dice(9);
    for round in 0..6 {
        killed(&project, "known");
        let mut files = kept_files(&project);
        files.sort_unstable();
        // All of one kind, and each at another place.
        let kinds = ["mark", "timelines-", "history-", "mark", "timelines-", "history-"];
        files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with(kinds[round]));
        // One that was about to be written when it was killed is nobody's yet.
        files.retain(|path| std::fs::metadata(path).unwrap().len() > 0);
        assert!(!files.is_empty());
        for path in files {
            let mut content = std::fs::read(&path).unwrap();
            let at = dice.roll(content.len() as i64) as usize;
            if round < 3 {
                content[at] ^= 1 << dice.roll(8);
            } else {
                content.truncate(at);
            }
            std::fs::write(&path, content).unwrap();
        }
        let (found, said) =
            whole(&project, "out.jsonl", start(&project, "known").wait_with_output().unwrap());
        assert_same(&found, &expected, &format!("round {round}\n{said}"));
        assert!(said.contains("begins anew") && said.contains("is damaged"), "round {round}: {said}");
        assert!(!said.contains("nothing is read again") || round % 3 > 0, "{said}");
    }
}

#[test]
fn two_at_once_do_not_meet_and_one_that_is_stopped_goes_on() {
    let project = world(12_000, 1500);
    let expected = undisturbed(&project, "known");
    let mut first = start(&project, "known");
    wait_for_checkpoint(&project, &mut first);
    let second = start(&project, "known").wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another `weir train` writes it now; wait for that"), "{said}");
    let (found, said) = whole(&project, "out.jsonl", first.wait_with_output().unwrap());
    assert_same(&found, &expected, &said);

    let mut stopped = start(&project, "known");
    wait_for_checkpoint(&project, &mut stopped);
    let asked = std::process::Command::new("kill").arg(stopped.id().to_string()).status().unwrap();
    assert!(asked.success());
    let output = stopped.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("type the same again to go on from here"), "{said}");
    assert!(!kept_files(&project).is_empty());
    let (found, said) = whole(&project, "out.jsonl", start(&project, "known").wait_with_output().unwrap());
    assert_same(&found, &expected, &said);
    assert!(!went_on(&said).is_empty() || said.contains("nothing is read again"), "{said}");
}
