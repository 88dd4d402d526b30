//! What changes a hash, and what does not.

use super::{Memory, job, planned};
use crate::plan;
use weir_event::Span;

const BASE: &str = "SELECT user_id, SUM(fare) AS total FROM event_user_action WHERE seats > 1 AND fare < 9
    GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";

#[test]
fn spelling_does_not_change_a_hash() {
    let base = planned(BASE).plan;
    for text in [
        "select e.user_id, sum(`fare`) as other_name -- comment
         from event_user_action e where (seats > 1) and fare < 9
         group by user_id, tumble(event_time, interval '60' minutes)",
        "SELECT SUM(fare) AS total, user_id AS u FROM event_user_action WHERE seats > 1 AND fare < 9
         GROUP BY user_id, TUMBLE(rowtime, INTERVAL '3600' SECOND)",
    ] {
        let plan = planned(text).plan;
        assert_eq!(plan.definition, base.definition, "{text}");
        assert_eq!(plan.state_fingerprint, base.state_fingerprint, "{text}");
    }
    let mut renamed = job(BASE);
    renamed.name = "another".to_owned();
    renamed.version = 2;
    assert_eq!(super::planned_job(&renamed).definition, base.definition);
}

#[test]
fn meaning_changes_a_hash() {
    let base = planned(BASE).plan;
    for text in [
        BASE.replace("seats > 1", "seats > 2"),
        BASE.replace("SUM(fare)", "SUM(fare + 1)"),
        BASE.replace("SUM(fare)", "MAX(fare)"),
        BASE.replace("'1' HOUR", "'2' HOUR"),
        BASE.replace("SUM(fare)", "SUM(fare) FILTER (WHERE action = 'x')"),
        BASE.replace("user_id", "geohash"),
    ] {
        let plan = planned(&text).plan;
        assert_ne!(plan.definition, base.definition, "{text}");
        assert_ne!(plan.state_fingerprint, base.state_fingerprint, "{text}");
    }
    let doubled = planned(&BASE.replace("SUM(fare) AS", "2 * SUM(fare) AS")).plan;
    assert_ne!(doubled.definition, base.definition);
    assert_eq!(doubled.state_fingerprint, base.state_fingerprint, "the state is the same");
    let mut late = job(BASE);
    late.late.allow = Span::from_millis(5);
    assert_ne!(super::planned_job(&late).definition, base.definition);
}

#[test]
fn a_plugin_changes_a_hash_by_its_component() {
    let text = "SELECT twice(event_id) AS t FROM event_user_action";
    let hash = |plugin_sha| plan(&job(text), &Memory { plugin_sha }).unwrap().plan.definition;
    assert_eq!(hash("sha256:aa"), hash("sha256:aa"));
    assert_ne!(hash("sha256:aa"), hash("sha256:bb"));
}

#[test]
fn a_feature_does_not_depend_on_its_neighbours() {
    let over = |more: &str| {
        let text = format!(
            "SELECT {more} COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '1' DAY PRECEDING) AS n
             FROM event_user_action"
        );
        planned(&text).plan
    };
    let alone = over("");
    let beside =
        over("SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '2' DAY PRECEDING) AS s,");
    assert_eq!(alone.features[0].definition, beside.features[1].definition);
    assert_ne!(alone.definition, beside.definition);
    assert_ne!(alone.state_fingerprint, beside.state_fingerprint);
}
