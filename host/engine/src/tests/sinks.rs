//! A sink that fails in every way beside one that does not: it fails alone, and gets each row once.

use super::beside::{Beside, OnDisk, Trouble, files_of_rows, rows};
use crate::status::SinkState;
use crate::{JobState, Mode};
use std::time::Duration;
use weir_event::{Clock, Fault};
use weir_plan::OnFull;

#[test]
fn a_sink_that_fails_in_any_way_fails_alone_and_then_gets_everything() {
    for trouble in [Trouble::Start, Trouble::Write, Trouble::Prepare, Trouble::Commit, Trouble::Hang] {
        let mut beside = Beside::new(Trouble::None, OnFull::Pause);
        if trouble == Trouble::Start {
            beside.disk.set(trouble);
        }
        beside.start(Mode::Live);
        beside.fed.feed(0..10);
        if trouble != Trouble::Start {
            beside.eventually("the first rows are there", |it| it.disk.visible() == rows(0..9));
            beside.disk.set(trouble);
        }
        beside.fed.feed(10..20);
        beside.eventually("the other sink goes on", |it| it.world.rows().len() == 19);
        beside.checkpoint();
        beside.eventually("it says so", |it| matches!(it.sink().state, SinkState::Retrying(_)));
        beside.fed.feed(20..30);
        beside.checkpoint();
        let events = beside.job().status().counts.events;
        assert!(events >= 20 && beside.looked_up(), "{trouble:?}: {events}");
        assert_eq!(beside.job().status().state, JobState::Running, "{trouble:?}");
        assert!(beside.disk.visible().len() < 19, "{trouble:?}");

        beside.disk.set(Trouble::None);
        beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..29));
        beside.eventually("it works", |it| it.sink().state == SinkState::Running);
        let status = beside.sink();
        assert_eq!((status.rows, status.waiting_rows, status.missed_rows), (29, 0, 0), "{trouble:?}");
        assert_eq!(beside.world.written().len(), 29, "{trouble:?}: the other one has each row once");
        assert_eq!(beside.job().status().counts.events, 30, "{trouble:?}: nothing was read twice");
        beside.stop();
    }
}

#[test]
fn a_process_that_ends_in_the_middle_of_the_trouble_loses_and_doubles_nothing() {
    for trouble in [Trouble::Start, Trouble::Write, Trouble::Prepare, Trouble::Commit, Trouble::Hang] {
        for is_killed in [true, false] {
            let mut beside = Beside::new(trouble, OnFull::Pause);
            beside.start(Mode::Live);
            beside.fed.feed(0..10);
            beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
            beside.checkpoint();
            beside.fed.feed(10..15);
            if is_killed {
                beside.kill()
            } else {
                beside.stop()
            }

            // Once more: what waits is handed from one process to the next.
            beside.start(Mode::Live);
            beside.fed.feed(15..20);
            beside.eventually("rows are made", |it| it.job().status().counts.results == 19);
            beside.checkpoint();
            if is_killed {
                beside.kill()
            } else {
                beside.stop()
            }

            beside.disk.set(Trouble::None);
            beside.start(Mode::Live);
            beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..19));
            beside.stop();
            let left = files_of_rows(&beside.world.path().join("outbox/counts/disk"));
            assert!(left.is_empty(), "{trouble:?}: files that nobody needs are removed: {left:?}");
        }
    }
}

#[test]
fn a_damaged_outbox_fails_its_sink_alone() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
    beside.checkpoint();
    beside.kill();
    for file in files_of_rows(&beside.world.path().join("outbox/counts/disk")) {
        std::fs::write(file, "no rows").unwrap();
    }
    beside.disk.set(Trouble::None);
    beside.start(Mode::Live);
    beside.fed.feed(10..20);
    beside.eventually("the other sink goes on", |it| it.world.rows().len() == 19);
    beside.eventually(
        "it says so",
        |it| matches!(&it.sink().state, SinkState::Failed(why) if why.contains("restore it")),
    );
    assert_eq!((beside.sink().next_try, beside.job().status().state), (None, JobState::Running));
    assert!(beside.disk.visible().is_empty(), "nothing comes before what is missing");
    beside.stop();
}

#[test]
fn a_full_outbox_pauses_the_job_which_can_be_stopped_and_goes_on_when_there_is_room() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.world.outbox_bytes = 2000;
    beside.start(Mode::Live);
    beside.fed.feed(0..50);
    beside.eventually("it is paused", |it| matches!(it.job().status().state, JobState::Paused(_)));
    assert!(beside.job().stands_still());
    let made = beside.job().status().counts.results;
    assert!(made < 40, "{made}");
    let shown = beside.world.rows().len();
    beside.checkpoint();
    beside.checkpoint();
    assert!(matches!(beside.job().status().state, JobState::Paused(_)), "checkpoints go on meanwhile");
    assert!(beside.looked_up());
    beside.eventually("the other sink has what was made", |it| {
        let made = it.job().status().counts.results;
        it.world.rows().len() as u64 == made
    });
    assert!(beside.world.rows().len() >= shown);
    beside.stop();

    beside.start(Mode::Live);
    beside.eventually("it is paused", |it| matches!(it.job().status().state, JobState::Paused(_)));
    let lag_ms = beside.job().lag_ms();
    assert!(lag_ms < 3_600_000, "it has just begun, however old the events are: {lag_ms}");
    beside.disk.set(Trouble::None);
    beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..49));
    assert_eq!(beside.job().status().state, JobState::Running);
    beside.stop();
}

