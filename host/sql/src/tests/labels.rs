//! Frames that look ahead: asked later, over a frame that ends then; what cannot be asked so is refused.

use super::{job, lines, planned, planned_job, refused};
use crate::plan;
use crate::tests::CATALOG;
use weir_event::Span;
use weir_plan::{OnFull, SinkPlan};
use weir_timeline::{Frames, OverFrame};

const AHEAD: &str = "RANGE BETWEEN CURRENT ROW AND INTERVAL '7' DAY FOLLOWING";
const WEEK: Span = Span::from_millis(7 * 86_400_000);

fn query(what: &str, frame: &str) -> String {
    format!(
        "SELECT user_id, {what} FROM event_user_action WHERE fare > 1 WINDOW w AS (PARTITION BY user_id ORDER BY rowtime {frame})"
    )
}

#[test]
fn a_label_is_a_frame_that_ends_when_it_is_asked_for() {
    for what in [
        "SUM(fare) OVER w AS s",
        "COUNT(*) OVER w AS n, SUM(fare) FILTER (WHERE seats > 1) OVER w AS s",
        "COUNT(DISTINCT action) OVER w > 2 AS often, FIRST_VALUE(action) OVER w AS next",
        "rowtime, fare, COUNT(*) OVER w AS n",
        "COUNT(*) OVER w AS n, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE BETWEEN CURRENT ROW AND INTERVAL \
         '168' HOUR FOLLOWING EXCLUDE NO OTHERS) AS m",
    ] {
        let plan = planned(&query(what, AHEAD)).plan;
        assert_eq!(plan.looks_ahead, Some(WEEK), "{what}");
        let Frames::Over(frames) = &plan.stage.as_ref().unwrap().spec.frames else { panic!("{what}") };
        assert_eq!(*frames, [OverFrame::range(Some(WEEK))], "{what}");
    }
    let both = "SELECT user_id, COUNT(*) OVER w AS n FROM (SELECT user_id, rowtime FROM event_user_action UNION ALL SELECT \
                CAST(passenger_id AS STRING), rowtime FROM event_ride_completed) WINDOW w AS (PARTITION BY user_id ORDER BY rowtime ";
    assert_eq!(planned(&format!("{both}{AHEAD})")).plan.looks_ahead, Some(WEEK));
    let items = "SELECT user_id, COUNT(DISTINCT tag) OVER w AS n FROM event_user_action CROSS JOIN UNNEST(tags) AS t(tag) WINDOW w \
                 AS (PARTITION BY user_id ORDER BY rowtime ";
    assert_eq!(planned(&format!("{items}{AHEAD})")).plan.looks_ahead, Some(WEEK));
    assert_eq!(
        planned(&query("SUM(fare) OVER w AS s", "RANGE INTERVAL '7' DAY PRECEDING")).plan.looks_ahead,
        None
    );
}

#[test]
fn a_label_has_a_hash_and_an_explanation_of_its_own() {
    let of = |frame: &str| {
        let plan = planned(&query("SUM(fare) OVER w AS s", frame)).plan;
        (plan.features[0].definition.clone(), crate::explain(&plan))
    };
    let (label, explained) = of(AHEAD);
    let others =
        ["RANGE INTERVAL '7' DAY PRECEDING", "RANGE BETWEEN CURRENT ROW AND INTERVAL '8' DAY FOLLOWING"];
    assert!(others.iter().all(|frame| of(frame).0 != label));
    assert_eq!(of("RANGE BETWEEN CURRENT ROW AND INTERVAL '168' HOUR FOLLOWING").0, label);
    assert!(explained.contains("  frame 0: from it up to 7d after it\n  for training only\n"), "{explained}");
}

