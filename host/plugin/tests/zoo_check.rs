//! Temporary.
#[path = "../../../tests/plugins.rs"]
mod plugins;
#[path = "../../../tests/zoo.rs"]
mod zoo;
mod harness {
    pub(crate) fn repository() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }
}
