//! Keyed logic, called as the host calls it: states, timers and columns in, rows out.

use weir::process::{Answer, ProcessEntry, ProcessFunction, Progress};
use weir::{Column, DataType, Literal, LogicalType, Output, Process, Timestamp, Values};

/// What is seen of an event.
#[derive(weir::Event)]
struct Ride {
    fare: f64,
    city: Option<String>,
}

#[derive(Debug, PartialEq, weir::Row)]
struct Visit {
    started: Timestamp,
    rides: i64,
    city: Option<String>,
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Visits {
    pause: i64,
    started: Option<Timestamp>,
    rides: i64,
    city: Option<String>,
}

/// Rides with no pause
/// between them.
#[weir::process(parameters(pause))]
impl Process for Visits {
    type Parameters = i64;
    type Event = Ride;
    type Row = Visit;

    fn start(pause: &i64) -> Self {
        Visits { pause: *pause, ..Visits::default() }
    }
    fn on_event(&mut self, at: Timestamp, ride: Ride, out: &mut Output<Visit>) -> Result<(), String> {
        if ride.fare < 0.0 {
            return Err(format!("a fare of {}", ride.fare));
        }
        self.started.get_or_insert(at);
        self.rides += 1;
        self.city = ride.city.or(self.city.take());
        out.set_timer(at + self.pause);
        Ok(())
    }
    fn on_timer(&mut self, _at: Timestamp, out: &mut Output<Visit>) {
        if let Some(started) = self.started {
            out.emit(Visit { started, rides: self.rides, city: self.city.take() });
        }
        *self = Self::start(&self.pause);
    }
}

/// Does what an event's word says.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Obeys {
    kept: String,
}

#[derive(weir::Event)]
struct Order {
    word: String,
}

#[derive(Debug, PartialEq, weir::Row)]
struct Done {
    timer: Option<Timestamp>,
}

#[weir::process(name = "obeys", description = "for tests")]
impl Process for Obeys {
    type Event = Order;
    type Row = Done;

    fn on_event(&mut self, at: Timestamp, order: Order, out: &mut Output<Done>) {
        match order.word.as_str() {
            "early" => out.set_timer(Timestamp(at.0 - 50)),
            "clear" => out.clear_timer(),
            "many" => (0..2000).for_each(|_| out.emit(Done { timer: None })),
            "most" => (0..1000).for_each(|_| out.emit(Done { timer: None })),
            "grow" => self.kept = "x".repeat(65_536),
            "say" => out.emit(Done { timer: out.timer() }),
            milliseconds => out.set_timer(at + milliseconds.parse().unwrap_or(0)),
        }
    }
    fn on_timer(&mut self, at: Timestamp, out: &mut Output<Done>) {
        out.emit(Done { timer: out.timer() });
        if at.0 < 0 {
            out.set_timer(at);
        } else if at.0 < 100 {
            out.set_timer(at + 10);
        }
    }
}

/// Counts events, of which it looks at nothing.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Ticks(i64);

#[derive(Debug, PartialEq, weir::Row)]
struct Tick {
    n: i64,
}

#[weir::process]
impl Process for Ticks {
    type Event = ();
    type Row = Tick;
    fn on_event(&mut self, _at: Timestamp, (): (), out: &mut Output<Tick>) {
        self.0 += 1;
        out.emit(Tick { n: self.0 });
    }
}

// On the host this makes no exports, and shows that the names resolve.
weir::export! { processes: [Visits, Obeys, Ticks] }

fn texts(texts: &[&str], validity: &[u8]) -> Column {
    let values = Values::Texts(texts.iter().map(ToString::to_string).collect());
    Column { values, validity: validity.to_vec(), offsets: vec![] }
}

fn doubles(values: &[f64], validity: &[u8]) -> Column {
    Column { values: Values::Float64s(values.to_vec()), validity: validity.to_vec(), offsets: vec![] }
}

fn int64s(column: &Column) -> &[i64] {
    let Values::Int64s(values) = &column.values else { panic!("{column:?}") };
    values
}

const NEW: Vec<u8> = Vec::new();

fn ordered(timer: Option<i64>, orders: &[(i64, &str)]) -> Result<Progress, String> {
    let (times, words): (Vec<i64>, Vec<&str>) = orders.iter().copied().unzip();
    let count = u32::try_from(times.len()).expect("a few events");
    let entry = ProcessEntry::of::<Obeys>();
    (entry.on_events)(&[], vec![NEW], vec![timer], &[count], &times, &[texts(&words, &[])])
}

