//! Versions, activation and what is found again after a restart.

use super::{AGGREGATE, SCALAR, component, limits};
use crate::{CompileWith, Phase, PluginRegistry};
use arrow_array::Float64Array;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use weir_event::{Fault, ManualClock};

fn open(folder: &Path) -> PluginRegistry {
    PluginRegistry::open(folder, limits(), CompileWith::InProcess, Arc::new(ManualClock::default())).unwrap()
}

/// The scalar guest with another description, so with another hash.
fn variant(number: u32) -> Vec<u8> {
    component("scalar", &format!("{SCALAR} (data (i32.const 256) \"{number}\")"))
}

#[test]
fn the_same_bytes_are_the_same_version_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    let first = registry.admit_and_store("one", &variant(1)).unwrap();
    assert_eq!((first.version.version, first.version.sha256.len()), (1, 64));
    assert_eq!(first.version.exports, ["scalar f(x double) -> double"]);
    assert!(registry.active().scalar("job", "f").is_none(), "storing is not activating");
    assert_eq!(registry.admit_and_store("one", &variant(2)).unwrap().version.version, 2);
    assert_eq!(registry.admit_and_store("one", &variant(1)).unwrap(), first);
    registry.activate("one", 1).unwrap();
    let identity = registry.active().scalar("job", "f").unwrap().identity().to_owned();
    assert!(identity.ends_with(&first.version.sha256));
    registry.activate("one", 2).unwrap();
    assert_ne!(registry.active().scalar("job", "f").unwrap().identity(), identity);
    drop(registry);

    let registry = open(folder.path());
    let status = registry.list();
    assert_eq!((status.len(), status[0].active, status[0].versions.len()), (1, Some(2), 2));
    assert_ne!(registry.active().scalar("job", "f").unwrap().identity(), identity);
    assert_eq!(registry.rollback("one").unwrap(), 1);
    assert_eq!(registry.active().scalar("job", "f").unwrap().identity(), identity);
    assert!(registry.rollback("one").unwrap_err().to_string().contains("no other version"));
    assert_eq!(registry.active().scalar_names(), ["f"]);
}

#[test]
fn each_job_has_an_account_for_as_long_as_it_has_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    registry.admit_and_store("one", &variant(1)).unwrap();
    registry.activate("one", 1).unwrap();
    let call = |job: &str| {
        let function = registry.active().scalar(job, "f").unwrap();
        function.call(&[Arc::new(Float64Array::from(vec![1.0]))], 1).unwrap();
        function
    };
    let calls = || -> Vec<(String, u64)> {
        registry.usage().into_iter().map(|usage| (usage.job, usage.calls)).collect()
    };
    let (first, other) = (call("first"), call("other"));
    assert_eq!(calls(), [("first".to_owned(), 1), ("other".to_owned(), 1)]);
    // A plan that is made anew while the one before is there goes on with its account.
    let again = call("first");
    drop(first);
    assert_eq!(calls(), [("first".to_owned(), 2), ("other".to_owned(), 1)]);
    drop((again, other));
    assert_eq!(calls(), []);
}

#[test]
fn two_active_plugins_never_have_the_same_function() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    for (name, number) in [("one", 1), ("two", 2)] {
        registry.admit_and_store(name, &variant(number)).unwrap();
    }
    registry.activate("one", 1).unwrap();
    let error = registry.activate("two", 1).unwrap_err();
    assert_eq!((error.phase, error.fault), (Phase::Activate, Fault::User));
    assert_eq!(
        error.to_string(),
        "plugin `two` (activate): exports `f`, as the active plugin `one` does; rename one of the two"
    );
    assert_eq!(registry.list()[1].active, None);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    assert!(registry.activate("one", 1).unwrap_err().to_string().contains("is not known"));
    registry.admit_and_store("one", &variant(1)).unwrap();
    assert!(registry.activate("one", 7).unwrap_err().to_string().contains("has no version 7"));
    assert!(
        registry
            .admit_and_store("No", &variant(1))
            .unwrap_err()
            .to_string()
            .contains("not a name for a plugin")
    );
    assert!(
        registry
            .active()
            .aggregate("job", "g", &[], &[])
            .unwrap_err()
            .contains("no active plugin has an aggregate `g`")
    );
}

#[test]
fn project_files_become_active_when_they_change() {
    let (folder, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = open(folder.path());
    assert_eq!(registry.load_project_plugins(&project.path().join("plugins")).unwrap(), []);
    fs::write(project.path().join("one.wasm"), variant(1)).unwrap();
    fs::write(project.path().join("sum.wasm"), component("aggregate", AGGREGATE)).unwrap();
    fs::write(project.path().join("README.md"), "no plugin").unwrap();
    let taken = registry.load_project_plugins(project.path()).unwrap();
    assert_eq!(taken.iter().map(|stored| stored.name.as_str()).collect::<Vec<_>>(), ["one", "sum"]);
    assert!(registry.active().has_aggregate("g") && registry.active().aggregate_names() == ["g"]);
    let first = registry.active().scalar("job", "f").unwrap().identity().to_owned();

    registry.admit_and_store("one", &variant(2)).unwrap();
    registry.activate("one", 2).unwrap();
    registry.load_project_plugins(project.path()).unwrap();
    assert_ne!(
        registry.active().scalar("job", "f").unwrap().identity(),
        first,
        "what was activated since stays"
    );
    fs::write(project.path().join("one.wasm"), variant(3)).unwrap();
    registry.load_project_plugins(project.path()).unwrap();
    fs::write(project.path().join("one.wasm"), variant(1)).unwrap();
    registry.load_project_plugins(project.path()).unwrap();
    assert_eq!(
        registry.active().scalar("job", "f").unwrap().identity(),
        first,
        "a file put back is a change"
    );

    fs::write(project.path().join("bad.wasm"), "text").unwrap();
    fs::write(project.path().join("worse.wasm"), "").unwrap();
    assert_eq!(registry.load_project_plugins(project.path()).unwrap_err().len(), 2);
}

#[test]
fn a_stored_component_that_was_changed_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    let stored = registry.admit_and_store("one", &variant(1)).unwrap();
    let path = folder.path().join("plugins").join(format!("{}.wasm", stored.version.sha256));
    fs::write(&path, variant(2)).unwrap();
    let error = registry.activate("one", 1).unwrap_err();
    assert_eq!((error.phase, error.fault), (Phase::Store, Fault::Weir));
    fs::remove_file(&path).unwrap();
    assert!(registry.activate("one", 1).is_err());
}

#[test]
fn damaged_compiled_code_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open(folder.path());
    registry.admit_and_store("one", &variant(1)).unwrap();
    let compiled: Vec<_> =
        fs::read_dir(folder.path().join("compiled")).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(compiled.len(), 1, "nothing but the code is left");
    let mut code = fs::read(compiled[0].path()).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(compiled[0].path(), &code).unwrap();
    registry.activate("one", 1).unwrap();
    assert_ne!(fs::read(compiled[0].path()).unwrap(), code);
}
