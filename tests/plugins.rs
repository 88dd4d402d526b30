//! The sample plugins as components, through the whole host: `plugins/build` makes what is tested here.

use crate::harness::{Project, Server, repository, weir};
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use std::path::Path;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_event::Rank;
use weir_plan::ExpressionError;
use weir_plugin::{CompileWith, Limits, PluginRegistry};
use weir_timeline::{Algebra, Input, States};

/// A registry with the samples; one per test, as a project has one.
fn samples(folder: &Path) -> PluginRegistry {
    let dist = repository().join("plugins/dist");
    for name in ["geo", "trip"] {
        let path = dist.join(format!("{name}.wasm"));
        assert!(path.is_file(), "{} is missing; run plugins/build", path.display());
    }
    let limits = Limits { instances: 16, ..Limits::default() };
    let registry = PluginRegistry::open(folder, limits, CompileWith::InProcess, Arc::new(SystemClock::new()))
        .expect("an empty folder opens");
    let taken = registry.load_project_plugins(&dist).expect("the samples are taken");
    assert!(
        taken.iter().any(|stored| stored.name == "geo") && taken.iter().any(|stored| stored.name == "trip")
    );
    registry
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

#[test]
fn the_samples_say_what_they_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = samples(folder.path());
    let exports: Vec<String> = registry
        .list()
        .into_iter()
        .flat_map(|plugin| plugin.versions)
        .flat_map(|version| version.exports)
        .collect();
    for export in [
        "scalar haversine_km(lat1 double, lon1 double, lat2 double, lon2 double) -> double",
        "scalar geohash_encode(lat double, lon double, precision bigint) -> string",
        "aggregate trip(lat double, lon double) -> double",
    ] {
        assert!(exports.iter().any(|found| found == export), "{export} is not among {exports:?}");
    }
}

#[test]
fn a_function_that_is_not_active_is_told_with_what_to_do() {
    let project = Project::new();
    project
        .file(
            "streams/s.yaml",
            "stream: s\nfields: {lat: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n",
        )
        .file("jobs/plain.yaml", "query: SELECT lat FROM s\n");
    let server = Server::start(&project, "");
    let component = std::fs::read(repository().join("plugins/dist/geo.wasm")).expect("plugins/build made it");
    let (status, answer) = server.post("/v1/plugins?name=geo", &component);
    assert_eq!(status, 201, "{answer}");
    assert!(server.terminate().success());
    project.file("jobs/plain.yaml", "query: SELECT haversine_km(lat, lat, lat, 0.0) AS km FROM s\n");
    let output = project.weir("check", &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("jobs/plain.yaml:1:") && text.contains("weir plugin activate geo 1"), "{text}");
}

/// `weir run` in a shell that has so much address space, in KiB.
fn run_within(project: &Project, kib: u32) -> std::process::Output {
    let limited = format!("ulimit -v {kib}; exec \"$0\" run \"$1\" --until-end");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &limited]).arg(weir()).arg(project.path());
    shell.output().expect("a shell starts")
}

#[test]
fn address_space_is_reserved_for_plugins_only_where_there_are_some() {
    const ADDRESS_SPACE_KIB: u32 = 8_000_000;
    let project = Project::new();
    project
        .file(
            "streams/s.yaml",
            "stream: s\nfields: {lat: double, t: timestamp}\nevent_time: t\nsource: {file: {path: in.jsonl}}\n",
        )
        .file("jobs/plain.yaml", "query: SELECT lat FROM s\nsinks: [{file: {path: out}}]\n")
        .file("in.jsonl", "{\"lat\":1.5,\"t\":0}\n");
    let output = run_within(&project, ADDRESS_SPACE_KIB);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(project.rows("out"), [serde_json::json!({"lat": 1.5})]);

    std::fs::create_dir(project.path().join("plugins")).expect("a folder can be made");
    let component = repository().join("plugins/dist/geo.wasm");
    std::fs::copy(component, project.path().join("plugins/geo.wasm")).expect("plugins/build made it");
    let output = run_within(&project, ADDRESS_SPACE_KIB);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("plugin `geo`") && text.contains("ulimit -v"), "{text}");
    assert_ne!(output.status.code(), Some(0), "{text}");
}

