//! What waits for a sink is bounded, belongs to that sink wherever it stands in the definition, and is kept until it is not
//! needed.

use super::beside::{Beside, OnDisk, Trouble, files_of_rows, rows};
use super::harness::World;
use crate::status::SinkState;
use crate::{JobState, Mode};
use std::cell::Cell;
use std::fs;
use weir_plan::OnFull;

/// Bytes of all files of rows in the outboxes of the job.
fn size(world: &World) -> u64 {
    let outboxes = fs::read_dir(world.path().join("outbox/counts")).into_iter().flatten().flatten();
    let files = outboxes.flat_map(|outbox| files_of_rows(&outbox.path()));
    files.map(|file| fs::metadata(file).map_or(0, |about| about.len())).sum()
}

#[test]
fn what_a_slow_sink_has_written_is_not_kept_and_not_written_again_after_a_crash() {
    const LIMIT: u64 = 32 << 10;
    const WINDOWS: i64 = 150;
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.world.outbox_bytes = LIMIT;
    beside.fed.feed(0..WINDOWS + 1);
    let most = Cell::new(0);
    for part in 1..=3 {
        beside.start(Mode::Live);
        if part == 1 {
            beside
                .eventually("it is far behind", |it| matches!(it.job().status().state, JobState::Paused(_)));
            beside.disk.set(Trouble::Slow);
        }
        let wanted = (WINDOWS * part / 3) as usize;
        beside.eventually("a third of the rows is visible", |it| {
            most.set(most.get().max(size(&it.world)));
            it.disk.visible().len() >= wanted
        });
        beside.kill();
    }
    assert_eq!(beside.disk.visible(), rows(0..WINDOWS));
    // As much again may have been taken since the last checkpoint.
    assert!(most.get() > LIMIT / 2 && most.get() < 4 * LIMIT, "{}", most.get());
    // A checkpoint comes every ten seconds, in which the sink takes two rows.
    let again = beside.disk.writes() - WINDOWS as usize;
    assert!(again <= 3 * 25, "{again} rows were written again");
}

/// What is done to a definition of two sinks, the first of which is away.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Swap,
    Before,
    RemoveOther,
    Settings,
}

#[test]
fn a_sink_keeps_its_name_and_what_waits_for_it_when_the_definition_is_edited() {
    for edit in [Edit::Swap, Edit::Before, Edit::RemoveOther, Edit::Settings] {
        let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
        let away = beside.disk.clone();
        let other = OnDisk::new(&beside.world, "b", Trouble::None);
        let new = OnDisk::new(&beside.world, "c", Trouble::None);
        beside.world.others.push(other.spec("disk-2", OnFull::Pause));
        beside.start(Mode::Live);
        beside.fed.feed(0..10);
        beside.eventually("the other is given everything", |_| other.visible() == rows(0..9));
        beside.checkpoint();
        beside.kill();

        let (pause, suspend) = (OnFull::Pause, OnFull::Suspend);
        beside.world.others = match edit {
            Edit::Swap => vec![other.spec("disk", pause), away.spec("disk-2", pause)],
            Edit::Before => {
                vec![new.spec("disk", pause), away.spec("disk-2", pause), other.spec("disk-3", pause)]
            }
            Edit::RemoveOther => vec![away.spec("disk", pause)],
            Edit::Settings => vec![away.spec("disk", suspend), other.spec("disk-2", pause)],
        };
        away.set(Trouble::None);
        beside.start(Mode::Live);
        beside.fed.feed(10..20);
        beside.eventually("it is given everything", |_| away.visible() == rows(0..19));
        let shown = |disk: &OnDisk, name: &str| {
            let rows = beside.job().status().sink_counts.get(name).map(|sink| sink.rows);
            (disk.visible().len() as u64, rows)
        };
        assert_eq!(shown(&away, "disk"), (19, Some(19)), "{edit:?}");
        if !matches!(edit, Edit::RemoveOther) {
            beside.eventually("the other has each row once", |_| other.visible() == rows(0..19));
            assert_eq!(shown(&other, "disk-2"), (19, Some(10)), "{edit:?}");
        }
        if matches!(edit, Edit::Before) {
            beside.eventually("a new one has what comes", |_| new.visible() == rows(9..19));
            assert_eq!(shown(&new, "disk-3"), (10, Some(10)));
        }
        beside.stop();
    }
}

#[test]
fn a_sink_that_writes_elsewhere_is_another() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
    beside.checkpoint();
    beside.stop();
    let new = OnDisk::new(&beside.world, "elsewhere", Trouble::None);
    beside.world.others = vec![new.spec("disk", OnFull::Pause)];
    beside.start(Mode::Live);
    beside.fed.feed(10..20);
    beside.eventually("it has what comes", |_| new.visible() == rows(9..19));
    let sink = beside.sink();
    assert_eq!((sink.rows, sink.missed_rows), (10, 9), "what waited for the first: {sink:?}");
    beside.checkpoint();
    beside.stop();
    assert_eq!(size(&beside.world), 0, "what waited for the first is gone");
}

