//! The routes, asked as a client asks them, over a real engine with one job that reads an ingest log.

mod bounds;
mod connections;
mod derived;
mod lookups;

use super::*;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use weir_connect::{CpuTime, NoMark};
use weir_connectors::http::{HttpSource, IngestLogs, LogSettings};
use weir_engine::{DeadLetters, InputSource, JobSpec, Mode, Settings, SystemClock};
use weir_event::{DataType, Field, Span, StreamSchema};
use weir_format::json::JsonDecoder;
use weir_plan::definition::WhenIdle;
use weir_plan::{
    Column, ColumnRole, Emit, Expression, ExpressionError, Feature, JobPlan, KeyedStage, Late, LatePolicy,
    Output, Projection, StateShape, StreamInput, StreamOrigin,
};
use weir_plugin::CompileWith;
use weir_store::{SledStore, StoreOptions};
use weir_timeline::{AggregateSpec, Frames, OverFrame, StageSpec, builtin};

/// The column at an index.
#[derive(Debug)]
struct At([usize; 1], ArrowType);

impl Expression for At {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        Ok(batch.column(self.0[0]).clone())
    }

    fn data_type(&self) -> &ArrowType {
        &self.1
    }

    fn canonical(&self) -> &'static str {
        "column"
    }

    fn reads(&self) -> &[usize] {
        &self.0
    }

    fn as_column(&self) -> Option<usize> {
        Some(self.0[0])
    }
}

fn stream_definition(name: &str, kind: &str) -> Arc<StreamDefinition> {
    Arc::new(StreamDefinition {
        name: name.to_owned(),
        schema: StreamSchema {
            fields: vec![Field::named("user_id", DataType::String), Field::named("at", DataType::Timestamp)],
            event_time: 1,
        },
        disorder: Span::ZERO,
        idle_after: Span::from_millis(60_000),
        when_idle: WhenIdle::Advance,
        max_future: Span::from_millis(3_600_000),
        max_skew: None,
        dedup: None,
        known_time: None,
        format: weir_plan::FormatDefinition::default(),
        origin: Some(StreamOrigin { kind: kind.to_owned(), settings: Value::Null }),
        archive: None,
    })
}

