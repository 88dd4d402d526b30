//! Components with a random module inside, which is instantiated with them: whatever that does, it is refused as its
//! author's fault or taken, the host goes on, and a neighbour's values are right.
//!
//! 500 modules, or as many as WEIR_RANDOM_MODULES says; each is known by its number alone.

use crate::harness::Dice;
use crate::zoo::scalar_guest;
use arbitrary::Unstructured;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array};
use std::sync::Arc;
use wasm_smith::{Config, Module};
use weir_engine::SystemClock;
use weir_event::Fault;
use weir_plan::ScalarFunction;
use weir_plugin::{CompileWith, Limits, PluginRegistry};

/// A valid module: every construct that wasm-smith has on by default and a start function now and then. Its loops may
/// never end and its memory may grow.
fn random_module(number: u64) -> Option<Vec<u8>> {
    let noise = Dice::new(number).bytes(1024 << (number % 5));
    // One in eight may also hold what the host has switched off, and is refused for that.
    let beyond = number.is_multiple_of(8);
    let config = Config {
        max_imports: 0,
        allow_start_export: true,
        max_memories: 3,
        max_tables: if beyond { 5 } else { 1 },
        max_memory32_bytes: 1 << 20,
        custom_page_sizes_enabled: beyond,
        exceptions_enabled: beyond,
        gc_enabled: beyond,
        memory64_enabled: beyond,
        reference_types_enabled: beyond,
        threads_enabled: beyond,
        wide_arithmetic_enabled: beyond,
        ..Config::default()
    };
    Module::new(config, &mut Unstructured::new(&noise)).ok().map(|module| module.to_bytes())
}

/// Appends a module and its instance to a component.
fn with_module(mut component: Vec<u8>, module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    let before = core_modules(&component);
    let mut section = |id: u8, body: &[u8]| {
        component.push(id);
        leb128(body.len(), &mut component);
        component.extend_from_slice(body);
    };
    section(CORE_MODULE, module);
    // One instance: instantiate this module with nothing.
    let mut instance = vec![1, 0];
    leb128(before, &mut instance);
    instance.push(0);
    section(CORE_INSTANCE, &instance);
    component
}

fn core_modules(component: &[u8]) -> usize {
    let (mut at, mut found) = (8, 0);
    while at < component.len() {
        found += usize::from(component[at] == 1);
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            at += 1;
            length |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] & 0x80 == 0 {
                break;
            }
        }
        at += 1 + length;
    }
    found
}

fn leb128(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn right(function: &dyn ScalarFunction) -> bool {
    let argument: ArrayRef = Arc::new(Float64Array::from(vec![1.5; 64]));
    let answer = function.call(&[argument], 64).expect("a tame function has values");
    answer.as_primitive::<Float64Type>().values().iter().all(|value| *value == 1.5)
}

#[test]
fn random_modules_are_refused_or_taken_and_hurt_nobody() {
    let count = std::env::var("WEIR_RANDOM_MODULES").map_or(500, |count| count.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { instances: 16, ..Limits::default() };
    let clock = Arc::new(SystemClock::new());
    let registry = PluginRegistry::open(folder.path(), limits.clone(), CompileWith::InProcess, clock.clone())
        .expect("an empty folder opens");
    let tame = scalar_guest("tame");
    registry.admit_and_store("tame", &tame).expect("it is taken");
    registry.activate("tame", 1).expect("it is active");
    let neighbour = registry.active().scalar("job", "f").expect("it is active");
    let (mut taken, mut refused) = (0, 0);
    for number in 0..count {
        let Some(module) = random_module(number) else { continue };
        let wild = with_module(tame.clone(), &module);
        match registry.host().admit("wild", &wild) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!((error.fault, error.retry), (Fault::User, false), "module {number}: {error}");
                refused += 1;
            }
        }
        assert!(number % 20 != 0 || right(&*neighbour), "module {number}");
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > count / 2 && refused > 0, "{taken} taken, {refused} refused");
}
