//! Hostile guests: each is a file in `zoo/` and a row here, refused when it is uploaded or harmless when it is
//! called, with a reason that a person can use. Adding one is adding a row.

use crate::harness::repository;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_event::{EventTime, Fault, Rank, Span, key_hash};
use weir_format::payload::PayloadPlugins;
use weir_plan::ScalarFunction;
use weir_plugin::{CompileWith, Limits, Phase, PluginError, PluginRegistry};
use weir_timeline::{
    AggregateError, Events, Frames, Input, KeyedLogic, ProcessSpec, Rows, Slot, StageSpec, Timelines, Turn,
};
use wit_component::metadata::Bindgen;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// How a file becomes what is uploaded.
#[derive(Debug, Clone, Copy)]
enum Made {
    /// A core module with the prelude, made a component of a world of `wit/`.
    Guest(&'static str),
    /// A core module without the prelude, likewise.
    Bare(&'static str),
    /// A core module with the prelude and what keyed logic has in common, likewise.
    Logic,
    /// A core module with the prelude and what transforms have in common, likewise.
    Lookup,
    /// A whole component.
    Component,
    /// A core module, as it is.
    Module,
    /// Not even translated.
    Text,
}

/// When it shows what it is.
#[derive(Debug, Clone, Copy)]
enum Shows {
    /// At admission, in this phase.
    At(Phase),
    /// When it is called with rows.
    Called,
}

use Made::{Bare, Component, Guest, Logic, Lookup, Module, Text};
use Shows::{At, Called};

/// File, how it is made, when it shows, and part of the reason.
const ZOO: &[(&str, Made, Shows, &str)] = &[
    ("component_text", Text, At(Phase::Admit), "is text, not a component; upload a component"),
    ("core_module", Module, At(Phase::Admit), "is a core module, not a component"),
    ("exports_nothing", Component, At(Phase::Admit), "exports no interface of weir's (but nothing)"),
    ("other_version", Component, At(Phase::Admit), "(but weir:feature/scalar-functions@0.2.0)"),
    (
        "imports_wasi",
        Component,
        At(Phase::Admit),
        "imports `wasi:clocks/wall-clock@0.2.0`; a plugin may import",
    ),
    ("imports_wasi", Component, At(Phase::Admit), "imports `wasi:random/random@0.2.0`; a plugin may import"),
    ("imports_function", Component, At(Phase::Admit), "imports `system`"),
    ("no_call", Component, At(Phase::Admit), "exports `weir:feature/scalar-functions@0.1.0` without `call`"),
    (
        "memory_of_4gb",
        Component,
        At(Phase::Compile),
        "asks for more than a plugin may have (67108864 bytes of memory",
    ),
    ("huge_table", Guest("scalar"), At(Phase::Compile), "asks for more than a plugin may have"),
    ("memory_in_parts", Guest("scalar"), At(Phase::Instantiate), "asked for 67174400 bytes of memory"),
    (
        "wrong_types",
        Component,
        At(Phase::Instantiate),
        "scalar-functions@0.1.0#call` is not as weir:feature@0.1.0",
    ),
    ("starts_for_ever", Guest("scalar"), At(Phase::Instantiate), "it may loop for ever"),
    (
        "describe_traps",
        Guest("scalar"),
        At(Phase::Describe),
        "trapped: wasm `unreachable` instruction executed",
    ),
    ("describe_loops", Guest("scalar"), At(Phase::Describe), "used up its budget of 20000000 units of fuel"),
    ("describe_nothing", Guest("scalar"), At(Phase::Describe), "describes no function"),
    ("describe_bad_name", Guest("scalar"), At(Phase::Describe), "`F;` is not a name for a function"),
    ("describe_bad_name", Guest("scalar"), At(Phase::Describe), "`` is not a name for an argument of `F;`"),
    ("describe_no_text", Guest("scalar"), At(Phase::Describe), "utf-8"),
    ("describe_a_million", Guest("scalar"), At(Phase::Describe), "out of bounds"),
    ("rows_from_nothing", Guest("scalar"), At(Phase::Call), "gave 3 values where 0 were due"),
    ("traps", Guest("scalar"), Called, "plugin `traps`, call of `f`: trapped: wasm `unreachable`"),
    ("loops", Guest("scalar"), Called, "used up its budget of 20000000 units of fuel; it may loop for ever"),
    ("recurses", Guest("scalar"), Called, "call stack exhausted"),
    ("grows_to_4gb", Guest("scalar"), Called, "of memory, of which it may have 67108864"),
    ("fills_memory", Guest("scalar"), Called, "used up its budget"),
    ("huge_answer", Guest("scalar"), Called, "too much data"),
    ("too_many_rows", Guest("scalar"), Called, "gave 2 values where 1 were due"),
    ("other_type", Guest("scalar"), Called, "gave int64s, where double was promised"),
    ("unknown_case", Guest("scalar"), Called, "discriminant"),
    ("beyond_memory", Guest("scalar"), Called, "out of bounds"),
    ("misaligned", Guest("scalar"), Called, "not aligned"),
    ("refuses", Guest("scalar"), Called, "plugin `refuses`, call of `f`: no [ERROR] forged"),
    ("frees_twice", Guest("scalar"), Called, "trapped: wasm `unreachable`"),
    ("logs_for_ever", Guest("scalar"), Called, "used up its budget"),
    ("logs_much", Guest("scalar"), Called, "used up its budget"),
    ("loses_states", Guest("aggregate"), Called, "update of `g`: gave 0 states where 1 were due"),
    ("starts_with_a_trap", Guest("scalar"), At(Phase::Instantiate), "trapped: wasm `unreachable`"),
    ("starts_too_deep", Guest("scalar"), At(Phase::Instantiate), "call stack exhausted"),
    ("starts_to_grow", Guest("scalar"), At(Phase::Instantiate), "of memory, of which it may have 67108864"),
    (
        "describe_300",
        Guest("scalar"),
        At(Phase::Describe),
        "describes 300 functions, of which one component may have 256",
    ),
    ("describe_twice", Guest("scalar"), At(Phase::Describe), "describes `f` twice"),
    ("describe_at_length", Guest("scalar"), At(Phase::Describe), "longer than 1000 characters"),
    (
        "describe_65_arguments",
        Guest("scalar"),
        At(Phase::Describe),
        "has 65 arguments, of which it may have 64",
    ),
    ("describe_unknown_type", Guest("scalar"), At(Phase::Describe), "discriminant"),
    ("describe_fills_memory", Guest("scalar"), At(Phase::Describe), "too much data"),
    ("takes_room_for_ever", Bare("scalar"), At(Phase::Call), "it may loop for ever"),
    ("takes_room_outside", Bare("scalar"), At(Phase::Call), "beyond end of memory"),
    ("takes_room_at_odd_places", Bare("scalar"), At(Phase::Call), "not aligned"),
    ("text_of_bad_bytes", Guest("scalar"), Called, "utf-8"),
    ("text_beyond_end", Guest("scalar"), Called, "out of bounds"),
    ("answer_beyond_end", Guest("scalar"), Called, "out of bounds"),
    ("validity_of_others", Guest("scalar"), Called, "gave 2 validity bytes for 1 rows"),
    ("lists_unasked", Guest("scalar"), Called, "gave lists, where double was promised"),
    ("offsets_outside", Guest("scalar"), Called, "values where 7 were due"),
    ("offsets_missing", Guest("scalar"), Called, "gave offsets that do not delimit 1 lists"),
    ("offsets_begin_late", Guest("scalar"), Called, "gave offsets that do not delimit"),
    ("null_with_values", Guest("scalar"), Called, "gave a null list that is not empty"),
    ("refuses_at_length", Guest("scalar"), Called, "xxx…"),
    ("refuses_in_bad_bytes", Guest("scalar"), Called, "utf-8"),
    ("grows_by_pages", Guest("scalar"), Called, "of memory, of which it may have 67108864"),
    ("grows_a_table", Guest("scalar"), Called, "trapped: wasm `unreachable`"),
    ("divides_by_nought", Guest("scalar"), Called, "trapped: integer divide by zero"),
    ("converts_nothing", Guest("scalar"), Called, "trapped: invalid conversion to integer"),
    ("calls_nothing", Guest("scalar"), Called, "trapped: uninitialized element"),
    ("calls_another_kind", Guest("scalar"), Called, "trapped: indirect call type mismatch"),
    ("reads_below", Guest("scalar"), Called, "trapped: out of bounds memory access"),
    ("ends_with_a_loop", Guest("scalar"), At(Phase::Call), "it may loop for ever"),
    ("ends_with_a_trap", Guest("scalar"), At(Phase::Call), "trapped: wasm `unreachable`"),
    ("state_too_long", Guest("aggregate"), Called, "gave a state of 65537 bytes, of which 65536 are allowed"),
    ("gives_more_states", Guest("aggregate"), Called, "gave 4 states where 1 were due"),
    ("states_outside", Guest("aggregate"), At(Phase::Call), "out of bounds"),
    ("merges_for_ever", Guest("aggregate"), At(Phase::Call), "it may loop for ever"),
    ("decodes_for_ever", Guest("decode"), At(Phase::Call), "it may loop for ever"),
    ("decodes_no_column", Guest("decode"), At(Phase::Call), "gave 0 columns where 1 were due"),
    ("decodes_rows_unasked", Guest("decode"), At(Phase::Call), "column `x`: gave 5 values where 0 were due"),
    ("decodes_what_is_not", Guest("decode"), At(Phase::Call), "refused payload 9 of 0"),
    ("decodes_into_nothing", Guest("decode"), At(Phase::Describe), "describes no function and no column"),
    ("decodes_one_twice", Guest("decode"), At(Phase::Describe), "describes the column `x` twice"),
    ("decodes_nothing_good", Guest("decode"), Called, "decode: trapped: wasm `unreachable`"),
    ("finishes_otherwise", Guest("aggregate"), At(Phase::Call), "gave float64s, where bigint was promised"),
    ("processes_for_ever", Logic, Called, "on-events of `p`: used up its budget of 20000000 units of fuel"),
    (
        "processes_timers_for_ever",
        Logic,
        Called,
        "on-timer of `p`: used up its budget of 20000000 units of fuel",
    ),
    ("processes_traps_on_timers", Logic, Called, "on-timer of `p`: trapped: wasm `unreachable`"),
    ("processes_none", Logic, Called, "does not say of each key how many of its events it took"),
    ("processes_more_than_given", Logic, Called, "does not say of each key how many of its events it took"),
    ("processes_rows_of_nobody", Logic, Called, "made a row of event 4294967295, which it did not take"),
    ("processes_rows_backwards", Logic, Called, "made rows that are not in the order of what made them"),
    ("processes_more_keys", Logic, Called, "gave 2 states and 1 timers where 1 were due"),
    ("processes_no_timers", Logic, Called, "gave 1 states and 0 timers where 1 were due"),
    ("processes_no_column", Logic, Called, "gave 0 columns where 1 were due"),
    ("processes_other_type", Logic, Called, "column `y`: gave int64s, where double was promised"),
    ("processes_state_too_long", Logic, Called, "gave a state of 65537 bytes, of which it may have 65536"),
    ("processes_timer_of_the_past", Logic, Called, "sets a timer that is before the last event that it took"),
    ("processes_timer_again", Logic, Called, "sets a timer that is not behind the one that fires"),
    ("processes_1001_rows", Logic, Called, "made more than 1000 rows of event 0"),
    ("processes_1001_rows_of_a_timer", Logic, Called, "made more than 1000 rows of timer 0"),
    (
        "processes_into_rowtime",
        Logic,
        At(Phase::Describe),
        "`p` makes a column `rowtime`, as which a query sees",
    ),
    ("processes_into_nothing", Logic, At(Phase::Describe), "`p` makes rows without a column"),
    ("transforms_for_ever", Lookup, Called, "call of `f`: used up its budget of 20000000 units of fuel"),
    ("transforms_into_no_column", Lookup, Called, "gave 0 columns where 1 were due"),
    ("transforms_into_too_many_columns", Lookup, Called, "gave 2 columns where 1 were due"),
    ("transforms_into_other_type", Lookup, Called, "column `y`: gave int64s, where double was promised"),
    ("transforms_more_rows", Lookup, Called, "column `y`: gave 2 values where 1 were due"),
    ("transforms_beyond_end", Lookup, Called, "out of bounds"),
    ("transforms_and_traps", Lookup, Called, "plugin `transforms_and_traps`, call of `f`: trapped: wasm"),
    ("transforms_and_refuses", Lookup, Called, "call of `f`: not today"),
    ("transforms_into_nothing", Lookup, At(Phase::Describe), "`f` makes rows without a column"),
    ("transforms_into_one_twice", Lookup, At(Phase::Describe), "`f`: describes the column `y` twice"),
];

/// What is not a guest of the table: the texts that guests share, the one that proves that they could behave, and those
/// that do where their rows are good.
const TAME: [&str; 9] = [
    "prelude",
    "processor",
    "tame",
    "traps_below_zero",
    "decodes_all_but_x",
    "processes_all_but_negatives",
    "processes_timers_by_the_million",
    "transformer",
    "transforms_all_but_negatives",
];

fn read(name: &str) -> String {
    fs::read_to_string(repository().join("tests/zoo").join(format!("{name}.wat"))).expect("a file of the zoo")
}

/// A scalar guest of the zoo as a component.
pub(crate) fn scalar_guest(name: &str) -> Vec<u8> {
    bytes(name, Guest("scalar"))
}

/// A guest that transforms, as a component.
pub(crate) fn transforming_guest(name: &str) -> Vec<u8> {
    bytes(name, Lookup)
}

/// A guest of a world of `wit/`, of this text behind the prelude.
pub(crate) fn guest_of(world: &str, text: &str) -> Vec<u8> {
    component(world, &read("prelude"), text)
}

/// The same of keyed logic, behind what that has in common.
pub(crate) fn logic_of(world: &str, text: &str) -> Vec<u8> {
    component(world, &[read("prelude"), read("processor")].concat(), text)
}

/// The tame guest, which describes its function otherwise: the prelude with other texts in place of these.
pub(crate) fn tame_with(changes: &[(&str, &str)]) -> Vec<u8> {
    let changed = |text: String, (from, to): &(&str, &str)| {
        assert!(text.contains(from), "the prelude has no {from}");
        text.replacen(from, to, 1)
    };
    component("scalar", &changes.iter().fold(read("prelude"), changed), &read("tame"))
}

fn bytes(name: &str, made: Made) -> Vec<u8> {
    let text = read(name);
    match made {
        Text => text.into_bytes(),
        Component => wat::parse_str(text).expect("the guest is WebAssembly text"),
        Module => wat::parse_str(format!("(module {text}\n)")).expect("the guest is WebAssembly text"),
        Guest(world) => component(world, &read("prelude"), &text),
        Bare(world) => component(world, "", &text),
        Logic => component("process", &[read("prelude"), read("processor")].concat(), &text),
        Lookup => component("transform", &[read("prelude"), read("transformer")].concat(), &text),
    }
}

/// A component of a world of `wit/`, made of what comes first and a guest's text.
fn component(world: &str, prelude: &str, guest: &str) -> Vec<u8> {
    // Imports come first in a module.
    let (imports, rest): (Vec<&str>, Vec<&str>) =
        guest.lines().partition(|line| line.starts_with("(import "));
    let text = format!("(module {}\n{}\n{}\n)", imports.join("\n"), prelude, rest.join("\n"));
    let mut module = wat::parse_str(text).expect("the guest is WebAssembly text");
    let mut resolve = Bindgen::default().resolve;
    let (package, _) = resolve.push_dir(repository().join("wit")).expect("wit/ can be read");
    let world = resolve.select_world(&[package], Some(world)).expect("wit/ has the world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("it fits");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(false).module(&module).expect("it is a module");
    encoder.encode().expect("it makes a component")
}

fn registry(folder: &Path) -> PluginRegistry {
    // Few instances: each reserves addresses, and tests run side by side.
    let limits = Limits { instances: 16, ..Limits::default() };
    PluginRegistry::open(folder, limits, CompileWith::InProcess, Arc::new(SystemClock::new()))
        .expect("an empty folder opens")
}

fn admit(registry: &PluginRegistry, name: &str, made: Made) -> Result<(), PluginError> {
    registry.admit_and_store(name, &bytes(name, made))?;
    registry.activate(name, 1)
}

fn call(function: &dyn ScalarFunction, rows: usize) -> Result<ArrayRef, String> {
    let argument: ArrayRef = Arc::new(Float64Array::from(vec![1.5; rows]));
    function.call(&[argument], rows).map_err(|error| error.to_string())
}

/// Calls whatever the plugin has, with rows; gives the reason why that fails.
fn reason_when_called(registry: &PluginRegistry) -> String {
    let transform = || Some(registry.active().transform("job", "f")?.function);
    if let Some(function) = registry.active().scalar("job", "f").or_else(transform) {
        let single = call(&*function, 1).expect_err("a hostile guest has no result");
        // Callers find the bad row by themselves; a batch of nothing else fails in the same way.
        assert!(call(&*function, 100).is_err(), "{single}");
        return single;
    }
    if registry.active().logic_arguments("p").is_some() {
        return reason_of_logic(&*logic(registry));
    }
    let plugin = registry.list().remove(0).name;
    if let Ok(decoder) = registry.decoder(&plugin, "stream s") {
        let mut decoded = decoder.decode(&[b"a", b"b", b"c"], &[0]).expect("payloads alone are refused");
        assert_eq!(decoded.refused.len(), 3);
        return decoded.refused.remove(0).1;
    }
    let aggregate =
        registry.active().aggregate("job", "g", &[DataType::Int64], &[]).expect("it is described");
    let mut states = aggregate.states();
    states.resize(1);
    let arguments: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![1]))];
    let input =
        Input { groups: &[0], rows: &[0], times: &[0], ranks: &[Rank::default()], arguments: &arguments };
    let error = states.update(&input).expect_err("a hostile guest has no result");
    error.to_string()
}

