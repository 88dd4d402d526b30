//! The plugins of one data folder: immutable versions by name, addressed by the hash of their bytes, one of them
//! active; and the functions of the active ones, for the queries of a job to name. What was bound keeps running in
//! the version it was bound to. Must not know more of a job than its name, or when a barrier is.

use crate::account::{Account, Accounts};
use crate::aggregate::{AggregateWorld, PluginAggregate};
use crate::compile::CompileWith;
use crate::describe::Described;
use crate::engine::PluginHost;
use crate::error::{Phase, PluginError};
use crate::ledger::{Ledger, LedgerError, Record};
use crate::limits::Limits;
use crate::payloads::PluginPayloads;
use crate::plugin::Plugin;
use crate::process::{PluginProcess, ProcessWorld};
use crate::scalar::{PluginScalar, ScalarWorld};
use crate::seen::Seen;
use crate::transform::TransformWorld;
use crate::usage::PluginUsage;
use crate::wire::Field;
use crate::world::World;
use crate::{admit, cache};
use arrow_schema::DataType as ArrowType;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use weir_connect::ConnectError;
use weir_event::Clock;
use weir_event::suggestion::instead_of;
use weir_format::payload::{PayloadDecoder, PayloadPlugins};
use weir_plan::{
    DecodedColumns, FunctionCatalog, JobCatalog, JobCatalogs, JobDefinition, NoVersion, PluginVersion,
    ScalarFunction, TransformFunction,
};
use weir_timeline::aggregate::Parameter;
use weir_timeline::{Aggregate, KeyedLogic};

pub use crate::ledger::VersionStatus;

/// What a plugin that was stored is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Its version: a new one, or the one that these very bytes have already.
    #[serde(flatten)]
    pub version: VersionStatus,
}

/// What is known of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginStatus {
    /// Its name.
    pub name: String,
    /// The version that queries see; `None` before the first activation.
    pub active: Option<u32>,
    /// The version that was active before it, which a rollback makes active.
    pub previous: Option<u32>,
    /// Its versions, oldest first.
    pub versions: Vec<VersionStatus>,
}

/// The plugins of one data folder. Reading is never held up by an admission.
#[derive(Debug)]
pub struct PluginRegistry {
    host: PluginHost,
    folder: PathBuf,
    ledger: Mutex<Ledger>,
    current: RwLock<Current>,
    pub(crate) accounts: Accounts,
    /// Why active versions cannot be used, by plugin.
    pub(crate) unusable: BTreeMap<String, PluginError>,
}

/// What queries see.
#[derive(Debug, Default)]
struct Current {
    active: BTreeMap<String, Arc<Plugin>>,
    /// By name, which no two of them share.
    functions: BTreeMap<String, (Arc<Plugin>, Described)>,
    /// Every plugin that is loaded somewhere: it is loaded once, however often it becomes active.
    loaded: Vec<Weak<Plugin>>,
}

impl Current {
    /// A plugin is loaded: whoever wants the same version gets the same one.
    fn remember(&mut self, plugin: &Arc<Plugin>) {
        let is_same = |loaded: &Weak<Plugin>| std::ptr::eq(loaded.as_ptr(), Arc::as_ptr(plugin));
        self.loaded.retain(|loaded| loaded.strong_count() > 0 && !is_same(loaded));
        self.loaded.push(Arc::downgrade(plugin));
    }
}