#[test]
fn it_describes_itself() {
    let info = Visits::describe();
    assert_eq!(
        (info.name.as_str(), info.description.as_str()),
        ("visits", "Rides with no pause between them.")
    );
    let flat = |logical| DataType { logical, list: false };
    assert_eq!(info.parameters[0].name, "pause");
    let columns = |fields: &[weir::Field]| -> Vec<(String, DataType)> {
        fields.iter().map(|field| (field.name.clone(), field.data_type)).collect()
    };
    let expected = [("fare", LogicalType::Double), ("city", LogicalType::Text)];
    assert_eq!(columns(&info.arguments), expected.map(|(name, logical)| (name.to_owned(), flat(logical))));
    let expected =
        [("started", LogicalType::Timestamp), ("rides", LogicalType::Bigint), ("city", LogicalType::Text)];
    assert_eq!(columns(&info.results), expected.map(|(name, logical)| (name.to_owned(), flat(logical))));
    assert!(Ticks::describe().arguments.is_empty());
    assert_eq!(Obeys::describe().description, "for tests");
}

#[test]
fn events_of_several_keys_are_taken_up_to_the_timer_of_each() {
    let entry = ProcessEntry::of::<Visits>();
    let parameters = [Literal::Int64(10)];
    let times = [0, 5, 15, 16, 3, 50];
    let fares = doubles(&[1.0; 6], &[]);
    let cities = texts(&["a", "", "", "c", "d", "e"], &[1, 0, 0, 1, 1, 1]);
    let progress = (entry.on_events)(
        &parameters,
        vec![NEW; 3],
        vec![None, None, None],
        &[4, 1, 1],
        &times,
        &[fares, cities],
    )
    .unwrap();
    // Set by the event at 5, the timer at 15 does not lie before the event at 15, which sets another.
    assert_eq!(
        (progress.taken, progress.timers.clone()),
        (vec![4, 1, 1], vec![Some(26), Some(13), Some(60)])
    );
    assert!(progress.made_by.is_empty());

    let fired = (entry.on_timer)(&parameters, progress.states, &[26, 13, 60]).unwrap();
    assert_eq!((fired.made_by, fired.taken), (vec![0, 1, 2], vec![0, 0, 0]));
    assert_eq!((int64s(&fired.rows[0]), int64s(&fired.rows[1])), (&[0, 3, 50][..], &[4, 1, 1][..]));
    assert_eq!(fired.rows[2], texts(&["c", "d", "e"], &[]));
    assert_eq!(
        (fired.states, fired.timers),
        (vec![NEW; 3], vec![None; 3]),
        "all that was known is forgotten"
    );
}

#[test]
fn an_event_behind_the_timer_is_left_to_the_host() {
    let progress = ordered(None, &[(0, "10"), (10, "say"), (11, "say")]).unwrap();
    assert_eq!((progress.taken, progress.timers), (vec![2], vec![Some(10)]));
    assert_eq!((progress.made_by, int64s(&progress.rows[0])), (vec![1], &[10][..]));
    let progress = ordered(None, &[(0, "10"), (5, "clear"), (11, "say")]).unwrap();
    assert_eq!((progress.taken, progress.timers), (vec![3], vec![None]));
    assert_eq!(progress.rows[0].validity, [0]);
}

#[test]
fn timers_are_kept_and_never_lie_before_their_event() {
    assert_eq!(ordered(Some(70), &[(0, "say"), (1, "say")]).unwrap().timers, [Some(70)]);
    let progress = ordered(None, &[(7, "early"), (7, "say"), (8, "say")]).unwrap();
    assert_eq!((progress.taken, progress.timers), (vec![2], vec![Some(7)]));
    assert_eq!(int64s(&progress.rows[0]), [7]);
}

#[test]
fn a_fired_timer_is_gone_and_sets_a_later_one_only() {
    let entry = ProcessEntry::of::<Obeys>();
    let fired = (entry.on_timer)(&[], vec![NEW, NEW], &[90, 200]).unwrap();
    assert_eq!((fired.timers, fired.made_by), (vec![Some(100), None], vec![0, 1]));
    assert_eq!(fired.rows[0].validity, [0, 0], "it is not set while it fires");
    let refused = (entry.on_timer)(&[], vec![NEW], &[-1]).unwrap_err();
    assert_eq!(refused, "on_timer set the timer to -1, which is not later than -1, when it fired");
    let idle = (ProcessEntry::of::<Ticks>().on_timer)(&[], vec![NEW], &[5]).unwrap();
    assert_eq!((idle.states, idle.timers), (vec![NEW], vec![None]), "on_timer may be left out");
}

