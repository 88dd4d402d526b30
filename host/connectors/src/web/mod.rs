//! HTTP as the stores speak it that are reached by it: one client, its settings, and what each failure means.
//!
//! Knows addresses, credentials, time-outs and statuses. Must not know any store, nor what a body means. No message holds
//! credentials: addresses are shown without them, and what the other side says is searched for them.

mod endpoint;
mod failure;
mod halves;
mod settings;

pub(crate) use endpoint::{WebAnswer, WebEndpoint, WebRequest};
pub(crate) use failure::WebFailure;
pub(crate) use halves::{PartAnswer, by_halves};
pub(crate) use settings::{HEADERS, PASSWORD, TIMEOUT, URL, USER, WebSettings};

#[cfg(test)]
pub(crate) mod tests;
