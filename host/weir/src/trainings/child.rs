//! The process that makes a training set: started, heard, and ended with all that it has started. It ends with its server too,
//! however that ends, since its standard input does.
//!
//! Must not know who waits for it, or where folders are.

use super::words::{COMMAND, Made, Said};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weir_serve::{TrainingOrder, TrainingProgress};

/// So many warnings are kept, of so many bytes each.
const WARNINGS: usize = 50;
const WARNING_BYTES: usize = 2000;
/// So much of what else it says is told where it broke off.
const LAST_BYTES: usize = 1000;
/// The longest line that is read of it: what a training set of some thousand features is made of takes less.
const LINE_BYTES: u64 = 16 << 20;

/// How processes are started.
#[derive(Debug)]
pub(super) struct Makes {
    pub(super) project: PathBuf,
    /// Variables beside those of this process.
    pub(super) environment: BTreeMap<String, String>,
}

/// A process, before, while and after it runs; whoever has this can stop it.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Life>);

#[derive(Debug, Default)]
enum Life {
    #[default]
    Before,
    Running(Child),
    Over,
}

/// What became of a process.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Result<Made, String>,
    pub(super) warnings: Vec<String>,
}

/// Ends all processes of a group: one that makes a training set begins one, and starts those there that compile plugins.
pub(crate) fn end_group(leader: u32) {
    if let Some(leader) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // Of a group that is gone there is nothing to end.
        let _ = kill_process_group(leader, Signal::KILL);
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Life> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the process, or has it never begin.
    pub(super) fn stop(&self) {
        let mut life = self.lock();
        if let Life::Running(child) = &mut *life {
            // One that has ended already is as good.
            let _ = child.kill();
            end_group(child.id());
            let _ = child.wait();
        }
        *life = Life::Over;
    }

    /// Waits for the end of a process that has closed its output.
    fn end(&self) -> Option<ExitStatus> {
        match std::mem::replace(&mut *self.lock(), Life::Over) {
            Life::Running(mut child) => child.wait().ok(),
            Life::Before | Life::Over => None,
        }
    }
}

impl Makes {
    /// Has a training set made in this folder, which has the spine; blocks until that has ended.
    pub(super) fn make(
        &self,
        folder: &Path,
        order: &TrainingOrder,
        slot: &Slot,
        hear: &dyn Fn(TrainingProgress),
    ) -> Ended {
        let failed = |reason: String| Ended { outcome: Err(reason), warnings: Vec::new() };
        let started = {
            let mut life = slot.lock();
            if matches!(*life, Life::Over) {
                return failed("it was stopped".to_owned());
            }
            self.start(folder, order).map(|mut child| {
                let pipes = child.stdout.take().zip(child.stderr.take());
                *life = Life::Running(child);
                pipes
            })
        };
        let (stdout, stderr) = match started {
            Ok(Some(pipes)) => pipes,
            Ok(None) => return failed("its process cannot be heard; post it again".to_owned()),
            Err(error) => {
                return failed(format!("its process cannot be started: {error}; see the server's log"));
            }
        };
        let log = std::thread::spawn(move || read_log(stderr));
        let said = listen(stdout, hear);
        let status = slot.end();
        let (warnings, last) = log.join().unwrap_or_default();
        // Where the folder is is nobody's business, and says nothing to who has no such folder.
        let folder = format!("{}/", folder.display());
        let told = |text: String| text.replace(&folder, "");
        let outcome = match said {
            Some(Said::Done(made)) => Ok(made),
            Some(Said::Failed(reason)) => Err(told(reason)),
            Some(Said::Progress(_)) | None => Err(broken_off(status, &last)),
        };
        Ended { outcome, warnings: warnings.into_iter().map(told).collect() }
    }

    fn start(&self, folder: &Path, order: &TrainingOrder) -> std::io::Result<Child> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(&self.project)
            .current_dir(folder)
            .envs(&self.environment)
            // What it puts aside goes with its folder.
            .env("TMPDIR", folder)
            // Ctrl-C is for the server, which then ends it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let line = format!("{}\n", serde_json::to_string(order)?);
        let written = child.stdin.as_mut().map(|stdin| stdin.write_all(line.as_bytes()));
        if let Some(Err(error)) = written {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(child)
    }
}