fn logic(registry: &PluginRegistry) -> Arc<dyn KeyedLogic> {
    registry.active().logic("job", "p", &[DataType::Float64], &[]).expect("it is described")
}

/// Gives events to keys, and if that goes well, fires their timers: each fails alone, and the keys are as they were.
fn reason_of_logic(logic: &dyn KeyedLogic) -> String {
    const KEYS: usize = 3;
    const EACH: usize = 20;
    let states: [&[u8]; KEYS] = [b"", b"kept", b"as it was"];
    let times: Vec<i64> = (0..KEYS * EACH).map(|at| (at % EACH) as i64).collect();
    let arguments: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![1.5; times.len()]))];
    let events = Events { counts: &[EACH as u32; KEYS], times: &times, arguments: &arguments };
    let given = Turn { states: &states, timers: &[None; KEYS] };
    let mut progress = logic.on_events(given, events).expect("events alone are refused");
    if progress.failed.is_empty() {
        let given = Turn { states: &states, timers: &[Some(50); KEYS] };
        progress = logic.on_timers(given).expect("timers alone are refused");
    }
    let failed: Vec<u32> = progress.failed.iter().map(|failed| failed.key).collect();
    assert_eq!(failed, [0, 1, 2], "{:?}", progress.failed);
    assert!(progress.states.iter().map(|state| &**state).eq(states));
    assert_eq!((progress.rows.len(), progress.rows[0].len()), (1, 0));
    progress.failed.remove(0).reason
}

