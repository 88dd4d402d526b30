//! Panics of the expression library as errors: one event must never end a job.
//!
//! Its kernels hold no state that a panic could leave half made: each makes its arrays anew. Knows nothing of
//! expressions.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is about to be caught, so that nobody needs to hear of it.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static QUIET: Once = Once::new();

/// Does the work; the error says what it panicked with.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                loud(panic);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    let said = said.and_then(|said| said.lines().next()).unwrap_or("it gave no reason");
    if said.contains("overflow") {
        return "the value does not fit its type: arithmetic overflow".to_owned();
    }
    format!("the value cannot be computed: {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(guarded(|| 7), Ok(7));
        let out_of_bounds = guarded(|| [1, 2][std::hint::black_box(5)]);
        let reason = out_of_bounds.unwrap_err();
        assert!(reason.starts_with("the value cannot be computed: index out of bounds"), "{reason}");
        let overflow = guarded(|| panic!("attempt to multiply with overflow"));
        assert_eq!(
            overflow.map(|()| 0),
            Err("the value does not fit its type: arithmetic overflow".to_owned())
        );
        assert!(!GUARDED.get());
    }
}
