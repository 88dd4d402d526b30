//! The plugins that a project's queries can name: those in its folder, and those that were uploaded to its
//! server. Knows where their files are; must not know what they export.

use crate::failure::Failure;
use crate::project::Project;
use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use weir_engine::SystemClock;
use weir_event::Clock;
use weir_plan::ServerDefinition;
use weir_plan::definition::PluginBounds;
use weir_plugin::{Allowed, CompileWith, Limits, PluginError, PluginRegistry};

/// Opens the plugins of a server's data folder and takes those of the project. What could not be taken is
/// returned beside the rest.
pub(crate) fn open(
    project: &Project,
    server: &ServerDefinition,
    data_dir: &Path,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<PluginRegistry>, Vec<PluginError>), Failure> {
    let compile_with = CompileWith::Child { program: this_program()? };
    let registry = PluginRegistry::open(data_dir, limits(server), compile_with, clock)?;
    let mut refused = registry.load_project_plugins(&project.plugins()).err().unwrap_or_default();
    refused.extend(registry.unusable().cloned());
    Ok((Arc::new(registry), refused))
}

/// The program that compiles components, as a process of its own.
pub(crate) fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::external(format!("cannot find this program to compile plugins: {error}")))
}

/// Jobs that stop have so long for the calls that rows need which they have read already.
const LAST_CALLS_WITHIN: Duration = Duration::from_secs(1);

/// For the time in which jobs stop: those whose guests take longer stop where they are, and go on from their last commit
/// the next time.
pub(crate) async fn halt_soon(plugins: &PluginRegistry, clock: &dyn Clock) -> Infallible {
    clock.sleep(LAST_CALLS_WITHIN).await;
    plugins.halt();
    std::future::pending().await
}

/// What the server's settings let a plugin use.
pub(crate) fn limits(server: &ServerDefinition) -> Limits {
    let all = &server.limits;
    let limits = Limits {
        memory_bytes: all.plugin_memory_bytes,
        fuel_per_call: all.plugin_fuel_per_call,
        taken_names: weir_sql::taken,
        ..Limits::default()
    };
    let of_all = limits.of_all();
    let bytes = |bytes: Option<u64>, all: usize| {
        bytes.map_or(all, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    let allowed = |bounds: &PluginBounds| Allowed {
        memory_bytes: bounds.memory_bytes.unwrap_or(of_all.memory_bytes),
        fuel_per_call: bounds.fuel_per_call.unwrap_or(of_all.fuel_per_call),
        output_bytes: bytes(bounds.output_bytes, of_all.output_bytes),
        state_bytes: bytes(bounds.state_bytes, of_all.state_bytes),
        log_lines_per_second: bounds.log_lines.unwrap_or(of_all.log_lines_per_second),
    };
    let of_plugins = server.plugins.iter().map(|(name, bounds)| (name.clone(), allowed(bounds))).collect();
    Limits { of_plugins, ..limits }
}

/// As [`open`] over a copy, for whoever only looks: a server may have the data folder open.
pub(crate) fn open_copy(
    project: &Project,
    server: &ServerDefinition,
) -> Result<(TempDir, Arc<PluginRegistry>, Vec<PluginError>), Failure> {
    let failed =
        |error: std::io::Error| Failure::external(format!("cannot copy plugins to look at: {error}"));
    let copy = tempfile::tempdir().map_err(failed)?;
    let data_dir = project.folder().join(&server.data_dir);
    for below in ["plugins", "compiled"] {
        copy_files(&data_dir.join(below), &copy.path().join(below)).map_err(failed)?;
    }
    let (registry, refused) = open(project, server, copy.path(), Arc::new(SystemClock::new()))?;
    Ok((copy, registry, refused))
}

fn copy_files(from: &Path, to: &Path) -> std::io::Result<()> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            match fs::copy(entry.path(), to.join(entry.file_name())) {
                // A server that is running has replaced it meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => drop(copied?),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_takes_files_and_no_folder_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        copy_files(&from, &to).unwrap();
        assert!(!to.exists());
        fs::create_dir_all(from.join("below")).unwrap();
        fs::write(from.join("a"), "1").unwrap();
        copy_files(&from, &to).unwrap();
        assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
        assert_eq!(fs::read(to.join("a")).unwrap(), b"1");
    }
}
