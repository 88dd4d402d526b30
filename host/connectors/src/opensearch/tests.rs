//! The sink against a small index that answers as the real one does, with faults to order.

use super::bulk::{ActionAnswer, ActionOutcome};
use super::mapping::IndexMapping;
use super::{Keep, name_fault, sink};
use crate::registry::tests::sink_context;
use crate::upsert::tests::fixture::{context, refused, rows, rows_of_revision, run, shape};
use crate::web::tests::server::{Asked, Reply, TestServer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::{Op, RowIdentity, RowShape, Sink};
use weir_event::ManualClock;

/// An index in memory: its documents with their versions, which here are their sequence numbers too.
#[derive(Debug, Default)]
struct TestIndex {
    documents: BTreeMap<String, (i64, Value)>,
    mapping: Value,
    /// The next answers to bulk requests are lost, or of these statuses.
    faults: VecDeque<Fault>,
    clashes: usize,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    AnswerLost,
    Busy,
    /// Of the first action alone.
    FirstBusy,
    /// Another writer comes first.
    Clash,
}

impl TestIndex {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let path = asked.line.split([' ', '?']).nth(1).unwrap_or_default();
        match path {
            "/f/_mapping" => Reply::ok(json!({"f": {"mappings": self.mapping}}).to_string()),
            "/f/_mget" => self.read(asked),
            "/f/_bulk" => match self.faults.pop_front() {
                Some(Fault::Busy) => Reply::Says(429, "", "rejected execution".to_owned()),
                Some(Fault::AnswerLost) => {
                    self.bulk(asked, None);
                    Reply::HangsUp
                }
                fault => self.bulk(asked, fault),
            },
            _ => Reply::Says(404, "", "no such index".to_owned()),
        }
    }

    fn read(&self, asked: &Asked) -> Reply {
        let ids: Value = serde_json::from_str(&asked.body).unwrap();
        let one = |id: &Value| match self.documents.get(id.as_str().unwrap()) {
            None => json!({"_id": id, "found": false}),
            Some((version, document)) => json!({
                "_id": id, "found": true, "_seq_no": version, "_primary_term": 1,
                "_source": {"_fence": document["_fence"]}
            }),
        };
        let docs: Vec<Value> = ids["ids"].as_array().unwrap().iter().map(one).collect();
        Reply::ok(json!({"docs": docs}).to_string())
    }

    fn bulk(&mut self, asked: &Asked, fault: Option<Fault>) -> Reply {
        if matches!(fault, Some(Fault::Clash)) {
            self.clashes += 1;
            self.documents.values_mut().for_each(|(version, _)| *version += 1);
        }
        let (mut lines, mut items) = (asked.body.lines(), Vec::new());
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_str(line).unwrap();
            let (verb, about) = action.as_object().unwrap().iter().next().unwrap();
            let document = (verb != "delete").then(|| serde_json::from_str(lines.next().unwrap()).unwrap());
            let first_is_busy = matches!(fault, Some(Fault::FirstBusy)) && items.is_empty();
            let (status, kind) = if first_is_busy {
                (429, "es_rejected_execution_exception")
            } else {
                self.act(verb, about, document)
            };
            let error = json!({"type": kind, "reason": "why", "caused_by": {"reason": "deep down"}});
            let mut answer = json!({"status": status});
            if !kind.is_empty() {
                answer["error"] = error;
            }
            items.push(json!({verb: answer}));
        }
        Reply::ok(json!({"items": items}).to_string())
    }

    fn act(&mut self, verb: &str, about: &Value, document: Option<Value>) -> (u16, &'static str) {
        const CONFLICT: (u16, &str) = (409, "version_conflict_engine_exception");
        let id = about["_id"].as_str().unwrap().to_owned();
        let found = self.documents.get(&id).map(|(version, _)| *version);
        let given = about["version"].as_i64();
        if document.as_ref().is_some_and(|document| document["n"] == 13) {
            return (400, "mapper_parsing_exception");
        }
        if verb == "create" && found.is_some()
            || about.get("if_seq_no").is_some_and(|number| number.as_i64() != found)
            || given.is_some_and(|given| found.is_some_and(|found| found > given))
        {
            return CONFLICT;
        }
        match document {
            Some(document) => {
                self.documents.insert(id, (given.unwrap_or(found.unwrap_or(0) + 1), document));
                (200, "")
            }
            None => (if self.documents.remove(&id).is_some() { 200 } else { 404 }, ""),
        }
    }
}

struct World {
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    index: Arc<Mutex<TestIndex>>,
    server: TestServer,
}

impl World {
    async fn new() -> World {
        let index = Arc::new(Mutex::new(TestIndex::default()));
        let answering = index.clone();
        let server = TestServer::start(move |asked| answering.lock().unwrap().answer(asked)).await;
        World { clock: Arc::default(), folder: tempfile::tempdir().unwrap(), index, server }
    }

