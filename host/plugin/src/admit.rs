//! Admission: bytes from anybody -> a [`Plugin`], or every reason why not. The order is from cheap to dear:
//! size and kind, compiling (elsewhere, with limits), what is imported and exported, a first instance with every
//! export looked up, its own description, and a call without rows. Must not know where components are kept.

use crate::describe::{self, Described};
use crate::engine::{PluginHost, Shared};
use crate::error::{Phase, PluginError};
use crate::failure::{Cause, Failure, one_line};
use crate::guest::{Caller, Guest};
use crate::limits::Limits;
use crate::payloads::PluginPayloads;
use crate::plugin::Plugin;
use crate::wire::Field;
use crate::wire::IMPORTS;
use crate::world::{Exports, TypeCheck, WORLDS, World};
use crate::{account::Account, cache};
use sha2::{Digest, Sha256};
use std::fs;
use std::sync::{Arc, PoisonError};
use wasmtime::component::{Component, InstancePre};

impl PluginHost {
    /// Takes a component under a name, or says everything that speaks against it.
    pub fn admit(&self, name: &str, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let plugin = self.load(name, bytes)?;
        let unreachable = describe::check_names(plugin.functions(), self.limits().taken_names);
        if !unreachable.is_empty() {
            return Err(PluginError::user(name, Phase::Describe, unreachable));
        }
        plugin.dry_run().map_err(|reasons| PluginError::user(name, Phase::Call, reasons))?;
        Ok(plugin)
    }

    /// Takes a component that was admitted before: all but the dry run.
    pub(crate) fn load(&self, name: &str, bytes: &[u8]) -> Result<Arc<Plugin>, PluginError> {
        let refuse = |phase, reasons| PluginError::user(name, phase, reasons);
        let reasons = check_bytes(name, bytes, self.limits());
        if !reasons.is_empty() {
            return Err(refuse(Phase::Admit, reasons));
        }
        let sha256 = sha256(bytes);
        let shared = self.shared(name)?;
        let component = shared.compiled(name, &sha256, bytes)?;
        let (exports, ignored) =
            shared.check_interfaces(&component).map_err(|reasons| refuse(Phase::Admit, reasons))?;
        let plugin: Arc<str> = name.into();
        let start = |reason: String| refuse(Phase::Instantiate, vec![reason]);
        let pre: InstancePre<_> = shared
            .linker
            .instantiate_pre(&component)
            .map_err(|error| start(format!("cannot be linked: {}", one_line(&format!("{error:#}")))))?;
        let mut guest =
            Guest::start(shared, &pre, Caller { plugin: &plugin, job: &Arc::default() }, 0, &Arc::default())
                .map_err(|failure| refusal(name, Phase::Instantiate, &failure))?;
        check_types(&mut guest, &exports).map_err(|reasons| refuse(Phase::Instantiate, reasons))?;
        let described = describe(&mut guest, &exports);
        let (functions, columns) = described.map_err(|failure| refusal(name, Phase::Describe, &failure))?;
        drop(guest);
        let reasons = describe::check(&functions, &columns);
        if !reasons.is_empty() {
            return Err(refuse(Phase::Describe, reasons));
        }
        Ok(Arc::new(Plugin {
            name: plugin,
            sha256: sha256.into(),
            functions,
            columns,
            ignored,
            exports,
            pre,
            shared: Arc::clone(shared),
            allowed: shared.limits.of(name),
        }))
    }
}

