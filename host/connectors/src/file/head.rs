//! What stands at the head of a file that is gone on with, read once more from its beginning.

use super::cut::{Cutter, Piece};
use super::input::{Input, failed};
use bytes::Bytes;
use std::path::Path;
use weir_connect::{ConnectError, FileLayout};

/// Most heads are shorter.
const READ_BYTES: usize = 4096;

/// The head of a file of this layout; nothing where such files have none. Blocks.
pub(super) fn head_of(path: &Path, layout: FileLayout, max_bytes: usize) -> Result<Bytes, ConnectError> {
    if layout.is_of_lines() || matches!(layout, FileLayout::Quoted { head: false, .. }) {
        return Ok(Bytes::new());
    }
    let (mut input, _) = Input::open(path, 0, None)?;
    let mut cutter = Cutter::new(layout, None, READ_BYTES, max_bytes);
    loop {
        let (held, room) = cutter.space();
        let read = input.read(held, room).map_err(|error| failed(path, &error))?;
        match cutter.take(read == 0) {
            Some(Piece::Head { data, .. }) => return Ok(data),
            None if read > 0 => {}
            _ => {
                return Err(ConnectError::external(format!(
                    "`{}` was read up to some byte before and has no head now; restore the file, or start with `--reset` \
                     for the jobs that read it",
                    path.display()
                )));
            }
        }
    }
}