/// What a job has of logic of the zoo.
struct Driven {
    /// Goes with what it holds, the compiled code.
    _folder: tempfile::TempDir,
    timelines: Timelines,
    inserted: u64,
}

impl Driven {
    fn new(name: &str) -> Driven {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path());
        admit(&registry, name, Logic).expect("it is taken");
        let spec = StageSpec {
            frames: Frames::Process,
            aggregates: Vec::new(),
            inputs: vec![DataType::Float64],
            carried: Vec::new(),
            history: Span::from_millis(0),
            corrects: None,
            retention: None,
            tail: None,
            emit_changes: false,
            results_below: None,
            process: Some(ProcessSpec { logic: logic(&registry), arguments: vec![0] }),
        };
        let timelines = Timelines::new(Arc::new(spec)).expect("it is a stage");
        Driven { _folder: folder, timelines, inserted: 0 }
    }

    fn insert(&mut self, key: &str, time: i64, value: f64) {
        let slot = self.timelines.slot_or_insert(key.as_bytes(), key_hash(key.as_bytes()));
        let columns: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![value]))];
        self.inserted += 1;
        let rows = Rows {
            slots: &[slot],
            rows: &[0],
            times: &[time],
            ranks: &[Rank { offset: self.inserted, ..Rank::default() }],
            columns: &columns,
            watermark: EventTime::from_millis(0),
        };
        self.timelines.insert(&rows).expect("it is a row");
    }

    /// What is returned up to a time, and what is refused: each with its key and time.
    fn settle(&mut self, to: i64) -> Result<(Told, Told), AggregateError> {
        let results = self.timelines.settle(EventTime::from_millis(to))?;
        let key = |slot| String::from_utf8_lossy(self.timelines.key(slot)).into_owned();
        let mut values =
            results.values.iter().flat_map(|column| column.as_primitive::<Float64Type>().values());
        let row = |(slot, made): (&Slot, &(i64, u32))| {
            let value = values.next().expect("a value for each row");
            (key(*slot), made.0, value.to_string())
        };
        let made = results.slots.iter().zip(&results.made).map(row).collect();
        let refused = results.refused.iter().map(|it| (key(it.slot), it.time, it.reason.clone())).collect();
        Ok((made, refused))
    }
}

