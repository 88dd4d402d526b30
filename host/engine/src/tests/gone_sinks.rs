//! Sinks that an edit takes away: what is kept of them, and what is said of rows that nobody has seen.

use super::beside::{Beside, OnDisk, Trouble, rows};
use super::harness::plan;
use crate::{HiddenRows, Mode, hidden_rows};
use weir_plan::OnFull;
use weir_store::CheckpointStore;

/// What the state and the marks say to a definition with the shelf and these disks.
fn hidden(beside: &Beside, disks: &[&str]) -> Vec<HiddenRows> {
    let head = beside.world.store.head().unwrap().unwrap();
    let disks = disks.iter().map(|place| format!("disk {place}"));
    let sinks: Vec<String> = disks.chain(["shelf".to_owned()]).collect();
    hidden_rows(&plan(), &head, &beside.world.path().join("outbox"), &sinks).unwrap()
}

/// The sinks of which the state keeps a token though the job does not have them.
fn kept(beside: &Beside) -> Vec<String> {
    let head = beside.world.store.head().unwrap().unwrap();
    let gone = head.jobs["counts"].body["gone_sinks"].as_object().cloned();
    gone.unwrap_or_default().into_iter().map(|(identity, _)| identity).collect()
}

/// A job whose rows of ten windows are in a checkpoint.
fn at_a_checkpoint(disk: impl Fn(OnDisk) -> OnDisk, trouble: Trouble) -> Beside {
    let mut beside = Beside::new(trouble, OnFull::Pause);
    beside.disk = disk(beside.disk.clone());
    beside.world.others = vec![beside.disk.spec("disk", OnFull::Pause)];
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
    beside.checkpoint();
    beside
}

/// Runs the job until a checkpoint with these sinks.
fn with_sinks(beside: &mut Beside, disks: &[&OnDisk]) {
    let names = ["disk", "disk-2"];
    let specs = disks.iter().zip(names).map(|(disk, name)| disk.spec(name, OnFull::Pause));
    beside.world.others = specs.collect();
    beside.start(Mode::Live);
    beside.checkpoint();
    beside.stop();
}

#[test]
fn rows_that_a_sink_had_not_shown_are_told_of_when_it_goes_and_appear_when_it_is_put_back() {
    for is_killed in [true, false] {
        let mut beside = at_a_checkpoint(|disk| disk, Trouble::Commit);
        if is_killed {
            beside.kill()
        } else {
            beside.stop()
        }
        let told = hidden(&beside, &[]);
        let [HiddenRows { identity, rows: count }] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((identity.as_str(), *count > 0), ("disk a", true));
        assert!(hidden(&beside, &["a"]).is_empty(), "the next start shows them");

        let away = beside.disk.clone();
        let new = OnDisk::new(&beside.world, "b", Trouble::None);
        for _ in 0..2 {
            with_sinks(&mut beside, &[&new]);
            assert_eq!((hidden(&beside, &["b"]), kept(&beside)), (told.clone(), vec!["disk a".to_owned()]));
        }
        away.set(Trouble::None);
        with_sinks(&mut beside, &[&new, &away]);
        assert_eq!(away.visible(), rows(0..*count as i64));
        assert!(hidden(&beside, &["b"]).is_empty() && kept(&beside).is_empty());
    }
}

#[test]
fn nothing_is_said_or_kept_of_a_sink_that_has_shown_everything() {
    for is_killed in [true, false] {
        let mut beside = at_a_checkpoint(|disk| disk, Trouble::None);
        beside.eventually("it shows everything", |it| it.disk.visible() == rows(0..9));
        beside.checkpoint();
        if is_killed {
            beside.kill()
        } else {
            beside.stop()
        }
        assert!(hidden(&beside, &[]).is_empty());
        with_sinks(&mut beside, &[]);
        assert!(kept(&beside).is_empty());
    }
}

#[test]
fn a_sink_that_goes_on_may_have_left_something_unfinished_unless_it_was_stopped() {
    for is_killed in [true, false] {
        let mut beside = at_a_checkpoint(OnDisk::going_on, Trouble::None);
        beside.eventually("it shows everything", |it| it.disk.visible() == rows(0..9));
        beside.checkpoint();
        if is_killed {
            beside.kill()
        } else {
            beside.stop()
        }
        let told = hidden(&beside, &[]);
        assert_eq!(
            told.iter().map(|hidden| hidden.rows).collect::<Vec<_>>(),
            vec![0; usize::from(is_killed)]
        );
        assert!(told.iter().all(|hidden| hidden.to_string().contains("may not be visible")), "{told:?}");
        with_sinks(&mut beside, &[]);
        assert_eq!(kept(&beside), ["disk a"]);

        let disk = beside.disk.clone();
        with_sinks(&mut beside, &[&disk]);
        assert_eq!(disk.visible(), rows(0..9));
        assert!(hidden(&beside, &[]).is_empty() && kept(&beside).is_empty());
    }
}