#[test]
fn what_waits_for_a_sink_that_is_removed_stays_until_a_checkpoint_is_safe_without_it() {
    for is_another in [false, true] {
        let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
        let away = beside.disk.clone();
        beside.start(Mode::Live);
        beside.fed.feed(0..10);
        beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
        beside.checkpoint();
        beside.kill();

        // Another may take its name.
        let new = OnDisk::new(&beside.world, "elsewhere", Trouble::Write);
        beside.world.others = Vec::new();
        if is_another {
            beside.world.others.push(new.spec("disk", OnFull::Pause));
        }
        beside.start(Mode::Live);
        // No time passes, and so no checkpoint is made.
        let started = |it: &Beside| it.job().status().state == JobState::Running;
        let runtime = &beside.running.as_ref().unwrap().0;
        runtime.block_on(super::waiting::eventually("it runs", || started(&beside)));
        beside.kill();

        away.set(Trouble::None);
        beside.world.others = vec![away.spec("disk", OnFull::Pause)];
        beside.start(Mode::Live);
        beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..9));
        beside.stop();

        // With a checkpoint in between it is gone.
        beside.world.others = Vec::new();
        beside.start(Mode::Live);
        beside.checkpoint();
        beside.stop();
        assert!(!beside.world.path().join("outbox/counts/disk").exists());
    }
}

/// Puts a file where the folder of the job's outboxes is to be.
fn block(beside: &Beside) -> std::path::PathBuf {
    let outbox = beside.world.path().join("outbox");
    fs::create_dir_all(&outbox).unwrap();
    let blocked = outbox.join("counts");
    if blocked.exists() {
        fs::remove_dir_all(&blocked).unwrap();
    }
    fs::write(&blocked, "not a folder").unwrap();
    blocked
}

#[test]
fn a_disk_that_takes_no_rows_pauses_the_job_until_it_does() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    let blocked = block(&beside);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually(
        "the job is paused",
        |it| matches!(it.job().status().state, JobState::Paused(why) if why.contains("cannot be kept in")),
    );
    assert!(beside.looked_up());
    fs::remove_file(&blocked).unwrap();
    beside.eventually("it goes on", |it| it.job().status().state == JobState::Running);
    beside.fed.feed(10..20);
    beside.eventually("the other gets everything", |it| it.world.rows().len() == 19);
    beside.disk.set(Trouble::None);
    beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..19));
    assert_eq!(beside.job().status().counts.events, 20, "nothing was read twice");
    beside.stop();
}

#[test]
fn a_disk_that_takes_no_rows_does_not_keep_a_sink_that_is_well_again_from_its_rows() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    block(&beside);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    let is_paused = |it: &Beside| matches!(it.job().status().state, JobState::Paused(_));
    beside.eventually("the job is paused", is_paused);
    beside.disk.set(Trouble::None);
    beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..9));
    beside.eventually("it goes on", |it| it.job().status().state == JobState::Running);
    beside.stop();
}

#[test]
fn a_disk_that_takes_no_rows_suspends_a_sink_that_is_to_be() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Suspend);
    let blocked = block(&beside);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually(
        "it is suspended",
        |it| matches!(it.sink().state, SinkState::Suspended(why) if why.contains("cannot be kept in")),
    );
    beside.fed.feed(10..20);
    beside.eventually("the other gets everything", |it| it.world.rows().len() == 19);
    let sink = beside.sink();
    assert_eq!((sink.waiting_rows, sink.missed_rows), (0, 19), "{sink:?}");
    assert_eq!(beside.job().status().state, JobState::Running);

    fs::remove_file(&blocked).unwrap();
    beside.disk.set(Trouble::None);
    assert_eq!(beside.job().resume_sink("disk"), Some(true));
    beside.fed.feed(20..30);
    beside.eventually("it gets what comes", |it| it.disk.visible() == rows(19..29));
    beside.stop();
}

#[test]
fn a_sink_that_is_tried_again_says_since_when_and_how_often() {
    let mut beside = Beside::new(Trouble::Refused, OnFull::Pause);
    beside.start(Mode::Live);
    beside.eventually("it was tried again", |it| it.sink().attempts >= 3);
    let sink = beside.sink();
    assert!(matches!(&sink.state, SinkState::Retrying(why) if why == "the disk is not one"), "{sink:?}");
    let since = sink.since.unwrap();
    assert!(sink.next_try.is_some() && sink.errors >= 3, "{sink:?}");
    beside.eventually("it goes on failing", |it| it.sink().attempts >= 5);
    assert_eq!(beside.sink().since, Some(since));
    beside.disk.set(Trouble::None);
    beside.fed.feed(0..10);
    beside.eventually("it works", |it| it.sink().state == SinkState::Running);
    let sink = beside.sink();
    assert_eq!((sink.since, sink.attempts, sink.next_try), (None, 0, None));
    beside.stop();
}
