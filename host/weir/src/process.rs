//! What the system says of this process, processor time and memory, and leaving its memory to the system. Knows
//! Linux's `/proc`; elsewhere nothing is known, and nothing is claimed.

use std::time::Duration;

/// `/proc` counts processor time in hundredths of a second on every architecture that Linux has (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of all threads so far, in user and in system mode.
pub(crate) fn cpu_time() -> Option<Duration> {
    read_cpu_time(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The most memory that was resident at once so far.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    read_peak_memory(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// To be called with what is not needed any more when the process is about to end: the system takes all of its memory
/// back at once, where giving it back value by value takes the longer, the more state there is.
pub(crate) fn leave<T>(held: T) {
    std::mem::forget(held);
}

fn read_cpu_time(stat: &str) -> Option<Duration> {
    // The second field is the program's name in parentheses, which may hold anything; utime and stime are the
    // 14th and 15th, the 12th and 13th behind it.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

fn read_peak_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(read_cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(read_cpu_time("nonsense"), None);
    }

    #[test]
    fn peak_memory_is_in_bytes() {
        assert_eq!(read_peak_memory("VmPeak:\t 9 kB\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(read_peak_memory(""), None);
    }
}
