//! What the system says of this process, processor time and memory, and leaving its memory to the system. Knows
//! Linux's `/proc`; elsewhere nothing is known, and nothing is claimed.

use std::time::Duration;
use weir_serve::ProcessFigures;

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

/// What the metrics page says of this process.
pub(crate) fn figures() -> ProcessFigures {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (stat, status, limits) =
        (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
    let boot = boot_time(&read("/proc/stat"));
    ProcessFigures {
        cpu_seconds: read_cpu_time(&stat).map(|time| time.as_secs_f64()),
        resident_bytes: read_kibibytes(&status, "VmRSS:"),
        virtual_bytes: read_kibibytes(&status, "VmSize:"),
        open_fds: std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64),
        max_fds: read_max_fds(&limits),
        start_time_seconds: boot.zip(ticks(&stat, START_TIME)).map(|(boot, ticks)| boot + ticks),
    }
}

/// To be called with what is not needed any more when the process is about to end: the system takes all of its memory
/// back at once, where giving it back value by value takes the longer, the more state there is.
pub(crate) fn leave<T>(held: T) {
    std::mem::forget(held);
}

/// Places of fields of `stat` behind the program's name: utime and stime, the 14th and 15th of all, and the time from
/// boot to start, the 22nd.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const START_TIME: usize = 19;

fn read_cpu_time(stat: &str) -> Option<Duration> {
    let seconds = ticks(stat, USER_TIME)? + ticks(stat, SYSTEM_TIME)?;
    Some(Duration::from_secs_f64(seconds))
}

/// A field of `stat` that counts ticks, in seconds.
fn ticks(stat: &str, place: usize) -> Option<f64> {
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: u64 = behind_name.split_whitespace().nth(place)?.parse().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND as f64)
}

fn read_peak_memory(status: &str) -> Option<u64> {
    read_kibibytes(status, "VmHWM:")
}

fn read_kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// When the machine was booted, seconds since 1970.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// The soft limit; `None` also where there is none.
fn read_max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
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

    #[test]
    fn this_process_has_figures() {
        let figures = figures();
        assert!(figures.resident_bytes > Some(1 << 20) && figures.virtual_bytes >= figures.resident_bytes);
        assert!(figures.open_fds >= Some(3) && figures.max_fds >= figures.open_fds);
        // After 2020, whatever the machine's clock says of the year.
        assert!(figures.start_time_seconds > Some(1.577e9), "{figures:?}");
        assert_eq!(boot_time("cpu 1\nbtime 17\n"), Some(17.0));
        assert_eq!(read_max_fds("Max open files            1024                 4096  files"), Some(1024));
    }
}