/// Frames that look ahead as none can, and what is said of them.
const REFUSED: [(&str, &str); 8] = [
    (
        "RANGE BETWEEN INTERVAL '1' DAY FOLLOWING AND INTERVAL '7' DAY FOLLOWING",
        "is available as RANGE BETWEEN CURRENT ROW",
    ),
    (
        "RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND INTERVAL '7' DAY FOLLOWING",
        "is available as RANGE BETWEEN CURRENT ROW",
    ),
    (
        "RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '7' DAY FOLLOWING",
        "is available as RANGE BETWEEN CURRENT ROW",
    ),
    ("RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING", "is available as RANGE BETWEEN CURRENT ROW"),
    ("ROWS BETWEEN CURRENT ROW AND 7 FOLLOWING", "is available as RANGE BETWEEN CURRENT ROW"),
    (
        "RANGE BETWEEN CURRENT ROW AND INTERVAL '0' DAY FOLLOWING",
        "ends 0ms after the row looks nowhere; write a positive",
    ),
    ("RANGE BETWEEN CURRENT ROW AND INTERVAL '7' DAY FOLLOWING EXCLUDE CURRENT ROW", "leave EXCLUDE out"),
    ("RANGE BETWEEN CURRENT ROW AND 7 FOLLOWING", "`7` is not a length of time; write it as INTERVAL"),
];

#[test]
fn what_looks_ahead_otherwise_is_refused_with_what_to_write() {
    for (frame, says) in REFUSED {
        let said = refused(&query("SUM(fare) OVER w AS s", frame));
        assert!(said.len() == 1 && said[0].contains(says), "{frame}: {said:?}");
    }
    let over = |frame: &str| format!("SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime {frame})");
    let mixed = [
        over("RANGE INTERVAL '7' DAY PRECEDING"),
        over("RANGE BETWEEN CURRENT ROW AND INTERVAL '1' DAY FOLLOWING"),
        over("ROWS 2 PRECEDING"),
        "LAG(fare) OVER (PARTITION BY user_id ORDER BY rowtime)".to_owned(),
    ];
    for other in mixed {
        for what in [format!("COUNT(*) OVER w AS n, {other} AS s"), format!("{other} + COUNT(*) OVER w AS s")]
        {
            let said = refused(&query(&what, AHEAD)).concat();
            assert!(
                said.contains("equally far ahead (FOLLOWING), or none does; write two jobs"),
                "{what}: {said}"
            );
        }
    }
    for (text, says) in [
        (
            format!(
                "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime {AHEAD}) AS n FROM event_user_action HAVING COUNT(*) > 1"
            ),
            "HAVING filters the windows of GROUP BY",
        ),
        (
            format!(
                "SELECT t.price, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime {AHEAD}) AS n FROM event_user_action e LAST \
                 JOIN trades t ON e.user_id = t.account"
            ),
            "a query with LAST JOIN computes of each row alone",
        ),
        (
            format!("SELECT id, COUNT(*) OVER (PARTITION BY id ORDER BY rowtime {AHEAD}) AS n FROM orders"),
            "OVER, which gives a result for each row,",
        ),
    ] {
        let said = refused(&text).concat();
        assert!(said.contains(says), "{text}: {said}");
    }
    for what in ["fare * 2 AS d, COUNT(*) OVER w AS n", "fare / SUM(fare) OVER w AS share"] {
        let said = refused(&query(what, AHEAD)).concat();
        assert!(said.contains("a feature cannot read the row's own columns"), "{what}: {said}");
    }
}

#[test]
fn a_job_that_looks_ahead_has_neither_sinks_nor_a_tail() {
    let text = query("COUNT(*) OVER w AS n", AHEAD);
    let mut whole = job(&text);
    whole.retention = Some(WEEK);
    planned_job(&whole);
    let mut wrong = job(&text);
    wrong.tail = Some(Span::from_millis(1000));
    wrong.sinks = vec![SinkPlan {
        kind: "discard".to_owned(),
        settings: serde_json::json!({}),
        name: "discard".to_owned(),
        on_full: OnFull::Pause,
        stands_at: (1, 1),
    }];
    let said = lines(&plan(&wrong, &CATALOG).unwrap_err());
    for what in ["`tail`: a frame begins", "`sinks`: the query looks ahead"] {
        assert!(said.contains(what), "{said}");
    }
}
