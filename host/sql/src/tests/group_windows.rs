//! Windows of GROUP BY and of table functions in FROM, and queries without any.

use super::{CATALOG, job, lines, planned, planned_job, refused};
use crate::plan;
use weir_event::{EventTime, Span};
use weir_plan::{ColumnRole, Emit, JobDefinition, JobPlan};
use weir_timeline::{Cumulate, Frames, Grid, Session};

const SECOND: i64 = 1000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;

fn frames(plan: &JobPlan) -> &Frames {
    &plan.stage.as_ref().unwrap().spec.frames
}

/// The windows of a count per user over FROM and GROUP BY.
fn over_table(function: &str) -> Frames {
    let text = format!(
        "SELECT user_id, COUNT(*) AS c, window_start FROM TABLE({function}) GROUP BY user_id, window_start, window_end"
    );
    frames(&planned(&text).plan).clone()
}

fn grouped(window: &str) -> Frames {
    let text = format!("SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id, {window}");
    frames(&planned(&text).plan).clone()
}

fn grid(size: i64, slide: i64, offset: i64) -> Frames {
    let [size, slide, offset] = [size, slide, offset].map(Span::from_millis);
    Frames::Grid(Grid { size, slide, offset })
}

fn cumulate(size: i64, step: i64, offset: i64) -> Frames {
    let [size, step, offset] = [size, step, offset].map(Span::from_millis);
    Frames::Cumulate(Cumulate { size, step, offset })
}

fn session(gap: i64) -> Frames {
    Frames::Session(Session { gap: Span::from_millis(gap) })
}

#[test]
fn weeks_begin_on_monday_and_seven_days_on_thursday() {
    const WEEK: i64 = 7 * DAY;
    let monday = 4 * DAY;
    assert_eq!(grouped("TUMBLE(rowtime, INTERVAL '1' WEEK)"), grid(WEEK, WEEK, monday));
    assert_eq!(grouped("TUMBLE(rowtime, INTERVAL '2' WEEKS)"), grid(2 * WEEK, 2 * WEEK, monday));
    assert_eq!(grouped("HOP(rowtime, INTERVAL '1' WEEK, INTERVAL '28' DAY)"), grid(4 * WEEK, WEEK, monday));
    assert_eq!(grouped("HOP(rowtime, INTERVAL '28' DAY, INTERVAL '1' WEEK)"), grid(4 * WEEK, WEEK, monday));
    assert_eq!(grouped("HOP(rowtime, INTERVAL '1' DAY, INTERVAL '1' WEEK)"), grid(WEEK, DAY, 0));
    assert_eq!(
        grouped("CUMULATE(rowtime, INTERVAL '1' DAY, INTERVAL '1' WEEK)"),
        cumulate(WEEK, DAY, monday)
    );
    assert_eq!(
        over_table("TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' WEEK)"),
        grid(WEEK, WEEK, monday)
    );
    // An offset that is written counts from the epoch, as in Flink.
    assert_eq!(grouped("TUMBLE(rowtime, INTERVAL '1' WEEK, INTERVAL '3' DAY)"), grid(WEEK, WEEK, 3 * DAY));
    assert_eq!(grouped("TUMBLE(rowtime, INTERVAL '1' WEEK, INTERVAL '0' DAY)"), grid(WEEK, WEEK, 0));
    assert_eq!(grouped("TUMBLE(rowtime, INTERVAL '7' DAY)"), grid(WEEK, WEEK, 0));
    for (window, says) in [
        ("TUMBLE(rowtime, INTERVAL '1' WEEK)", "weeks begin on Monday"),
        ("TUMBLE(rowtime, INTERVAL '7' DAY)", "windows of 7 days begin on Thursday"),
    ] {
        let text = format!("SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id, {window}");
        let notices = lines(&planned(&text).notices);
        assert!(notices.contains(says), "{notices}");
    }
    let own = planned(
        "SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id, TUMBLE(rowtime, INTERVAL '7' DAY, INTERVAL '4' DAY)",
    );
    assert!(own.notices.is_empty());
}

