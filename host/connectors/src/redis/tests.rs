//! What settings of a Redis sink are taken, and what they say of it. Real servers are met in the tests of the whole.

use super::sink;
use crate::context::SinkContext;
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use weir_connect::{NoMark, RowIdentity, RowShape};
use weir_event::ManualClock;

fn shape(columns: &[&str]) -> RowShape {
    let field = |name: &&str| Field::new(*name, DataType::Utf8View, true);
    RowShape {
        job: "j".into(),
        columns: Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())),
        keys: Arc::new(Schema::new(vec![Field::new("user_id", DataType::Utf8View, true)])),
        key_columns: vec![columns.iter().position(|name| *name == "user_id")],
        identity: RowIdentity::WindowEnd,
        deletes: false,
    }
}

fn context(shape: Option<RowShape>) -> SinkContext {
    SinkContext {
        project: PathBuf::from("/project"),
        data_dir: PathBuf::from("/project/.weir"),
        job: "j".to_owned(),
        sink: "redis".to_owned(),
        shape: shape.map(Arc::new),
        refused_bytes: 0,
        clock: Arc::new(ManualClock::default()),
        began: weir_event::EventTime::from_millis(0),
        mark: Arc::new(NoMark),
    }
}

fn place(settings: &Value) -> String {
    sink(settings, &context(Some(shape(&["user_id", "n"])))).unwrap().place()
}

fn errors(settings: &Value, columns: &[&str]) -> String {
    let errors = sink(settings, &context(Some(shape(columns)))).err().unwrap();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_place_says_where_and_hides_the_password() {
    assert_eq!(place(&json!({"url": "redis://me:secret@h:1/2"})), "{job}:{user_id} at h:1/2");
    let cluster = json!({"url": ["redis://:secret@b:2", "redis://:secret@a:1"], "key": "x{user_id}"});
    assert_eq!(place(&cluster), "x{user_id} at a:1,b:2");
    let told = errors(&json!({"url": "redis:/me:secret@h"}), &["user_id"]);
    assert!(told.starts_with("url: not a URL") && !told.contains("secret"), "{told}");
}

#[test]
fn a_key_that_does_not_fit_the_rows_is_refused() {
    let of = |key: &str| errors(&json!({"url": "redis://h", "key": key}), &["user_id", "n"]);
    assert_eq!(
        of("{job}:{user_ld}"),
        "key: `{user_ld}`: the query has no such column; did you mean `user_id`?"
    );
    let told = of("{job}:{n}");
    assert_eq!(told, "key: rows of every `user_id` would overwrite each other; put {user_id} into it");
    assert!(of("{job").starts_with("key: `{job`: a `{` without its other half"), "{}", of("{job"));
    let told = errors(&json!({"url": "redis://h", "ttl": "0s", "wrte_rate": 1}), &["user_id", "_fence"]);
    assert!(told.contains("ttl: every row") && told.contains("`_fence` is weir's own"), "{told}");
    assert!(told.contains("did you mean `write_rate`?"), "{told}");
}

#[test]
fn hashes_as_feast_has_them_are_those_of_a_project_and_a_view() {
    let of = |more: Value| {
        let mut settings = json!({"url": "redis://h", "layout": "feast"});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    };
    assert_eq!(place(&of(json!({"project": "p"}))), "p/j at h:6379");
    assert_eq!(place(&of(json!({"project": "p", "feature_view": "rides"}))), "p/rides at h:6379");
    let told = errors(&of(json!({"key": "{user_id}"})), &["user_id", "_fence"]);
    assert_eq!(
        told,
        "key: Feast knows rows by their entity; leave it out\nproject: missing; give the project of Feast"
    );
    let told = errors(&json!({"url": "redis://h", "project": "p"}), &["user_id"]);
    assert!(told.starts_with("project: only Feast has those"), "{told}");
}
