//! The one wasmtime engine, its linker and the limits: what lives as long as the process, and is set up when the
//! first component is admitted. Knows how guests are compiled and what they may import; must not know any particular
//! plugin.

use crate::cache::CompiledCache;
use crate::compile::CompileWith;
use crate::error::{Phase, PluginError};
use crate::failure::one_line;
use crate::guest::GuestData;
use crate::journal::{Journal, LogLine};
use crate::limits::Limits;
use crate::wire::{Level, PLATFORM};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, StoreContextMut, Trap};
use weir_event::{Clock, EventTime};

/// Memories of one component: one is usual.
const MAX_MEMORIES_PER_COMPONENT: u32 = 4;
/// Tables of one component: a dynamically linked one (Python) has one per library.
const MAX_TABLES_PER_COMPONENT: u32 = 8;
/// Core instances of one component: three for Rust, about twenty for Python.
const MAX_CORE_INSTANCES_PER_COMPONENT: u32 = 40;
/// Elements of one table: functions whose address is taken; Python has some ten thousand.
const MAX_TABLE_ELEMENTS: usize = 32 * 1024;
/// Memory of a dropped instance that stays mapped for the next one, in bytes: saves page faults where a guest is
/// small.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;
/// Fuel for one log line, besides one unit per byte: so that a loop of logging ends as any other.
const FUEL_PER_LOG_LINE: u64 = 1000;

/// Where components are compiled, admitted and run. Cheap to share.
#[derive(Clone)]
pub struct PluginHost {
    parts: Arc<Parts>,
}

struct Parts {
    limits: Limits,
    compiled: PathBuf,
    compile_with: CompileWith,
    clock: Arc<dyn Clock>,
    journal: Arc<Journal>,
    /// Instances reserve terabytes of address space between them, which a process without plugins can do without.
    shared: OnceLock<Arc<Shared>>,
    /// Held while `shared` is made, so that it is made once.
    starting: Mutex<()>,
    halted: Arc<AtomicBool>,
}

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<GuestData>,
    pub(crate) limits: Limits,
    pub(crate) cache: CompiledCache,
    pub(crate) compile_with: CompileWith,
    /// For circuit breakers alone: a guest gets no time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Held while a component is compiled: one compiler at a time is as much as a serving machine can spare.
    pub(crate) compiling: Mutex<()>,
    /// Instances alive now, over all plugins.
    pub(crate) alive: AtomicU32,
    /// Whether no guest is called any more.
    pub(crate) halted: Arc<AtomicBool>,
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost").field("limits", &self.parts.limits).finish_non_exhaustive()
    }
}

impl PluginHost {
    /// A host that keeps compiled code in the folder `compiled`, which is made when needed and must be written by
    /// nobody else: what is found there runs as native code.
    pub fn new(compiled: &Path, limits: Limits, compile_with: CompileWith, clock: Arc<dyn Clock>) -> Self {
        let (compiled, shared, starting) = (compiled.to_owned(), OnceLock::new(), Mutex::new(()));
        let (halted, journal) = (Arc::default(), Arc::default());
        PluginHost {
            parts: Arc::new(Parts {
                limits,
                compiled,
                compile_with,
                clock,
                journal,
                shared,
                starting,
                halted,
            }),
        }
    }

    /// Calls no guest any more: calls that run end within their fuel, and all others fail by the host's fault. For a
    /// process that stops, and does not wait for what rows may take that are read already.
    pub fn halt(&self) {
        self.parts.halted.store(true, Ordering::Relaxed);
    }

    /// What a plugin has logged last, behind line `after`, oldest first.
    pub fn log(&self, plugin: &str, after: u64) -> Vec<LogLine> {
        self.parts.journal.read(plugin, after)
    }

    /// What every guest may use.
    pub fn limits(&self) -> &Limits {
        &self.parts.limits
    }

    /// The engine and what belongs to it; made at the first call, for the plugin that the error then names.
    pub(crate) fn shared(&self, plugin: &str) -> Result<&Arc<Shared>, PluginError> {
        let parts = &*self.parts;
        if let Some(shared) = parts.shared.get() {
            return Ok(shared);
        }
        let _once = parts.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = parts.shared.get() {
            return Ok(shared);
        }
        let shared = Shared::start(parts).map_err(|error| {
            let reason = format!(
                "the plugin host cannot start: {error:#}; it reserves address space (not memory) for plugins: raise \
                 `ulimit -v`, or lower `limits.plugin_memory` in weir.yaml"
            );
            PluginError::external(plugin, Phase::Instantiate, reason)
        })?;
        Ok(parts.shared.get_or_init(|| Arc::new(shared)))
    }
}

