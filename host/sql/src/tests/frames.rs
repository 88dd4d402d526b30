//! Frames of OVER as they are read.

use super::{planned, refused};
use crate::explain;
use weir_event::Span;
use weir_timeline::{Bounds, Exclude, Frames, OverFrame};

const DAY: i64 = 86_400_000;

fn frames(text: &str) -> Vec<OverFrame> {
    let plan = planned(text).plan;
    match &plan.stage.as_ref().unwrap().spec.frames {
        Frames::Over(frames) => frames.clone(),
        other => panic!("not OVER: {other:?}"),
    }
}

fn frame(text: &str) -> OverFrame {
    let all = frames(&format!(
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime {text}) AS s FROM event_user_action"
    ));
    assert_eq!(all.len(), 1, "{text}");
    all[0]
}

fn range(preceding: Option<i64>, until: i64, exclude: Exclude) -> OverFrame {
    let bounds =
        Bounds::Range { preceding: preceding.map(Span::from_millis), until: Span::from_millis(until) };
    OverFrame { bounds, exclude }
}

fn rows(preceding: Option<u64>, until: u64, exclude: Exclude) -> OverFrame {
    OverFrame { bounds: Bounds::Rows { preceding, until }, exclude }
}

#[test]
fn bounds_and_what_is_excluded() {
    use Exclude::{CurrentRow, None as Nothing, Ties};
    for (text, expected) in [
        ("", range(None, 0, Nothing)),
        ("RANGE UNBOUNDED PRECEDING", range(None, 0, Nothing)),
        ("RANGE INTERVAL '7' DAY PRECEDING", range(Some(7 * DAY), 0, Nothing)),
        ("RANGE CURRENT ROW", range(Some(0), 0, Nothing)),
        (
            "RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND INTERVAL '1' DAY PRECEDING",
            range(Some(7 * DAY), DAY, Nothing),
        ),
        ("RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL '1' DAY PRECEDING", range(None, DAY, Nothing)),
        ("ROWS 5 PRECEDING", rows(Some(5), 0, Nothing)),
        ("ROWS UNBOUNDED PRECEDING", rows(None, 0, Nothing)),
        ("ROWS CURRENT ROW", rows(Some(0), 0, Nothing)),
        ("ROWS BETWEEN 5 PRECEDING AND CURRENT ROW", rows(Some(5), 0, Nothing)),
        ("ROWS BETWEEN 5 PRECEDING AND 1 PRECEDING", rows(Some(5), 1, Nothing)),
        ("ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING", rows(None, 1, Nothing)),
        ("ROWS 5 PRECEDING EXCLUDE CURRENT ROW", rows(Some(5), 0, CurrentRow)),
        ("ROWS 5 PRECEDING exclude no others", rows(Some(5), 0, Nothing)),
        ("RANGE UNBOUNDED PRECEDING EXCLUDE TIES", range(None, 0, Ties)),
        (
            "RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW",
            range(Some(DAY), 0, CurrentRow),
        ),
    ] {
        assert_eq!(frame(text), expected, "{text}");
    }
}

#[test]
fn each_frame_keeps_its_own_exclusion() {
    let found = frames(
        "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING EXCLUDE TIES) AS a,
            SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING) AS b,
            SUM(fare) OVER w AS c, SUM(fare) OVER (w) AS d, SUM(fare) OVER v AS e, SUM(fare) OVER u AS f,
            SUM(fare) OVER (o ROWS 5 PRECEDING EXCLUDE CURRENT ROW) AS g,
            SUM(fare) OVER (o ROWS 1 PRECEDING) AS h,
            COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING EXCLUDE TIES) AS i
         FROM event_user_action
         WINDOW w AS (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING EXCLUDE CURRENT ROW),
            v AS w, u AS (v), o AS (PARTITION BY user_id ORDER BY rowtime)",
    );
    assert_eq!(
        found,
        [
            rows(Some(5), 0, Exclude::Ties),
            rows(Some(5), 0, Exclude::None),
            rows(Some(5), 0, Exclude::CurrentRow),
            rows(Some(1), 0, Exclude::None),
        ]
    );
}

#[test]
fn a_window_by_its_name_brings_what_it_excludes() {
    let excluded = |of: &str| {
        let text = format!(
            "SELECT SUM(fare) OVER {of} AS s FROM event_user_action
             WINDOW w AS (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING EXCLUDE TIES), v AS (w), u AS v"
        );
        frames(&text)
    };
    for of in ["w", "(w)", "v", "(v)", "u", "(u)"] {
        assert_eq!(excluded(of), [rows(Some(5), 0, Exclude::Ties)], "{of}");
    }
    assert_eq!(excluded("(w ROWS 3 PRECEDING)"), [rows(Some(3), 0, Exclude::None)]);
}

#[test]
fn an_interval_is_whole_milliseconds() {
    let query = |interval: &str| {
        format!(
            "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL {interval} PRECEDING) AS s \
             FROM event_user_action"
        )
    };
    for (interval, millis) in
        [("'0.001' SECOND", 1), ("'1.5' SECOND", 1500), ("'0.25' MINUTE", 15_000), ("'1.0' MILLISECOND", 1)]
    {
        assert_eq!(frames(&query(interval)), [range(Some(millis), 0, Exclude::None)], "{interval}");
    }
    for interval in ["'0.0005' SECOND", "'1.5' MILLISECOND", "'0.00001' MINUTE", "'1.0000000001' SECOND"] {
        let said = refused(&query(interval)).concat();
        assert!(said.contains("is not a whole number of milliseconds"), "{interval}: {said}");
    }
}

#[test]
fn what_makes_a_frame_makes_its_hash_and_its_explanation() {
    let texts = [
        "RANGE INTERVAL '1' SECOND PRECEDING",
        "RANGE INTERVAL '1' SECOND PRECEDING EXCLUDE TIES",
        "RANGE INTERVAL '1' SECOND PRECEDING EXCLUDE CURRENT ROW",
        "RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND INTERVAL '0.5' SECOND PRECEDING",
        "RANGE UNBOUNDED PRECEDING",
        "ROWS UNBOUNDED PRECEDING",
        "ROWS 1000 PRECEDING",
        "ROWS BETWEEN 1000 PRECEDING AND 1 PRECEDING",
    ];
    let (mut hashes, mut explanations) = (Vec::new(), Vec::new());
    for text in texts {
        let plan = planned(&format!(
            "SELECT SUM(fare) OVER (PARTITION BY user_id ORDER BY rowtime {text}) AS s FROM event_user_action"
        ))
        .plan;
        let explained = explain(&plan);
        explanations.push(explained.lines().find(|line| line.contains("frame 0: ")).unwrap().to_owned());
        hashes.push(plan.features[0].definition.clone());
    }
    for list in [&mut hashes, &mut explanations] {
        list.sort();
        list.dedup();
        assert_eq!(list.len(), texts.len(), "{list:#?}");
    }
}

#[test]
fn a_column_may_be_called_exclude() {
    let found = frames(
        "SELECT COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime ROWS 5 PRECEDING) AS exclude FROM event_user_action",
    );
    assert_eq!(found, [rows(Some(5), 0, Exclude::None)]);
}