#[test]
fn functions_in_group_by() {
    assert_eq!(grouped("SESSION(rowtime, INTERVAL '30' MINUTE)"), session(HOUR / 2));
    let day = cumulate(DAY, HOUR, 0);
    assert_eq!(grouped("CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)"), day);
    assert_eq!(grouped("CUMULATE(rowtime, INTERVAL '1' DAY, INTERVAL '1' HOUR)"), day);
    let shifted = cumulate(DAY, HOUR, 22 * HOUR);
    assert_eq!(
        grouped("CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY, INTERVAL '-2' HOUR)"),
        shifted
    );
    assert_eq!(
        grouped("HOP(rowtime, INTERVAL '10' SECOND, INTERVAL '25' SECOND, INTERVAL '3' SECOND)"),
        grid(25 * SECOND, 10 * SECOND, 3 * SECOND)
    );
}

#[test]
fn bounds_of_every_kind_are_bounds() {
    for window in [
        "SESSION(rowtime, INTERVAL '30' MINUTE)",
        "CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
        "TUMBLE(rowtime, INTERVAL '1' MONTH)",
        "TUMBLE(rowtime, INTERVAL '1' DAY, 'Europe/Berlin')",
    ] {
        let (name, arguments) = window.split_once('(').unwrap();
        let text = format!(
            "SELECT {name}_START({arguments}, {name}_END({arguments} AS e, {name}_ROWTIME({arguments} AS r, COUNT(*) AS c
             FROM event_user_action GROUP BY user_id, {window}"
        );
        let roles: Vec<_> = planned(&text).plan.output.columns.iter().map(|column| column.role).collect();
        let bound = ColumnRole::WindowBound;
        assert_eq!(roles, [bound, bound, bound, ColumnRole::Feature], "{text}");
    }
}

#[test]
fn the_order_of_lengths_is_noted() {
    let notices = planned(
        "SELECT COUNT(*) AS c FROM event_user_action GROUP BY CUMULATE(rowtime, INTERVAL '1' DAY, INTERVAL '1' HOUR)",
    )
    .notices;
    assert!(lines(&notices).contains("CUMULATE takes the step first, then the size"), "{notices:?}");
}

#[test]
fn windows_of_the_calendar() {
    let bounds = |window: &str, at: &str| {
        let windows = grouped(window).windows().unwrap();
        let ((start, end), _) = windows.holding(at.parse::<EventTime>().unwrap()).unwrap();
        format!("{start} {end}")
    };
    for (window, at, expected) in [
        (
            "TUMBLE(rowtime, INTERVAL '1' DAY, 'Europe/Berlin')",
            "2026-03-29T21:59:59.999Z",
            "2026-03-28T23:00:00.000Z 2026-03-29T22:00:00.000Z",
        ),
        (
            "TUMBLE(rowtime, INTERVAL '1' WEEK, 'utc')",
            "2026-11-22T23:00:00Z",
            "2026-11-16T00:00:00.000Z 2026-11-23T00:00:00.000Z",
        ),
        (
            "TUMBLE(rowtime, INTERVAL '1' MONTH)",
            "2024-02-29T12:00:00Z",
            "2024-02-01T00:00:00.000Z 2024-03-01T00:00:00.000Z",
        ),
        (
            "TUMBLE(rowtime, INTERVAL '1' QUARTER, 'Asia/Tokyo')",
            "2024-03-31T15:00:00Z",
            "2024-03-31T15:00:00.000Z 2024-06-30T15:00:00.000Z",
        ),
        (
            "TUMBLE(rowtime, INTERVAL '1' YEAR)",
            "1900-01-01T00:00:00Z",
            "1900-01-01T00:00:00.000Z 1901-01-01T00:00:00.000Z",
        ),
        (
            "TUMBLE(rowtime, INTERVAL '1' YEAR, 'America/New_York')",
            "2199-12-31T23:59:59Z",
            "2199-01-01T05:00:00.000Z 2200-01-01T05:00:00.000Z",
        ),
        // Samoa crossed the date line: there was no 30th of December.
        (
            "TUMBLE(rowtime, INTERVAL '1' DAY, 'Pacific/Apia')",
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00.000Z 2011-12-31T10:00:00.000Z",
        ),
    ] {
        assert_eq!(bounds(window, at), expected, "{window}");
    }
}

