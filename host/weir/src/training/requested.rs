//! What makes a request for a training set the same as an earlier one: then what that had done need not be done again.
//!
//! Whatever decides a value is in it. What a job's history is read from is not: that is looked at where it is read, as it may
//! go on. Must not know what is kept.

use super::Request;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use weir_plan::JobPlan;
use weir_train::WantedFeature;
use weir_train::checkpoint::FORMAT;

/// A text that is the same for the same request alone. It gives away nothing: definitions may have passwords.
pub(super) fn mark(request: &Request, asked: &[(&JobPlan, Vec<WantedFeature>)]) -> String {
    let Request { spine, rule, serving_delay, time, with_log, with_status, output, .. } = request;
    let mut text = format!(
        "{} {FORMAT} {rule:?} {serving_delay} {time} {with_log} {with_status} ",
        env!("CARGO_PKG_VERSION")
    );
    let file = fs::canonicalize(spine).and_then(|path| Ok((fs::metadata(&path)?, path)));
    let file = file.map(|(found, path)| (path, found.len(), found.ino(), found.mtime(), found.mtime_nsec()));
    let mut put = |what: &dyn std::fmt::Debug| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{what:?}");
    };
    put(&file.map_err(|error| error.to_string()));
    put(output);
    for (plan, features) in asked {
        put(&(&plan.name, plan.version, &plan.definition, &plan.state_fingerprint, features));
        put(&(plan.components(), &plan.late, &plan.emit, plan.looks_ahead));
        if let Some(stage) = &plan.stage {
            put(&(stage.spec.history, &stage.key_names, &stage.key_types));
        }
        for feature in &plan.features {
            put(&(&feature.name, feature.version, &feature.definition, &feature.default));
        }
        put(&plan.transform.definition);
        for feature in &plan.transform.features {
            put(&(&feature.name, feature.version, &feature.definition, &feature.default));
        }
        for input in &plan.inputs {
            put(&(&input.stream, &input.origin, &input.columns));
        }
    }
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