impl Shared {
    /// The component's code: from the cache, or compiled now.
    fn compiled(&self, plugin: &str, sha256: &str, bytes: &[u8]) -> Result<Component, PluginError> {
        let (cache, engine) = (&self.cache, &self.engine);
        let _one_at_a_time = self.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Ok(component)) = cache.load(engine, sha256) {
            return Ok(component);
        }
        let disk = |error: std::io::Error| {
            PluginError::external(plugin, Phase::Compile, format!("cannot keep compiled code: {error}"))
        };
        let output = cache.place(sha256).map_err(disk)?;
        let input = output.with_extension("wasm");
        cache::write_whole(&input, bytes).map_err(disk)?;
        let compiled = self.compile_with.compile(plugin, &input, &output);
        // A leftover input costs space alone, and the next compilation overwrites it.
        let _ = fs::remove_file(&input);
        compiled?;
        match cache.load(engine, sha256) {
            Some(Ok(component)) => Ok(component),
            // Validation is over: what is refused now are the bounds of the pool of instances.
            Some(Err(error)) => Err(PluginError::user(
                plugin,
                Phase::Compile,
                vec![self.too_much(&one_line(&format!("{error:#}")))],
            )),
            None => {
                Err(PluginError::weir(plugin, Phase::Compile, "the compiler left no usable code".to_owned()))
            }
        }
    }

    fn too_much(&self, error: &str) -> String {
        format!(
            "asks for more than a plugin may have ({} bytes of memory; limits.plugin_memory): {error}",
            self.limits.most_memory_bytes()
        )
    }

    /// The exports to load and the names of those to ignore; or every import and export that does not do.
    fn check_interfaces(&self, component: &Component) -> Result<(Exports, Vec<String>), Vec<String>> {
        let engine = &self.engine;
        let component_type = component.component_type();
        let mut reasons: Vec<String> = component_type
            .imports(engine)
            .map(|(import, _)| import)
            .filter(|import| !IMPORTS.iter().any(|allowed| import.starts_with(allowed)))
            .map(|import| {
                format!(
                    "imports `{}`; a plugin may import weir:feature/platform and weir:feature/types alone (no WASI: \
                     no clock, files, network or randomness)",
                    one_line(import)
                )
            })
            .collect();
        let mut exports = Exports::default();
        let mut ignored = Vec::new();
        for (export, _) in component_type.exports(engine) {
            let Some(world) = WORLDS.iter().find(|world| export.starts_with(world.interface())) else {
                ignored.push(one_line(export));
                continue;
            };
            let interface = component.get_export_index(None, export);
            for name in world.exports() {
                let found = interface.as_ref().and_then(|it| component.get_export_index(Some(it), name));
                match found {
                    Some(found) => exports.insert(*world, name, found),
                    None => reasons.push(format!("exports `{export}` without `{name}`")),
                }
            }
        }
        if reasons.is_empty() && exports.is_empty() {
            let others = if ignored.is_empty() { "nothing".to_owned() } else { ignored.join(", ") };
            let known: Vec<String> = WORLDS.iter().map(|world| format!("{}0", world.interface())).collect();
            let known = known.join(" or ");
            reasons.push(format!("exports no interface of weir's (but {others}); export {known}"));
        }
        if reasons.is_empty() { Ok((exports, ignored)) } else { Err(reasons) }
    }
}

/// A failed first step: the component's fault, unless the host had no place for it.
fn refusal(plugin: &str, phase: Phase, failure: &Failure) -> PluginError {
    match failure.cause {
        Cause::Host => PluginError::external(plugin, phase, failure.reason.clone()),
        _ => PluginError::user(plugin, phase, vec![failure.reason.clone()]),
    }
}

/// What can be told without looking inside.
fn check_bytes(name: &str, bytes: &[u8], limits: &Limits) -> Vec<String> {
    /// How a component starts; a core module has another version and layer.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut reasons = Vec::new();
    if !describe::is_name(name) {
        reasons
            .push(format!("`{}` is not a name for a plugin; write [a-z][a-z0-9_]{{0,63}}", one_line(name)));
    }
    if bytes.len() > limits.component_bytes {
        let (length, limit) = (bytes.len(), limits.component_bytes);
        reasons.push(format!("is {length} bytes long, of which {limit} are allowed; strip it"));
    }
    if !bytes.starts_with(COMPONENT) {
        reasons.push(format!("is {}; upload a component (`weir plugin build` makes one)", kind_of(bytes)));
    }
    reasons
}

/// What bytes are that are no component.
fn kind_of(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "empty",
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => "a core module, not a component",
        [0, b'a', b's', b'm', ..] => "WebAssembly of an unknown version or layer",
        [0x7f, b'E', b'L', b'F', ..] => "native or compiled code, which is never taken",
        [b'(', ..] => "WebAssembly text, which is never taken",
        _ if std::str::from_utf8(bytes).is_ok() => "text, not a component",
        _ => "not a component",
    }
}

/// Whether each export has the type that `wit/` gives it.
fn check_types(guest: &mut Guest, exports: &Exports) -> Result<(), Vec<String>> {
    let mut reasons = Vec::new();
    for world in exports.worlds() {
        world.check_types(&mut TypeCheck { world, guest, exports, reasons: &mut reasons });
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// A component's functions, and the columns that it decodes payloads into.
fn describe(guest: &mut Guest, exports: &Exports) -> Result<(Vec<Described>, Vec<Field>), Failure> {
    let (mut functions, mut columns) = (Vec::new(), Vec::new());
    for world in exports.worlds() {
        functions.extend(world.describe(guest, exports)?);
        columns.extend(world.columns(guest, exports)?);
    }
    Ok((functions, columns))
}

impl Plugin {
    /// Calls every function without rows; every failure is a reason.
    fn dry_run(self: &Arc<Self>) -> Result<(), Vec<String>> {
        // Of no job: what speaks against a plugin is nobody's expense.
        let account = &Arc::new(Account::new(self, ""));
        let of_kind = |world: &&dyn World| {
            let kind = world.kind();
            self.functions.iter().filter(move |function| function.kind == kind)
        };
        let tried = WORLDS.iter().flat_map(|world| of_kind(world).map(|it| world.dry_run(account, it)));
        let decodes = (!self.columns.is_empty()).then(|| PluginPayloads::new(account.clone()).dry_run());
        let reasons: Vec<String> = tried.chain(decodes).filter_map(Result::err).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }
}

/// Hash of a component's file, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
