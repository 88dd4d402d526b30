//! Compiling a component: a compiler is fed with bytes that nobody has reviewed, and may take a minute and
//! gigabytes for two megabytes of them. So it runs in a child process that has limits of its own and can be
//! killed. Must not know what a component may import or export.

use crate::cache;
use crate::engine::compiling_config;
use crate::error::{Phase, PluginError};
use crate::failure::one_line;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use wasmtime::Engine;

/// Where components are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompileWith {
    /// In a child process, `PROGRAM compile-plugin IN OUT`, which calls [`compile_to_file`], writes the reasons to
    /// stderr if it fails, and exits with 0 only when OUT is there.
    Child {
        /// The program: weir itself.
        program: PathBuf,
    },
    /// In this process, for tests and for tools that compile nothing but their user's own components.
    InProcess,
}

/// Address space of the child, in KiB: 6 GiB, of which the compiler's arena for the largest component that is
/// let in (32 MiB) takes about half.
const CHILD_MEMORY_KIB: u64 = 6 << 20;
/// Processor time of the child, in seconds: Python's interpreter takes ten.
const CHILD_CPU_SECONDS: u64 = 120;
/// Blocks of 512 bytes that the child may write to one file: 1 GiB.
const CHILD_FILE_BLOCKS: u64 = 2 << 20;
/// How often the child is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How often at most: five minutes of wall time, for a machine that has better things to do.
const MAX_POLLS: u32 = 5 * 60 * 200;
/// Sets the limits, then becomes the program.
const SET_LIMITS: &str = r#"ulimit -v "$1" && ulimit -t "$2" && ulimit -f "$3" && shift 3 && exec "$@""#;

/// Compiles the component in `input` into `output`, which is there whole or not at all.
///
/// What the hidden command `compile-plugin` of the program does; the reasons of the error go to its stderr.
pub fn compile_to_file(input: &Path, output: &Path) -> Result<(), PluginError> {
    let disk = |error: std::io::Error, path: &Path| {
        PluginError::external("", Phase::Compile, format!("{}: {error}", path.display()))
    };
    let component = fs::read(input).map_err(|error| disk(error, input))?;
    let code = compile(&component).map_err(|reason| PluginError::user("", Phase::Compile, vec![reason]))?;
    cache::write(output, &code).map_err(|error| disk(error, output))
}

/// Validates and compiles; the error is the component's fault.
fn compile(component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&compiling_config()).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(component).map_err(|error| format!("is not a valid component: {error:#}"))
}

impl CompileWith {
    /// Compiles the component in `input` into `output`.
    pub(crate) fn compile(&self, plugin: &str, input: &Path, output: &Path) -> Result<(), PluginError> {
        match self {
            CompileWith::InProcess => compile_to_file(input, output)
                .map_err(|error| PluginError { plugin: plugin.to_owned(), ..error }),
            CompileWith::Child { program } => in_child(program, plugin, input, output, MAX_POLLS),
        }
    }
}

fn in_child(
    program: &Path,
    plugin: &str,
    input: &Path,
    output: &Path,
    max_polls: u32,
) -> Result<(), PluginError> {
    let broken = |what: String| PluginError::external(plugin, Phase::Compile, what);
    let mut child = Command::new("sh")
        .args(["-c", SET_LIMITS, "compile-plugin"])
        .args([CHILD_MEMORY_KIB, CHILD_CPU_SECONDS, CHILD_FILE_BLOCKS].map(|limit| limit.to_string()))
        .arg(program)
        .arg("compile-plugin")
        .args([input, output])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| broken(format!("cannot start the compiler's process: {error}")))?;
    let words = child.stderr.take().map(|stderr| std::thread::spawn(move || read_start(stderr)));
    let status =
        wait(&mut child, max_polls).map_err(|error| broken(format!("lost the compiler: {error}")))?;
    let words = words.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let refused = |reason: String| Err(PluginError::user(plugin, Phase::Compile, vec![reason]));
    match status {
        None => refused("compiling took too long and was stopped; make the component smaller".to_owned()),
        Some(status) if status.success() && output.exists() => Ok(()),
        Some(status) if status.code() == Some(1) && !words.is_empty() => refused(words),
        Some(status) => refused(format!(
            "compiling needs more than {} GiB of memory or {CHILD_CPU_SECONDS} s of processor time, or the compiler \
             failed ({status}{}{words}); make the component smaller",
            CHILD_MEMORY_KIB >> 20,
            if words.is_empty() { "" } else { ": " },
        )),
    }
}

/// Until the child is looked at again: another process, with a clock of its own.
#[allow(clippy::disallowed_methods, reason = "how long another process may take is measured by the wall")]
fn pause() {
    std::thread::sleep(POLL);
}

/// Waits for the child; `None` if it had to be killed.
fn wait(child: &mut Child, max_polls: u32) -> std::io::Result<Option<ExitStatus>> {
    for _ in 0..max_polls {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        pause();
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

/// The start of what a child says, on one line; the rest is read and forgotten, so that it never blocks.
fn read_start(mut from: impl Read) -> String {
    const START_BYTES: u64 = 4096;
    let mut start = Vec::new();
    // A pipe that breaks has said all that it can.
    let _ = from.by_ref().take(START_BYTES).read_to_end(&mut start);
    let _ = std::io::copy(&mut from, &mut std::io::sink());
    one_line(String::from_utf8_lossy(&start).trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn child(script: &str, max_polls: u32) -> Result<(), PluginError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        in_child(&program, "p", Path::new("in"), &folder.path().join("out"), max_polls)
    }

    #[test]
    fn the_child_gets_its_arguments() {
        child(r#"[ "$1" = compile-plugin ] && [ "$2" = in ] && echo code > "$3""#, 2000).unwrap();
    }

    #[test]
    fn its_reasons_are_the_components_fault() {
        let error = child("echo 'is no component' >&2; exit 1", 2000).unwrap_err();
        assert_eq!(
            (error.reasons, error.fault),
            (vec!["is no component".to_owned()], weir_event::Fault::User)
        );
    }

    #[test]
    fn a_child_that_hangs_is_killed() {
        let error = child("exec sleep 100", 20).unwrap_err();
        assert!(error.reasons[0].contains("took too long"), "{error}");
    }

    #[test]
    fn a_child_that_dies_or_writes_nothing_has_failed() {
        for script in ["kill -9 $$", "exit 0", "exit 7"] {
            let error = child(script, 2000).unwrap_err();
            assert!(error.reasons[0].contains("more than 6 GiB of memory or 120 s"), "{error}");
        }
    }

    #[test]
    fn the_limits_hold_in_the_child() {
        let error = child(r#"echo "$(ulimit -v) $(ulimit -t) $(ulimit -f)" >&2; exit 1"#, 2000).unwrap_err();
        assert_eq!(error.reasons, ["6291456 120 2097152"]);
    }
}
