//! Where a job's query stands: in the definition, in a file that it names, or in a `.sql` file beside it.

use super::node::{Node, Value};
use super::report::{Mapping, Report};
use crate::definition::Query;
use std::collections::BTreeMap;

/// A query given in YAML.
fn inline(node: &Node, file: &str, report: &mut Report) -> Option<Query> {
    let query = text_of("query", node, file, report)?;
    checked(query, node, report)
}

/// A text of SQL given in YAML, and where it stands.
pub(super) fn text_of(label: &str, node: &Node, file: &str, report: &mut Report) -> Option<Query> {
    let text = report.text(label, node)?;
    // The place of a quoted text is its quote; that of a block is its first line that is not empty.
    let (line, column) = node.place;
    let empty_lines = text.len() - text.trim_start_matches('\n').len();
    let (line, indent) =
        if node.quoted { (line, column) } else { (line.saturating_sub(empty_lines as u32), column - 1) };
    Some(Query { text, file: file.to_owned(), line, indent })
}

/// A query that is a file of its own.
fn whole_file(path: &str, text: &str) -> Query {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Query { text: text.to_owned(), file: path.to_owned(), line: 1, indent: 0 }
}

fn checked(query: Query, node: &Node, report: &mut Report) -> Option<Query> {
    if query.text.trim().is_empty() {
        report.error(node.place, "`query`: is empty; write SELECT ..");
        return None;
    }
    if query.text.len() > super::node::TEXT_LIMIT_BYTES {
        let message = format!(
            "`{}` has {} bytes, and a query at most {}",
            query.file,
            query.text.len(),
            super::node::TEXT_LIMIT_BYTES
        );
        report.error(node.place, message);
        return None;
    }
    Some(query)
}

/// The path of the `.sql` file beside a job's file.
pub(super) fn beside(job_file: &str) -> Option<String> {
    let (path, _) = job_file.rsplit_once('.')?;
    (!path.is_empty()).then(|| format!("{path}.sql"))
}

/// Takes the query from `keys`, the job's, or from the file beside the job's `file`.
pub(super) fn read(
    root: &Node,
    file: &str,
    keys: &mut Mapping<'_>,
    queries: &BTreeMap<String, String>,
    report: &mut Report,
) -> Option<Query> {
    let given = keys.take("query");
    let named = keys.take("query_file");
    let beside = beside(file);
    let found_beside = beside.as_ref().and_then(|path| Some((path, queries.get(path)?)));
    match (given, named) {
        (Some(_), Some(node)) => {
            report.error(node.place, "`query_file`: `query` is given too; keep one of them");
            None
        }
        (Some(node), None) => {
            if let Some((path, _)) = found_beside {
                report.warning(node.place, format!("`query`: given here, so {path} is not used"));
            }
            inline(node, file, report)
        }
        (None, Some(node)) => {
            let path = normal(&report.text("query_file", node)?);
            let Some(text) = queries.get(&path) else {
                let message =
                    format!("`query_file`: {path} was not found; paths start at the project folder");
                report.error(node.place, message);
                return None;
            };
            checked(whole_file(&path, text), node, report)
        }
        (None, None) => {
            let Some((path, text)) = found_beside else {
                let beside = beside.map_or_else(String::new, |path| format!(", or put it into {path}"));
                let message =
                    format!("`query`: missing; write `query: |` and the SQL, or `query_file: PATH`{beside}");
                report.error(root.place, message);
                return None;
            };
            checked(whole_file(path, text), root, report)
        }
    }
}

/// The files that may hold this job's query.
pub(super) fn candidates(root: &Node, file: &str) -> Vec<String> {
    let named = root.entry("query_file").and_then(|(_, node)| match &node.value {
        Value::Text(path) => Some(normal(path)),
        _ => None,
    });
    beside(file).into_iter().chain(named).collect()
}

fn normal(path: &str) -> String {
    path.strip_prefix("./").unwrap_or(path).to_owned()
}
