//! What runs, but probably not as wanted.
//!
//! Knows a job's definition, how its rows are grouped and what its result columns are called. Must not know the
//! query's text.

use crate::parse::Item;
use crate::report::Report;
use crate::results::is_column;
use crate::stage::StageWindows;
use crate::windows::{GroupWindow, Shape};
use weir_plan::{Diagnostic, Feature, JobDefinition, StreamDefinition};

/// Warns of what a job's windows do to its state.
pub(crate) fn warn(job: &JobDefinition, windows: &StageWindows, report: &mut Report<'_>) {
    match windows {
        StageWindows::Lifetime if job.retention.is_none() => {
            let message = "the query has no window and the job no `retention`, so the state of every key stays for \
                           ever; write `retention`, such as 365d: a key that pauses longer starts anew, and every key does where \
                           it is added to a job that has state";
            report.add(Diagnostic::warning(&*job.file, 1, 1, message));
        }
        StageWindows::Process(_) if job.retention.is_none() => {
            let message = "the job has no `retention`, so the newest row of every key, and what its logic remembers, stay for \
                           ever; write `retention`, such as 365d: a key that pauses longer starts anew, and every key does where it is \
                           added to a job that has state";
            report.add(Diagnostic::warning(&*job.file, 1, 1, message));
        }
        StageWindows::Group(GroupWindow { shape: Shape::Session(_), .. }) => last_sessions(job, report),
        _ => {}
    }
}

/// Warns where a job names another kind of source than its stream has: one of the two is most likely left over.
pub(crate) fn warn_of_two_sources(job: &JobDefinition, stream: &StreamDefinition, report: &mut Report<'_>) {
    if let (Some(named), Some(own)) = (&job.origin, &stream.origin)
        && named.kind != own.kind
    {
        let message = format!(
            "`stream`: the job reads `{}` from {}, though the stream's own source is {}; leave one of the two out",
            stream.name, named.kind, own.kind
        );
        report.add(Diagnostic::warning(&*job.file, 1, 1, message));
    }
}

/// Tells of features whose name is one that nobody gave.
pub(crate) fn note_unnamed(features: &[Feature], items: &[Item], report: &mut Report<'_>) {
    for feature in features {
        let Some(item) = items.get(feature.column).filter(|item| !item.is_named) else { continue };
        if feature.name == item.name && !is_column(&item.expression) {
            let message = format!(
                "this column has no name of its own, and the feature is called `{}`; write AS and a name behind it",
                item.name
            );
            report.notice(item.at, message);
        }
    }
}

/// What a lookup shows is a key's last session, however long ago it ended.
fn last_sessions(job: &JobDefinition, report: &mut Report<'_>) {
    if job.retention.is_none() {
        let message = "the job has no `retention`, so the last session of every key stays for ever; write `retention`, \
                       such as 365d: a session is forgotten so long after its end";
        report.add(Diagnostic::warning(&*job.file, 1, 1, message));
    }
}
