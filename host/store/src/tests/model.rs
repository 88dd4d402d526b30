//! Random sequences of writes, commits, compactions and restarts, against maps in memory.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Write a segment for a job; `None` deletes the key.
    Write(usize, BTreeMap<u8, Option<u16>>),
    /// Commit the jobs of which the bit is set.
    Commit(u8),
    Compact(usize),
    Forget(usize),
    /// Drop the store and open it again: what was not committed is lost.
    Restart,
}

const JOBS: [&str; 2] = ["first", "second"];

/// Keys below are expired for compaction, so that they may be there or not.
const FLOOR: u8 = 3;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop::option::weighted(0.7, 0_u16..6000);
    let write = (0..JOBS.len(), prop::collection::btree_map(0_u8..40, value, 0..12));
    let step = prop_oneof![
        8 => write.prop_map(|(job, entries)| Step::Write(job, entries)),
        4 => (0_u8..4).prop_map(Step::Commit),
        3 => (0..JOBS.len()).prop_map(Step::Compact),
        1 => (0..JOBS.len()).prop_map(Step::Forget),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// One job: what a reader should find, and the segments that say so.
#[derive(Clone, Default)]
struct Job {
    segments: Vec<SegmentRef>,
    content: BTreeMap<u8, u16>,
}

struct Run {
    folder: tempfile::TempDir,
    store: Option<SledStore>,
    working: [Job; 2],
    committed: [Option<Job>; 2],
    epoch: u64,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Some(open(folder.path()));
        Run { folder, store, working: Default::default(), committed: [None, None], epoch: 0 }
    }

    fn store(&self) -> &SledStore {
        self.store.as_ref().expect("open but while it restarts")
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Write(job, entries) => {
                let list = entries.iter().map(|(key, value)| Entry {
                    key: vec![*key].into(),
                    value: value.map(|value| long(value).into()),
                });
                let segment = write(self.store(), JOBS[job], list.collect());
                self.working[job].segments.push(segment);
                for (key, value) in entries {
                    match value {
                        Some(value) => self.working[job].content.insert(key, value),
                        None => self.working[job].content.remove(&key),
                    };
                }
            }
            Step::Commit(bits) => {
                let named = (0..JOBS.len()).filter(|job| bits >> job & 1 == 1);
                let manifests: BTreeMap<String, Manifest> =
                    named.clone().map(|job| (JOBS[job].to_owned(), self.manifest(job))).collect();
                self.store().commit(manifests).expect("taken");
                self.epoch += 1;
                for job in named {
                    self.committed[job] = Some(self.working[job].clone());
                }
            }
            Step::Compact(job) => {
                let manifest = self.manifest(job);
                let expired = |key: &[u8]| key[0] < FLOOR;
                let merged = self.store().compact(JOBS[job], Epoch(self.epoch + 1), &manifest, &expired);
                if let Some(merged) = merged.expect("compacted") {
                    self.working[job].segments = merged.segments;
                }
            }
            Step::Forget(job) => {
                self.store().forget(JOBS[job]).expect("forgotten");
                self.epoch += u64::from(self.committed[job].take().is_some());
                self.working[job] = Job::default();
            }
            Step::Restart => {
                self.store = None;
                self.store = Some(open(self.folder.path()));
                self.working = self.committed.clone().map(Option::unwrap_or_default);
            }
        }
    }

    fn manifest(&self, job: usize) -> Manifest {
        manifest(self.working[job].segments.clone())
    }

    fn check(&self) {
        let head = self.store().head().expect("head");
        assert_eq!(head.as_ref().map_or(0, |commit| commit.epoch.0), self.epoch);
        for (at, name) in JOBS.iter().enumerate() {
            same(&self.working[at], content(self.store(), &self.manifest(at)));
            let stored = head.as_ref().and_then(|commit| commit.jobs.get(*name));
            assert_eq!(stored.is_some(), self.committed[at].is_some());
            if let (Some(stored), Some(expected)) = (stored, &self.committed[at]) {
                same(expected, content(self.store(), stored));
            }
        }
    }
}

/// Some values span chunks, most do not.
fn long(value: u16) -> Vec<u8> {
    bytes(u64::from(value), usize::from(value))
}

fn same(expected: &Job, found: Content) {
    let live = |key: &u8| *key >= FLOOR;
    let expected: Content = expected
        .content
        .iter()
        .filter(|(key, _)| live(key))
        .map(|(key, value)| (vec![*key], long(*value)))
        .collect();
    let found: Content = found.into_iter().filter(|(key, _)| live(&key[0])).collect();
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_a_map_with_commits(steps in steps()) {
        let mut run = Run::new();
        for step in steps {
            run.take(step);
        }
        run.check();
        run.take(Step::Restart);
        run.check();
    }
}
