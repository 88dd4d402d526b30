//! What DynamoDB's sinks say of their settings, and the items that they make.

use super::*;
use crate::registry::tests::sink_context;
use serde_json::json;
use weir_connect::ConnectError;

fn errors(made: Result<Box<dyn Sink>, Vec<SettingError>>) -> Vec<String> {
    made.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn what_makes_the_table_is_printed_for_the_command_line_of_aws() {
    let settings =
        json!({"table": "features", "region": "eu-west-1", "ttl": "30d", "key": {"id": "{job}:{user_id}"}});
    let ddl = sink(&settings, &sink_context(None)).unwrap().ddl().unwrap();
    let calls: Vec<&str> = ddl.lines().collect();
    assert_eq!(calls.len(), 2);
    let (head, call) = calls[0].split_once(" '{").unwrap();
    let call = format!("{{{call}");
    assert_eq!(head, "aws dynamodb create-table --region eu-west-1 --cli-input-json");
    let call: Value = serde_json::from_str(call.trim_end_matches('\'')).unwrap();
    assert_eq!(call["KeySchema"], json!([{"AttributeName": "id", "KeyType": "HASH"}]));
    assert_eq!(call["AttributeDefinitions"], json!([{"AttributeName": "id", "AttributeType": "S"}]));
    assert!(calls[1].contains("update-time-to-live") && calls[1].contains("\"_expires\""), "{}", calls[1]);
    let without = json!({"table": "features", "key": {"pk": "{user_id}", "sk": "{job}"}});
    let ddl = sink(&without, &sink_context(None)).unwrap().ddl().unwrap();
    assert!(ddl.lines().count() == 1 && ddl.contains("RANGE"), "{ddl}");
    // Rows are spread by the key that the definition names first, whatever it is called.
    let by_user = json!({"table": "features", "key": {"user": "{user_id}", "job": "{job}"}});
    let ddl = sink(&by_user, &sink_context(None)).unwrap().ddl().unwrap();
    let call: Value =
        serde_json::from_str(ddl.trim().split_once(" '").unwrap().1.trim_end_matches('\'')).unwrap();
    let keys =
        json!([{"AttributeName": "user", "KeyType": "HASH"}, {"AttributeName": "job", "KeyType": "RANGE"}]);
    assert_eq!(call["KeySchema"], keys);
}

#[test]
fn what_is_wrong_with_the_settings_is_said_at_once() {
    let settings = json!({"key": {"a": "{x", "b": "x", "c": "y"}, "ttl": "10ms", "endpoint": "localhost", "write_rate": 0});
    let errors = errors(sink(&settings, &sink_context(None)));
    for words in ["table: missing", "one or two keys", "key: a: `{x`", "ttl: ", "endpoint: ", "write_rate: "]
    {
        assert!(errors.iter().any(|error| error.contains(words)), "{words}: {errors:?}");
    }
}

#[test]
fn a_feature_service_takes_what_dryfts_definitions_say() {
    let settings = json!({"write_rate": 1000, "retry_count": 5});
    let made = feature_service(&settings, &sink_context(None)).unwrap();
    assert!(made.place().contains("dynamodb table `features`"), "{}", made.place());
    assert!(made.ddl().unwrap().contains("\"pk\""));
}

#[test]
fn a_table_for_feast_has_the_entity_as_its_only_key() {
    let settings = json!({"table": "features.rides", "layout": "feast"});
    let ddl = sink(&settings, &sink_context(None)).unwrap().ddl().unwrap();
    assert!(ddl.contains("\"entity_id\"") && !ddl.contains("RANGE"), "{ddl}");
    let settings = json!({"table": "t", "layout": "feast", "key": {"pk": "x"}, "keep": "all"});
    let errors = errors(sink(&settings, &sink_context(None)));
    assert!(errors.len() == 2 && errors.iter().all(|error| error.contains("Feast")), "{errors:?}");
}

#[tokio::test]
async fn a_table_that_cannot_be_reached_is_tried_again() {
    let settings = json!({"table": "t", "region": "r", "endpoint": "http://127.0.0.1:1"});
    let mut made = sink(&settings, &sink_context(None)).unwrap();
    let error: ConnectError = made.start(None).await.unwrap_err();
    // Where this machine has no credentials, that is said first.
    assert!(error.message.starts_with("dynamodb table `t` at http://127.0.0.1:1: "), "{error}");
}