    fn made(&self, keep: &str) -> Box<dyn Sink> {
        let settings = json!({"url": self.server.url, "index": "f", "id": "{job}-{user}", "keep": keep});
        sink(&settings, &context(self.folder.path(), &self.clock)).unwrap()
    }

    async fn sink(&self, keep: &str) -> Box<dyn Sink> {
        let mut sink = self.made(keep);
        sink.start(None).await.unwrap();
        sink
    }

    fn order(&self, faults: impl Into<VecDeque<Fault>>) {
        self.index.lock().unwrap().faults = faults.into();
    }

    /// The documents: their ids and numbers.
    fn seen(&self) -> String {
        let index = self.index.lock().unwrap();
        index.documents.iter().map(|(id, (_, document))| format!("{id} {}\n", document["n"])).collect()
    }
}

#[tokio::test]
async fn the_newest_of_each_key_holds_whatever_goes_wrong_on_the_way() {
    let world = World::new().await;
    let mut sink = world.sink("newest").await;
    world.order([Fault::AnswerLost, Fault::Busy, Fault::FirstBusy, Fault::Clash]);
    run(&world.clock, async {
        sink.write(&rows(&[(Some("a"), 1, 20), (Some("b"), 2, 20), (None, 9, 20)], 5, Op::Upsert))
            .await
            .unwrap();
        sink.prepare(1).await.unwrap();
        // An older window, a correction of the same one, a row that no index takes.
        sink.write(&rows(&[(Some("a"), 3, 10)], 6, Op::Upsert)).await.unwrap();
        sink.write(&rows(&[(Some("b"), 4, 20), (Some("c"), 13, 20)], 6, Op::Upsert)).await.unwrap();
        sink.prepare(2).await.unwrap();
        sink.write(&rows(&[(Some("b"), 0, 20), (Some("d"), 0, 20)], 7, Op::Delete)).await.unwrap();
        sink.prepare(3).await.unwrap();
        sink.write(&rows(&[(Some("a"), 5, 30)], 8, Op::Upsert)).await.unwrap();
        sink.prepare(4).await.unwrap();
    })
    .await;
    assert_eq!(world.seen(), "j-a 5\n");
    let index = world.index.lock().unwrap();
    assert!(index.faults.is_empty() && index.clashes == 1);
    let document = &index.documents["j-a"].1;
    assert_eq!(
        (&document["_revision"], &document["_window_end"]),
        (&json!(8), &json!("1970-01-01T00:00:00.030Z"))
    );
    assert_eq!((sink.counts().stale, sink.counts().refused), (1, 2));
    let refused = refused(world.folder.path());
    assert!(refused.contains("why: deep down") && refused.contains("its column `user` is null"), "{refused}");
}

#[tokio::test]
async fn it_passes_the_kit_of_keyed_stores_with_requests_disturbed() {
    let world = World::new().await;
    let faults = [Fault::AnswerLost, Fault::FirstBusy, Fault::Clash, Fault::Busy];
    world.order(faults.into_iter().cycle().take(60).collect::<VecDeque<_>>());
    let visible = || -> Vec<u64> {
        let index = world.index.lock().unwrap();
        index.documents.values().map(|(_, document)| document["n"].as_u64().unwrap() / 100).collect()
    };
    let make = || world.made("newest");
    let case = KeyedCase { make: &make, rows: &rows_of_revision, visible: &visible };
    run(&world.clock, case.keeps_the_newest()).await.unwrap();
}

