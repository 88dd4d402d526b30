//! One look through an archive for all jobs that begin with it at the same time: what it finds is the same for each of them.
//! Whoever comes when it is over looks anew, as more may be there by then.
//!
//! Knows who waits, and what such a look finds; must not know how anything is read.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;
use weir_event::EventTime;

/// How far an archive goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArchiveEnd {
    /// The newest known time of its rows; `None` of one without any.
    pub(crate) known: Option<EventTime>,
    /// Of each partition of the log, one more than the highest offset that it has.
    pub(crate) offsets: BTreeMap<u16, u64>,
}

/// A look that is under way.
pub(crate) type Looking = BoxFuture<'static, Result<ArchiveEnd, ConnectError>>;

/// What jobs share that read one stream with an archive. Clones are the same.
#[derive(Clone, Default)]
pub struct SharedLook(Arc<Mutex<Option<WeakShared<Looking>>>>);

impl fmt::Debug for SharedLook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedLook")
    }
}

impl SharedLook {
    /// Whether somebody else has it.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// What the look under way finds, which is begun where there is none. It goes on as long as somebody waits for it.
    pub(crate) async fn join(&self, begin: impl FnOnce() -> Looking) -> Result<ArchiveEnd, ConnectError> {
        let looking = {
            let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            current.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(|| {
                let looking = begin().shared();
                *current = looking.downgrade();
                looking
            })
        };
        looking.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn who_comes_while_it_is_under_way_shares_it_whoever_leaves_and_others_look_anew() {
        let (look, looks) = (SharedLook::default(), Arc::new(AtomicUsize::new(0)));
        let done = Arc::new(Notify::new());
        let begin = || -> Looking {
            let (done, number) = (done.clone(), looks.fetch_add(1, Ordering::SeqCst) as i64);
            async move {
                done.notified().await;
                Ok(ArchiveEnd { known: Some(EventTime::from_millis(number)), ..ArchiveEnd::default() })
            }
            .boxed()
        };
        let found = |end: Result<ArchiveEnd, ConnectError>| end.unwrap().known.unwrap().millis();
        let [mut first, mut second, mut third] = [(); 3].map(|()| Box::pin(look.join(begin)));
        for join in [&mut first, &mut second, &mut third] {
            assert!(join.as_mut().now_or_never().is_none());
        }
        // A job that is stopped meanwhile takes nothing from the others.
        drop(first);
        done.notify_one();
        let (second, third) = tokio::join!(second, third);
        assert_eq!((found(second), found(third), looks.load(Ordering::SeqCst)), (0, 0, 1));
        done.notify_one();
        assert_eq!((found(look.join(begin).await), looks.load(Ordering::SeqCst)), (1, 2));
    }
}
