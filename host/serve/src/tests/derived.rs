//! What a derived value is said to be: the worst of what it is computed of, with its times.

use super::*;
use crate::derived::{Computed, OfEntity};
use crate::face::Face;
use crate::request_fields::{self, Field};
use crate::value::Asked;
use arrow_array::Int64Array;
use weir_engine::{Answer, FrameRows, Looked};
use weir_event::EventTime;
use weir_plan::definition::RequestField;
use weir_plan::{DerivedFeature, DerivedInput, Transform};

fn time(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

/// A job that derives its count again, with -1 in place of null, and what the request says beside it.
fn face() -> Face {
    let stream = stream_definition("rides", "http");
    let derived = |name: &str, inputs: Vec<DerivedInput>, default: Option<Value>| DerivedFeature {
        name: name.to_owned(),
        data_type: DataType::Bigint,
        version: 1,
        definition: "sha256:ef".to_owned(),
        description: None,
        owner: None,
        default,
        text: name.to_owned(),
        call: None,
        expression: Arc::new(At([inputs.len() - 1], ArrowType::Int64)),
        inputs,
    };
    let (count, amount) = (DerivedInput::Stored(0), DerivedInput::Request(0));
    let amount_field = RequestField { name: "amount".to_owned(), data_type: DataType::Bigint, place: (1, 1) };
    let transform = Transform {
        request: vec![amount_field],
        features: vec![
            derived("again", vec![count], Some(json!(-1))),
            derived("beside", vec![count, amount], None),
            derived("alone", vec![amount], None),
        ],
        calls: Vec::new(),
        definition: "sha256:aa".to_owned(),
    };
    Face::new(&Arc::new(JobPlan { transform, ..plan(&stream) }))
}

fn looked(count: Option<i64>, failure: Option<&str>) -> Looked {
    let user: ArrayRef = Arc::new(arrow_array::StringViewArray::from(vec!["u1"]));
    let count: ArrayRef = Arc::new(Int64Array::from(vec![count]));
    Looked {
        columns: RecordBatch::try_from_iter_with_nullable([("user_id", user, true), ("rides", count, true)])
            .unwrap(),
        window: None,
        complete: false,
        frames: vec![FrameRows { rows: 1, newest: Some(time(900)), oldest: Some(time(700)) }],
        failures: failure.map(|reason| (Some(1), reason.to_owned())).into_iter().collect(),
    }
}

const ASKED: Asked = Asked {
    time: Some(EventTime::from_millis(5_000_000)),
    stale: false,
    catching_up: false,
    since: None,
    lean: false,
};

/// The value of the derived feature of this number.
fn told(settled: Looked, asked: Asked, amount: Option<&str>, number: usize) -> Value {
    let face = face();
    let answer = Answer { settled, current: None, known: true, as_of: time(5_000_000) };
    let fields: Vec<Field> = request_fields::of_texts(&face.request, |_| amount);
    let entity = OfEntity { key: &[], answer: &answer, asked, begun: &[], fields: &fields };
    let computed = Computed::of(&face, &[number], &[None, Some(entity)]);
    let mut out = Vec::new();
    computed.push(&face, number, (1, entity), &mut out);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn it_has_the_worst_status_and_the_times_of_what_it_is_computed_of() {
    let window =
        json!({"start": "1970-01-01T00:23:20.000Z", "end": "1970-01-01T01:23:20.000Z", "complete": false});
    let sound = told(looked(Some(3), None), ASKED, Some("7"), 1);
    let expected =
        json!({"value": 7, "status": "ok", "event_time": "1970-01-01T00:00:00.900Z", "window": window});
    assert_eq!(sound, expected);
    let since = Some(time(4_000_000));
    for (asked, status) in [
        (Asked { stale: true, since, ..ASKED }, "stale"),
        (Asked { catching_up: true, ..ASKED }, "catching_up"),
        (Asked { since, ..ASKED }, "partial"),
    ] {
        let found = told(looked(Some(3), None), asked, Some("7"), 1);
        assert_eq!((&found["value"], &found["status"]), (&json!(7), &json!(status)), "{found}");
        assert_eq!(found.get("since").is_some(), asked.since.is_some());
        // What is computed of the request alone is as sound as that.
        let alone = told(looked(Some(3), None), asked, Some("7"), 2);
        assert_eq!(alone, json!({"value": 7, "status": "ok", "event_time": null, "window": null}));
    }
}

#[test]
fn what_has_no_value_says_why_and_null_has_its_default() {
    let failed = told(looked(Some(3), Some("overflow")), ASKED, Some("7"), 1);
    assert_eq!((&failed["status"], &failed["reason"]), (&json!("error"), &json!("`rides`: overflow")));
    let missing = told(looked(Some(3), None), Asked { lean: true, ..ASKED }, None, 1);
    let reason = "the request field `amount` is missing; give it as a whole number of 64 bits";
    assert_eq!(missing, json!({"value": null, "status": "error", "reason": reason}));
    let wrong = told(looked(Some(3), None), ASKED, Some("x"), 1);
    assert_eq!(wrong["reason"], "`amount`: `x` is not a whole number of 64 bits");
    let stands_in = told(looked(None, None), ASKED, None, 0);
    assert_eq!((&stands_in["value"], &stands_in["status"]), (&json!(-1), &json!("default")));
    let stale = told(looked(None, None), Asked { stale: true, ..ASKED }, None, 0);
    assert_eq!((&stale["value"], &stale["status"]), (&json!(-1), &json!("stale")));
}
