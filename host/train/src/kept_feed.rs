//! Where reading goes on, as a checkpoint keeps it: positions in logs; of logs that are put into the order of event time the
//! rows that are sorted so far, or how many of the sorted ones were handed out.
//!
//! Must not know what becomes of the rows.

use crate::Settings;
use crate::checkpoint::{Keeper, Out, Parts, Written};
use crate::error::TrainError;
use crate::feed::{Begins, Logs};
use crate::in_event_time::{InEventTime, Ordered, Sorting, TIME, kept_rows};
use crate::kept_rows::RowsMark;
use crate::sorting::Sorter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_core::Intake;
use weir_event::{PartitionId, Position};

/// How far a partition of a log was read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where it goes on; `None` where its source begins.
    pub(crate) next: Option<Position>,
    pub(crate) has_ended: bool,
}

impl Place {
    /// Of one that is read from there.
    pub(crate) fn at(next: Option<Position>) -> Place {
        Place { next, has_ended: false }
    }
}

/// How far all partitions of a job's logs were read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(PartitionId, Place)>", into = "Vec<(PartitionId, Place)>")]
pub(crate) struct Places(BTreeMap<PartitionId, Place>);

impl From<Vec<(PartitionId, Place)>> for Places {
    fn from(places: Vec<(PartitionId, Place)>) -> Places {
        Places(places.into_iter().collect())
    }
}

impl From<Places> for Vec<(PartitionId, Place)> {
    fn from(Places(places): Places) -> Self {
        places.into_iter().collect()
    }
}

impl Places {
    /// All of them, those of archives first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PartitionId, &Place)> {
        self.0.iter().map(|(id, place)| (*id, place))
    }

    /// Those of a source, by the number of the partition.
    pub(crate) fn of_source(&self, source: u16) -> BTreeMap<u16, Place> {
        let own = self.0.iter().filter(|(id, _)| id.source == source);
        own.map(|(id, place)| (id.partition, place.clone())).collect()
    }

    /// A source has these.
    pub(crate) fn add(&mut self, source: u16, places: BTreeMap<u16, Place>) {
        let named = |(partition, place)| (PartitionId { source, partition }, place);
        self.0.extend(places.into_iter().map(named));
    }

    /// A partition was read up to there.
    pub(crate) fn read(&mut self, partition: PartitionId, next: Position) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.next = Some(next);
        }
    }

    /// A partition was read to its end.
    pub(crate) fn ended(&mut self, partition: PartitionId) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.has_ended = true;
        }
    }
}

/// Where a feed goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FeedMark {
    /// As the logs were written.
    Logs(Places),
    /// In the order of event time.
    Ordered(InEventTimeMark),
}

impl FeedMark {
    /// What is needed of it.
    pub(crate) fn files(&self) -> Vec<Written> {
        match self {
            FeedMark::Logs(_) => Vec::new(),
            FeedMark::Ordered(ordered) => ordered.partitions.iter().flat_map(|it| it.rows.files()).collect(),
        }
    }

    /// The partitions that there are; where they begin is known to who has read them.
    pub(crate) fn partitions(&self) -> Begins {
        match self {
            FeedMark::Logs(places) => places.iter().map(|(id, _)| (id, None)).collect(),
            FeedMark::Ordered(ordered) => ordered.partitions.iter().map(|it| (it.partition, None)).collect(),
        }
    }
}

/// Logs that were put into order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InEventTimeMark {
    pub(crate) partitions: Vec<OrderedMark>,
    pub(crate) refused: u64,
    pub(crate) first_refused: Option<String>,
}

/// One of their partitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OrderedMark {
    pub(crate) partition: PartitionId,
    pub(crate) next: u64,
    pub(crate) taken: u64,
    pub(crate) rows: RowsMark,
}

impl InEventTime {
    /// Goes on behind the rows that were handed out.
    pub(crate) fn behind(
        mark: InEventTimeMark,
        settings: &Settings,
        keeper: &Keeper,
    ) -> Result<InEventTime, TrainError> {
        let limit = settings.sorted_bytes / mark.partitions.len().max(1);
        let ordered = |OrderedMark { partition, next, taken, rows }| {
            let sorter = Sorter::new(&settings.scratch, TIME, limit);
            let sorter = sorter.kept_in(Some(kept_rows(keeper, partition))).with_kept(rows.clone())?;
            let mut ordered = Ordered { rows: sorter.finish()?, next, kept: Some(rows), taken: 0 };
            // They come in the batches that they came in.
            while ordered.taken < taken {
                let passed = ordered.rows.next()?.map_or(0, |rows| rows.num_rows() as u64);
                ordered.taken += passed;
                if passed == 0 || ordered.taken > taken {
                    return Err(TrainError::weir("sorted rows are not those that were handed out"));
                }
            }
            Ok((partition, ordered))
        };
        let partitions = mark.partitions.into_iter().map(ordered).collect::<Result<_, TrainError>>()?;
        Ok(InEventTime { partitions, refused: mark.refused, first_refused: mark.first_refused })
    }
}

/// Logs that are being put into order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SortingMark {
    places: Places,
    sorters: Vec<(PartitionId, RowsMark, Option<u64>)>,
    left: Vec<PartitionId>,
    begins: Begins,
    events: u64,
    refused: u64,
    first_refused: Option<String>,
    /// Snapshots of who judges, in the order of the partitions.
    judge: Written,
}

impl SortingMark {
    /// What is needed of it.
    pub(crate) fn files(&self) -> Vec<Written> {
        let rows = self.sorters.iter().flat_map(|(_, rows, _)| rows.files());
        rows.chain([self.judge.clone()]).collect()
    }

    /// How many events were read.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// How far the logs were read.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }
}

impl Sorting {
    /// Keeps all of it.
    pub(crate) fn keep(&mut self, keeper: &Keeper, number: u64) -> Result<SortingMark, TrainError> {
        let mut out = Out::named(keeper.folder(), format!("judge-{number}"))?;
        let mut sorters = Vec::with_capacity(self.sorters.len());
        for (partition, (sorter, first)) in &mut self.sorters {
            out.put_part(&self.judge.snapshot(*partition))?;
            sorters.push((*partition, sorter.keep()?, *first));
        }
        Ok(SortingMark {
            places: self.logs.places().clone(),
            sorters,
            left: self.left.clone(),
            begins: self.begins.clone(),
            events: self.events,
            refused: self.refused,
            first_refused: self.first_refused.clone(),
            judge: out.sync()?,
        })
    }

    /// Goes on there, with logs that are open there.
    pub(crate) fn after(
        logs: Logs,
        mark: SortingMark,
        mut judge: Intake,
        (settings, keeper): (&Settings, &Keeper),
    ) -> Result<Sorting, TrainError> {
        let limit = settings.sorted_bytes / mark.sorters.len().max(1);
        let mut snapshots = Parts::of(keeper.folder(), &mark.judge)?;
        let mut sorters = BTreeMap::new();
        for (partition, rows, first) in mark.sorters {
            judge.restore(partition, &snapshots.take()?)?;
            let sorter = Sorter::new(&settings.scratch, TIME, limit);
            let sorter = sorter.kept_in(Some(kept_rows(keeper, partition))).with_kept(rows)?;
            sorters.insert(partition, (sorter, first));
        }
        let (left, begins, events) = (mark.left, mark.begins, mark.events);
        let (refused, first_refused) = (mark.refused, mark.first_refused);
        Ok(Sorting { logs, judge, sorters, left, begins, events, refused, first_refused })
    }
}
