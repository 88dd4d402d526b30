//! Rows that an aggregate cannot take, and results of which some value is an error.

use super::harness::{Lines, World, dropping, lines, plan, seconds};
use super::waiting::as_time_passes;
use crate::dead_letters::Listed;
use arrow_array::Int64Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema};
use std::any::Any;
use std::sync::Arc;
use weir_core::Subject;
use weir_event::Span;
use weir_plan::JobPlan;

use weir_timeline::aggregate::{Aggregate, AggregateError, Algebra, Card, Finished, Input, States};
use weir_timeline::{AggregateSpec, Frames, Session, StageSpec};

/// Sums, takes no row of 13, nor a row of 1 on top of more than 99, panics at a row of 666 and a sum of 6666, and has no
/// value above 1000.
#[derive(Debug)]
struct Picky(Card);

#[derive(Debug, Clone)]
struct Sums(Vec<i64>);

impl Aggregate for Picky {
    fn card(&self) -> &Card {
        &self.0
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(Sums(Vec::new()))
    }
}

impl States for Sums {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn resize(&mut self, groups: usize) {
        self.0.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.0[*group as usize] = 0);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        let mut sums = self.0.clone();
        let values = input.arguments[0].as_primitive::<Int64Type>();
        for (group, row) in input.groups.iter().zip(input.rows) {
            let (sum, value) = (&mut sums[*group as usize], values.value(*row as usize));
            assert!(value != 666, "a fault that a test made");
            if value == 13 || value == 1 && *sum > 99 {
                return Err(AggregateError::Rows(format!("no {value}, please")));
            }
            *sum += value;
        }
        self.0 = sums;
        Ok(())
    }

    fn retract(&mut self, _: &Input<'_>) -> Result<(), AggregateError> {
        Err(AggregateError::Broken("it has no inverse".to_owned()))
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        let later = later.as_any().downcast_ref::<Sums>().unwrap();
        into.iter().zip(from).for_each(|(into, from)| self.0[*into as usize] += later.0[*from as usize]);
        Ok(())
    }

    fn unmerge(&mut self, _: &[u32], _: &dyn States, _: &[u32]) -> Result<(), AggregateError> {
        Err(AggregateError::Broken("it has no inverse".to_owned()))
    }

    fn finish(&self, groups: &[u32], _: &[i64]) -> Result<Finished, AggregateError> {
        let sums: Vec<i64> = groups.iter().map(|group| self.0[*group as usize]).collect();
        assert!(!sums.contains(&6666), "a fault that a test made");
        let above = (0_u32..).zip(&sums).filter(|(_, sum)| **sum > 1000);
        let errors = above.map(|(at, sum)| (at, format!("{sum} is above 1000"))).collect();
        Ok(Finished { values: Arc::new(Int64Array::from(sums)), errors })
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        Box::new(Sums(groups.iter().map(|group| self.0[*group as usize]).collect()))
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        self.0.append(&mut others.as_any_mut().downcast_mut::<Sums>().unwrap().0);
        Ok(())
    }

    fn encode(&self, group: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0[group as usize].to_be_bytes());
    }

    fn decode(&mut self, group: u32, bytes: &[u8]) -> Result<(), AggregateError> {
        let bytes = bytes.try_into().map_err(|_| AggregateError::Damaged("no sum".to_owned()))?;
        self.0[group as usize] = i64::from_be_bytes(bytes);
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<i64>()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The harness's job with a picky sum in place of the count.
fn picky(algebra: Algebra) -> JobPlan {
    let mut plan = plan();
    plan.inputs[0].projection.columns.push(super::harness::column(2, &DataType::Int64));
    let fields = [("user", DataType::Utf8View), ("n", DataType::Int64)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    plan.inputs[0].projection.schema = Arc::new(Schema::new(fields.to_vec()));
    let stage = plan.stage.as_mut().unwrap();
    let mut spec = (*stage.spec).clone();
    spec.inputs = vec![DataType::Utf8View, DataType::Int64];
    let identity = "picky#1".to_owned();
    let card = Card { algebra, inverse: false, bounded: true, result: DataType::Int64, identity, nulls: "" };
    spec.aggregates = vec![AggregateSpec {
        function: Arc::new(Picky(card)),
        arguments: vec![1],
        filter: None,
        frame: 0,
        edits: None,
    }];
    stage.spec = Arc::new(spec);
    plan
}

fn of_events(letters: &[Listed]) -> Vec<(u64, &str)> {
    letters.iter().filter_map(|letter| Some((letter.offset()?, &*letter.reason))).collect()
}

#[tokio::test]
async fn a_row_that_an_aggregate_cannot_take_is_a_dead_letter_with_its_position() {
    let world = World::new();
    // Taken in any order, so refused when it comes in; the others of its block count.
    let log = "u,1,5, u,2,13, v,3,2, u,12,13, u,13,4,";
    world.run(&picky(Algebra::Exact), lines(&[log])).await.unwrap();
    assert_eq!(world.rows(), ["u@0=5", "u@10=4", "v@0=2"]);
    assert_eq!(of_events(&world.dead()), [(1, "no 13, please"), (3, "no 13, please")]);
    assert_eq!(world.counts().dead_letters, 2);
}

#[tokio::test]
async fn a_new_key_keeps_its_slot_while_others_of_its_batch_fail_or_come_too_late() {
    let mut world = World::new();
    world.shards = 1;
    let mut plan = picky(Algebra::Exact);
    dropping(&mut plan);
    let stage = plan.stage.as_mut().unwrap();
    let frames = Frames::Session(Session { gap: seconds(5) });
    stage.spec = Arc::new(StageSpec { frames, history: Span::ZERO, corrects: None, ..(*stage.spec).clone() });
    // More keys than are kept idle for nothing, all too late; then a new one, and a row that fails.
    let late: String = (0..1500).map(|user| format!("late{user},1,1, ")).collect();
    let log = format!("w,500,1, {late}new,499,4, new,498,13, other,1000,1, last,1010,2,");
    world.run(&plan, Lines { block: 5000, ..lines(&[&log]) }).await.unwrap();
    let rows = world.rows();
    assert!(rows.contains(&"new@499=4".to_owned()) && rows.contains(&"other@1000=1".to_owned()), "{rows:?}");
    assert_eq!((rows.len(), world.counts().dropped), (4, 1500));
}

#[tokio::test]
async fn a_row_that_an_ordered_aggregate_cannot_take_is_a_dead_letter_when_it_is_its_turn() {
    let world = World::new();
    world.run(&picky(Algebra::Ordered), lines(&["u,1,100, u,2,1, u,3,7, u,40,2,"])).await.unwrap();
    assert_eq!(world.rows(), ["u@0=107", "u@40=2"]);
    assert_eq!(of_events(&world.dead()), [(1, "no 1, please")]);
    assert_eq!(world.counts().dead_letters, 1);
}

#[tokio::test]
async fn a_result_that_is_an_error_is_null_counted_and_told_with_its_key_and_window() {
    let world = World::new();
    let job = world.run(&picky(Algebra::Exact), lines(&["u,1,900, u,2,101, u,12,5, v,3,7,"])).await.unwrap();
    assert_eq!(world.rows(), ["u@0=null", "u@10=5", "v@0=7"]);
    let (counts, dead) = (world.counts(), world.dead());
    assert_eq!((counts.failed_results, counts.dead_letters, counts.results), (1, 0, 3));
    let [Listed { reason, jobs, subject: Subject::Result { result } }] = &dead[..] else {
        panic!("{dead:?}")
    };
    assert_eq!((&**reason, &jobs[..]), ("1001 is above 1000", &["counts".to_owned()][..]));
    let window = "1970-01-01T00:00:00.000Z to 1970-01-01T00:00:10.000Z";
    assert_eq!(result.to_string(), format!(r#"{{"user":"u"}} {window}"#));
    assert_eq!(result.columns, ["n"]);
    let failures = job.failures();
    assert_eq!((failures.len(), failures[0].results, &*failures[0].reason), (1, 1, "1001 is above 1000"));
}

#[tokio::test]
async fn of_many_results_at_once_those_that_fail_are_null_and_told_and_no_others() {
    let mut world = World::new();
    world.shards = 1;
    let users: Vec<String> = (0..60).map(|user| format!("u{user}")).collect();
    let fails = |user: usize| user % 7 == 3;
    let amount = |user: usize| if fails(user) { 1001 + user } else { user };
    let line =
        |user: usize| format!("{},5,{},", users[user], if amount(user) == 13 { 14 } else { amount(user) });
    let log = (0..60).map(line).collect::<Vec<_>>().join(" ") + " last,60,1,";
    let mut source = lines(&[&log]);
    source.block = 100;
    world.run(&picky(Algebra::Exact), source).await.unwrap();
    let rows = world.rows();
    for (user, name) in users.iter().enumerate() {
        let row = rows.iter().find(|row| row.starts_with(&format!("{name}@0="))).unwrap();
        assert_eq!(row.ends_with("=null"), fails(user), "{row}");
    }
    let told: Vec<(String, String)> = world
        .dead()
        .into_iter()
        .map(|letter| match letter.subject {
            Subject::Result { result } => (result.key["user"].as_str().unwrap().to_owned(), letter.reason),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told.len(), (0..60).filter(|user| fails(*user)).count());
    for (name, reason) in told {
        let user: usize = name[1..].parse().unwrap();
        assert!(fails(user) && reason == format!("{} is above 1000", 1001 + user), "{name}: {reason}");
    }
}

#[tokio::test]
async fn a_result_that_failed_is_corrected_by_a_late_row() {
    let mut world = World::new();
    world.shards = 1;
    let mut plan = picky(Algebra::Exact);
    super::harness::with_stream(&mut plan, |stream| stream.disorder = seconds(0));
    let log = "u,1,900, u,2,101, u,30,1, u,3,-1, u,60,1,";
    world.run(&plan, lines(&[log])).await.unwrap();
    let of_window: Vec<_> = world.written().into_iter().filter(|(row, _)| row.starts_with("u@0=")).collect();
    let [(failed, first), (corrected, second)] = &of_window[..] else { panic!("{of_window:?}") };
    assert_eq!((&**failed, &**corrected), ("u@0=null", "u@0=1000"));
    assert!(second > first, "the later revision counts");
}

#[tokio::test]
async fn a_result_whose_having_cannot_be_told_has_no_row_and_is_told() {
    let world = World::new();
    let mut plan = picky(Algebra::Exact);
    plan.output.filter = Some(super::harness::having());
    world.run(&plan, lines(&["u,1,900, u,2,101, v,3,7, w,3,-7,"])).await.unwrap();
    assert_eq!(world.rows(), ["v@0=7"]);
    assert_eq!(world.counts().failed_results, 1);
    let dead = world.dead();
    let [Listed { subject: Subject::Result { result }, .. }] = &dead[..] else { panic!("{dead:?}") };
    assert!(result.columns.is_empty(), "{result:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_stage_panics_ends_with_weir_at_fault() {
    // When the row comes in, when its window closes, and when the log has ended.
    for log in ["u,1,900, u,2,666, u,12,5,", "u,1,6666, u,60,5, u,61,5,", "u,1,6666,"] {
        let world = World::new();
        let plan = picky(Algebra::Exact);
        let error = as_time_passes(&world.clock, world.run(&plan, lines(&[log]))).await.unwrap_err();
        assert_eq!(error.fault(), weir_event::Fault::Weir, "{log}");
        assert!(error.to_string().contains("a stage panicked"), "{log}: {error}");
    }
}