#[tokio::test]
async fn all_rows_of_a_key_are_documents_whose_versions_are_their_revisions() {
    let world = World::new().await;
    let mut sink = world.sink("all").await;
    world.order([Fault::AnswerLost, Fault::FirstBusy]);
    run(&world.clock, async {
        sink.write(&rows(&[(Some("a"), 1, 20), (Some("a"), 2, 30)], 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap();
    })
    .await;
    let end = |second: u32| format!("j-a@1970-01-01T00:00:00.0{second}Z");
    assert_eq!(world.seen(), format!("{} 1\n{} 2\n", end(20), end(30)));
    assert_eq!(world.index.lock().unwrap().documents[&end(20)].0, 5);
    let mut late = world.sink("all").await;
    run(&world.clock, async {
        sink.write(&rows(&[(Some("a"), 3, 20)], 7, Op::Upsert)).await.unwrap();
        sink.write(&rows(&[(Some("a"), 0, 30)], 7, Op::Delete)).await.unwrap();
        sink.prepare(2).await.unwrap();
        // Another process that was thought dead.
        late.write(&rows(&[(Some("a"), 4, 20)], 6, Op::Upsert)).await.unwrap();
        late.prepare(2).await.unwrap();
    })
    .await;
    assert_eq!(world.seen(), format!("{} 3\n", end(20)));
    assert_eq!((sink.counts().stale, late.counts().stale), (0, 1));
}

#[tokio::test]
async fn what_does_not_fit_is_told_at_the_start() {
    let world = World::new().await;
    let start = async |mapping: Value, settings: Value| {
        world.index.lock().unwrap().mapping = mapping;
        let mut given = json!({"url": world.server.url, "index": "f"});
        given.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let mut sink = sink(&given, &context(world.folder.path(), &world.clock)).unwrap();
        sink.probe().await.map(|probe| format!("{probe:?}")).map_err(|error| error.message)
    };
    let missing = start(json!({}), json!({"index": "g"})).await.unwrap_err();
    assert!(
        missing.contains("index `g` is not there; make it with what `weir sink ddl j` prints"),
        "{missing}"
    );
    let made: Value =
        serde_json::from_str(&IndexMapping::of(&shape(), Keep::Newest).unwrap().statement()).unwrap();
    let fits = start(made["mappings"].clone(), json!({})).await.unwrap();
    assert!(fits.contains("index `f`, which takes all 7 fields"), "{fits}");
    let mut other = made["mappings"].clone();
    other["properties"]["n"] = json!({"type": "boolean"});
    let misfit = start(other, json!({})).await.unwrap_err();
    assert!(misfit.contains("has `n` as boolean, and the query's is bigint; make it long"), "{misfit}");
    let mut other = made["mappings"].clone();
    other["properties"].as_object_mut().unwrap().remove("half");
    let misfit = start(other, json!({})).await.unwrap_err();
    assert!(misfit.contains("has no field `half`"), "{misfit}");
    assert!(start(json!({}), json!({})).await.is_ok(), "an index without a mapping takes all");
}

#[test]
fn wrong_settings_are_told_by_name() {
    let told = |settings: Value| {
        let made = sink(&settings, &sink_context(Some(shape())));
        made.err()
            .map(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
            .unwrap_or_default()
    };
    let given = |index: &str, id: &str| json!({"url": "http://127.0.0.1:9200", "index": index, "id": id});
    assert_eq!(told(given("f", "x-{user}")), "");
    assert!(told(given("f", "{usr}")).contains("did you mean `user`?"), "{}", told(given("f", "{usr}")));
    assert!(told(given("f", "x")).contains("rows of every `user` would overwrite each other"));
    assert!(told(given("F", "{user}")).contains("no capital letters"));
    assert!(told(json!({})).contains("url: missing"));
    assert!(name_fault("a/b").is_some() && name_fault("_a").is_some() && name_fault("a.b-c_1").is_none());
}

#[test]
fn every_type_has_a_field() {
    let types = [
        ("s", "string", "keyword"),
        ("d", "decimal(20, 2)", "double"),
        ("t", "timestamp", "date"),
        ("b", "bytes", "binary"),
        ("j", "json", "object"),
        ("m", "map<string, int>", "object"),
        ("l", "array<bigint>", "long"),
        ("r.x", "float", "float"),
    ];
    let field = |(name, of, _): &(&str, &str, &str)| {
        arrow_schema::Field::new(*name, of.parse::<weir_event::DataType>().unwrap().to_arrow(), true)
    };
    let columns = arrow_schema::Schema::new(types.iter().map(field).collect::<Vec<_>>());
    let of = RowShape { columns: Arc::new(columns), identity: RowIdentity::Event, ..shape() };
    let mapping = IndexMapping::of(&of, Keep::All).unwrap();
    let made: Value = serde_json::from_str(&mapping.statement()).unwrap();
    let properties = &made["mappings"]["properties"];
    for (name, _, kind) in &types[..7] {
        assert_eq!(properties[name]["type"], *kind, "{name}");
    }
    assert_eq!(properties["r"]["properties"]["x"]["type"], "float");
    assert_eq!(properties["_event_time"]["type"], "date");
    assert!(properties.get("_fence").is_none());
    assert_eq!(mapping.misfit(&made["mappings"]), None);
}

#[test]
fn what_becomes_of_an_action_is_told_by_its_error() {
    let of = |answer: Value| serde_json::from_value::<ActionAnswer>(answer).unwrap().outcome();
    let error =
        |status: u16, kind: &str| of(json!({"status": status, "error": {"type": kind, "reason": "r"}}));
    assert_eq!(of(json!({"status": 201})), ActionOutcome::Done);
    assert_eq!(of(json!({"status": 404})), ActionOutcome::Done);
    assert_eq!(error(409, "version_conflict_engine_exception"), ActionOutcome::Conflict);
    assert_eq!(error(403, "cluster_block_exception"), ActionOutcome::Later("r".to_owned()));
    assert_eq!(error(503, "unavailable_shards_exception"), ActionOutcome::Later("r".to_owned()));
    assert_eq!(error(403, "security_exception"), ActionOutcome::Whole("r".to_owned()));
    assert_eq!(error(404, "index_not_found_exception"), ActionOutcome::Whole("r".to_owned()));
    assert_eq!(error(400, "strict_dynamic_mapping_exception"), ActionOutcome::Refused("r".to_owned()));
}
