//! The answers of a job to the rows of a spine: from where an earlier run was left, or from the beginning.
//!
//! Must not know what an answer is.

use crate::checkpoint::{Keeper, Told};
use crate::error::TrainError;
use crate::feed::{Begins, Feed, Logs};
use crate::in_event_time::{InEventTime, Sorting};
use crate::kept_feed::{FeedMark, SortingMark};
use crate::kept_replay::{DoneMark, ReplayMark, Stage};
use crate::kept_rows::KeptRows;
use crate::replay::{JobReport, Replay};
use crate::sorting::{Sorted, Sorter};
use crate::spine::{NUMBER, Spine};
use crate::{AsOfRule, Job, Settings};
use arrow_array::RecordBatch;
use weir_core::Intake;
use weir_event::Fault;

/// Answers of a job, in the order of the spine.
#[derive(Debug)]
pub struct Answers(Sorted);

impl Answers {
    /// Some that come next; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, TrainError> {
        self.0.next()
    }
}

/// Asks a job at each row of a spine. The answers are in the order of the spine.
pub async fn answers(
    job: &Job,
    spine: &Spine,
    settings: &Settings,
) -> Result<(Answers, JobReport), TrainError> {
    let keys = spine.keys_of(job)?;
    crate::derived::check(job, spine)?;
    let of_job = |error: TrainError| error.of(&format!("job `{}`", job.plan.name));
    let wanted = Wanted { job, spine, keys: &keys, settings };
    let Some(checkpoints) = &settings.checkpoints else {
        return wanted.begin_anew(None).await.map_err(of_job);
    };
    let mut keeper = Keeper::open(checkpoints, job, settings.now).await.map_err(of_job)?;
    if let Some(stage) = keeper.find() {
        match wanted.go_on_from(stage, &mut keeper).await {
            // What is away for the moment is no reason to forget what was done.
            Err(error) if error.fault != Fault::External && !keeper.has_moved_on() => {
                keeper.tell(Told::Anew(&format!("it could not go on: {error}")));
            }
            answered => return answered.map_err(of_job),
        }
    }
    keeper.clear().map_err(of_job)?;
    wanted.begin_anew(Some(&mut keeper)).await.map_err(of_job)
}

/// A job that is asked.
struct Wanted<'a> {
    job: &'a Job,
    spine: &'a Spine,
    /// The columns of the key in the spine.
    keys: &'a [usize],
    settings: &'a Settings,
}

type Answered = Result<(Answers, JobReport), TrainError>;

impl Wanted<'_> {
    async fn begin_anew(&self, mut keeper: Option<&mut Keeper>) -> Answered {
        let logs = Logs::open(self.job, None).await?;
        let begins = logs.begins();
        let feed: Box<dyn Feed> = match self.settings.rule {
            AsOfRule::Known => Box::new(logs),
            AsOfRule::Event => {
                let judge = Intake::open(self.job.plan.clone());
                let sorting = Sorting::of(logs, begins.clone(), judge, (self.settings, keeper.as_deref()));
                Box::new(sorted(sorting, keeper.as_deref_mut()).await?)
            }
        };
        self.replay((feed, &begins), keeper, None).await
    }

    /// Goes on where a job was left.
    async fn go_on_from(&self, stage: Stage, keeper: &mut Keeper) -> Answered {
        match stage {
            Stage::Done(DoneMark { answers, report }) => {
                keeper.tell(Told::Finished);
                let sorter = self.answers(Some(keeper)).with_kept(answers)?;
                Ok((Answers(sorter.finish()?), report))
            }
            Stage::Sorting(mark) => self.sort_on(mark, keeper).await,
            Stage::Replaying(mark) => {
                let begins = mark.feed.partitions();
                let feed: Box<dyn Feed> = match mark.feed.clone() {
                    FeedMark::Logs(places) => Box::new(Logs::open(self.job, Some(&places)).await?),
                    FeedMark::Ordered(ordered) => {
                        Box::new(InEventTime::behind(ordered, self.settings, keeper)?)
                    }
                };
                self.replay((feed, &begins), Some(keeper), Some(&mark)).await
            }
        }
    }

    async fn sort_on(&self, mark: SortingMark, keeper: &mut Keeper) -> Answered {
        keeper.tell(Told::GoesOn { events: mark.events(), answered: 0 });
        let logs = Logs::open(self.job, Some(mark.places())).await?;
        let judge = Intake::open(self.job.plan.clone());
        let sorting = Sorting::after(logs, mark, judge, (self.settings, keeper))?;
        let begins = sorting.begins.clone();
        let feed = Box::new(sorted(sorting, Some(keeper)).await?);
        self.replay((feed, &begins), Some(keeper), None).await
    }

    async fn replay(
        &self,
        feed: (Box<dyn Feed>, &Begins),
        keeper: Option<&mut Keeper>,
        mark: Option<&ReplayMark>,
    ) -> Answered {
        let (rows, count) = self.spine.sorted(self.keys, self.settings).await?;
        let mut answers = self.answers(keeper.as_deref());
        if let Some(mark) = mark {
            answers = answers.with_kept(mark.answers.clone())?;
        }
        let workers = mark.map_or(&[][..], |mark| &mark.workers);
        if let (Some(keeper), Some(mark)) = (&keeper, mark) {
            keeper.tell(Told::GoesOn { events: mark.events(), answered: mark.asked });
        }
        let place = keeper.as_ref().map(|keeper| keeper.folder().to_owned());
        let now = keeper.as_ref().map_or(self.settings.now, |keeper| keeper.present());
        let settings = Settings { now, ..self.settings.clone() };
        let mut replay = Replay::open(self.job, (count, answers), &settings, feed, (keeper, workers))?;
        if let Some((folder, mark)) = place.zip(mark) {
            replay.restore(&folder, &self.job.plan, mark)?;
        }
        let (sorted, report) = replay.run(rows, &settings).await?;
        Ok((Answers(sorted), report))
    }

    /// Where answers are put aside.
    fn answers(&self, keeper: Option<&Keeper>) -> Sorter {
        let sorter = Sorter::new(&self.settings.scratch, NUMBER, self.settings.sorted_bytes);
        sorter.kept_in(keeper.map(|keeper| KeptRows::new(keeper.folder(), "answers".to_owned())))
    }
}

/// Puts logs into the order of event time, to their ends.
async fn sorted(mut sorting: Sorting, mut keeper: Option<&mut Keeper>) -> Result<InEventTime, TrainError> {
    while sorting.go_on().await? {
        if let Some(keeper) = keeper.as_deref_mut().filter(|keeper| keeper.is_due()) {
            let number = keeper.begin();
            let mark = sorting.keep(keeper, number)?;
            keeper.commit(mark.files(), &Stage::Sorting(mark))?;
        }
    }
    sorting.finish(keeper.is_some())
}
