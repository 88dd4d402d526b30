//! `OVER` as it changes, on random histories: each event on arrival, and a key's newest one when it is altered.

use super::model::{Model, Op};
use super::{cases, ops, over_frames};
use crate::spec::Frames;
use proptest::prelude::*;

proptest! {
    #![proptest_config(cases(160, 3000))]

    #[test]
    fn events_as_they_come(
        frames in prop::collection::vec(over_frames::frame(40), 1..4),
        history in 0..40_i64,
        ops in prop::collection::vec((ops(-60..120, 10, 3), any::<bool>()), 1..10),
    ) {
        let mut model = Model::new(Frames::Over(frames), history).changing(true);
        for (ops, are_asked) in ops {
            ops.into_iter().chain(are_asked.then_some(Op::Changes)).try_for_each(|op| model.apply(op))?;
        }
    }

    #[test]
    fn events_of_many_ties(
        frames in prop::collection::vec(over_frames::frame(8), 1..4),
        ops in prop::collection::vec((ops(-6..10, 10, 3), any::<bool>()), 1..10),
    ) {
        let mut model = Model::new(Frames::Over(frames), 10).changing(true);
        for (ops, are_asked) in ops {
            ops.into_iter().chain(are_asked.then_some(Op::Changes)).try_for_each(|op| model.apply(op))?;
        }
    }
}
