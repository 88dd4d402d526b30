//! Calls that block, to disks, decompressors and other systems' libraries, off the async threads.

use weir_connect::{ConnectError, CpuTime};

/// Does `work` on a thread that may wait, for whom the caller works. A panic there is an error of the connector's, as any other.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConnectError> + Send + 'static,
) -> Result<T, ConnectError> {
    let ended =
        |error| ConnectError::internal(format!("a call that blocks ended without an answer: {error}"));
    let owner = CpuTime::current();
    let work = move || match owner {
        Some(owner) => owner.measure(work),
        None => work(),
    };
    tokio::task::spawn_blocking(work).await.map_err(ended)?
}