#[test]
fn table_functions_in_order_and_by_name() {
    let hour = grid(HOUR, HOUR, 0);
    for text in [
        "TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR)",
        "tumble(TABLE `event_user_action`, descriptor(event_time), INTERVAL '60' MINUTES)",
        "TUMBLE(SIZE => INTERVAL '1' HOUR, TIMECOL => DESCRIPTOR(rowtime), DATA => TABLE event_user_action)",
    ] {
        assert_eq!(over_table(text), hour, "{text}");
    }
    assert_eq!(
        over_table(
            "HOP(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR, INTERVAL '1' DAY, INTERVAL '5' MINUTE)"
        ),
        grid(DAY, HOUR, HOUR / 12)
    );
    let data = "DATA => TABLE event_user_action, TIMECOL => DESCRIPTOR(rowtime)";
    assert_eq!(
        over_table(&format!("HOP({data}, SLIDE => INTERVAL '1' DAY, SIZE => INTERVAL '1' HOUR)")),
        grid(HOUR, DAY, 0),
        "a slide that is called so may be longer than the size"
    );
    assert_eq!(
        over_table(&format!("CUMULATE({data}, SIZE => INTERVAL '1' DAY, STEP => INTERVAL '1' HOUR)")),
        cumulate(DAY, HOUR, 0)
    );
    let gap = "DESCRIPTOR(rowtime), INTERVAL '30' MINUTE";
    assert_eq!(
        over_table(&format!("SESSION(TABLE event_user_action PARTITION BY user_id, {gap})")),
        session(HOUR / 2)
    );
    let pair = planned(&format!(
        "SELECT w.user_id, geohash, COUNT(*) AS c
         FROM TABLE(SESSION(TABLE event_user_action PARTITION BY (geohash, user_id), {gap})) AS w
         GROUP BY w.user_id, geohash, w.window_start"
    ));
    assert_eq!(pair.plan.stage.unwrap().key_names, ["user_id", "geohash"]);
    let month = over_table(
        "TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' MONTH, 'Europe/Berlin')",
    );
    assert!(matches!(month, Frames::Table(_)));
}

#[test]
fn columns_of_a_table_function() {
    let plan = planned(
        "SELECT user_id, window_end, window_time AS last, COUNT(*) AS c
         FROM TABLE(TUMBLE(TABLE event_user_action, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))
         WHERE fare > 1 GROUP BY user_id, window_start HAVING window_start > TIMESTAMP '2026-01-01 00:00:00'",
    )
    .plan;
    let columns: Vec<_> = plan.output.columns.iter().map(|column| (&*column.name, column.role)).collect();
    let bound = ColumnRole::WindowBound;
    assert_eq!(
        columns,
        [("user_id", ColumnRole::Key(0)), ("window_end", bound), ("last", bound), ("c", ColumnRole::Feature)]
    );
    let function = planned(
        "SELECT user_id, COUNT(*) AS c FROM event_user_action WHERE fare > 1
         GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)
         HAVING TUMBLE_START(rowtime, INTERVAL '1' HOUR) > TIMESTAMP '2026-01-01 00:00:00'",
    )
    .plan;
    assert_eq!(plan.state_fingerprint, function.state_fingerprint, "the two spellings are one window");
    assert_eq!(plan.features[0].definition, function.features[0].definition);
}