/// Hears a process to its end: the last thing that it said, except how far it is.
fn listen(stdout: impl Read, hear: &dyn Fn(TrainingProgress)) -> Option<Said> {
    let mut lines = BufReader::new(stdout);
    let mut last = None;
    loop {
        let mut line = Vec::new();
        match lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(Said::Progress(progress)) => hear(progress),
            Ok(said) => last = Some(said),
            // Half a line of a process that was stopped.
            Err(_) => {}
        }
    }
}

/// The warnings in a log, and the end of what else is in it.
fn read_log(stderr: impl Read) -> (Vec<String>, String) {
    let (mut warnings, mut last) = (Vec::new(), String::new());
    for line in BufReader::new(stderr).split(b'\n') {
        let Ok(line) = line else { break };
        match serde_json::from_slice::<Value>(&line) {
            Ok(event) if event["level"] == "WARN" => {
                if warnings.len() < WARNINGS {
                    warnings.push(warning(&event));
                }
            }
            _ => {
                last.push_str(&String::from_utf8_lossy(&line));
                last.push(' ');
                let excess = last.len().saturating_sub(LAST_BYTES);
                last.drain(..last.ceil_char_boundary(excess));
            }
        }
    }
    (warnings, last.trim().to_owned())
}

/// A warning as a sentence, with what it is about.
fn warning(event: &Value) -> String {
    const NOT_OF_THE_EVENT: [&str; 4] = ["time", "level", "target", "message"];
    let mut text = event["message"].as_str().unwrap_or_default().to_owned();
    let fields = event.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !NOT_OF_THE_EVENT.contains(&name.as_str()));
    let fields: Vec<String> = fields
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}: {text}"),
            None => format!("{name}: {value}"),
        })
        .collect();
    if !fields.is_empty() {
        text = format!("{text} ({})", fields.join(", "));
    }
    text.truncate(text.floor_char_boundary(WARNING_BYTES));
    text
}

fn broken_off(status: Option<ExitStatus>, last: &str) -> String {
    let how = status.map_or_else(String::new, |status| format!(" ({status})"));
    let said = if last.is_empty() { String::new() } else { format!(", saying: {last}") };
    format!(
        "the process that made it broke off{how}{said}; it may have needed more memory than there is: ask for fewer \
         features at once, or run `weir train` on another machine"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_a_process_says_last_counts_and_half_lines_do_not() {
        let heard = Cell::new(0);
        let hear = |progress: TrainingProgress| heard.set(progress.events);
        let progress = r#"{"progress": {"events": 7, "answered": 1, "of": 2, "share": 0.5}}"#;
        let text = format!("{progress}\n{{\"failed\": \"no\"}}\n{{\"done\": {{\"ro");
        assert_eq!(listen(text.as_bytes(), &hear), Some(Said::Failed("no".to_owned())));
        assert_eq!(heard.get(), 7);
        assert_eq!(listen(progress.as_bytes(), &hear), None);
    }

    #[test]
    fn warnings_are_told_with_their_fields_and_the_end_of_the_rest() {
        let log = format!(
            "{}\n{}\nthread 'main' panicked\n",
            r#"{"time":"t","level":"WARN","target":"weir","message":"rows were refused","job":"a","rows":3}"#,
            "x".repeat(2 * LAST_BYTES),
        );
        let (warnings, last) = read_log(log.as_bytes());
        assert_eq!(warnings, ["rows were refused (job: a, rows: 3)"]);
        assert!(last.ends_with("panicked") && last.len() <= LAST_BYTES, "{last}");
        assert!(broken_off(None, &last).contains("saying: x"));
    }

    #[test]
    fn what_a_process_has_started_ends_with_it() {
        let mut child = Command::new("sh");
        child.args(["-c", "sleep 1000 & echo; wait"]).process_group(0).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap();
        let slot = Slot(Mutex::new(Life::Running(child)));
        slot.stop();
        // Whoever is left has it open.
        assert_eq!(stdout.read(&mut [0]).unwrap(), 0);
        assert!(matches!(*slot.lock(), Life::Over));
    }

    #[test]
    fn what_is_stopped_before_never_begins() {
        let makes = Makes { project: PathBuf::new(), environment: BTreeMap::new() };
        let slot = Slot::default();
        slot.stop();
        let order = serde_json::from_str(
            r#"{"features": [], "as_of": "known", "serving_delay": "0ms", "time": "t", "status": false,
                "spine_format": "csv", "format": "csv"}"#,
        )
        .unwrap();
        let ended = makes.make(Path::new("/nowhere"), &order, &slot, &|_| {});
        assert_eq!(ended.outcome.unwrap_err(), "it was stopped");
    }
}
