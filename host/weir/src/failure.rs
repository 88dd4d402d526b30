//! Why a command ends without having done its work: whose fault, and what is said on stderr.

use std::fmt::Display;
use std::io::Write;
use weir_connect::ConnectError;
use weir_engine::EngineError;
use weir_event::Fault;
use weir_pack::PackError;
use weir_plan::Diagnostic;
use weir_plugin::PluginError;
use weir_store::StoreError;

/// Everything that is wrong, one line each.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: Fault,
    lines: Vec<String>,
}

impl Failure {
    /// Something is wrong with a definition, an argument or a request.
    pub(crate) fn user(line: impl Display) -> Self {
        Failure { fault: Fault::User, lines: vec![line.to_string()] }
    }

    /// Another system failed: the disk, the network, a server.
    pub(crate) fn external(line: impl Display) -> Self {
        Failure { fault: Fault::External, lines: vec![line.to_string()] }
    }

    /// weir itself is at fault.
    pub(crate) fn weir(line: impl Display) -> Self {
        Failure { fault: Fault::Weir, lines: vec![line.to_string()] }
    }

    /// As [`Failure::user`], with a line for each thing that is wrong.
    pub(crate) fn definitions(diagnostics: &[Diagnostic]) -> Self {
        Failure { fault: Fault::User, lines: diagnostics.iter().map(ToString::to_string).collect() }
    }

    /// Several failures as one; the exit code is the gravest one's.
    pub(crate) fn all(failures: Vec<Failure>) -> Result<(), Failure> {
        let mut failures = failures.into_iter();
        let Some(first) = failures.next() else { return Ok(()) };
        Err(failures.fold(first, |mut all, next| {
            if next.exit_code() > all.exit_code() {
                all.fault = next.fault;
            }
            all.lines.extend(next.lines);
            all
        }))
    }

    /// What the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        self.fault.exit_code()
    }

    /// What it says, a line for each thing.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The same with something done to each line.
    pub(crate) fn map_lines(mut self, change: impl FnMut(String) -> String) -> Failure {
        self.lines = self.lines.into_iter().map(change).collect();
        self
    }

    /// Whose fault it is.
    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    /// Says everything on stderr.
    pub(crate) fn print(&self) {
        crate::progress::clear();
        if crate::log::is_json() {
            return self.lines.iter().for_each(|line| tracing::error!("{line}"));
        }
        let mut stderr = std::io::stderr().lock();
        for line in &self.lines {
            // Where stderr is closed there is nobody to tell, and the exit code says the rest.
            let _ = writeln!(stderr, "{line}");
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.lines.join("; "))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::DamagedHead { .. } | StoreError::BehindWitness { .. } => {
                " (`weir serve` or `weir run` with `--accept-older` goes on from the newest intact epoch)"
            }
            StoreError::OtherState { .. } => {
                " (`weir serve` or `weir run` with `--accept-older` goes on without it)"
            }
            _ => "",
        };
        Failure { fault: error.fault(), lines: vec![format!("{error}{hint}")] }
    }
}

impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Self {
        Failure { fault: error.fault(), lines: vec![error.to_string()] }
    }
}

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        Failure { fault: error.fault, lines: vec![error.to_string()] }
    }
}

impl From<PackError> for Failure {
    fn from(error: PackError) -> Self {
        Failure { fault: error.fault, lines: vec![error.message] }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Failure { fault: error.fault, lines: vec![error.message] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_of_several_decides_the_exit_code() {
        let all = Failure::all(vec![Failure::user("a"), Failure::weir("b"), Failure::external("c")]);
        let failure = all.unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert_eq!(failure.lines, ["a", "b", "c"]);
        assert!(Failure::all(Vec::new()).is_ok());
    }
}
