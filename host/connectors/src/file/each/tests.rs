//! Files that cannot be opened, one beside the other.

use super::*;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Mutex;
use std::time::Duration;
use weir_connect::Fetch;
use weir_event::ManualClock;

/// Names that are there when they are first listed, and gone from then on.
#[derive(Debug)]
struct Vanishing(Mutex<Vec<&'static str>>);

#[async_trait]
impl Shelf for Vanishing {
    async fn list(&self) -> Result<Vec<WholeFile>, ConnectError> {
        let names = std::mem::take(&mut *self.0.lock().unwrap());
        let file = |name: &str| WholeFile { name: name.to_owned(), identity: String::new(), bytes: 1 };
        Ok(names.into_iter().map(file).collect())
    }

    async fn read(&self, _: &WholeFile, _: Range<u64>) -> Result<Bytes, ConnectError> {
        Err(ConnectError::unavailable("gone"))
    }

    fn path(&self, name: &str) -> String {
        name.to_owned()
    }

    fn asked(&self) -> String {
        "*".to_owned()
    }

    fn poll(&self) -> Duration {
        Duration::ZERO
    }

    fn missing(&self) -> Option<String> {
        None
    }

    fn means(&self, _: &Path) -> bool {
        false
    }
}

/// What cannot be opened.
#[derive(Debug)]
struct Gone;

#[async_trait]
impl Source for Gone {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(known.to_vec())
    }

    async fn open(&self, _: u16, _: &[OpenPartition], _: bool) -> Result<Box<dyn Reader>, ConnectError> {
        Err(ConnectError::unavailable("gone"))
    }
}

#[tokio::test]
async fn each_of_several_files_that_went_before_their_turn_is_told() {
    let shelf = Arc::new(Vanishing(Mutex::new(vec!["a", "b", "c"])));
    let one: OneFile = Box::new(|_| Arc::new(Gone));
    let source = EachFile::new(shelf, one, Changes::Never, Arc::new(ManualClock::default()));
    let open =
        |partition, name| OpenPartition { partition, from: Some(FilePlace::beginning(name).position(0)) };
    let mut reader = source.open(0, &[open(0, "a"), open(1, "b"), open(2, "c")], true).await.unwrap();
    for partition in 0..3 {
        match reader.next().await.unwrap() {
            Fetch::CaughtUp(id) => assert_eq!(id.partition, partition),
            other => panic!("{other:?}"),
        }
    }
}
