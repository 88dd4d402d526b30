//! Guests written in WebAssembly text, run through everything from admission to the registry.

mod aggregate;
mod registry;
mod scalar;

use crate::account::Account;
use crate::plugin::Plugin;
use crate::{CompileWith, Limits, PluginHost};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use weir_event::ManualClock;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata, metadata::Bindgen};

const PRELUDE: &str = include_str!("../../../../tests/zoo/prelude.wat");
const SCALAR: &str = include_str!("scalar.wat");
const AGGREGATE: &str = include_str!("aggregate.wat");

/// A component of a world of `wit/`, made of the prelude and a guest's text.
fn component(world: &str, guest: &str) -> Vec<u8> {
    let mut module = wat::parse_str(format!("(module {PRELUDE} {guest})")).unwrap();
    let mut resolve = Bindgen::default().resolve;
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

fn limits() -> Limits {
    // Few instances: each reserves addresses, and tests run side by side.
    Limits { instances: 16, ..Limits::default() }
}

/// One host for all tests that need none of their own.
fn host() -> &'static PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    HOST.get_or_init(|| {
        // Kept until the process ends.
        let folder = tempfile::tempdir().unwrap().keep();
        PluginHost::new(&folder, limits(), CompileWith::InProcess, Arc::new(ManualClock::default()))
    })
}

fn account(plugin: &Arc<Plugin>) -> Arc<Account> {
    Arc::new(Account::new(plugin, "job"))
}
