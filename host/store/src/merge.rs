//! Several segments read as one: keys in order, the newest segment's word for each. Knows cursors only.

use crate::StoreError;
use crate::segment::Cursor;

/// Visits each key >= `from` once with its newest value (`None`: deleted), until `visit` gives false or all is seen.
/// `cursors` go from the oldest segment to the newest.
pub(crate) fn newest(
    mut cursors: Vec<Cursor<'_>>,
    from: &[u8],
    mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for cursor in &mut cursors {
        while cursor.key().is_some_and(|key| key < from) {
            cursor.advance()?;
        }
    }
    // There are few segments, so that looking at each costs less than keeping a heap in order.
    let mut same: Vec<usize> = Vec::with_capacity(cursors.len());
    while lowest(&cursors, &mut same) {
        let newest = &cursors[same[same.len() - 1]];
        let Some(key) = newest.key() else { break };
        if !visit(key, newest.value())? {
            break;
        }
        for at in &same {
            cursors[*at].advance()?;
        }
    }
    Ok(())
}

/// Puts into `same` the cursors that stand on the lowest key, oldest first; false when all are at the end.
fn lowest(cursors: &[Cursor<'_>], same: &mut Vec<usize>) -> bool {
    same.clear();
    let mut least: Option<&[u8]> = None;
    for (at, cursor) in cursors.iter().enumerate() {
        let Some(key) = cursor.key() else { continue };
        if least.is_none_or(|least| key < least) {
            least = Some(key);
            same.clear();
        }
        if least == Some(key) {
            same.push(at);
        }
    }
    least.is_some()
}