impl PluginRegistry {
    /// Opens the registry in `data_dir` (`plugins/` and `compiled/` below it, made when missing) and loads the active
    /// versions. Nobody else may write there meanwhile.
    pub fn open(
        data_dir: &Path,
        limits: Limits,
        compile_with: CompileWith,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PluginError> {
        let folder = data_dir.join("plugins");
        fs::create_dir_all(&folder).map_err(|error| {
            PluginError::external("", Phase::Store, format!("cannot make {}: {error}", folder.display()))
        })?;
        let host = PluginHost::new(&data_dir.join("compiled"), limits, compile_with, clock);
        let ledger = Ledger::read(&folder).map_err(|error| store_error("", &error))?;
        let mut registry = PluginRegistry {
            host,
            folder,
            ledger: Mutex::new(ledger),
            current: RwLock::new(Current::default()),
            accounts: Accounts::default(),
            unusable: BTreeMap::new(),
        };
        let records = registry.change().plugins.clone();
        for (name, record) in &records {
            let Some(version) = record.active() else { continue };
            let shown = registry.load(name, record, version).and_then(|plugin| registry.show(name, plugin));
            if let Err(error) = shown {
                registry.unusable.insert(name.clone(), error);
            }
        }
        Ok(registry)
    }

    /// Why active versions could not be used when the registry was opened: jobs that call them wait for others.
    pub fn unusable(&self) -> impl Iterator<Item = &PluginError> {
        self.unusable.values()
    }

    /// The host, for admissions that keep nothing (`weir plugin check`).
    pub fn host(&self) -> &PluginHost {
        &self.host
    }

    /// What a job sees that names no version.
    pub fn active(&self) -> JobCatalog<'_> {
        JobCatalog::Own(Box::new(Seen::active(self)))
    }

    /// Calls no plugin any more; see [`PluginHost::halt`].
    pub fn halt(&self) {
        self.host.halt();
    }

    /// Admits a component and keeps it as the next version of `name`. The same bytes again are the same version.
    /// It is not active yet.
    pub fn admit_and_store(&self, name: &str, bytes: &[u8]) -> Result<Stored, PluginError> {
        let sha256 = admit::sha256(bytes);
        let known = |ledger: &Ledger| {
            let version = ledger.plugins.get(name).and_then(|record| record.by_hash(&sha256))?;
            Some(Stored { name: name.to_owned(), version: version.clone() })
        };
        let path = self.path(&sha256);
        let store = || {
            cache::write_whole(&path, bytes).map_err(|error| {
                PluginError::external(name, Phase::Store, format!("cannot write {}: {error}", path.display()))
            })
        };
        if let Some(stored) = known(&self.change()) {
            // Whoever pushes it again may put back what was lost or damaged.
            if fs::read(&path).map(|kept| admit::sha256(&kept)).ok().as_ref() != Some(&sha256) {
                store()?;
            }
            return Ok(stored);
        }
        // Takes seconds: the ledger stays free for others meanwhile.
        let plugin = self.host.admit(name, bytes)?;
        store()?;
        let mut ledger = self.change();
        if let Some(stored) = known(&ledger) {
            return Ok(stored);
        }
        let mut changed = ledger.clone();
        let record = changed.plugins.entry(name.to_owned()).or_default();
        let version = record.versions.len() as u32 + 1;
        let version = VersionStatus { version, sha256, bytes: bytes.len() as u64, exports: plugin.exports() };
        record.versions.push(version.clone());
        self.commit(&mut ledger, changed, name)?;
        Ok(Stored { name: name.to_owned(), version })
    }

    /// Every plugin, by name.
    pub fn list(&self) -> Vec<PluginStatus> {
        self.change().plugins.iter().map(|(name, record)| status(name, record)).collect()
    }

    /// The numbers of the active versions, by plugin; `None` while one is being activated, for which nobody who only looks is
    /// to wait.
    pub fn active_versions(&self) -> Option<BTreeMap<String, u32>> {
        let ledger = self.ledger.try_lock().ok()?;
        let active =
            ledger.plugins.iter().filter_map(|(name, record)| Some((name.clone(), record.active()?)));
        Some(active.collect())
    }

    /// Makes a version the one that queries see from now on.
    pub fn activate(&self, name: &str, version: u32) -> Result<(), PluginError> {
        let mut ledger = self.change();
        self.switch(&mut ledger, name, |record| {
            if record.active() != Some(version) {
                record.activated.push(version);
            }
            Ok(version)
        })
    }