/// Keys, times, and what is to be said.
type Told = Vec<(String, i64, String)>;

#[test]
fn events_that_logic_fails_on_are_left_out_alone_while_they_are_few() {
    let mut job = Driven::new("processes_all_but_negatives");
    let is_bad = |at: i64| at % 50 == 7;
    let value = |at: i64| if is_bad(at) { -1.0 } else { 1.5 };
    for at in 0..2000 {
        job.insert(["a", "b"][usize::from(at % 3 == 0)], at, value(at));
    }
    let (made, refused) = job.settle(2000).expect("one in fifty is refused");
    let mut times: [Vec<i64>; 2] =
        [made, refused.clone()].map(|told| told.iter().map(|(_, at, _)| *at).collect());
    times.iter_mut().for_each(|times| times.sort_unstable());
    let (bad, good): (Vec<i64>, Vec<i64>) = (0..2000).partition(|at| is_bad(*at));
    assert_eq!(times, [good, bad]);
    assert!(refused.iter().all(|(_, _, reason)| reason.contains("on-events of `p`: trapped")), "{refused:?}");
    (2000..2600).for_each(|at| job.insert("c", at, if at % 3 == 0 { -1.0 } else { 1.5 }));
    let (_, refused) = job.settle(2600).expect("what one boundary settles is told whole");
    assert_eq!(refused.len(), 200);
    job.insert("c", 2600, 1.5);
    let error = job.settle(2601).expect_err("one in three was the plugin's fault").to_string();
    assert!(error.contains("bad rows among the last 1000"), "{error}");
}

