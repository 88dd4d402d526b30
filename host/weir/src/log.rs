//! Where weir's own words go: stderr, as much as `WEIR_LOG` asks for. stdout belongs to what was asked for.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The variable that says how much: `debug`, or `info,weir_engine=debug`.
const VARIABLE: &str = "WEIR_LOG";

/// Starts logging; `default` is how much where `WEIR_LOG` is not set.
pub(crate) fn start(default: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .finish();
    // Only the first of a process takes effect; whichever it was says what this would.
    let _ = tracing::subscriber::set_global_default(subscriber);
}
