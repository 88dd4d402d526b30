//! The file sink over an object store that fails at every step, with the effect of the call or without: each is a crash
//! there too, for the sink is dropped and another one goes on from the last safe token.

use super::{json_lines, rows, settings_of};
use crate::file::{FileSink, FileSinkSettings};
use crate::object::{ObjectPlace, Store};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use weir_connect::{ConnectError, Sink, Token, compliance};
use weir_event::{Fault, ManualClock};

/// Which call that changes something fails, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failing {
    /// And has no effect.
    Before(usize),
    /// Though it has its effect.
    After(usize),
}

/// A store in memory that fails once, and knows which uploads are under way.
#[derive(Debug, Default)]
struct Faulty {
    memory: InMemory,
    calls: Mutex<usize>,
    failing: Option<Failing>,
    under_way: Mutex<Vec<String>>,
    /// Those of them whose ids were lost with the answer.
    unknown: Mutex<Vec<String>>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

fn lost() -> Error {
    Error::Generic { store: "Faulty", source: "the line is cut".into() }
}

fn unknown_upload(_: Error) -> Error {
    Error::NotFound { path: String::new(), source: "NoSuchUpload".into() }
}

impl Faulty {
    async fn call<T>(&self, act: impl Future<Output = Result<T>>) -> Result<T> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            *calls += 1;
            *calls - 1
        };
        if self.failing == Some(Failing::Before(call)) {
            return Err(lost());
        }
        let answer = act.await;
        if self.failing == Some(Failing::After(call)) { Err(lost()) } else { answer }
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &ObjectPath, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.call(self.memory.put_opts(path, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &ObjectPath,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.memory.put_multipart_opts(path, opts).await
    }

    async fn get_opts(&self, path: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.memory.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.memory.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.memory.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.memory.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.memory.copy_opts(from, to, options).await
    }
}

#[async_trait::async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &ObjectPath) -> Result<MultipartId> {
        let id = self.memory.create_multipart(path).await?;
        let answer = self.call(async { Ok(id.clone()) }).await;
        self.under_way.lock().unwrap().push(id.clone());
        if answer.is_err() {
            self.unknown.lock().unwrap().push(id);
        }
        answer
    }

    async fn put_part(
        &self,
        path: &ObjectPath,
        id: &MultipartId,
        part: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.call(self.memory.put_part(path, id, part, data)).await
    }

    async fn complete_multipart(
        &self,
        path: &ObjectPath,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.call(async {
            let done = self.memory.complete_multipart(path, id, parts).await.map_err(unknown_upload)?;
            self.under_way.lock().unwrap().retain(|known| known != id);
            Ok(done)
        })
        .await
    }

    async fn abort_multipart(&self, path: &ObjectPath, id: &MultipartId) -> Result<()> {
        self.call(async {
            self.memory.abort_multipart(path, id).await.map_err(unknown_upload)?;
            self.under_way.lock().unwrap().retain(|known| known != id);
            Ok(())
        })
        .await
    }
}

fn sink(stage: &Path, store: &Arc<Faulty>) -> FileSink {
    let place = ObjectPlace::parse("s3://bucket/out", BTreeMap::new()).unwrap();
    let place = place.within(store.clone() as Arc<dyn Store>);
    let settings = FileSinkSettings { objects: Some(place), ..settings_of(stage, json_lines()) };
    FileSink::new("activity", settings, Arc::new(ManualClock::default()))
}

async fn objects(store: &Faulty) -> Vec<(String, String)> {
    let listed: Vec<ObjectMeta> = store.memory.list(None).try_collect().await.unwrap();
    let mut all = Vec::new();
    for object in listed {
        let content = store.memory.get(&object.location).await.unwrap().bytes().await.unwrap();
        all.push((object.location.to_string(), String::from_utf8(content.to_vec()).unwrap()));
    }
    all.sort();
    all
}

/// How many rows are visible, from a thread that cannot wait.
fn visible(store: &Faulty) -> usize {
    let all = futures_util::FutureExt::now_or_never(objects(store)).unwrap();
    all.iter().map(|(_, content)| content.lines().count()).sum()
}