#[test]
fn timers_without_end_are_dropped_and_other_keys_go_on() {
    let mut job = Driven::new("processes_timers_by_the_million");
    job.insert("a", 1000, -1.0);
    job.insert("b", 1000, 1.5);
    job.insert("b", 3_600_000, 2.5);
    let row = |key: &str, at: i64, value: &str| (key.to_owned(), at, value.to_owned());
    let (made, refused) = job.settle(7_200_000).expect("a timer that never ends is dropped");
    assert_eq!(made, [row("a", 1000, "-1"), row("b", 1000, "1.5"), row("b", 3_600_000, "2.5")]);
    let [(key, at, reason)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((key.as_str(), *at), ("a", 11_000));
    assert!(reason.contains("has fired 10000 times without an event"), "{reason}");
    assert_eq!(job.timelines.next_result_time(), None);
    job.insert("a", 7_200_000, 3.5);
    job.insert("a", 7_200_005, -1.0);
    let (made, refused) = job.settle(7_200_010).expect("the key goes on with its next event");
    assert_eq!((made, refused.len()), (vec![row("a", 7_200_000, "3.5"), row("a", 7_200_005, "-1")], 0));
}

#[test]
fn every_hostile_guest_is_refused_or_harmless() {
    for (name, made, shows, reason) in ZOO {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = registry(folder.path());
        let admitted = admit(&registry, name, *made);
        let found = match (shows, admitted) {
            (At(phase), Err(error)) => {
                assert_eq!(
                    (error.phase, error.fault, error.retry),
                    (*phase, Fault::User, false),
                    "{name}: {error}"
                );
                assert!(registry.list().is_empty(), "{name} was kept");
                error.to_string()
            }
            (Called, Ok(())) => reason_when_called(&registry),
            (_, admitted) => panic!("{name} should show at {shows:?}: {admitted:?}"),
        };
        assert!(found.contains(reason), "{name}: `{found}` does not say `{reason}`");
        assert!(!found.contains('\n'), "{name} broke the line: {found}");
    }
}

#[test]
fn a_hostile_guest_does_no_harm_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(folder.path());
    admit(&registry, "tame", Guest("scalar")).expect("the tame one is taken");
    let tame = registry.active().scalar("job", "f").expect("it is active");
    for (name, made, shows, _) in ZOO {
        let stored = registry.admit_and_store(name, &bytes(name, *made));
        assert_eq!(stored.is_ok(), matches!(shows, Called), "{name}");
        let answer = call(&*tame, 100).expect("the tame one goes on");
        assert!(answer.as_primitive::<Float64Type>().values().iter().all(|value| *value == 1.5), "{name}");
    }
}