    /// Goes back to the version that was active before; gives its number.
    pub fn rollback(&self, name: &str) -> Result<u32, PluginError> {
        let mut ledger = self.change();
        let mut now = 0;
        self.switch(&mut ledger, name, |record| {
            record.activated.pop();
            now = record.active().ok_or("no other version was active before; activate one by its number")?;
            Ok(now)
        })?;
        Ok(now)
    }

    /// Deletes a plugin with all its versions; gives what there was. Whoever has bound its functions keeps them until it
    /// lets go. A project's file of this name is taken anew when somebody looks at the project again.
    pub fn delete(&self, name: &str) -> Result<PluginStatus, PluginError> {
        let mut ledger = self.change();
        let mut changed = ledger.clone();
        let record = changed.plugins.remove(name).ok_or_else(|| {
            let reason = "there is no plugin of this name".to_owned();
            PluginError::user(name, Phase::Store, vec![reason])
        })?;
        self.commit(&mut ledger, changed, name)?;
        self.hide(name);
        for version in &record.versions {
            let of_others = ledger.plugins.values().any(|other| other.by_hash(&version.sha256).is_some());
            if !of_others {
                // What stays is never read again, and the next upload of the same bytes writes over it.
                let _ = fs::remove_file(self.path(&version.sha256));
            }
        }
        Ok(status(name, &record))
    }

    /// Takes every `NAME.wasm` of a project's folder `plugins/`; no folder is no plugin. A file that has changed
    /// since it was last taken becomes active; one that has not leaves what was activated since.
    pub fn load_project_plugins(&self, folder: &Path) -> Result<Vec<Stored>, Vec<PluginError>> {
        let files = project_files(folder).map_err(|error| vec![error])?;
        let taken: Vec<Result<Stored, PluginError>> =
            files.iter().map(|(name, path)| self.take_project_file(name, path)).collect();
        let errors: Vec<PluginError> =
            taken.iter().filter_map(|taken| taken.as_ref().err().cloned()).collect();
        if errors.is_empty() { Ok(taken.into_iter().filter_map(Result::ok).collect()) } else { Err(errors) }
    }

    /// What each job's calls into each version that it has took; nothing while a version is being activated, for which
    /// nobody who only looks is to wait.
    pub fn usage(&self) -> Vec<PluginUsage> {
        let Ok(ledger) = self.ledger.try_lock() else { return Vec::new() };
        let shown = |account: Arc<Account>| {
            let plugin = &account.plugin;
            let version = ledger.plugins.get(plugin.name())?.by_hash(plugin.sha256())?.version;
            Some(account.shown(version))
        };
        self.accounts.all().into_iter().filter_map(shown).collect()
    }

    /// Forgets every live instance: called at each barrier, so that nothing a guest remembers outlives a checkpoint.
    pub fn barrier(&self) {
        self.accounts.all().iter().for_each(|account| account.barrier());
    }

    pub(crate) fn change(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.wasm"))
    }

    /// Applies a change of what is active: loads, checks and shows the version, then writes it down.
    fn switch(
        &self,
        ledger: &mut Ledger,
        name: &str,
        change: impl FnOnce(&mut Record) -> Result<u32, &'static str>,
    ) -> Result<(), PluginError> {
        let refuse = |reason: String| PluginError::user(name, Phase::Activate, vec![reason]);
        let mut changed = ledger.clone();
        let known = changed.plugins.keys().cloned().collect::<Vec<_>>().join(", ");
        let record = changed
            .plugins
            .get_mut(name)
            .ok_or_else(|| refuse(format!("is not known; known plugins: {known}; push it first")))?;
        let version = change(record).map_err(|reason| refuse(reason.to_owned()))?;
        let plugin = self.load(name, record, version)?;
        self.check_names(name, &plugin)?;
        self.commit(ledger, changed, name)?;
        self.show(name, plugin)
    }

