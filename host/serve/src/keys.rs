//! `GET /v1/jobs/{job}/keys`: the entities that a job has state of, a page at a time.
//!
//! Knows how a page is asked for and written. Must not know in which order keys come, nor where they are kept.

use crate::app::App;
use crate::entity::push_json;
use crate::lookup::refuse_without_entity;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, blocking, json_response};
use crate::routes::Parameter;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use std::fmt::Write;
use std::sync::Arc;
use weir_engine::{Job, KeyPage, LookupError};
use weir_event::suggestion::shown;
use weir_format::json::push_cell;

/// Enough to see what keys look like.
const DEFAULT_LIMIT: usize = 100;
/// At some tens of bytes each an answer stays well within a megabyte.
const MAX_LIMIT: usize = 10_000;

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "limit", does: "at most so many; 100 unless said, up to 10,000" },
    Parameter { name: "after", does: "the `next` of the page before" },
];

/// A page of keys, in an order that stays.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (job, face) = app.job(&name)?;
    refuse_without_entity(&face)?;
    let mut query = Query::parse(query.as_deref())?;
    let limit = query.take_limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let after = query.take("after").map(|text| place(&text)).transpose()?;
    query.finish(PARAMETERS)?;
    let page = blocking(move || whole_keys(&job, after, limit)).await?.map_err(|error| match error {
        LookupError::NoEntity(_) => Problem::not_found(error.to_string()),
        LookupError::Starting(_) => Problem::new(Kind::Unavailable, error.to_string()),
        _ => Problem::new(Kind::Internal, error.to_string()),
    })?;
    let names = face.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>();
    Ok(json_response(written(&name, &page, &names)))
}

/// The next page that has an entity, or the last.
fn whole_keys(job: &Job, mut after: Option<Vec<u8>>, limit: usize) -> Result<KeyPage, LookupError> {
    loop {
        let page = job.keys(after.as_deref(), limit)?;
        if page.next.is_none() || (0..page.rows).any(|row| is_whole(&page, row)) {
            return Ok(page);
        }
        after = page.next.map(Vec::from);
    }
}

/// Whether a key can be looked up: one with a null cannot.
fn is_whole(page: &KeyPage, row: usize) -> bool {
    page.columns.iter().all(|column| column.is_valid(row))
}

fn written(job: &str, page: &KeyPage, names: &[&str]) -> Vec<u8> {
    let mut body = b"{\"job\":".to_vec();
    push_json(job, &mut body);
    body.extend_from_slice(b",\"keys\":[");
    push_entities(page, names, &mut body);
    body.extend_from_slice(b"],\"next\":");
    push_json(&page.next.as_deref().map(digits), &mut body);
    body.push(b'}');
    body
}

/// The entities as lookups take them.
fn push_entities(page: &KeyPage, names: &[&str], out: &mut Vec<u8>) {
    for (at, row) in (0..page.rows).filter(|row| is_whole(page, *row)).enumerate() {
        out.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        for (column, (name, values)) in names.iter().zip(&page.columns).enumerate() {
            if column > 0 {
                out.push(b',');
            }
            push_json(*name, out);
            out.push(b':');
            push_cell(values.as_ref(), row, out);
        }
        out.push(b'}');
    }
}

/// A key in hexadecimal digits, which need no escape in a target.
fn digits(key: &[u8]) -> String {
    key.iter().fold(String::with_capacity(key.len() * 2), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

fn place(text: &str) -> Result<Vec<u8>, Problem> {
    let byte = |pair: &[u8]| {
        let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
        Some((digit(0)? << 4 | digit(1)?) as u8)
    };
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    let wrong =
        || Problem::malformed(format!("`after`: `{}` is not the `next` of a page of keys", shown(text)));
    bytes.filter(|bytes| !bytes.is_empty()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back() {
        let key = [0, 1, 0xff, b'u'];
        assert_eq!(digits(&key), "0001ff75");
        assert_eq!(place(&digits(&key)).unwrap(), key);
        for bad in ["", "0", "zz", "+f", "ü"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