#[test]
fn payloads_that_a_plugin_fails_on_are_refused_while_they_are_few_and_wait_when_they_are_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(folder.path());
    admit(&registry, "decodes_all_but_x", Guest("decode")).expect("it is taken");
    let decoder = registry.decoder("decodes_all_but_x", "job").expect("it is active");
    let payloads = |every: usize| {
        let payload = |at: usize| -> &[u8] { if at.is_multiple_of(every) { b"x" } else { b"a" } };
        (0..30_000).map(payload).collect::<Vec<_>>()
    };
    let decoded = decoder.decode(&payloads(50), &[0]).expect("one in fifty is refused");
    let refused: Vec<usize> = decoded.refused.iter().map(|(at, _)| *at).collect();
    assert_eq!(refused, (0..30_000).step_by(50).collect::<Vec<_>>());
    assert_eq!(decoded.columns[0].len(), 30_000);
    let error = decoder.decode(&payloads(3), &[0]).expect_err("one in three is the plugin's fault");
    assert!(
        error.retry && error.message.contains("stopped after 100 bad rows among the last 1000"),
        "{error}"
    );
    let error = decoder.decode(&[b"a"], &[0]).expect_err("it is not called meanwhile");
    assert!(error.retry, "{error}");
}

#[test]
fn every_animal_has_a_row() {
    let files = fs::read_dir(repository().join("tests/zoo")).expect("the zoo is there");
    let files: BTreeSet<String> = files
        .map(|file| file.expect("an entry").path())
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    let rows = ZOO.iter().map(|(name, ..)| *name).chain(TAME).map(str::to_owned).collect();
    assert_eq!(files, rows);
}

#[test]
fn bytes_that_are_nothing_at_all_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = registry(folder.path());
    let whole = bytes("tame", Guest("scalar"));
    let mut garbage = whole[..8].to_vec();
    garbage.extend([0xff; 64]);
    for (bytes, phase, reason) in [
        (Vec::new(), Phase::Admit, "is empty"),
        (b"\x7fELF compiled".to_vec(), Phase::Admit, "native or compiled code, which is never taken"),
        (b"(component)".to_vec(), Phase::Admit, "WebAssembly text, which is never taken"),
        (vec![0xff; 100], Phase::Admit, "is not a component"),
        (vec![0; 40 << 20], Phase::Admit, "is 41943040 bytes long, of which 33554432 are allowed"),
        (whole[..whole.len() / 2].to_vec(), Phase::Compile, "is not a valid component"),
        (garbage, Phase::Compile, "is not a valid component"),
    ] {
        let error = registry.admit_and_store("nothing", &bytes).expect_err("it is no component");
        assert_eq!(error.phase, phase, "{error}");
        assert!(error.to_string().contains(reason), "`{error}` does not say `{reason}`");
    }
}
