//! Routes, statuses and metrics, from the server's own tables.

use super::{code, table};
use weir_serve::{METRICS, MetricDoc, RouteDoc, route_docs, status_docs};

pub(super) fn part() -> String {
    format!(
        "## HTTP\n\nAnswers are JSON, errors RFC 9457 (`application/problem+json`) with `type`, `title`, `status`, \
         `detail`, and `errors` where there are several. Where the server has a `token`, requests carry \
         `Authorization: Bearer TOKEN`.\n\n{}\n### Statuses of a value\n\n\
         Of several that are true the answer gives the one that stands lowest in this table.\n\n{}\n### Metrics\n\n\
         `GET /metrics`, in the text format of Prometheus.\n\n{}",
        table(&["route", "after `?`", "meaning"], route_docs().map(route)),
        table(
            &["status", "meaning"],
            status_docs().iter().map(|doc| vec![code(doc.word), doc.does.to_owned()])
        ),
        table(&["series", "kind", "labels", "meaning"], METRICS.iter().map(metric))
    )
}

fn metric(metric: &MetricDoc) -> Vec<String> {
    let labels: Vec<String> = metric.labels.iter().map(|label| code(label)).collect();
    vec![code(metric.name), metric.kind.to_owned(), labels.join(", "), metric.help.to_owned()]
}

fn route(route: &RouteDoc) -> Vec<String> {
    let parameters = route.parameters.iter();
    let parameters: Vec<String> =
        parameters.map(|parameter| format!("`{}`: {}", parameter.name, parameter.does)).collect();
    vec![code(&format!("{} {}", route.method, route.path)), parameters.join("; "), route.does.to_owned()]
}
