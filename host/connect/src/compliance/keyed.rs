//! What every sink that keeps a row per key must pass.
//!
//! A sink that passes shows of each key the newest row, whatever the process was killed in the middle of, also where another
//! that was thought dead writes beside it; one that promises exactly-once shows nothing before its checkpoint is safe.

use crate::error::ConnectError;
use crate::sink::{Delivery, Op, Sink, SinkRows, Token};

/// Where the process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Started,
    Written,
    Prepared,
    /// The checkpoint is safe, and nobody has told the sink.
    Safe,
    Committed,
}

const CUTS: [Cut; 5] = [Cut::Started, Cut::Written, Cut::Prepared, Cut::Safe, Cut::Committed];

/// A store of keys as the kit sees it.
pub struct KeyedCase<'a> {
    /// Opens the sink anew over the same place.
    pub make: &'a dyn Fn() -> Box<dyn Sink>,
    /// Rows of the same few keys whose windows end later the higher the first number is, with the second as revision; they
    /// say that revision themselves.
    pub rows: &'a dyn Fn(u64, u64) -> SinkRows,
    /// The revisions that a reader sees, of every key one.
    pub visible: &'a dyn Fn() -> Vec<u64>,
}

impl KeyedCase<'_> {
    /// What a reader sees is of this revision alone.
    fn shows(&self, revision: u64) -> bool {
        let visible = (self.visible)();
        !visible.is_empty() && visible.iter().all(|seen| *seen == revision)
    }

    /// Opens the sink at a checkpoint.
    async fn started(&self, safe: Option<&Token>) -> Result<Box<dyn Sink>, ConnectError> {
        let mut sink = (self.make)();
        sink.start(safe).await?;
        Ok(sink)
    }

    /// The sink keeps its promise.
    ///
    /// # Panics
    /// When the sink breaks the contract: this is a test.
    pub async fn keeps_the_newest(&self) -> Result<(), ConnectError> {
        let (mut safe, mut shown, mut revision, mut epoch) = (None, 0, 0, 0);
        for round in 1..=3 {
            for cut in CUTS {
                revision += 1;
                let mut sink = self.started(safe.as_ref()).await?;
                let is_exact = sink.delivery() == Delivery::ExactlyOnce;
                let is_as_before =
                    || if shown == 0 { (self.visible)().is_empty() } else { self.shows(shown) };
                assert!(
                    !is_exact || is_as_before(),
                    "killed when {cut:?}: {:?}, not {shown}",
                    (self.visible)()
                );
                if cut == Cut::Started {
                    continue;
                }
                sink.write(&(self.rows)(round, revision)).await?;
                if cut == Cut::Written {
                    continue;
                }
                epoch += 1;
                let token = sink.prepare(epoch).await?;
                assert!(!is_exact || is_as_before(), "rows are visible before their checkpoint is safe");
                if cut == Cut::Prepared {
                    continue;
                }
                (safe, shown) = (Some(token), revision);
                if cut == Cut::Committed
                    && let Some(token) = &safe
                {
                    sink.commit(token).await?;
                    sink.commit(token).await?;
                    assert!(self.shows(revision), "{:?}, not {revision}", (self.visible)());
                }
            }
        }
        self.outlives_a_zombie(safe, (epoch, revision)).await
    }

    /// One that was thought dead writes beside its successor, which then corrects an older window and takes all rows away.
    async fn outlives_a_zombie(
        &self,
        safe: Option<Token>,
        (epoch, revision): (u64, u64),
    ) -> Result<(), ConnectError> {
        let mut zombie = self.started(safe.as_ref()).await?;
        let of_zombie = (self.rows)(10, revision + 1);
        zombie.write(&of_zombie).await?;
        let mut heir = self.started(safe.as_ref()).await?;
        heir.write(&(self.rows)(10, revision + 2)).await?;
        // Whether it is told that it is dead is the store's affair.
        let _ = zombie.write(&of_zombie).await;
        if let Ok(token) = zombie.prepare(epoch + 1).await {
            let _ = zombie.commit(&token).await;
        }
        let token = heir.prepare(epoch + 1).await?;
        heir.commit(&token).await?;
        assert!(self.shows(revision + 2), "{:?}: a zombie's rows are visible", (self.visible)());

        heir.write(&(self.rows)(9, revision + 3)).await?;
        let token = heir.prepare(epoch + 2).await?;
        heir.commit(&token).await?;
        assert!(self.shows(revision + 2), "{:?}: an older window took a newer one's place", (self.visible)());

        let mut gone = (self.rows)(10, revision + 4);
        gone.meta.op = Op::Delete;
        heir.write(&gone).await?;
        let token = heir.prepare(epoch + 3).await?;
        heir.commit(&token).await?;
        assert!((self.visible)().is_empty(), "rows that were taken away are visible");
        Ok(())
    }
}
