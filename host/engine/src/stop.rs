//! Being asked to stop, for whoever waits for something else meanwhile.

use tokio::sync::watch;

/// Returns once the job is asked to stop, also if that was before.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // The job's handle is gone: nobody can ask any more.
        std::future::pending().await
    }
}
