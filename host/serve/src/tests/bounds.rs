//! What no request gets: long texts back, more than its share, or what only this machine may ask for.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_repeated_in_part_however_long_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let long = "q".repeat(3000);
    let lookup = |features: Value, entities: Value| {
        ("POST", "/v1/lookup".to_owned(), json!({"features": features, "entities": entities}).to_string())
    };
    let get = |target: String| ("GET", target, String::new());
    for (method, target, body) in [
        lookup(json!([long]), json!([])),
        lookup(json!([format!("rides_per_user:{long}")]), json!([])),
        ("POST", "/v1/lookup".to_owned(), json!({ &long: 1 }).to_string()),
        ("POST", format!("/v1/streams/{long}/events"), String::new()),
        ("POST", format!("/v1/streams/rides/events?wait={long}"), String::new()),
        ("POST", format!("/v1/plugins?name={long}"), String::new()),
        ("POST", format!("/v1/plugins/{long}/activate"), json!({"version": 1}).to_string()),
        ("POST", format!("/v1/jobs/{long}/restart"), String::new()),
        ("POST", format!("/v1/jobs/rides_per_user/restart?reset={long}"), String::new()),
        ("POST", format!("/v1/jobs/rides_per_user/sinks/{long}/resume"), String::new()),
        get(format!("/{long}")),
        get(format!("/v1/jobs/{long}")),
        get(format!("/v1/jobs/{long}/values")),
        get(format!("/v1/jobs/rides_per_user/values?user_id=u1&{long}=1")),
        get(format!("/v1/jobs/rides_per_user/values?user_id=u1&{long}=1&{long}=2")),
        get(format!("/v1/jobs/rides_per_user/values?user_id=u1&as_of={long}")),
        get(format!("/v1/jobs/rides_per_user/values?user_id=%{long}")),
        get(format!("/v1/jobs/rides_per_user/keys?after={long}")),
        get(format!("/v1/jobs/rides_per_user/keys?limit={long}")),
        get(format!("/v1/deadletters/{long}")),
        get(format!("/v1/plugins/{long}")),
        ("POST", format!("/v1/train?features=a&serving_delay={long}"), String::new()),
        ("POST", format!("/v1/train?features=a&spine_format={long}"), String::new()),
        get(format!("/v1/train/{long}/result")),
        ("DELETE", format!("/v1/train/{long}"), String::new()),
    ] {
        let (status, problem) = client.send(method, &target, &body).await;
        assert!((400..500).contains(&status), "{target:.60}: {status}");
        // The list of all routes is the longest answer.
        let said = problem.to_string();
        assert!(!said.contains(&"q".repeat(300)) && said.len() < 1500, "{target:.60}: {} bytes", said.len());
        assert!(!said.contains("did you mean"), "{said}");
    }
    let entities =
        json!([{"user_id": [&long]}, &long, {"user_id": "u1", &long: 1}, {"user_id": "u1", "as_of": long}]);
    for entity in entities.as_array().unwrap() {
        let (_, target, asks) = lookup(json!(["rides_per_user"]), json!([entity]));
        let (status, answer) = client.send("POST", &target, &asks).await;
        let error = answer["rows"][0]["error"].as_str().unwrap();
        assert!(status == 200 && error.len() < 250, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_only_this_machine_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let asked = async |header: &str, value: &str| {
        let request = Request::builder().uri("/v1/jobs").header(header, value);
        client.ask(request.body(Body::empty()).unwrap()).await.0
    };
    assert_eq!(asked("host", "localhost:8080").await, 200);
    assert_eq!(asked("host", "evil.example").await, 403);
    assert_eq!(asked("origin", "http://127.0.0.1:8080").await, 200);
    assert_eq!(asked("origin", "https://evil.example").await, 403);
    assert_eq!(asked("sec-fetch-site", "cross-site").await, 403);
    client.engine.stop().await.unwrap();
    drop(client);
    // With one, who may ask is known, from wherever.
    let client = Client::new(folder.path(), Some("t"));
    let request = Request::builder().uri("/v1/jobs").header("host", "features.example");
    let request = request.header("authorization", "Bearer t").body(Body::empty()).unwrap();
    assert_eq!(client.ask(request).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_much_and_send_nothing_stop_no_ingest() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let post = |body: Body| {
        let request = Request::builder().method("POST").uri("/v1/streams/rides/events");
        request.header("content-length", "4096").body(body).unwrap()
    };
    let silent = || Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, io::Error>>());
    // More than all room divided by the largest body.
    let waiting: Vec<_> = (0..40_000).map(|_| client.service.call(post(silent()))).collect();
    let mut waiting = futures_util::stream::FuturesUnordered::from_iter(waiting);
    let first = futures_util::StreamExt::next(&mut waiting);
    let answered = weir_event::within(&SystemClock::new(), Duration::from_millis(200), first).await;
    assert!(answered.is_none(), "all of them wait");
    let row = json!({"user_id": "u1", "at": SystemClock::new().now().millis()}).to_string();
    assert_eq!(client.send("POST", "/v1/streams/rides/events", &row).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_training_set_without_a_place_is_told_when_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    let request = Request::post("/v1/train?features=a").body(Body::from("user_id,event_time\n")).unwrap();
    let response = client.service.call(request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (503, &"10".parse().unwrap())
    );
    assert_eq!(client.get("/v1/train").await, (200, json!({"training_sets": []})));
    let (status, problem) = client.get("/v1/train/t1").await;
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("training set `t1` not found"));
}
