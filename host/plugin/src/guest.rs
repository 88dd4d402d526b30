//! One live instance of a component in a store of its own, and one call into it. An instance is disposable: it
//! must be dropped after any call that failed. Knows fuel and memory; must not know what a function means.

use crate::engine::Shared;
use crate::failure::{Cause, Failure};
use crate::limits::MemoryLimiter;
use crate::usage::{CallCost, Usage};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower};

/// What a store carries for the host.
#[derive(Debug)]
pub(crate) struct GuestData {
    pub(crate) plugin: Arc<str>,
    /// Whose calls it answers; nobody's while a component is admitted.
    pub(crate) job: Arc<str>,
    pub(crate) log_lines_per_second: u32,
    limiter: MemoryLimiter,
}

/// A live instance.
pub(crate) struct Guest {
    store: Store<GuestData>,
    instance: Instance,
    fuel_per_call: u64,
    calls: u64,
    usage: Arc<Usage>,
    /// The pool's generation in which it was made.
    pub(crate) generation: u64,
    // Declared last: a place counts as free only when the store is gone.
    place: Place,
}

/// Which plugin is called, and for which job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) plugin: &'a Arc<str>,
    pub(crate) job: &'a Arc<str>,
}

/// One of the places for live instances, given back on drop.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self, Failure> {
        let limit = shared.limits.instances;
        let taken = shared
            .alive
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |alive| (alive < limit).then_some(alive + 1));
        match taken {
            Ok(_) => Ok(Place(Arc::clone(shared))),
            Err(_) => Err(Failure::new(
                Cause::Host,
                format!("all {limit} places for plugin instances are taken; use fewer shards or plugins"),
            )),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Guest {
    /// A fresh instance, with a call's budget for whatever it does on its way.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        pre: &InstancePre<GuestData>,
        caller: Caller<'_>,
        generation: u64,
        usage: &Arc<Usage>,
    ) -> Result<Self, Failure> {
        let allowed = shared.limits.of(caller.plugin);
        let place = Place::take(shared)?;
        let data = GuestData {
            plugin: Arc::clone(caller.plugin),
            job: Arc::clone(caller.job),
            log_lines_per_second: allowed.log_lines_per_second,
            limiter: MemoryLimiter::new(allowed.memory_bytes),
        };
        let mut store = Store::new(&shared.engine, data);
        store.limiter(|data| &mut data.limiter);
        store.set_hostcall_fuel(allowed.output_bytes);
        let instance = store
            .set_fuel(allowed.fuel_per_call)
            .and_then(|()| pre.instantiate(&mut store))
            .map_err(|error| failed(&store, &error, allowed.fuel_per_call))?;
        Ok(Guest {
            store,
            instance,
            fuel_per_call: allowed.fuel_per_call,
            calls: 0,
            usage: Arc::clone(usage),
            generation,
            place,
        })
    }

    /// Whether no call was made yet, so that nothing can be remembered.
    pub(crate) fn is_fresh(&self) -> bool {
        self.calls == 0
    }

    /// Memory and tables that it holds, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().limiter.held_bytes()
    }

    /// Whether the export exists and has this type; the error says what differs.
    pub(crate) fn check<P, R>(&mut self, export: &ComponentExportIndex) -> Result<(), String>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let Some(function) = self.instance.get_func(&mut self.store, export) else {
            return Err("is not a function".to_owned());
        };
        function.typed::<P, R>(&self.store).map(|_| ()).map_err(|error| format!("{error:#}"))
    }

    /// Calls an export with a whole budget; gives its answer and the fuel that it used.
    pub(crate) fn call<P, R>(
        &mut self,
        export: &ComponentExportIndex,
        parameters: P,
    ) -> Result<(R, u64), Failure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.calls += 1;
        self.store.data_mut().limiter.forget_refusal();
        let began = self.place.0.clock.monotonic();
        let answer = self.call_typed(export, parameters);
        let budget = self.fuel_per_call;
        let used = budget.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.usage.count(CallCost {
            fuel: used,
            time: self.place.0.clock.monotonic().saturating_sub(began),
            memory_bytes: self.memory_bytes(),
            trapped: answer.is_err(),
        });
        let answer = answer.map_err(|error| failed(&self.store, &error, budget))?;
        Ok((answer, used))
    }

    fn call_typed<P, R>(&mut self, export: &ComponentExportIndex, parameters: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        self.store.set_fuel(self.fuel_per_call)?;
        let function = self
            .instance
            .get_func(&mut self.store, export)
            .ok_or_else(|| wasmtime::Error::msg("the function is not exported"))?;
        function.typed::<P, R>(&self.store)?.call(&mut self.store, parameters)
    }
}

fn failed(store: &Store<GuestData>, error: &wasmtime::Error, budget: u64) -> Failure {
    Failure::from_runtime(error, budget, store.data().limiter.refused())
}
