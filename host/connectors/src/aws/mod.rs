//! Amazon Web Services: how any of its services is reached, and what the errors mean that all of them have.
//!
//! Knows credentials, regions, endpoints, TLS and time-outs. Must not know what a service does.

mod account;
mod failure;

pub(crate) use account::{Account, ENDPOINT, REGION};
pub(crate) use failure::{Failure, Trouble};
