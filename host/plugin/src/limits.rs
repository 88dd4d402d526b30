//! What a guest may use, and the limiter that sums memory over a whole store. Knows numbers; must not know what
//! happens to a guest that goes beyond them.

use std::collections::BTreeMap;
use wasmtime::ResourceLimiter;

/// The longest state of an aggregate, in bytes: a tile's state is written at every checkpoint in which it
/// changed, and a store chunk is 4 KiB, so that 64 KiB is already 16 chunks.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Why no query can call a function of this name; `None` if one can.
pub type TakenNames = fn(&str) -> Option<&'static str>;

/// What every guest may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Memories and tables of one instance together, in bytes.
    pub memory_bytes: u64,
    /// Budget of one call, in wasmtime's units of fuel (about one per instruction), whatever its number of rows.
    pub fuel_per_call: u64,
    /// What one call may give back, in bytes as the host holds it.
    pub output_bytes: usize,
    /// Lines that a plugin may log in a second, over all jobs that call it.
    pub log_lines_per_second: u32,
    /// Size of a component file, in bytes.
    pub component_bytes: usize,
    /// Plugins that may take more or less than the first four say, by name.
    pub of_plugins: BTreeMap<String, Allowed>,
    /// Instances alive at once over all plugins. Each reserves 4 GiB of addresses (not memory) per memory.
    pub instances: u32,
    /// Names that no function may have which is uploaded from now on.
    pub taken_names: TakenNames,
}

/// What one plugin may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Memories and tables of one instance together, in bytes.
    pub memory_bytes: u64,
    /// Budget of one call, in units of fuel.
    pub fuel_per_call: u64,
    /// What one call may give back, in bytes as the host holds it.
    pub output_bytes: usize,
    /// The longest state of an aggregate or of keyed logic, in bytes; at most [`MAX_STATE_BYTES`].
    pub state_bytes: usize,
    /// Lines that it may log in a second, over all jobs that call it.
    pub log_lines_per_second: u32,
}

impl Limits {
    /// What the plugin of this name may use.
    pub(crate) fn of(&self, plugin: &str) -> Allowed {
        self.of_plugins.get(plugin).copied().unwrap_or_else(|| self.of_all())
    }

    /// What a plugin may use of which nothing is said.
    pub fn of_all(&self) -> Allowed {
        Allowed {
            memory_bytes: self.memory_bytes,
            fuel_per_call: self.fuel_per_call,
            output_bytes: self.output_bytes,
            state_bytes: MAX_STATE_BYTES,
            log_lines_per_second: self.log_lines_per_second,
        }
    }

    /// The most memory that any plugin may use, in bytes.
    pub(crate) fn most_memory_bytes(&self) -> u64 {
        let of_plugins = self.of_plugins.values().map(|allowed| allowed.memory_bytes);
        of_plugins.chain([self.memory_bytes]).max().unwrap_or(self.memory_bytes)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            memory_bytes: 64 << 20,
            fuel_per_call: 20_000_000,
            // A list of 8192 rows (the largest call) of 2 KiB each.
            output_bytes: 16 << 20,
            // Enough to see what happens, too few to bury the log of the server.
            log_lines_per_second: 20,
            of_plugins: BTreeMap::new(),
            // Python's interpreter as a component is about 18 MB.
            component_bytes: 32 << 20,
            // Calls run on shards and on the pool of lookups, a few threads per core each.
            instances: 256,
            taken_names: |_| None,
        }
    }
}

/// Bytes that one element of a table takes.
const TABLE_ELEMENT_BYTES: u64 = size_of::<usize>() as u64;

/// Counts what all memories and tables of one store hold, and refuses growth beyond the limit.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    held_bytes: u64,
    limit_bytes: u64,
    refused_bytes: Option<u64>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        MemoryLimiter { held_bytes: 0, limit_bytes, refused_bytes: None }
    }

    /// What is held now.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// What the last refused growth would have held, and the limit.
    pub(crate) fn refused(&self) -> Option<(u64, u64)> {
        self.refused_bytes.map(|asked| (asked, self.limit_bytes))
    }

    /// Forgets what was refused before.
    pub(crate) fn forget_refusal(&mut self) {
        self.refused_bytes = None;
    }

    fn grow(&mut self, by_bytes: u64) -> bool {
        let wanted = self.held_bytes.saturating_add(by_bytes);
        if wanted > self.limit_bytes {
            self.refused_bytes = Some(wanted);
            return false;
        }
        self.held_bytes = wanted;
        true
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_summed_over_memories_and_tables() {
        let mut limiter = MemoryLimiter::new(1000);
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.table_growing(0, 25, None).unwrap());
        assert_eq!((limiter.held_bytes(), limiter.refused()), (1000, None));
        assert!(!limiter.memory_growing(400, 401, None).unwrap());
        assert!(!limiter.table_growing(25, 26, None).unwrap());
        assert_eq!((limiter.held_bytes(), limiter.refused()), (1000, Some((1008, 1000))));
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
    }
}
