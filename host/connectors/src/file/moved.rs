//! Reading on where the present file has another name by now: its rest, what was moved after it, and the new one.
//!
//! Where it cannot be told what follows, reading ends with an error that says so: a row that is skipped in silence is
//! missed by nobody.

use super::names::Listing;
use super::place::Place;
use super::read::Reading;
use super::whereabouts::{self, Behind, Whereabouts};
use crate::blocking::blocking;
use std::path::{Path, PathBuf};
use weir_connect::ConnectError;

impl Reading {
    /// Makes sure that the place is in the file that it was in, under whatever name, or at the beginning of what
    /// follows it.
    pub(super) async fn find_again(
        &mut self,
        place: &mut Place,
        listing: &Listing,
    ) -> Result<(), ConnectError> {
        let byte = place.byte;
        let is_listed = listing.find(&place.file).is_some();
        let what = match self.whereabouts(place).await? {
            _ if place.known.is_none() && byte > 0 && !is_listed => "was there before and is gone",
            Whereabouts::Same => {
                place.settle(listing);
                place.close();
                return Ok(());
            }
            Whereabouts::Moved(to) => {
                self.go_on_at(to, place, listing).await?;
                place.close();
                return Ok(());
            }
            _ if byte == 0 => {
                place.close();
                return Ok(());
            }
            Whereabouts::Gone => "was there before and is gone",
            Whereabouts::Shortened => "is shorter now",
            Whereabouts::Replaced => "is another file now",
        };
        Err(ConnectError::external(format!(
            "`{}` was read up to byte {byte} of its content and {what}, and what was read is not found under another \
             name in its folder; rows that were not read may be lost: put the file back, or start with `--reset` for \
             the jobs that read it",
            self.names.path(&place.file).display()
        )))
    }

    /// Where the file is by now that the place is in; one that nothing is known of is where its name is.
    pub(super) async fn whereabouts(&self, place: &Place) -> Result<Whereabouts, ConnectError> {
        let Some(known) = place.known else { return Ok(Whereabouts::Same) };
        let (path, byte) = (self.names.path(&place.file), place.byte);
        blocking(move || Ok(whereabouts::find(&path, byte, &known))).await
    }

    /// Leaves a file that was followed to its end, last written `modified`, and is not under its name any more.
    pub(super) async fn leave_moved(
        &mut self,
        found: Whereabouts,
        modified: Option<(i64, i64)>,
        place: &mut Place,
        listing: &Listing,
    ) -> Result<(), ConnectError> {
        if let Whereabouts::Moved(to) = found {
            return self.go_on_at(to, place, listing).await;
        }
        let path = self.names.path(&place.file);
        let (since, at) = (modified.unwrap_or_default(), path.clone());
        let unclear = blocking(move || Ok(whereabouts::since(&at, since))).await?;
        if !unclear.is_empty() {
            return Err(unclear_order(&path, "is not found any more", &unclear));
        }
        place.restart("", listing);
        Ok(())
    }

    /// Goes on where the present file is now. Under a name that is read as well that is all; else its rest is read from
    /// there, then each file that was moved after it, and the place is the beginning of the new one.
    async fn go_on_at(
        &mut self,
        to: PathBuf,
        place: &mut Place,
        listing: &Listing,
    ) -> Result<(), ConnectError> {
        tracing::info!(file = place.file, to = %to.display(), "the file was moved; its rest is read from there");
        if place.move_to(&self.names.name_of(&to), listing) {
            return Ok(());
        }
        let (path, mut present) = (self.names.path(&place.file), to);
        loop {
            self.read_rest(&present, place).await?;
            let behind = match place.known {
                Some(known) => {
                    let (path, present) = (path.clone(), present.clone());
                    blocking(move || Ok(whereabouts::behind(&path, &present, known.identity))).await?
                }
                None => Behind::MovedOn,
            };
            let name = self.names.name_of(&present);
            match behind {
                Behind::Moved(next, identity) => {
                    tracing::info!(file = place.file, next = %next.display(), "it was moved more than once");
                    place.restart(&name, listing);
                    place.expected = Some(identity);
                    present = next;
                }
                Behind::Newest(identity) => {
                    place.restart(&name, listing);
                    place.expected = identity;
                    return Ok(());
                }
                Behind::Unclear(files) => {
                    return Err(unclear_order(&path, &format!("was moved to `{name}`"), &files));
                }
                Behind::MovedOn => {
                    return Err(ConnectError::unavailable(format!(
                        "`{}` was moved while it was read",
                        present.display()
                    )));
                }
            }
        }
    }

    async fn read_rest(&mut self, path: &Path, place: &mut Place) -> Result<(), ConnectError> {
        let present = self.begin(path, None, place).await?;
        let present = self.read_on(present, place).await?;
        self.finish(present, place).await;
        Ok(())
    }
}

fn unclear_order(path: &Path, what: &str, unclear: &[String]) -> ConnectError {
    ConnectError::external(format!(
        "what was read as `{}` {what}, and of `{}` beside it, written later, it cannot be told whether they follow it; \
         rows that were not read may be lost: move those files away, or start with `--reset` for the jobs that read it",
        path.display(),
        unclear.join("`, `")
    ))
}
