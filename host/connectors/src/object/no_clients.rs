//! What stands for the clients of object stores in a build without them: places in stores are refused when they are read.

use super::{Store, Vendor};
use object_store::Error;
use std::collections::BTreeMap;
use std::sync::Arc;

/// This build has none.
pub(super) const IS_LEFT_OUT: bool = true;

pub(super) fn knows(_: Vendor, _: &str) -> bool {
    false
}

pub(super) fn client(_: Vendor, _: &str, _: &BTreeMap<String, String>) -> Result<Arc<dyn Store>, Error> {
    Err(Error::NotImplemented {
        operation: "connect".to_owned(),
        implementer: "a build without clients".to_owned(),
    })
}