    /// A version that a job is to have, ready to run.
    pub(crate) fn version(
        &self,
        name: &str,
        wanted: impl FnOnce(&Record) -> Result<u32, String>,
    ) -> Result<Arc<Plugin>, NoVersion> {
        let missing = |reason: String| NoVersion { plugin: name.to_owned(), reason };
        let known = self.change().plugins.clone();
        let record = known.get(name).ok_or_else(|| {
            let others = instead_of(name, known.keys().map(String::as_str));
            missing(format!(
                "plugin `{name}` not found; {others}; `weir plugin push {name} FILE.wasm` brings it"
            ))
        })?;
        let version = wanted(record).map_err(missing)?;
        let plugin = self.load(name, record, version).map_err(|error| missing(error.to_string()))?;
        self.current.write().unwrap_or_else(PoisonError::into_inner).remember(&plugin);
        Ok(plugin)
    }

    /// A version ready to run: the one that is loaded already, or else from disk.
    fn load(&self, name: &str, record: &Record, version: u32) -> Result<Arc<Plugin>, PluginError> {
        let Some(known) = record.version(version) else {
            let reason = format!("has no version {version}; it has 1 to {}", record.versions.len());
            return Err(PluginError::user(name, Phase::Activate, vec![reason]));
        };
        let loaded = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            let mut loaded = current.loaded.iter().filter_map(Weak::upgrade);
            loaded.find(|plugin| plugin.name() == name && plugin.sha256() == known.sha256)
        };
        if let Some(plugin) = loaded {
            return Ok(plugin);
        }
        let path = self.path(&known.sha256);
        let damaged = |what: String| {
            let again = "push the same file again from a copy, or activate another version";
            PluginError::weir(name, Phase::Store, format!("{}: {what}; {again}", path.display()))
        };
        let bytes = fs::read(&path).map_err(|error| damaged(error.to_string()))?;
        if admit::sha256(&bytes) != known.sha256 {
            return Err(damaged("is not the file that was stored".to_owned()));
        }
        self.host.load(name, &bytes)
    }

    /// Refuses a plugin that has a function of another active plugin's.
    fn check_names(&self, name: &str, plugin: &Plugin) -> Result<(), PluginError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let others = || current.active.values().filter(|other| other.name() != name);
        let taken: Vec<String> = plugin
            .function_names()
            .flat_map(|function| others().map(move |other| (function, other)))
            .filter(|(function, other)| other.function_names().any(|taken| taken == *function))
            .map(|(function, other)| {
                let other = other.name();
                format!("exports `{function}`, as the active plugin `{other}` does; rename one of the two")
            })
            .collect();
        if taken.is_empty() { Ok(()) } else { Err(PluginError::user(name, Phase::Activate, taken)) }
    }

    /// An active function of this kind and name.
    pub(crate) fn find(&self, world: &dyn World, name: &str) -> Option<(Arc<Plugin>, Described)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.functions.get(name).filter(|(_, function)| function.kind == world.kind()).cloned()
    }

    /// An active plugin of this name that decodes payloads.
    pub(crate) fn decoding(&self, name: &str) -> Option<Arc<Plugin>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.active.get(name).filter(|plugin| !plugin.columns().is_empty()).cloned()
    }

    /// Names of the active functions of a kind.
    pub(crate) fn names(&self, world: &dyn World) -> Vec<String> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = current.functions.values().filter(|(_, function)| function.kind == world.kind());
        of_kind.map(|(_, function)| function.name.clone()).collect()
    }

    /// Lets queries see a plugin in place of any other version of it.
    fn show(&self, name: &str, plugin: Arc<Plugin>) -> Result<(), PluginError> {
        self.check_names(name, &plugin)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.remember(&plugin);
        current.active.insert(name.to_owned(), plugin);
        let shown: Vec<Arc<Plugin>> = current.active.values().cloned().collect();
        current.functions = shown.iter().flat_map(functions_of).collect();
        Ok(())
    }

    /// Lets queries see a plugin no more.
    fn hide(&self, name: &str) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.active.remove(name);
        let shown: Vec<Arc<Plugin>> = current.active.values().cloned().collect();
        current.functions = shown.iter().flat_map(functions_of).collect();
    }

    fn commit(&self, ledger: &mut Ledger, changed: Ledger, name: &str) -> Result<(), PluginError> {
        changed.write(&self.folder).map_err(|error| store_error(name, &error))?;
        *ledger = changed;
        Ok(())
    }

    fn take_project_file(&self, name: &str, path: &Path) -> Result<Stored, PluginError> {
        let bytes = fs::read(path).map_err(|error| {
            PluginError::external(name, Phase::Admit, format!("cannot read {}: {error}", path.display()))
        })?;
        let stored = self.admit_and_store(name, &bytes)?;
        let mut ledger = self.change();
        let taken_before = ledger.plugins.get(name).and_then(|record| record.project.clone());
        if taken_before.as_ref() != Some(&stored.version.sha256) {
            self.switch(&mut ledger, name, |record| {
                record.project = Some(stored.version.sha256.clone());
                if record.active() != Some(stored.version.version) {
                    record.activated.push(stored.version.version);
                }
                Ok(stored.version.version)
            })?;
        }
        Ok(stored)
    }
}