#[test]
fn aggregates_without_a_window() {
    let text = "SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id";
    let mut forever = job(text);
    forever.emit = Emit::Change;
    let planned = plan(&forever, &CATALOG).unwrap();
    assert_eq!(frames(&planned.plan), &Frames::Lifetime);
    assert_eq!(planned.plan.stage.as_ref().unwrap().results.fields().len(), 2, "no bounds");
    let said = lines(&planned.notices);
    assert!(
        said.contains("jobs/job.yaml:1:1: warning: the query has no window and the job no `retention`"),
        "{said}"
    );
    let mut kept = job(text);
    kept.emit = Emit::Every(Span::from_millis(SECOND));
    kept.retention = Some(Span::from_millis(DAY));
    let kept = plan(&kept, &CATALOG).unwrap();
    assert!(kept.notices.is_empty(), "{:?}", kept.notices);
    assert_ne!(
        kept.plan.state_fingerprint, planned.plan.state_fingerprint,
        "its values depend on the retention"
    );
    let mut all = job("SELECT COUNT(*) AS c FROM event_user_action");
    all.emit = Emit::Change;
    assert_eq!(planned_job(&all).stage.unwrap().keys, Vec::<usize>::new());
}

#[test]
fn sessions_that_stay_for_ever_are_warned_of() {
    let text = "SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id, SESSION(rowtime, INTERVAL '1' HOUR)";
    let mut sessions = job(text);
    let said = |job: &JobDefinition| lines(&plan(job, &CATALOG).unwrap().notices);
    assert_eq!(
        said(&sessions),
        "jobs/job.yaml:1:1: warning: the job has no `retention`, so the last session of every key stays for ever; write \
         `retention`, such as 365d: a session is forgotten so long after its end"
    );
    sessions.retention = Some(Span::from_millis(DAY));
    assert_eq!(said(&sessions), "");
}

#[test]
fn parameters_of_windows_change_the_hash() {
    let of = |window: &str| {
        let text = format!("SELECT user_id, COUNT(*) AS c FROM event_user_action GROUP BY user_id, {window}");
        let plan = planned(&text).plan;
        (plan.definition, plan.state_fingerprint)
    };
    let windows = [
        "SESSION(rowtime, INTERVAL '1' HOUR)",
        "SESSION(rowtime, INTERVAL '2' HOUR)",
        "CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
        "CUMULATE(rowtime, INTERVAL '2' HOUR, INTERVAL '1' DAY)",
        "CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '2' DAY)",
        "CUMULATE(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY, INTERVAL '1' HOUR)",
        "HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
        "TUMBLE(rowtime, INTERVAL '1' DAY)",
        "TUMBLE(rowtime, INTERVAL '1' DAY, 'UTC')",
        "TUMBLE(rowtime, INTERVAL '1' DAY, 'Europe/Berlin')",
        "TUMBLE(rowtime, INTERVAL '1' MONTH, 'Europe/Berlin')",
    ];
    for (index, window) in windows.iter().enumerate() {
        for other in &windows[..index] {
            let ((definition, state), (other_definition, other_state)) = (of(window), of(other));
            assert!(definition != other_definition && state != other_state, "{window} and {other}");
        }
    }
    assert_eq!(of("TUMBLE(rowtime, INTERVAL '1' MONTH)"), of("TUMBLE(rowtime, INTERVAL '1' MONTH, 'utc')"));
}

#[test]
fn table_functions_cut_short_are_refused() {
    let whole = "TABLE(SESSION(TABLE event_user_action PARTITION BY user_id, DESCRIPTOR(rowtime), INTERVAL '1' HOUR))";
    for end in 0..whole.len() {
        refused(&format!("SELECT user_id, COUNT(*) AS c FROM {}", &whole[..end]));
        refused(&format!(
            "SELECT user_id, COUNT(*) AS c FROM {} GROUP BY user_id, window_end",
            &whole[..end]
        ));
    }
}