#[test]
fn haversine_gives_distances_for_a_large_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let function = samples(folder.path()).active().scalar("job", "haversine_km").expect("geo is active");
    let rows = 10_000;
    let arguments = [(40.6398, -73.7789), (33.9425, -118.4081)]
        .map(|(lat, lon)| [doubles(&vec![lat; rows]), doubles(&vec![lon; rows])])
        .concat();
    let distances = function.call(&arguments, rows).expect("it has a distance for every row");
    let distances = distances.as_primitive::<Float64Type>();
    assert_eq!(distances.len(), rows);
    assert!(distances.values().iter().all(|km| (km - 3974.2).abs() < 1.0), "{}", distances.value(0));
}

#[test]
fn geohash_gives_texts_and_refuses_a_bad_precision_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let function = samples(folder.path()).active().scalar("job", "geohash_encode").expect("geo is active");
    let call = |precision: &[i64]| {
        let precisions: ArrayRef = Arc::new(Int64Array::from(precision.to_vec()));
        let rows = precision.len();
        function.call(&[doubles(&vec![57.649_11; rows]), doubles(&vec![10.407_44; rows]), precisions], rows)
    };
    let hashes = call(&[1, 5, 11]).expect("all are good");
    let hashes: Vec<&str> = hashes.as_string_view().iter().flatten().collect();
    assert_eq!(hashes, ["u", "u4pru", "u4pruydqqvj"]);
    match call(&[1, 99, 11]) {
        Err(ExpressionError::Rows(reason)) => {
            assert!(reason.contains("plugin `geo`, call of `geohash_encode`"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// Positions of one trip, then of another, some kilometres apart.
const WAY: [(f64, f64); 5] = [(52.52, 13.40), (52.40, 13.06), (52.13, 11.63), (52.37, 9.73), (53.55, 9.99)];

fn feed(states: &mut dyn States, groups: &[u32], way: &[(f64, f64)]) {
    let (lats, lons): (Vec<f64>, Vec<f64>) = way.iter().copied().unzip();
    let rows: Vec<u32> = (0..way.len() as u32).collect();
    let times: Vec<i64> = (0..way.len() as i64).collect();
    let arguments = [doubles(&lats), doubles(&lons)];
    let ranks = vec![Rank::default(); way.len()];
    let input = Input { groups, rows: &rows, times: &times, ranks: &ranks, arguments: &arguments };
    states.update(&input).expect("positions are fed");
}

#[test]
fn a_trip_is_as_long_however_it_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let registry = samples(folder.path());
    let types = [DataType::Float64, DataType::Float64];
    let trip = registry.active().aggregate("job", "trip", &types, &[]).expect("trip is active");
    assert_eq!((trip.card().algebra, &trip.card().result), (Algebra::Ordered, &DataType::Float64));
    let mut whole = trip.states();
    whole.resize(2);
    feed(&mut *whole, &[0; 5], &WAY);
    let finished = whole.finish(&[0, 1], &[9, 9]).expect("it has values");
    let lengths = finished.values.as_primitive::<Float64Type>();
    assert!((390.0..400.0).contains(&lengths.value(0)), "{}", lengths.value(0));
    assert!(lengths.is_null(1), "no position is no distance");
    for cut in 0..=WAY.len() {
        let mut early = trip.states();
        early.resize(1);
        feed(&mut *early, &vec![0; cut], &WAY[..cut]);
        registry.barrier();
        let mut late = trip.states();
        late.resize(1);
        feed(&mut *late, &vec![0; WAY.len() - cut], &WAY[cut..]);
        let mut stored = Vec::new();
        late.encode(0, &mut stored);
        let mut read = trip.states();
        read.resize(1);
        read.decode(0, &stored).expect("a state is read back");
        early.merge(&[0], &*read, &[0]).expect("parts are merged");
        let merged = early.finish(&[0], &[9]).expect("it has a value");
        let merged = merged.values.as_primitive::<Float64Type>().value(0);
        assert!((merged - lengths.value(0)).abs() < 1e-9, "cut at {cut}: {merged}");
    }
}