/// What plugins export, as one job sees it.
impl FunctionCatalog for Seen<'_> {
    fn scalar(&self, job: &str, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        let (plugin, function) = self.find(&ScalarWorld, name)?;
        let account = self.registry.accounts.of(job, &plugin);
        Some(Arc::new(PluginScalar::new(&ScalarWorld, &account, &function)))
    }

    fn scalar_names(&self) -> Vec<String> {
        self.names(&ScalarWorld)
    }

    fn transform(&self, job: &str, name: &str) -> Option<TransformFunction> {
        let (plugin, function) = self.find(&TransformWorld, name)?;
        let arguments = function.arguments.iter().map(|field| field.name.clone()).collect();
        let account = self.registry.accounts.of(job, &plugin);
        let function = PluginScalar::new(&TransformWorld, &account, &function);
        Some(TransformFunction { arguments, function: Arc::new(function) })
    }

    fn transform_names(&self) -> Vec<String> {
        self.names(&TransformWorld)
    }

    fn has_aggregate(&self, name: &str) -> bool {
        self.find(&AggregateWorld, name).is_some()
    }

    fn aggregate(
        &self,
        job: &str,
        name: &str,
        arguments: &[ArrowType],
        parameters: &[Parameter],
    ) -> Result<Arc<dyn Aggregate>, String> {
        let found = self.find(&AggregateWorld, name);
        let (plugin, function) =
            found.ok_or_else(|| format!("no active plugin has an aggregate `{name}`"))?;
        let account = self.registry.accounts.of(job, &plugin);
        Ok(Arc::new(PluginAggregate::bind(&account, &function, arguments, parameters)?))
    }

    fn aggregate_names(&self) -> Vec<String> {
        self.names(&AggregateWorld)
    }

    fn logic_arguments(&self, name: &str) -> Option<Vec<String>> {
        let (_, function) = self.find(&ProcessWorld, name)?;
        Some(function.arguments.into_iter().map(|field| field.name).collect())
    }

    fn logic(
        &self,
        job: &str,
        name: &str,
        arguments: &[ArrowType],
        parameters: &[Parameter],
    ) -> Result<Arc<dyn KeyedLogic>, String> {
        let found = self.find(&ProcessWorld, name);
        let (plugin, function) = found.ok_or_else(|| format!("no active plugin has keyed logic `{name}`"))?;
        let account = self.registry.accounts.of(job, &plugin);
        Ok(Arc::new(PluginProcess::bind(&account, &function, arguments, parameters)?))
    }

    fn logic_names(&self) -> Vec<String> {
        self.names(&ProcessWorld)
    }

    fn decoded(&self, plugin: &str) -> Option<DecodedColumns> {
        let plugin = self.registry.decoding(plugin)?;
        let column = |field: &Field| (field.name.clone(), field.data_type.to_arrow());
        let columns = plugin.columns().iter().map(column).collect();
        Some(DecodedColumns { component: plugin.sha256().to_owned(), columns })
    }

    fn unseen(&self, name: &str) -> Option<String> {
        self.registry.list().into_iter().find_map(|plugin| {
            let has_it = |version: &&VersionStatus| version.functions().any(|function| function == name);
            let version = plugin.versions.iter().rfind(has_it)?.version;
            if let Some((_, function)) = self.find(&ProcessWorld, name) {
                return Some(format!(
                    "`{name}` is keyed logic, {function}; write FROM TABLE({name}(TABLE t PARTITION BY k))"
                ));
            }
            if let Some((_, function)) = self.find(&TransformWorld, name) {
                return Some(format!(
                    "`{name}` is for what is computed at a lookup, {function}; write it in the job's `transform`"
                ));
            }
            if let Some(error) = self.registry.unusable.get(&plugin.name).filter(|_| plugin.active == Some(version)) {
                return Some(format!("{error}"));
            }
            let plugin = plugin.name;
            if let Some(pinned) = self.pinned_version(&plugin) {
                return Some(format!(
                    "plugin `{plugin}` version {version} has it, and the job pins version {pinned}, which has not; write \
                     `plugins: {{{plugin}: {version}}}`"
                ));
            }
            Some(format!(
                "plugin `{plugin}` version {version} has it, but is not active; run `weir plugin activate {plugin} {version}`"
            ))
        })
    }

    fn version_of(&self, component: &str) -> Option<PluginVersion> {
        self.version_of_component(component)
    }
}

