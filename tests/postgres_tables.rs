//! Tables of PostgreSQL that a user made by other statements than weir's: what they refuse of rows is set aside, once, and
//! everything else is in, exactly once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::wait_for;
use crate::keyed_compliance::{Kit, numbers_of};
use crate::services::stores::Postgres;
use serde_json::{Value, json};
use std::time::Duration;
use weir_connect::{Sink, Token};
use weir_engine::SystemClock;
use weir_event::Clock;

/// A table with everything that may refuse a row. `n` is narrower than what it is given, `user` shorter.
const NARROW: &str = "
    CREATE TABLE own (\"user\" varchar(3) PRIMARY KEY, n int4 NOT NULL UNIQUE CHECK (n <> 13), owner text NOT NULL DEFAULT 'me',
                      _time bigint NOT NULL, _revision bigint NOT NULL);
    CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.n = 99 THEN RAISE EXCEPTION 'nobody has 99'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER judges BEFORE INSERT OR UPDATE ON own FOR EACH ROW EXECUTE FUNCTION judge();
    CREATE FUNCTION judge_late() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.n = 77 THEN RAISE EXCEPTION 'at the end nobody has 77'; END IF; RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER judges_late AFTER INSERT OR UPDATE ON own DEFERRABLE INITIALLY DEFERRED
      FOR EACH ROW EXECUTE FUNCTION judge_late();
    CREATE TABLE pins (of varchar(3) REFERENCES own (\"user\"));";

struct Own {
    postgres: Postgres,
    kit: Kit,
}

impl Own {
    /// The user's table, with weir's beside it.
    fn new(settings: &Value, table: &str) -> Own {
        let postgres = Postgres::start();
        let mut of_table = json!({"url": postgres.url(), "table": "own"});
        of_table.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let kit = Kit::new("postgres", of_table);
        let ddl = kit.open().ddl().unwrap();
        let (_, of_weir) = ddl.split_once(";\n").unwrap();
        postgres.run(&format!("{table}{of_weir}"));
        Own { postgres, kit }
    }

    fn rows(&self) -> Vec<String> {
        self.postgres.run("SELECT \"user\" || '=' || n FROM own ORDER BY 1")
    }

    /// By user and number, why rows were refused.
    fn refused(&self) -> Vec<(String, Value, String)> {
        let lines = self.kit.refused().into_iter().map(|line| {
            let text = |of: &Value| of.as_str().unwrap().to_owned();
            (text(&line["key"][0]), line["row"]["n"].clone(), text(&line["reason"]))
        });
        lines.collect()
    }
}

async fn checkpoint(sink: &mut Box<dyn Sink>, epoch: u64) -> Token {
    let token = sink.prepare(epoch).await.unwrap();
    sink.commit(&token).await.unwrap();
    token
}

/// Each row of the first checkpoint that the table refuses, with its reason.
fn assert_first_refusals(refused: &[(String, Value, String)], big: i64) {
    let told = [
        ("b", json!(big), "integer out of range"),
        ("c", Value::Null, "null value in column \"n\""),
        ("d", json!(13), "violates check constraint"),
        ("e", json!(99), "nobody has 99"),
        ("f", json!(77), "at the end nobody has 77"),
        ("long", json!(2), "value too long for type character varying(3)"),
    ];
    assert_eq!(refused.len(), told.len(), "{refused:?}");
    for ((user, number, reason), (of, n, told)) in refused.iter().zip(told) {
        assert_eq!((user.as_str(), number), (of, &n));
        assert!(reason.contains(told), "{user}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_takes_nothing_holds_its_rows_until_it_is_mended() {
    const CLOSED: &str = "
        CREATE TABLE own (\"user\" text PRIMARY KEY, n bigint, _time bigint NOT NULL, _revision bigint NOT NULL);
        CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN RAISE EXCEPTION 'what this writes to is gone'; END $$;
        CREATE TRIGGER judges BEFORE INSERT OR UPDATE ON own FOR EACH ROW EXECUTE FUNCTION judge();";
    let own = Own::new(&json!({}), CLOSED);
    let mut sink = own.kit.open();
    sink.start(None).await.unwrap();
    let users: Vec<String> = (0..2000).map(|user| format!("u{user}")).collect();
    let rows: Vec<_> = users.iter().map(|user| (user.as_str(), Some(1))).collect();
    sink.write(&numbers_of(&rows, 1, 1)).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    let error = sink.commit(&token).await.unwrap_err();
    assert!(error.message.contains("takes none of 319 rows"), "{error}");
    assert!(error.message.contains("what this writes to is gone"), "{error}");
    assert!(own.kit.refused().is_empty() && own.rows().is_empty());
    own.postgres.run("DROP TRIGGER judges ON own");
    let mut sink = own.kit.open();
    sink.start(Some(&token)).await.unwrap();
    assert_eq!((own.rows().len(), own.kit.refused().len()), (2000, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_refuses_is_set_aside_and_everything_else_is_in() {
    let own = Own::new(&json!({}), NARROW);
    let mut sink = own.kit.open();
    sink.start(None).await.unwrap();
    let big = i64::from(i32::MAX) + 1;
    let first = [
        ("a", Some(1)),
        ("b", Some(big)),
        ("long", Some(2)),
        ("c", None),
        ("d", Some(13)),
        ("e", Some(99)),
        ("f", Some(77)),
        ("g", Some(7)),
    ];
    sink.write(&numbers_of(&first, 1, 1)).await.unwrap();
    let token = checkpoint(&mut sink, 1).await;
    assert_eq!(own.rows(), ["a=1", "g=7"]);
    assert_first_refusals(&own.refused(), big);
    assert_eq!(sink.counts().refused, 6);
    let line = own.kit.refused().remove(0);
    assert_eq!(
        (&line["window"], &line["op"]),
        (&json!({"end": "1970-01-01T00:00:01.000Z"}), &json!("upsert"))
    );

    // Of a key whose newest row is refused, the newest that is not is in; a number that another has is refused; a row that
    // others point to cannot be taken away.
    own.postgres.run("INSERT INTO pins VALUES ('g')");
    for (revision, row) in
        [("a", Some(20)), ("a", Some(21)), ("a", Some(99)), ("h", Some(20)), ("i", Some(7))]
            .into_iter()
            .enumerate()
    {
        sink.write(&numbers_of(&[row], 2, 2 + revision as u64)).await.unwrap();
    }
    let mut gone = numbers_of(&[("g", None)], 2, 9);
    gone.meta.op = weir_connect::Op::Delete;
    sink.write(&gone).await.unwrap();
    let second = sink.prepare(2).await.unwrap();
    drop(sink);

    // Killed before the table was told: the next start does the same, and a start from there does nothing again.
    for _ in 0..2 {
        let mut sink = own.kit.open();
        sink.start(Some(&second)).await.unwrap();
        assert_eq!(own.rows(), ["a=21", "g=7", "h=20"]);
        assert_eq!(own.refused().len(), 9);
    }
    let last = own.refused().split_off(6);
    assert!(last.iter().any(|(user, n, _)| (user.as_str(), n) == ("a", &json!(99))), "{last:?}");
    assert!(last.iter().any(|(user, _, why)| user == "i" && why.contains("duplicate key")), "{last:?}");
    assert!(last.iter().any(|(user, _, why)| user == "g" && why.contains("foreign key")), "{last:?}");

    // A state that is older than the table: what its checkpoint did not name is written again.
    let mut sink = own.kit.open();
    sink.start(Some(&token)).await.unwrap();
    sink.write(&numbers_of(&[("a", Some(30)), ("b", Some(13))], 3, 20)).await.unwrap();
    checkpoint(&mut sink, 2).await;
    assert_eq!(own.rows(), ["a=30", "g=7", "h=20"]);
    assert_eq!(own.postgres.run("SELECT count(*) FROM own_weir_staging"), ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_refused_rows_among_many_cost_little_and_no_other_row() {
    let own = Own::new(
        &json!({"keep": "all"}),
        "CREATE TABLE own (\"user\" text, n int4 CHECK (n % 100 <> 0), \
        _window_end timestamptz, _time bigint, _revision bigint, PRIMARY KEY (\"user\", _window_end));",
    );
    let mut sink = own.kit.open();
    sink.start(None).await.unwrap();
    let users: Vec<String> = (0..20_000).map(|user| format!("u{user}")).collect();
    let rows: Vec<(&str, Option<i64>)> =
        users.iter().enumerate().map(|(n, user)| (user.as_str(), Some(n as i64))).collect();
    sink.write(&numbers_of(&rows, 1, 1)).await.unwrap();
    let clock = SystemClock::new();
    let began = clock.monotonic();
    checkpoint(&mut sink, 1).await;
    let took = clock.monotonic().saturating_sub(began);
    eprintln!("200 refused rows among 20,000: {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert_eq!(own.postgres.run("SELECT count(*), count(DISTINCT n) FROM own"), ["19800|19800"]);
    let refused = own.kit.refused();
    assert!(refused.iter().all(|line| line["row"]["n"].as_i64().unwrap() % 100 == 0));
    assert_eq!((refused.len(), sink.counts().refused), (200, 200));
    assert!(refused[0]["window"]["end"].as_str().unwrap().starts_with("1970-01-01T"), "{}", refused[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_waits_for_a_lock_that_somebody_holds_as_often_as_it_is_told() {
    let plain = "CREATE TABLE own (\"user\" text PRIMARY KEY, n bigint, _time bigint, _revision bigint);";
    let own = Own::new(&json!({"retry_count": 20}), plain);
    own.postgres.run("ALTER DATABASE postgres SET lock_timeout = '100ms'");
    let mut sink = own.kit.open();
    sink.start(None).await.unwrap();
    sink.write(&numbers_of(&[("a", Some(1))], 1, 1)).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    let mut holder = own.postgres.spawn("BEGIN; LOCK TABLE own; SELECT pg_sleep(1.5); COMMIT");
    wait_for("the lock", Duration::from_secs(10), || {
        let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'own'::regclass AND granted \
                     AND mode = 'AccessExclusiveLock'";
        (own.postgres.run(locks) == ["1"]).then_some(())
    });
    sink.commit(&token).await.unwrap();
    assert!(holder.wait().unwrap().success());
    assert_eq!(own.rows(), ["a=1"]);
    assert!(sink.counts().retries > 1, "{:?}", sink.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_given_at_the_rate_that_is_told_and_a_column_that_nothing_fills_is_told_at_once() {
    let plain = "CREATE TABLE own (\"user\" text PRIMARY KEY, n bigint, _time bigint, _revision bigint);";
    let own = Own::new(&json!({"write_rate": 100}), plain);
    let mut sink = own.kit.open();
    sink.start(None).await.unwrap();
    let users: Vec<String> = (0..100).map(|user| format!("u{user}")).collect();
    let rows: Vec<(&str, Option<i64>)> = users.iter().map(|user| (user.as_str(), Some(1))).collect();
    let clock = SystemClock::new();
    let began = clock.monotonic();
    sink.write(&numbers_of(&rows, 1, 1)).await.unwrap();
    let took = clock.monotonic().saturating_sub(began);
    assert!(took > Duration::from_millis(850) && took < Duration::from_secs(5), "{took:?}");
    checkpoint(&mut sink, 1).await;
    assert_eq!(own.rows().len(), 100);

    own.postgres.run("ALTER TABLE own ADD COLUMN owner text; UPDATE own SET owner = 'me'; ALTER TABLE own ALTER owner SET NOT NULL");
    let error = own.kit.open().start(None).await.unwrap_err();
    assert!(error.message.contains("its column `owner` takes no null and has no default"), "{error}");
}
