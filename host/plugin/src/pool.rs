//! A job's instances of one plugin that wait to be used again. Each is used by one caller at a time and disposable:
//! dropped at a barrier, after a failed call, and when it holds much memory, so that nothing a guest hides in it
//! survives and a replay is exact.

use crate::engine::Shared;
use crate::failure::{Cause, Failure};
use crate::guest::{Caller, Guest, GuestData};
use crate::usage::Usage;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::InstancePre;

/// Part of its memory limit above which an instance is not used again (in quarters): some guests leak what they
/// return, and this is early enough that a call never meets the limit for it.
const HIGH_WATER_QUARTERS: u64 = 3;

pub(crate) struct Pool {
    shared: Arc<Shared>,
    pre: InstancePre<GuestData>,
    plugin: Arc<str>,
    job: Arc<str>,
    usage: Arc<Usage>,
    generation: AtomicU64,
    idle: Mutex<Vec<Guest>>,
}

impl Pool {
    pub(crate) fn new(shared: &Arc<Shared>, pre: InstancePre<GuestData>, caller: Caller<'_>) -> Self {
        let (generation, idle) = (AtomicU64::new(0), Mutex::new(Vec::new()));
        let (plugin, job) = (Arc::clone(caller.plugin), Arc::clone(caller.job));
        Pool { shared: Arc::clone(shared), pre, plugin, job, usage: Arc::default(), generation, idle }
    }

    /// Runs one call in an instance that may have been used before.
    pub(crate) fn run<T>(&self, call: impl FnOnce(&mut Guest) -> Result<T, Failure>) -> Result<T, Failure> {
        let mut guest = self.take()?;
        let answer = call(&mut guest)?;
        self.give_back(guest);
        Ok(answer)
    }

    /// As `run`, but a failure stands only when it comes from a fresh instance: what a used one remembers must not
    /// decide a row's fate.
    pub(crate) fn run_to_verdict<T>(
        &self,
        call: impl Fn(&mut Guest) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut guest = self.take()?;
        let was_fresh = guest.is_fresh();
        let answer = match call(&mut guest) {
            Ok(answer) => answer,
            Err(failure) if was_fresh => return Err(failure),
            Err(_) => {
                drop(guest);
                guest = self.start()?;
                call(&mut guest)?
            }
        };
        self.give_back(guest);
        Ok(answer)
    }

    /// What calls took so far.
    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Forgets every instance, also those in use once they are done.
    pub(crate) fn barrier(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn start(&self) -> Result<Guest, Failure> {
        let generation = self.generation.load(Ordering::Acquire);
        let caller = Caller { plugin: &self.plugin, job: &self.job };
        Guest::start(&self.shared, &self.pre, caller, generation, &self.usage)
    }

    fn take(&self) -> Result<Guest, Failure> {
        if self.shared.halted.load(Ordering::Relaxed) {
            return Err(Failure::new(Cause::Host, "is not called any more: weir is stopping"));
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| self.start(), Ok)
    }

    fn give_back(&self, guest: Guest) {
        let limits = &self.shared.limits;
        let allowed = limits.of(&self.plugin).memory_bytes;
        let small = guest.memory_bytes() <= allowed / 4 * HIGH_WATER_QUARTERS;
        // Idle instances take no more than half of the places, so that any plugin can always start one.
        let room = self.shared.alive.load(Ordering::Acquire) <= limits.instances / 2;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if small && room && guest.generation == self.generation.load(Ordering::Acquire) {
            idle.push(guest);
        }
    }
}