impl JobCatalogs for PluginRegistry {
    fn of_job(&self, job: &JobDefinition) -> Result<JobCatalog<'_>, Vec<NoVersion>> {
        Ok(JobCatalog::Own(Box::new(Seen::by(self, job)?)))
    }
}

impl PayloadPlugins for PluginRegistry {
    fn decoder(&self, plugin: &str, owner: &str) -> Result<Arc<dyn PayloadDecoder>, ConnectError> {
        let found = self.decoding(plugin).ok_or_else(|| {
            ConnectError::unavailable(format!(
                "no active plugin `{plugin}` decodes payloads; push one that does, with `weir plugin push {plugin} FILE.wasm \
                 --activate`"
            ))
        })?;
        Ok(Arc::new(PluginPayloads::new(self.accounts.of(owner, &found))))
    }
}

fn status(name: &str, record: &Record) -> PluginStatus {
    PluginStatus {
        name: name.to_owned(),
        active: record.active(),
        previous: record.previous(),
        versions: record.versions.clone(),
    }
}

fn functions_of(plugin: &Arc<Plugin>) -> impl Iterator<Item = (String, (Arc<Plugin>, Described))> {
    plugin.functions().iter().map(move |it| (it.name.clone(), (Arc::clone(plugin), it.clone())))
}

/// The components in a project's folder: name and path, sorted.
fn project_files(folder: &Path) -> Result<Vec<(String, PathBuf)>, PluginError> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |error: std::io::Error| {
        PluginError::external("", Phase::Admit, format!("cannot read {}: {error}", folder.display()))
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, path));
        }
    }
    files.sort();
    Ok(files)
}

fn store_error(plugin: &str, error: &LedgerError) -> PluginError {
    let reason = error.to_string();
    match error {
        LedgerError::Disk(_) => PluginError::external(plugin, Phase::Store, reason),
        LedgerError::Damaged(_) => PluginError::weir(plugin, Phase::Store, reason),
        LedgerError::Newer(_) => PluginError::user(plugin, Phase::Store, vec![reason]),
    }
}
