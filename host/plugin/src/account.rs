//! What one job does with one version of a plugin: instances of its own, a circuit breaker, and what its calls took.
//! A job whose rows make a guest misbehave, or which burns much fuel, hurts itself alone. Knows a job's name; must not
//! know what a job is.

use crate::breaker::Breaker;
use crate::guest::Caller;
use crate::plugin::Plugin;
use crate::pool::Pool;
use crate::usage::PluginUsage;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One job's dealings with one version of a plugin.
pub(crate) struct Account {
    job: Arc<str>,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) pool: Pool,
    breaker: Breaker,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("job", &self.job)
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl Account {
    pub(crate) fn new(plugin: &Arc<Plugin>, job: &str) -> Self {
        let job = Arc::from(job);
        let caller = Caller { plugin: &plugin.name, job: &job };
        let pool = Pool::new(&plugin.shared, plugin.pre.clone(), caller);
        Account { job, plugin: Arc::clone(plugin), pool, breaker: Breaker::default() }
    }

    /// Why nothing may be called now, if that is so.
    pub(crate) fn check_breaker(&self) -> Result<(), String> {
        let now = self.plugin.shared.clock.monotonic();
        self.breaker.check(now).map_err(|reason| format!("plugin `{}`: {reason}", self.plugin.name))
    }

    /// So many rows got their results.
    pub(crate) fn passed(&self, rows: usize) {
        self.breaker.passed(rows);
    }

    /// So many rows were given to the plugin and used.
    pub(crate) fn took_rows(&self, rows: usize) {
        self.pool.usage().count_rows(rows);
    }

    /// A row made the plugin misbehave on its own.
    pub(crate) fn misbehaved(&self, reason: &str) {
        self.breaker.misbehaved(reason, self.plugin.shared.clock.monotonic());
    }

    /// Forgets every instance: called at each barrier, so that nothing a guest remembers outlives a checkpoint.
    pub(crate) fn barrier(&self) {
        self.pool.barrier();
    }

    /// What it comes to; `version` is the number of the plugin's version.
    pub(crate) fn shown(&self, version: u32) -> PluginUsage {
        self.pool.usage().shown([&self.job, &self.plugin.name], version, self.breaker.shown())
    }
}

/// A job, a plugin's name and the hash of a version of it.
type Pair = (Box<str>, Arc<str>, Arc<str>);

/// The accounts of all jobs, each for as long as some plan has a function of it.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    open: Mutex<BTreeMap<Pair, Weak<Account>>>,
}

impl Accounts {
    /// The account of a job with a version of a plugin: a plan that is made anew goes on with that of the one before.
    pub(crate) fn of(&self, job: &str, plugin: &Arc<Plugin>) -> Arc<Account> {
        let mut open = self.lock();
        let pair = (job.into(), Arc::clone(&plugin.name), Arc::clone(&plugin.sha256));
        if let Some(account) = open.get(&pair).and_then(Weak::upgrade) {
            return account;
        }
        open.retain(|_, account| account.strong_count() > 0);
        let account = Arc::new(Account::new(plugin, job));
        open.insert(pair, Arc::downgrade(&account));
        account
    }

    /// Those that some plan has.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pair, Weak<Account>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
