//! Events played through keyed logic in a test, as the host gives them. Knows no columns.

use crate::process::{fire, take, written};
use crate::state::Codec;
use crate::{Process, Timestamp};

/// The rows that one key's events make, each with the time of the event or timer that made it. Timers fire as the host fires
/// them, before the first event behind them, and in the end those up to `until`. The memory goes through its bytes after every
/// step, so that what serde does not keep is missed here too.
///
/// Events come in the order of their times. The error is that of the first event or timer that fails; see [`Process`] for an
/// example.
pub fn play<P: Process>(
    parameters: P::Parameters,
    events: impl IntoIterator<Item = (Timestamp, P::Event)>,
    until: Timestamp,
) -> Result<Vec<(Timestamp, P::Row)>, String> {
    let codec = Codec::new(|| P::start(&parameters))?;
    let (mut state, mut timer) = (Vec::new(), None);
    let mut made = Vec::new();
    let mut events = events.into_iter().peekable();
    let mut newest = None;
    loop {
        let next = events.peek().map(|(at, _)| *at);
        let is_due = |timer: &Timestamp| next.map_or(*timer <= until, |next| *timer < next);
        let mut memory: P = codec.decode(&state)?;
        let (at, out) = if let Some(at) = timer.filter(is_due) {
            (at, fire(&mut memory, at)?)
        } else if let Some((at, event)) = events.next() {
            if newest.replace(at) > Some(at) {
                return Err(format!("the event of {} comes behind a later one", at.0));
            }
            (at, take(&mut memory, at, event, timer)?)
        } else {
            return Ok(made);
        };
        (state, timer) = (written(&codec, &memory)?, out.timer());
        made.extend(out.into_rows().into_iter().map(|row| (at, row)));
    }
}