impl Shared {
    fn start(parts: &Parts) -> wasmtime::Result<Shared> {
        let engine = Engine::new(&running_config(&parts.limits))?;
        Ok(Shared {
            linker: linker(&engine, &parts.journal, &parts.clock)?,
            cache: CompiledCache::new(&parts.compiled, &engine),
            engine,
            limits: parts.limits.clone(),
            compile_with: parts.compile_with.clone(),
            clock: Arc::clone(&parts.clock),
            compiling: Mutex::new(()),
            alive: AtomicU32::new(0),
            halted: Arc::clone(&parts.halted),
        })
    }
}

/// What decides the compiled code, so that a process which only compiles makes what the running one takes.
pub(crate) fn compiling_config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .consume_fuel(true)
        // A NaN's payload differs between processors; a feature must not.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // The 4 GiB reservation that makes bounds checks free holds for 32-bit memories only.
        .wasm_memory64(false)
        // Part of the compiled code's identity on disk; nothing prints guest backtraces.
        .generate_address_map(false)
        .wasm_backtrace_max_frames(None);
    config
}

fn running_config(limits: &Limits) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(limits.instances)
        .total_core_instances(limits.instances.saturating_mul(MAX_CORE_INSTANCES_PER_COMPONENT))
        .total_memories(limits.instances.saturating_mul(2).max(MAX_MEMORIES_PER_COMPONENT))
        .total_tables(limits.instances.saturating_mul(4).max(MAX_TABLES_PER_COMPONENT))
        .max_core_instances_per_component(MAX_CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MAX_MEMORIES_PER_COMPONENT)
        .max_memories_per_module(MAX_MEMORIES_PER_COMPONENT)
        .max_tables_per_component(MAX_TABLES_PER_COMPONENT)
        .max_tables_per_module(MAX_TABLES_PER_COMPONENT)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(usize::try_from(limits.most_memory_bytes()).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    let mut config = compiling_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// All that a guest can import.
fn linker(
    engine: &Engine,
    journal: &Arc<Journal>,
    clock: &Arc<dyn Clock>,
) -> wasmtime::Result<Linker<GuestData>> {
    let mut linker = Linker::new(engine);
    let (journal, clock) = (Arc::clone(journal), Arc::clone(clock));
    let log = move |store: StoreContextMut<'_, GuestData>, said: (Level, String)| {
        log(store, said, &journal, &*clock)
    };
    linker.instance(PLATFORM)?.func_wrap("log", log)?;
    Ok(linker)
}

fn log(
    mut store: StoreContextMut<'_, GuestData>,
    (level, message): (Level, String),
    journal: &Journal,
    clock: &dyn Clock,
) -> wasmtime::Result<()> {
    // What the host does for a guest is paid with the guest's fuel.
    let cost = FUEL_PER_LOG_LINE + message.len() as u64;
    let left = store.get_fuel()?.checked_sub(cost).ok_or(Trap::OutOfFuel)?;
    store.set_fuel(left)?;
    let (data, at) = (store.data(), clock.now());
    let Some(dropped) = journal.admit(&data.plugin, at, data.log_lines_per_second) else { return Ok(()) };
    if dropped > 0 {
        let message = format!(
            "{dropped} lines came too fast and were dropped, as more than {} a second (`log_lines` of the plugin in weir.yaml)",
            data.log_lines_per_second
        );
        write(data, Level::Warn, message, at, journal);
    }
    write(data, level, one_line(&message), at, journal);
    Ok(())
}

/// Into the server's log, and to where it is kept.
fn write(data: &GuestData, level: Level, message: String, at: EventTime, journal: &Journal) {
    let (plugin, job) = (&*data.plugin, Arc::clone(&data.job));
    let level = match level {
        Level::Debug => {
            tracing::debug!(plugin, "{message}");
            "debug"
        }
        Level::Info => {
            tracing::info!(plugin, "{message}");
            "info"
        }
        Level::Warn => {
            tracing::warn!(plugin, "{message}");
            "warn"
        }
        Level::Error => {
            tracing::error!(plugin, "{message}");
            "error"
        }
    };
    journal.write(&data.plugin, LogLine { number: 0, at, level, job, message });
}
