//! The sink against a server that answers as it is told.

use super::sink;
use crate::upsert::tests::fixture::{context, refused, rows, run};
use crate::web::tests::server::{Asked, Reply, TestServer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use weir_connect::{Op, Sink, SinkCounts};
use weir_event::ManualClock;

struct World {
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { clock: Arc::default(), folder: tempfile::tempdir().unwrap() }
    }

    fn sink(&self, server: &TestServer, more: Value) -> Box<dyn Sink> {
        let mut settings = json!({"url": format!("{}/rows", server.url)});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        sink(&settings, &context(self.folder.path(), &self.clock)).unwrap()
    }
}

fn objects(asked: &Asked) -> Vec<Value> {
    asked.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn batches_are_posted_with_what_weir_says_of_each_row() {
    let world = World::new();
    let server = TestServer::start(|_| Reply::ok("")).await;
    let mut sink = world.sink(&server, json!({"headers": {"X-Team": "f"}}));
    run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20), (None, 2, 20)], 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap();
        sink.write(&rows(&[(Some("a"), 0, 20)], 6, Op::Delete)).await.unwrap();
        sink.prepare(2).await.unwrap();
    })
    .await;
    let posted = server.posted();
    assert_eq!(posted.len(), 2);
    assert_eq!(posted[0].line, "POST /rows");
    assert_eq!(posted[0].header("content-type"), "application/x-ndjson");
    assert_eq!(posted[0].header("x-team"), "f");
    let written = objects(&posted[0]);
    assert_eq!(
        (&written[0]["user"], &written[0]["n"], &written[1]["user"]),
        (&json!("a"), &json!(1), &Value::Null)
    );
    assert_eq!(written[0]["_weir"]["window"]["end"], "1970-01-01T00:00:00.020Z");
    assert_eq!((&written[0]["_weir"]["revision"], &written[0]["_weir"]["op"]), (&json!(5), &json!("upsert")));
    let deleted = &objects(&posted[1])[0]["_weir"];
    assert_eq!((&deleted["op"], &deleted["key"]), (&json!("delete"), &json!({"user": "a"})));
    assert_ne!(posted[0].header("idempotency-key"), posted[1].header("idempotency-key"));
    assert_eq!(refused(world.folder.path()), "");
}

#[tokio::test]
async fn a_batch_without_an_answer_comes_again_whole_with_the_same_key() {
    let world = World::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let server =
        TestServer::start(move |asked| match (asked.body.is_empty(), calls.load(Ordering::Relaxed)) {
            (true, _) => Reply::Says(405, "", String::new()),
            (false, call) => {
                calls.store(call + 1, Ordering::Relaxed);
                [Reply::HangsUp, Reply::Says(503, "retry-after: 1\r\n", "busy".to_owned()), Reply::ok("")]
                    [call.min(2)]
                .clone()
            }
        })
        .await;
    let mut sink = world.sink(&server, json!({"format": "json", "method": "PUT", "concurrency": 1}));
    run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20), (Some("b"), 2, 20), (Some("c"), 3, 20)], 5, Op::Upsert))
            .await
            .unwrap();
        sink.prepare(1).await.unwrap();
    })
    .await;
    let posted = server.posted();
    assert_eq!(posted.len(), 3);
    for again in &posted {
        assert_eq!(again.line, "PUT /rows");
        assert_eq!(again.body, posted[0].body);
        assert_eq!(again.header("idempotency-key"), posted[0].header("idempotency-key"));
    }
    assert_eq!(serde_json::from_str::<Vec<Value>>(&posted[0].body).unwrap().len(), 3);
    assert_eq!(sink.counts(), SinkCounts { retries: 2, bytes: sink.counts().bytes, ..SinkCounts::default() });
}

#[tokio::test]
async fn rows_that_are_never_taken_are_set_aside_and_the_others_are_posted() {
    let world = World::new();
    let server = TestServer::start(|asked| {
        let bad = asked.body.contains("\"n\":3,") || asked.body.contains("\"n\":5,");
        if bad { Reply::Says(422, "", "no odd numbers".to_owned()) } else { Reply::ok("") }
    })
    .await;
    let mut sink = world.sink(&server, json!({}));
    let of = ["a", "b", "c", "d", "e", "f"].iter().zip(1..);
    let of: Vec<_> = of.map(|(user, number)| (Some(*user), number, 20)).collect();
    run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&of, 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap();
    })
    .await;
    let taken = server
        .posted()
        .into_iter()
        .filter(|asked| !asked.body.contains("\"n\":3,") && !asked.body.contains("\"n\":5,"));
    let taken: Vec<i64> =
        taken.flat_map(|asked| objects(&asked)).map(|row| row["n"].as_i64().unwrap()).collect();
    assert_eq!(taken, [1, 2, 4, 6]);
    assert_eq!(sink.counts().refused, 2);
    let refused = refused(world.folder.path());
    assert_eq!(refused.matches("422 unprocessable entity: no odd numbers").count(), 2, "{refused}");
}

#[tokio::test]
async fn what_is_wrong_with_the_address_or_the_credentials_fails_the_sink_by_name() {
    let world = World::new();
    let server = TestServer::start(|asked| match (asked.header("authorization"), asked.body.is_empty()) {
        ("", _) => Reply::Says(401, "", String::new()),
        (_, true) => Reply::ok(""),
        (..) => Reply::Says(404, "", "no such page".to_owned()),
    })
    .await;
    let mut sink = world.sink(&server, json!({}));
    let error = sink.start(None).await.unwrap_err();
    assert!(!error.retry && error.message.contains("401 unauthorized"), "{error}");
    let mut sink = world.sink(&server, json!({"user": "me", "password": "sesame"}));
    assert!(format!("{:?}", sink.probe().await.unwrap()).contains("it answers"));
    let error = run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20)], 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap_err()
    });
    let error = error.await;
    assert!(!error.retry && error.message.contains("404 not found: no such page; correct `url`"), "{error}");
}
