//! Intake: the rows of partitions' logs, judged, projected and keyed.

pub mod admit;
pub mod beginning;
pub mod refusals;
pub mod route;
pub mod seen;