#[tokio::test]
async fn small_and_large_files_keep_the_promise() {
    for count in [3, 2000] {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Faulty::default());
        let make = || Box::new(sink(folder.path(), &store)) as Box<dyn Sink>;
        let rows = rows(&(0..count).collect::<Vec<_>>());
        compliance::sink_keeps_its_promise(&make, &rows, &|| visible(&store)).await.unwrap();
        assert_eq!(*store.under_way.lock().unwrap(), [""; 0], "an upload that nobody completes was given up");
        let names: Vec<_> = objects(&store).await.into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name.starts_with("out/activity-0") && name.ends_with(".jsonl")));
    }
}

/// Writes three checkpoints as an engine does: a sink that fails is dropped, and another one goes on from the last safe
/// token. Gives the token of the last one.
async fn three_checkpoints(stage: &Path, store: &Arc<Faulty>, counts: [i64; 3]) -> Token {
    let (mut safe, mut done, mut tries) = (None, 0, 0);
    while done < counts.len() {
        tries += 1;
        assert!(tries < 6, "the store fails only once");
        let mut sink = sink(stage, store);
        let attempt: std::result::Result<(), ConnectError> = async {
            sink.start(safe.as_ref()).await?;
            while done < counts.len() {
                sink.write(&rows(&(0..counts[done]).collect::<Vec<_>>())).await?;
                safe = Some(sink.prepare(done as u64).await?);
                done += 1;
                sink.commit(safe.as_ref().unwrap()).await?;
            }
            Ok(())
        }
        .await;
        assert!(attempt.is_ok() || store.failing.is_some(), "{attempt:?}");
    }
    let safe = safe.unwrap();
    // What the last one could not do, the next start does.
    sink(stage, store).start(Some(&safe)).await.unwrap();
    safe
}

#[tokio::test]
async fn each_row_appears_once_whichever_call_fails_before_or_after_its_effect() {
    let counts = [2000, 3, 1000];
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Faulty::default()));
    three_checkpoints(folder.path(), &store, counts).await;
    let calls = *store.calls.lock().unwrap();
    assert!(calls > 10, "{calls} calls");
    for call in 0..calls {
        for failing in [Failing::Before(call), Failing::After(call)] {
            let folder = tempfile::tempdir().unwrap();
            let store = Arc::new(Faulty { failing: Some(failing), ..Faulty::default() });
            three_checkpoints(folder.path(), &store, counts).await;
            let found: Vec<_> =
                objects(&store).await.iter().map(|(_, content)| content.lines().count() as i64).collect();
            assert_eq!(found, counts, "{failing:?}");
            let left = store.under_way.lock().unwrap().len();
            assert!(left <= store.unknown.lock().unwrap().len(), "{failing:?}: {left} uploads are under way");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{failing:?}: files are left");
        }
    }
}

#[tokio::test]
async fn an_upload_that_was_given_up_is_sent_again() {
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Faulty::default()));
    let mut first = sink(folder.path(), &store);
    first.start(None).await.unwrap();
    first.write(&rows(&(0..2000).collect::<Vec<_>>())).await.unwrap();
    let token = first.prepare(1).await.unwrap();
    let ids = store.under_way.lock().unwrap().clone();
    for id in ids {
        store.abort_multipart(&ObjectPath::default(), &id).await.unwrap();
    }
    sink(folder.path(), &store).start(Some(&token)).await.unwrap();
    assert_eq!(visible(&store), 2000);
}

#[tokio::test]
async fn what_somebody_else_wrote_is_not_written_over() {
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Faulty::default()));
    let mut sink = sink(folder.path(), &store);
    sink.start(None).await.unwrap();
    sink.write(&rows(&[1])).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    let path = ObjectPath::from("out/activity-000000000001.jsonl");
    store.memory.put(&path, "other".into()).await.unwrap();
    let error = sink.commit(&token).await.unwrap_err();
    assert!(error.message.contains("s3://bucket/out/activity-000000000001.jsonl"), "{error}");
    assert_eq!((error.fault, error.retry), (Fault::External, false));
}

#[tokio::test]
async fn numbers_go_on_behind_those_that_are_there() {
    let (folder, store) = (tempfile::tempdir().unwrap(), Arc::new(Faulty::default()));
    let path = ObjectPath::from("out/dt=2026/activity-000000000041.jsonl");
    store.memory.put(&path, "x".into()).await.unwrap();
    three_checkpoints(folder.path(), &store, [1, 1, 1]).await;
    assert_eq!(objects(&store).await[0].0, "out/activity-000000000042.jsonl");
}
