//! What is said to PostgreSQL.
//!
//! Knows the tables. Must not connect.

use super::layout::{ColumnSource, Layout, quoted};

/// The statements of one sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statements {
    /// Takes rows as text.
    pub(super) stage: String,
    /// Moves what a job has staged up to an epoch into the table: of each key the newest.
    pub(super) publish: String,
    /// Where each row is that a job has staged up to an epoch: those of one key together, the newest first, with whether a row
    /// is the first of its key.
    pub(super) places: String,
    /// Moves the rows at these places into the table, of which no two have the same key.
    pub(super) publish_at: String,
    /// What is in the rows at these places, for a person: each its key, time, revision, whether it deletes, what tells it from
    /// the others of its key, and its columns as JSON.
    pub(super) describe: String,
    /// Removes what a job has staged up to an epoch.
    pub(super) clear: String,
    /// Lists a job that is not yet.
    pub(super) introduce: String,
    /// How far a job has come, and who writes for it; nobody else changes that until the end of the transaction.
    pub(super) claim: String,
    /// The same, but others may look as well.
    pub(super) look: String,
    /// Says how far a job has come, and who writes for it.
    pub(super) advance: String,
}

impl Statements {
    pub(super) fn of(layout: &Layout) -> Statements {
        let (staging, epochs) = (layout.staging(), layout.epochs());
        let names: Vec<String> = layout.columns.iter().map(|column| quoted(&column.name)).collect();
        Statements {
            stage: format!(
                "COPY {staging} (_job, _epoch, _seq, _op, _time, _revision, {}) FROM STDIN",
                names.join(", ")
            ),
            publish: publish(layout, &names, &newest(layout)),
            places: places(layout),
            publish_at: publish(layout, &names, &format!("SELECT * FROM {staging} WHERE {AT_PLACES}")),
            describe: describe(layout),
            clear: format!("DELETE FROM {staging} WHERE _job = $1 AND _epoch <= $2"),
            introduce: format!(
                "INSERT INTO {epochs} (_job, _epoch, _run) VALUES ($1, 0, '') ON CONFLICT DO NOTHING"
            ),
            claim: format!("SELECT _epoch, _run FROM {epochs} WHERE _job = $1 FOR UPDATE"),
            look: format!("SELECT _run FROM {epochs} WHERE _job = $1 FOR SHARE"),
            advance: format!("UPDATE {epochs} SET _epoch = $2, _run = $3 WHERE _job = $1"),
        }
    }

    /// What a probe asks the plan of: every right that is needed and the key that rows are told apart by.
    pub(super) fn to_be_explained(&self, layout: &Layout) -> Vec<String> {
        let literal = |statement: &str| {
            statement.replace("$1", "''::text").replace("$2", "0::bigint").replace("$3", "''::text")
        };
        let staging = layout.staging();
        let stage = format!(
            "INSERT INTO {staging} (_job, _epoch, _seq, _op, _time, _revision) VALUES ('', 0, 0, 'u', 0, 0)"
        );
        let all = [&stage, &self.publish, &self.clear, &self.introduce, &self.claim, &self.advance];
        all.into_iter().map(|statement| format!("EXPLAIN {}", literal(statement))).collect()
    }
}

/// That a row is at one of some places.
const AT_PLACES: &str = "ctid = ANY ($1::text[]::tid[])";
/// The rows that a job has staged up to an epoch.
const OF_JOB: &str = "_job = $1 AND _epoch <= $2";
/// From the newest row of a key to its oldest.
const NEWEST_FIRST: &str = "_time DESC, _revision DESC, _seq DESC";

fn newest(layout: &Layout) -> String {
    let (staging, keys) = (layout.staging(), layout.keys().join(", "));
    format!("SELECT DISTINCT ON ({keys}) * FROM {staging} WHERE {OF_JOB} ORDER BY {keys}, {NEWEST_FIRST}")
}

fn places(layout: &Layout) -> String {
    let (staging, keys) = (layout.staging(), layout.keys().join(", "));
    format!(
        "SELECT ctid::text, row_number() OVER (PARTITION BY {keys} ORDER BY {NEWEST_FIRST}) = 1 FROM {staging} \
         WHERE {OF_JOB} ORDER BY {keys}, {NEWEST_FIRST}"
    )
}

fn describe(layout: &Layout) -> String {
    let staging = layout.staging();
    let key = layout.keys().iter().map(|key| format!("s.{key}::text")).collect::<Vec<_>>().join(", ");
    let of_query = layout.columns.iter().filter(|column| matches!(column.source, ColumnSource::Query(_)));
    let columns = of_query.map(|column| format!("s.{}", quoted(&column.name))).collect::<Vec<_>>().join(", ");
    let identity = layout.columns.iter().find(|column| column.source == ColumnSource::Identity);
    let identity =
        identity.map_or_else(|| "NULL::text".to_owned(), |column| format!("s.{}", quoted(&column.name)));
    format!(
        "SELECT ARRAY[{key}], s._time, s._revision, s._op = 'd', to_json({identity})::text, \
         (SELECT row_to_json(c)::text FROM (SELECT {columns}) AS c) \
         FROM unnest($1::text[]) WITH ORDINALITY AS place (at, number) \
         JOIN {staging} AS s ON s.ctid = place.at::tid ORDER BY place.number"
    )
}

/// Moves rows that a query gives, of each key one.
fn publish(layout: &Layout, names: &[String], newest: &str) -> String {
    let table = layout.quoted();
    let keys = layout.keys();
    let key_list = keys.join(", ");
    let same_key: Vec<String> = keys.iter().map(|key| format!("t.{key} = n.{key}")).collect();
    let values: Vec<&String> = names.iter().filter(|name| !keys.contains(name)).collect();
    let own = ["_time".to_owned(), "_revision".to_owned()];
    let sets: Vec<String> =
        values.into_iter().chain(&own).map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    format!(
        "WITH newest AS ({newest}), \
         gone AS (DELETE FROM {table} AS t USING newest AS n WHERE n._op = 'd' AND {} \
         AND (t._time, t._revision) <= (n._time, n._revision)) \
         INSERT INTO {table} AS t ({names}, _time, _revision) SELECT {names}, _time, _revision FROM newest WHERE _op = 'u' \
         ON CONFLICT ({key_list}) DO UPDATE SET {} WHERE (t._time, t._revision) <= (EXCLUDED._time, EXCLUDED._revision)",
        same_key.join(" AND "),
        sets.join(", "),
        names = names.join(", "),
    )
}
