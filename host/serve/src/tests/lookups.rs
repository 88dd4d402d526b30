//! Lookups as clients ask them: as of when, and what of one entity is wrong.

use super::*;
use weir_event::EventTime;

/// Rows of one user, so many seconds before now.
fn rows_before(now: EventTime, user: &str, seconds: &[i64]) -> String {
    let row = |ago: &i64| json!({"user_id": user, "at": now.millis() - ago * 1000}).to_string();
    seconds.iter().map(row).collect::<Vec<_>>().join("\n")
}

const WEEK_SECONDS: i64 = 7 * 24 * 3600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_data_are_looked_up_at_their_own_time_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemClock::new().now();
    let newest = now - Span::from_millis(WEEK_SECONDS * 1000);
    let as_of = |answer: &Value| -> EventTime {
        answer["jobs"]["rides_per_user"]["as_of"].as_str().unwrap().parse().unwrap()
    };
    let before = {
        let client = Client::new(folder.path(), None);
        client.ready().await;
        let seconds = [WEEK_SECONDS + 3700, WEEK_SECONDS + 1800, WEEK_SECONDS];
        let rows = rows_before(now, "u1", &seconds);
        client.send("POST", "/v1/streams/rides/events?wait=visible", &rows).await;
        let (_, answer) = client.get("/v1/jobs/rides_per_user/values?user_id=u1").await;
        let value = &answer["features"]["rides"];
        assert_eq!((&value["value"], &value["status"]), (&json!(2), &json!("ok")), "{answer}");
        assert!((newest..newest + Span::from_millis(60_000)).contains(&as_of(&answer)), "{answer}");
        assert_eq!(value["window"]["end"], answer["jobs"]["rides_per_user"]["as_of"]);
        // Later than the job's time is allowed: all rows have left the window by then.
        let (_, later) = client.get(&format!("/v1/jobs/rides_per_user/values?user_id=u1&as_of={now}")).await;
        let value = &later["features"]["rides"];
        assert_eq!((&value["value"], &value["status"]), (&json!(0), &json!("not_found")), "{later}");
        assert_eq!((value.get("unknown"), as_of(&later)), (None, now));
        client.engine.stop().await.unwrap();
        as_of(&answer)
    };
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let (_, answer) = client.get("/v1/jobs/rides_per_user/values?user_id=u1").await;
    assert_eq!(answer["features"]["rides"]["value"], 2, "{answer}");
    assert!((before..before + Span::from_millis(60_000)).contains(&as_of(&answer)), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_one_entity_is_said_in_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let now = SystemClock::new().now();
    let rows = rows_before(now, "u1", &[10, 5]);
    client.send("POST", "/v1/streams/rides/events?wait=visible", &rows).await;
    let seconds_ago = |seconds: i64| (now - Span::from_millis(seconds * 1000)).to_string();
    let entities = json!([
        {"user_id": "u1"}, {"user_id": 7}, {}, {"user_id": "u1", "as_of": seconds_ago(7)},
        {"user_id": "u1", "as_of": seconds_ago(7200)}, {"user_id": "u1", "as_of": "noon"},
        {"user_id": "u1", "usr": 1}, null, {"user_id": "u1", "as_of": null},
    ]);
    let asks = json!({"features": ["rides_per_user"], "entities": entities});
    let (status, answer) = client.send("POST", "/v1/lookup", &asks.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let reach = (now - Span::from_millis(3_605_000)).to_string();
    let out_of_reach = format!(
        "job `rides_per_user` keeps 1 h of history (back to {reach}). To look further back, put `history: 2h` into \
         jobs/rides_per_user.yaml: with `weir restart rides_per_user` it reaches further back from now on, with `weir \
         restart rides_per_user --reset` at once, as it then reads its stream anew"
    );
    let expected = [
        Ok(2),
        Err("`user_id`: 7 is not a string"),
        Err("the key `user_id` is missing; give it as a string"),
        Ok(1),
        Err(&out_of_reach),
        Err("`as_of`: `noon` is not a time"),
        Err("unknown key `usr`; known: user_id, as_of"),
        Err("an entity is an object of its keys"),
        Ok(2),
    ];
    for (row, expected) in expected.into_iter().enumerate() {
        let found = &answer["rows"][row];
        let value = &found["features"]["rides_per_user:rides"];
        assert_eq!(found["entity"], entities[row]);
        match expected {
            Ok(count) => assert_eq!((&value["value"], found.get("error")), (&json!(count), None), "{found}"),
            Err(reason) => {
                assert!(found["error"].as_str().unwrap().starts_with(reason), "{found}");
                assert_eq!((&value["status"], &value["reason"]), (&json!("error"), &found["error"]));
            }
        }
    }
    // Asked of the whole request it is the request's fault.
    let asks =
        json!({"features": ["rides_per_user"], "entities": [{"user_id": "u1"}], "as_of": seconds_ago(7200)});
    let (status, problem) = client.send("POST", "/v1/lookup", &asks.to_string()).await;
    assert_eq!((status, problem["detail"].as_str().unwrap()), (400, out_of_reach.as_str()));
    let target = format!("/v1/jobs/rides_per_user/values?user_id=u1&as_of={}", seconds_ago(7200));
    assert_eq!(client.get(&target).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lean_answer_is_the_value_and_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let rows = rows_before(SystemClock::new().now(), "u1", &[1]);
    client.send("POST", "/v1/streams/rides/events?wait=visible", &rows).await;
    let request = Request::builder().uri("/v1/jobs/rides_per_user/values?user_id=u1&meta=false");
    let (_, answer) = client.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer, r#"{"features":{"rides":{"value":1,"status":"ok"}}}"#);
    let asks = r#"{"features": ["rides_per_user"], "entities": [{"user_id": "u1"}, {"user_id": "u2"}]}"#;
    let (_, answer) = client.send("POST", "/v1/lookup?meta=false", asks).await;
    let row = |user: &str, value: Value| json!({"entity": {"user_id": user}, "features": {"rides_per_user:rides": value}});
    let known = row("u1", json!({"value": 1, "status": "ok"}));
    let unknown = row("u2", json!({"value": 0, "status": "not_found", "unknown": true}));
    assert_eq!(answer, json!({"rows": [known, unknown]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_in_pages_each_once_and_in_the_same_order_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let listed = |keys: &Value| -> Vec<Value> { keys["keys"].as_array().unwrap().clone() };
    let all = {
        let client = Client::new(folder.path(), None);
        client.ready().await;
        let now = SystemClock::new().now();
        let rows: Vec<_> = (0..250).map(|user| rows_before(now, &format!("u{user}"), &[3])).collect();
        for rows in rows.chunks(50) {
            client.send("POST", "/v1/streams/rides/events?wait=visible", &rows.join("\n")).await;
        }
        let (mut all, mut target) = (Vec::new(), "/v1/jobs/rides_per_user/keys?limit=40".to_owned());
        loop {
            let (status, page) = client.get(&target).await;
            assert_eq!(status, 200, "{page}");
            all.extend(listed(&page));
            let Some(next) = page["next"].as_str() else { break };
            target = format!("/v1/jobs/rides_per_user/keys?limit=40&after={next}");
        }
        let mut users: Vec<String> = all.iter().map(|key| key["user_id"].as_str().unwrap().into()).collect();
        users.sort();
        users.dedup();
        assert_eq!((users.len(), all.len()), (250, 250));
        for (target, status) in [
            ("/v1/jobs/none/keys", 404),
            ("/v1/jobs/rides_per_user/keys?limit=0", 400),
            ("/v1/jobs/rides_per_user/keys?after=x", 400),
            ("/v1/jobs/rides_per_user/keys?aftr=01", 400),
        ] {
            assert_eq!(client.get(target).await.0, status, "{target}");
        }
        client.engine.stop().await.unwrap();
        all
    };
    let client = Client::with_shards(folder.path(), None, 3);
    client.ready().await;
    let (_, page) = client.get("/v1/jobs/rides_per_user/keys?limit=1000").await;
    assert_eq!((listed(&page), &page["next"]), (all, &Value::Null));
}