#[test]
fn nulls_that_are_not_asked_for_leave_the_memory_alone() {
    let entry = ProcessEntry::of::<Visits>();
    let columns = [doubles(&[0.0, 0.0], &[0, 0]), texts(&["a", "b"], &[])];
    let unread = vec![vec![255, 255, 255]];
    let progress =
        (entry.on_events)(&[Literal::Int64(1)], unread.clone(), vec![Some(9)], &[2], &[5, 6], &columns)
            .unwrap();
    assert_eq!((progress.states, progress.timers, progress.taken), (unread, vec![Some(9)], vec![2]));
}

#[test]
fn what_fails_fails_the_call_with_its_reason() {
    assert_eq!(ordered(None, &[(0, "most")]).unwrap().made_by.len(), 1000);
    assert_eq!(ordered(None, &[(0, "many")]).unwrap_err(), "makes more than 1000 rows at one time");
    assert!(ordered(None, &[(0, "grow")]).unwrap_err().contains("and may have 65536"));

    let functions = [ProcessEntry::of::<Visits>(), ProcessEntry::of::<Ticks>()];
    let call = |name: &str, params: &[Literal], counts: &[u32], columns: &[Column]| {
        weir::process::call(&functions, name, |function| {
            (function.on_events)(params, vec![NEW], vec![None], counts, &[5], columns)
        })
    };
    let columns = [doubles(&[-1.0], &[]), texts(&["a"], &[])];
    let ten = [Literal::Int64(10)];
    for (outcome, expected) in [
        (call("visits", &ten, &[1], &columns), "visits: a fare of -1"),
        (call("visits", &[], &[1], &columns), "visits: expected 1 parameters, got 0"),
        (call("visits", &ten, &[1], &columns[..1]), "visits: expected 2 columns, got 1"),
        (
            call("visits", &ten, &[1], &[columns[0].clone(), columns[0].clone()]),
            "visits: column `city`: expected text values, got float64s",
        ),
        (call("ticks", &[], &[1], &columns), "ticks: expected 0 columns, got 2"),
        (call("ticks", &[], &[2], &[]), "ticks: 1 states, 1 timers, 1 counts of 2 events, 1 times"),
        (call("nothing", &[], &[1], &[]), "no keyed logic `nothing` in this component"),
    ] {
        assert_eq!(outcome.unwrap_err(), expected);
    }
}

fn ride(at: i64, fare: f64) -> (Timestamp, Ride) {
    (Timestamp(at), Ride { fare, city: None })
}

#[test]
fn events_are_played_as_the_host_gives_them() {
    let rows = weir::play::<Visits>(10, [ride(0, 1.0), ride(10, 1.0), ride(21, 1.0)], Timestamp(31)).unwrap();
    let visit = |started, rides| Visit { started: Timestamp(started), rides, city: None };
    assert_eq!(rows, [(Timestamp(20), visit(0, 2)), (Timestamp(31), visit(21, 1))]);
    assert!(weir::play::<Visits>(10, [ride(0, 1.0)], Timestamp(9)).unwrap().is_empty());
    assert_eq!(weir::play::<Visits>(10, [ride(0, -1.0)], Timestamp(9)).unwrap_err(), "a fare of -1");
    let message = weir::play::<Visits>(10, [ride(5, 1.0), ride(4, 1.0)], Timestamp(9)).unwrap_err();
    assert_eq!(message, "the event of 4 comes behind a later one");
    let ticks = weir::play::<Ticks>((), [(Timestamp(0), ()), (Timestamp(0), ())], Timestamp(9)).unwrap();
    assert_eq!(ticks[1], (Timestamp(0), Tick { n: 2 }));
}

#[test]
fn one_event_may_be_given_alone() {
    let (mut visits, mut out) = (Visits::start(&10), Output::new(None));
    visits.on_event(Timestamp(3), Ride { fare: 1.0, city: None }, &mut out).unwrap();
    assert_eq!(out.timer(), Some(Timestamp(13)));
    visits.on_timer(Timestamp(13), &mut out);
    assert_eq!((out.rows().len(), ().answer()), (1, Ok(())));
    assert_eq!((Timestamp(i64::MAX) + 1, Timestamp(5) - Timestamp(2)), (Timestamp(i64::MAX), 3));
}