#[test]
fn a_full_outbox_suspends_its_sink_which_gets_what_waits_when_it_is_resumed() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Suspend);
    beside.world.outbox_bytes = 2000;
    beside.start(Mode::Live);
    beside.fed.feed(0..50);
    beside.eventually("the other sink gets everything", |it| it.world.rows().len() == 49);
    let status = beside.sink();
    assert!(matches!(status.state, SinkState::Suspended(_)), "{status:?}");
    assert_eq!(status.missed_rows + status.waiting_rows, 49, "{status:?}");
    assert!(status.missed_rows > 0 && status.waiting_rows > 0, "{status:?}");
    beside.disk.set(Trouble::None);
    beside.checkpoint();
    assert!(beside.disk.visible().is_empty(), "it is not resumed by itself");

    assert_eq!(beside.job().resume_sink("disk"), Some(true));
    assert_eq!(beside.job().resume_sink("no"), None);
    let waiting = status.waiting_rows as i64;
    let wanted = || [rows(0..waiting), rows(49..59)].concat();
    beside.eventually("it gets what waits", |it| it.disk.visible() == rows(0..waiting));
    beside.fed.feed(50..60);
    beside.eventually("it gets what comes", |it| it.disk.visible() == wanted());
    beside.stop();
    beside.start(Mode::Live);
    beside.eventually("what it missed is not forgotten", |it| {
        let now = it.job().status().sink_counts.get("disk").map(|sink| sink.missed_rows);
        now == Some(status.missed_rows)
    });
    beside.stop();
}

#[test]
fn a_run_to_the_end_waits_for_a_sink_that_may_come_back() {
    let mut beside = Beside::new(Trouble::Commit, OnFull::Pause);
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    beside.eventually("the other sink has everything", |it| it.world.rows().len() == 10);
    beside.disk.set(Trouble::None);
    beside.outcome().1.unwrap();
    assert_eq!(beside.disk.visible(), rows(0..10));
}

#[test]
fn a_run_to_the_end_gives_a_sink_up_only_where_it_has_not_worked_for_long() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    beside.eventually("everything is read", |it| it.world.rows().len() == 10);
    let pass = |beside: &Beside, seconds: u64| {
        let until = beside.world.clock.monotonic() + Duration::from_secs(seconds);
        beside.eventually("time passes", |it| it.world.clock.monotonic() >= until);
    };
    // It writes, and then fails for another reason: neither takes two minutes.
    for trouble in [Trouble::Write, Trouble::Prepare] {
        beside.disk.set(trouble);
        pass(&beside, 100);
        assert!(matches!(beside.sink().state, SinkState::Retrying(_)), "{trouble:?}: {:?}", beside.sink());
    }
    pass(&beside, 60);
    assert!(matches!(beside.sink().state, SinkState::Failed(_)), "{:?}", beside.sink());
    let error = beside.outcome().1.unwrap_err();
    assert!(error.to_string().contains("sink `disk`"), "{error}");

    beside.disk.set(Trouble::None);
    beside.start(Mode::UntilEnd);
    beside.outcome().1.unwrap();
    assert_eq!(beside.disk.visible(), rows(0..10));
}

#[test]
fn a_run_to_the_end_ends_with_the_failure_of_a_sink_when_everything_else_is_written() {
    let mut beside = Beside::new(Trouble::Refused, OnFull::Pause);
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    let (job, outcome) = beside.outcome();
    let error = outcome.unwrap_err();
    assert_eq!(error.fault(), Fault::User);
    let said = error.to_string();
    assert!(said.contains("sink `disk`: the disk is not one; 10 rows wait for it"), "{said}");
    assert_eq!(beside.world.rows().len(), 10);
    assert!(matches!(job.status().sink_counts["disk"].state, SinkState::Failed(_)));

    // Nothing is read again, and yet nothing is missing.
    beside.disk.set(Trouble::None);
    beside.start(Mode::UntilEnd);
    let (job, outcome) = beside.outcome();
    outcome.unwrap();
    assert_eq!(beside.disk.visible(), rows(0..10));
    assert_eq!((beside.world.rows().len(), job.status().counts.events), (10, 10));
}

#[test]
fn a_run_to_the_end_names_every_sink_that_does_not_have_its_rows() {
    let mut beside = Beside::new(Trouble::Refused, OnFull::Pause);
    let away = OnDisk::new(&beside.world, "b", Trouble::Write);
    beside.world.others.push(away.spec("disk-2", OnFull::Pause));
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    let error = beside.outcome().1.unwrap_err();
    let said = error.to_string();
    assert_eq!(error.fault(), Fault::External, "{said}");
    for part in ["sink `disk`: the disk is not one; 10 rows wait", "sink `disk-2`: no Write; 10 rows wait"] {
        assert!(said.contains(part), "{said}");
    }
}