/// COUNT(*) over an hour.
fn rides_of_the_last_hour(key: &ArrowType) -> StageSpec {
    StageSpec {
        frames: Frames::Over(vec![OverFrame::range(Some(Span::from_millis(3_600_000)))]),
        aggregates: vec![AggregateSpec {
            function: builtin("COUNT", false, &[], &[]).unwrap(),
            arguments: Vec::new(),
            filter: None,
            frame: 0,
            edits: None,
        }],
        inputs: vec![key.clone()],
        carried: Vec::new(),
        history: Span::from_millis(3_600_000),
        corrects: Some(Span::from_millis(3_600_000)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    }
}

/// `SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY at RANGE INTERVAL '1' HOUR PRECEDING) AS rides`.
fn plan(stream: &Arc<StreamDefinition>) -> JobPlan {
    let column = |index, arrow: &ArrowType| Arc::new(At([index], arrow.clone())) as Arc<dyn Expression>;
    let (text, count) = (ArrowType::Utf8View, ArrowType::Int64);
    let schema = |fields: &[(&str, &ArrowType)]| {
        let fields = fields.iter().map(|(name, arrow)| ArrowField::new(*name, (*arrow).clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let result = schema(&[("user_id", &text), ("rides", &count)]);
    JobPlan {
        name: "rides_per_user".to_owned(),
        version: 1,
        definition: "sha256:ab".to_owned(),
        definition_without_components: "sha256:ab".to_owned(),
        state_shape: StateShape::default(),
        state_fingerprint: "state".to_owned(),
        inputs: vec![StreamInput {
            stream: stream.clone(),
            origin: stream.origin.clone().unwrap(),
            columns: vec![0, 1],
            event_time: 1,
            known_time: None,
            event_id: None,
            unnest: None,
            projection: Projection {
                filter: None,
                columns: vec![column(0, &text)],
                schema: schema(&[("user_id", &text)]),
            },
        }],
        stage: Some(KeyedStage {
            keys: vec![0],
            key_names: vec!["user_id".to_owned()],
            key_types: vec![text.clone()],
            spec: Arc::new(rides_of_the_last_hour(&text)),
            present: None,
            results: result.clone(),
        }),
        output: Output {
            filter: None,
            columns: vec![
                Column { name: "user_id".to_owned(), role: ColumnRole::Key(0), expression: column(0, &text) },
                Column { name: "rides".to_owned(), role: ColumnRole::Feature, expression: column(1, &count) },
            ],
            schema: result,
        },
        features: vec![Feature {
            name: "rides".to_owned(),
            column: 1,
            data_type: DataType::Bigint,
            version: 1,
            definition: "sha256:cd".to_owned(),
            description: None,
            owner: None,
            default: None,
        }],
        transform: weir_plan::Transform::default(),
        decoders: std::collections::BTreeMap::new(),
        versions: Vec::new(),
        leaves_older_states: false,
        late: Late { policy: LatePolicy::Correct, allow: Span::from_millis(3_600_000) },
        emit: Emit::Close,
        stale_after: None,
        bootstrap: weir_plan::Bootstrap::default(),
        sinks: Vec::new(),
        looks_ahead: None,
    }
}

/// Knows one job, which cannot be planned.
struct NoControl;

#[async_trait::async_trait]
impl Control for NoControl {
    async fn restart(&self, job: &str, _: Restart) -> Result<(), ControlError> {
        match job {
            "rides_per_user" => {
                Err(ControlError::Refused(vec!["jobs/rides_per_user.yaml:1:1: bad".to_owned()]))
            }
            _ => Err(ControlError::Unknown(vec!["rides_per_user".to_owned()])),
        }
    }

    async fn needs(&self, _: &str) -> Result<BTreeMap<String, String>, ControlError> {
        Ok(BTreeMap::new())
    }

    async fn plugin_changed(&self, _: &str) -> Vec<PluginEffect> {
        Vec::new()
    }
}

/// A server that is asked for no training sets.
struct NoTraining;

impl Training for NoTraining {
    fn judge(&self, _features: &[String]) -> Result<(), FeaturesRefused> {
        Ok(())
    }

    fn reserve(&self) -> Result<Box<dyn TrainingPlace>, TrainingRefused> {
        Err(TrainingRefused { message: "all places are taken".to_owned(), retry_after_seconds: 10 })
    }

    fn list(&self) -> Vec<TrainingStatus> {
        Vec::new()
    }

    fn one(&self, _id: &str) -> Option<TrainingStatus> {
        None
    }

    fn result(&self, _id: &str) -> Option<std::path::PathBuf> {
        None
    }

    fn remove(&self, _id: &str) -> bool {
        false
    }
}

struct Client {
    engine: Arc<Engine>,
    service: TowerToHyperService<Router>,
}

impl Client {
    /// A server over a data folder; its job reads the stream `rides`.
    fn new(data_dir: &Path, token: Option<&str>) -> Client {
        Client::with_shards(data_dir, token, 2)
    }

    fn with_shards(data_dir: &Path, token: Option<&str>, shards: usize) -> Client {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = Arc::new(SledStore::open(&data_dir.join("state"), StoreOptions::default()).unwrap());
        let letters = Arc::new(DeadLetters::new(data_dir.join("dead"), 1 << 20));
        let settings = Settings {
            shards,
            checkpoint_every: Duration::from_secs(10),
            outbox: data_dir.join("outbox"),
            outbox_bytes: 1 << 20,
            background: None,
        };
        let engine = Arc::new(Engine::new(settings, store, letters, clock.clone()).unwrap());
        let logs = IngestLogs::new(data_dir, clock.clone(), Arc::new(NoMark));
        logs.declare("rides", LogSettings::default());
        let log = logs.open("rides").unwrap().unwrap();
        let definition = stream_definition("rides", "http");
        let decoder = Arc::new(JsonDecoder::new(&definition.schema, &[0, 1]));
        let spec = JobSpec {
            plan: plan(&definition),
            inputs: vec![InputSource {
                source: Arc::new(HttpSource::new(log.clone())),
                decoder: decoder.clone(),
                archive: None,
            }],
            sinks: Vec::new(),
            mode: Mode::Live,
            cpu: CpuTime::default(),
        };
        engine.start(spec).unwrap();
        let rides = StreamEntry { definition, log: Some(log), checker: decoder.clone() };
        let files =
            StreamEntry { definition: stream_definition("files", "file"), log: None, checker: decoder };
        let plugins = PluginRegistry::open(
            data_dir,
            weir_plugin::Limits::default(),
            CompileWith::InProcess,
            clock.clone(),
        )
        .unwrap();
        let served = Served {
            engine: engine.clone(),
            streams: Arc::new([rides, files].into_iter().collect()),
            control: Arc::new(NoControl),
            training: Arc::new(NoTraining),
            plugins: Arc::new(plugins),
            token: token.map(str::to_owned),
            limits: Limits { body_bytes: 4096, ..Limits::default() },
            component_bytes: 8192,
            clock,
            process: ProcessFigures::default,
        };
        Client { engine, service: TowerToHyperService::new(routes(Arc::new(served))) }
    }

    async fn ask(&self, request: Request<Body>) -> (u16, String) {
        let response = self.service.call(request).await.unwrap();
        let status = response.status().as_u16();
        let is_problem =
            response.headers().get("content-type").is_some_and(|it| it == "application/problem+json");
        assert_eq!(is_problem, status >= 400, "{status}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> (u16, Value) {
        let request =
            Request::builder().method(method).uri(target).body(Body::from(body.to_owned())).unwrap();
        let (status, body) = self.ask(request).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        self.send("GET", target, "").await
    }

    /// Waits until the job has read what was there when it started: an empty log, which is soon.
    async fn ready(&self) {
        for _ in 0..1000 {
            if self.get("/readyz").await.0 == 200 {
                return;
            }
            moment().await;
        }
        panic!("the server never got ready");
    }
}

/// A moment for the threads that work for the server. Nothing is made to happen by its length.
#[allow(clippy::disallowed_methods, reason = "a test waits for threads, with a bound")]
async fn moment() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posted_rows_are_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    client.ready().await;
    let now = SystemClock::new().now();
    let row = |user: &str| json!({"user_id": user, "at": now.millis()}).to_string();
    let body = format!("{}\n{}\n{{\"user_id\": 7}}\n{}\n", row("u1"), row("u2"), row("u1"));
    let (status, outcome) = client.send("POST", "/v1/streams/rides/events?wait=visible", &body).await;
    assert_eq!(
        (status, &outcome["accepted"], &outcome["visible"]),
        (200, &json!(3), &json!(true)),
        "{outcome}"
    );
    assert_eq!(
        (&outcome["rejected"][0]["row"], outcome["rejected"].as_array().unwrap().len()),
        (&json!(2), 1)
    );

    let (status, answer) = client.get("/v1/jobs/rides_per_user/values?user_id=u1").await;
    assert_eq!(status, 200, "{answer}");
    let value = &answer["features"]["rides"];
    assert_eq!((&value["value"], &value["status"]), (&json!(2), &json!("ok")));
    assert_eq!(value["event_time"], now.to_string());
    assert_eq!(value["window"]["complete"], false);
    assert_eq!(answer["entity"], json!({"user_id": "u1"}));
    assert_eq!(answer["jobs"]["rides_per_user"]["definition"], "sha256:ab");

    let earlier = (now - Span::from_millis(1000)).to_string();
    let (_, answer) = client.get(&format!("/v1/jobs/rides_per_user/values?user_id=u1&as_of={earlier}")).await;
    assert_eq!(answer["features"]["rides"]["status"], "not_found", "{answer}");

    let entities = json!([{"user_id": "u2"}, {"user_id": "u3"}]);
    let asks = json!({"features": ["rides_per_user:rides", "rides_per_user"], "entities": entities});
    let (status, answer) = client.send("POST", "/v1/lookup", &asks.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let features = |row: usize| &answer["rows"][row]["features"]["rides_per_user:rides"];
    assert_eq!((&features(0)["value"], &features(0)["status"]), (&json!(1), &json!("ok")));
    assert_eq!((&features(1)["value"], &features(1)["status"]), (&json!(0), &json!("not_found")));
    assert_eq!((features(0).get("unknown"), &features(1)["unknown"]), (None, &json!(true)));
    assert_eq!(answer["rows"][1]["entity"], json!({"user_id": "u3"}));

    let (_, job) = client.get("/v1/jobs/rides_per_user").await;
    assert_eq!(
        (&job["job"], &job["events"], &job["state"]),
        (&json!("rides_per_user"), &json!(3), &json!("running"))
    );
    let page = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
    let (_, page) = client.ask(page).await;
    for line in [
        "# TYPE weir_events_total counter",
        "weir_events_total{job_name=\"rides_per_user\"} 3",
        "weir_ingest_rows_total{stream=\"rides\",outcome=\"rejected\"} 1",
        "weir_http_requests_total{route=\"/v1/lookup\",status=\"2xx\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_time_would_refuse_are_rejected_and_no_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    let now = SystemClock::new().now().millis();
    let times = [now, now / 1000, now * 1000, now + 400 * 86_400_000];
    let rows = times.map(|at| json!({"user_id": "u1", "at": at}).to_string());
    let (status, outcome) =
        client.send("POST", "/v1/streams/rides/events?wait=visible", &rows.concat()).await;
    assert_eq!((status, &outcome["accepted"]), (200, &json!(1)), "{outcome}");
    let rejected = outcome["rejected"].as_array().unwrap();
    for (row, (rejected, reason)) in
        rejected.iter().zip(["in seconds?", "in microseconds?", "max_future"]).enumerate()
    {
        assert_eq!(rejected["row"], row + 1);
        assert!(rejected["reason"].as_str().unwrap().contains(reason), "{rejected}");
    }
    assert_eq!(rejected.len(), 3);
    let (_, job) = client.get("/v1/jobs/rides_per_user").await;
    assert_eq!((&job["events"], &job["dead_letters"]), (&json!(1), &json!(0)), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    for _ in 0..2 {
        let request =
            Request::builder().method("POST").uri("/v1/streams/rides/events").header("Idempotency-Key", "k");
        let body = r#"[{"user_id":"u","at":1700000000000},{"user_id":"u","at":1700000000000}]"#;
        let (status, outcome) = client.ask(request.body(Body::from(body)).unwrap()).await;
        assert_eq!((status, outcome.as_str()), (200, r#"{"accepted":2,"rejected":[]}"#));
    }
    let other = r#"[{"user_id":"other","at":1700000000000}]"#;
    let request =
        Request::builder().method("POST").uri("/v1/streams/rides/events").header("Idempotency-Key", "k");
    let (status, problem) = client.ask(request.body(Body::from(other)).unwrap()).await;
    assert!(status == 422 && problem.contains("used for another body"), "{status} {problem}");
    let (_, streams) = client.get("/v1/streams").await;
    assert_eq!(streams["streams"][1]["jobs"], json!(["rides_per_user"]));
    assert_eq!(streams["streams"][0]["accepts_events"], false);
}

const REQUEST_FEATURES: &str = r#"{"features": ["rides_per_user"], "entities": [], "request": {"fare": 1}}"#;

/// A request, its status, and what the detail of the problem says.
type Refused = (&'static str, &'static str, &'static str, u16, &'static str);

const REFUSED: &[Refused] = &[
    ("GET", "/v2/jobs", "", 404, "route `/v2/jobs` not found; did you mean `/v1/jobs`?"),
    ("DELETE", "/v1/lookup", "", 405, "does not take DELETE"),
    ("GET", "/v1/jobs/rides_per_usr", "", 404, "did you mean `rides_per_user`?"),
    ("GET", "/v1/jobs/rides_per_usr/values", "", 404, "job `rides_per_usr` not found"),
    ("GET", "/v1/jobs/rides_per_user/values", "", 400, "`user_id` is missing"),
    ("GET", "/v1/jobs/rides_per_user/values?user_id=u&usr=1", "", 400, "unknown parameter `usr`"),
    ("GET", "/v1/jobs/rides_per_user/values?user_id=u&as_of=soon", "", 400, "`as_of`"),
    ("GET", "/v1/jobs/rides_per_user/values?user_id=u&as_of=-9223372036854775808", "", 400, "is not a time"),
    ("GET", "/v1/jobs/rides_per_user/values?user_id=u&explain=true", "", 501, "`explain`"),
    ("GET", "/v1/jobs/%FF/values?user_id=u", "", 400, "not UTF-8"),
    ("POST", "/v1/lookup", "{", 400, "the body"),
    (
        "POST",
        "/v1/lookup",
        r#"{"features": ["rides_per_user:ride"], "entities": []}"#,
        404,
        "did you mean `rides`?",
    ),
    ("POST", "/v1/lookup", r#"{"features": ["none"], "entities": []}"#, 404, "job `none` not found"),
    (
        "POST",
        "/v1/lookup",
        REQUEST_FEATURES,
        400,
        "unknown request field `fare`; no job that is asked for takes any",
    ),
    ("POST", "/v1/lookup?mta=false", REQUEST_FEATURES, 400, "did you mean `meta`?"),
    ("POST", "/v1/lookup?meta=no", REQUEST_FEATURES, 400, "`meta` is true or false"),
    ("POST", "/v1/lookup", r#"{"features": ["rides_per_user"], "entities": {}}"#, 400, "the body"),
    (
        "POST",
        "/v1/lookup",
        r#"{"features": ["rides_per_user"], "entities": [], "as_of": "noon"}"#,
        400,
        "`as_of`: `noon` is not a time",
    ),
    ("POST", "/v1/streams/none/events", "{}", 404, "stream `none` not found"),
    ("POST", "/v1/streams/files/events", "{}", 409, "the source `file`"),
    ("POST", "/v1/streams/rides/events", "nonsense", 400, "not a JSON object"),
    ("GET", "/v1/deadletters/none", "", 404, "stream `none` not found"),
    ("GET", "/v1/deadletters/rides?limit=many", "", 400, "`limit`"),
    ("POST", "/v1/plugins", "", 400, "`name` is missing"),
    ("POST", "/v1/plugins?name=Geo", "", 400, "not a name"),
    ("POST", "/v1/plugins?name=geo", "not a component", 422, "geo"),
    ("GET", "/v1/plugins/geo", "", 404, "plugin `geo` not found"),
    ("POST", "/v1/plugins/geo/activate", r#"{"version": 1}"#, 404, "plugin `geo` not found"),
    ("POST", "/v1/plugins/geo/rollback", "", 404, "`geo` not found"),
    ("POST", "/v1/jobs/rides_per_usr/restart", "", 404, "did you mean `rides_per_user`?"),
    ("POST", "/v1/jobs/rides_per_user/restart", "", 422, "jobs/rides_per_user.yaml:1:1"),
    ("POST", "/v1/jobs/rides_per_user/restart?reset=perhaps", "", 400, "`reset`"),
    ("DELETE", "/v1/plugins/geo", "", 404, "plugin `geo` not found"),
    ("GET", "/v1/plugins/geo/logs", "", 404, "plugin `geo` not found"),
    ("GET", "/v1/plugins/geo/logs?after=x", "", 400, "`after`"),
    ("GET", "/v1/features/rides_per_user/ride", "", 404, "did you mean `rides`?"),
    ("PUT", "/v1/streams/rides", "", 501, "weir 0.1 does not have"),
    ("GET", "/openapi.json", "", 501, "weir 0.1 does not have"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), None);
    let large = format!("{{\"user_id\": \"{}\"}}", "u".repeat(5000));
    let too_large = ("POST", "/v1/streams/rides/events", large.as_str(), 413, "larger than 4096");
    for (method, target, body, status, detail) in REFUSED.iter().copied().chain([too_large]) {
        let (found, problem) = client.send(method, target, body).await;
        assert_eq!(found, status, "{method} {target}: {problem}");
        assert_eq!(problem["status"], status);
        let found = problem.to_string();
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "{method} {target}: {detail} is not in {found}"
        );
    }
    assert_eq!(
        client.get("/v1/deadletters/rides").await,
        (200, json!({"stream": "rides", "dead_letters": []}))
    );
    assert_eq!(client.get("/v1/plugins").await, (200, json!({"plugins": []})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_only_health_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let client = Client::new(folder.path(), Some("s3cret"));
    for (target, status) in [("/v1/jobs", 401), ("/none", 401), ("/metrics", 401), ("/healthz", 200)] {
        assert_eq!(client.get(target).await.0, status, "{target}");
    }
    let with_token = Request::builder().uri("/v1/jobs").header("Authorization", "Bearer s3cret");
    assert_eq!(client.ask(with_token.body(Body::empty()).unwrap()).await.0, 200);
    client.ready().await;
}
