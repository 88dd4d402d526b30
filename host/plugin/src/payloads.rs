//! A plugin that decodes payloads, as a stream's format calls it. A batch is cut into calls by what they cost; a call that
//! fails is cut in halves in fresh instances, so that in the end those payloads are refused that fail alone. Must not know
//! streams, or which of its columns anybody declares.

use crate::account::Account;
use crate::bisect;
use crate::columns;
use crate::describe::Described;
use crate::failure::{Cause, Failure, one_line};
use crate::guest::Guest;
use crate::pace::Pace;
use crate::wire::{DECODER, DecodeParams, DecodeResult, Field, Refusal};
use crate::world::{Exports, TypeCheck, World};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::DataType as ArrowType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_connect::ConnectError;
use weir_format::payload::{DecodedPayloads, PayloadDecoder};

/// Payloads to columns.
#[derive(Debug)]
pub(crate) struct DecodeWorld;

impl World for DecodeWorld {
    fn kind(&self) -> &'static str {
        "decode"
    }

    fn interface(&self) -> &'static str {
        DECODER
    }

    fn exports(&self) -> &'static [&'static str] {
        &["describe", "decode"]
    }

    fn check_types(&self, check: &mut TypeCheck<'_>) {
        check.export::<(), (Vec<Field>,)>("describe");
        check.export::<DecodeParams, DecodeResult>("decode");
    }

    fn describe(&self, _: &mut Guest, _: &Exports) -> Result<Vec<Described>, Failure> {
        Ok(Vec::new())
    }

    fn columns(&self, guest: &mut Guest, exports: &Exports) -> Result<Vec<Field>, Failure> {
        let ((columns,), _) = guest.call::<(), (Vec<Field>,)>(exports.find(self, "describe")?, ())?;
        Ok(columns)
    }

    fn dry_run(&self, _: &Arc<Account>, _: &Described) -> Result<(), String> {
        Ok(())
    }
}

/// One version of a plugin that decodes, called on one account.
#[derive(Debug)]
pub(crate) struct PluginPayloads {
    account: Arc<Account>,
    columns: Vec<(String, ArrowType)>,
    pace: Pace,
}

impl PluginPayloads {
    /// Of a plugin that decodes.
    pub(crate) fn new(account: Arc<Account>) -> Self {
        let plugin = &account.plugin;
        let column = |field: &Field| (field.name.clone(), field.data_type.to_arrow());
        let (columns, pace) =
            (plugin.columns.iter().map(column).collect(), Pace::new(plugin.allowed.fuel_per_call));
        PluginPayloads { account, columns, pace }
    }

    /// A call without payloads, for all columns.
    pub(crate) fn dry_run(&self) -> Result<(), String> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let answer = self.account.pool.run(|guest| self.invoke(guest, &[], &all));
        answer.map(|_| ()).map_err(|failure| self.blame(&failure))
    }

    /// One call in an instance that may have been used before.
    pub(crate) fn run(&self, payloads: &[&[u8]], wanted: &[usize]) -> Result<Part, Failure> {
        self.account.pool.run(|guest| self.invoke(guest, payloads, wanted)).map(|(part, _)| part)
    }

    /// Drops every instance.
    pub(crate) fn forget(&self) {
        self.account.barrier();
    }

    fn blame(&self, failure: &Failure) -> String {
        format!("plugin `{}`, decode: {}", self.account.plugin.name, failure.reason)
    }

    /// One call into one instance.
    fn invoke(
        &self,
        guest: &mut Guest,
        payloads: &[&[u8]],
        wanted: &[usize],
    ) -> Result<(Part, u64), Failure> {
        let plugin = &self.account.plugin;
        let names: Vec<&str> = wanted.iter().map(|column| self.columns[*column].0.as_str()).collect();
        let parameters: DecodeParams<'_> = (payloads, &names);
        let export = plugin.exports.find(&DecodeWorld, "decode")?;
        let ((answer,), fuel) = guest.call::<_, DecodeResult>(export, parameters)?;
        let decoded = answer.map_err(|reason| Failure::refused(&reason))?;
        let promised = wanted.iter().map(|column| &plugin.columns[*column]);
        let columns = columns::each_to_arrow(decoded.columns, promised, payloads.len())?;
        let refused = refused(decoded.refused, payloads.len())?;
        Ok((Part { refused: without_long_rows(&columns, refused), columns, misbehaved: 0 }, fuel))
    }

    /// What came of some adjacent payloads, and the fuel used. One that fails alone is refused.
    fn attempt(&self, payloads: &[&[u8]], wanted: &[usize]) -> Result<(Part, u64), Failure> {
        let pool = &self.account.pool;
        let call = |guest: &mut Guest| self.invoke(guest, payloads, wanted);
        if payloads.len() != 1 {
            return pool.run(call);
        }
        match pool.run_to_verdict(call) {
            Err(failure) if failure.cause != Cause::Host => {
                let reason = self.blame(&failure);
                if failure.is_misbehaviour() {
                    self.account.misbehaved(&reason);
                }
                let nothing = |column: &usize| new_null_array(&self.columns[*column].1, 1);
                let columns = wanted.iter().map(nothing).collect();
                let misbehaved = usize::from(failure.is_misbehaviour());
                Ok((Part { columns, refused: vec![(0, reason)], misbehaved }, 0))
            }
            answer => answer,
        }
    }
}

impl PayloadDecoder for PluginPayloads {
    fn identity(&self) -> &str {
        &self.account.plugin.sha256
    }

    fn columns(&self) -> &[(String, ArrowType)] {
        &self.columns
    }

    fn decode(&self, payloads: &[&[u8]], wanted: &[usize]) -> Result<DecodedPayloads, ConnectError> {
        let (mut parts, mut refusals) = (Vec::new(), Vec::new());
        let outcome = bisect::run(payloads.len(), &self.pace, |first, rows| {
            // Before each call: what opens it half way through has the whole of the payloads wait, and none of them refused.
            self.account.check_breaker().map_err(|reason| Failure::new(Cause::Host, reason))?;
            let (part, fuel) = self.attempt(&payloads[first..first + rows], wanted)?;
            self.account.passed(rows - part.misbehaved);
            self.account.took_rows(rows);
            refusals.extend(part.refused.into_iter().map(|(at, reason)| (first + at, reason)));
            parts.push(part.columns);
            Ok(fuel)
        });
        outcome.map_err(|failure| ConnectError::unavailable(self.blame(&failure)))?;
        let join = |(place, column): (usize, &usize)| {
            let pieces: Vec<ArrayRef> = parts.iter().map(|part| Arc::clone(&part[place])).collect();
            columns::join(&pieces, &self.columns[*column].1)
        };
        Ok(DecodedPayloads { columns: wanted.iter().enumerate().map(join).collect(), refused: refusals })
    }
}

/// What came of the payloads of one call.
pub(crate) struct Part {
    /// A row for each payload; that of one that is refused means nothing.
    pub(crate) columns: Vec<ArrayRef>,
    /// Which are refused, and why.
    pub(crate) refused: Vec<(usize, String)>,
    /// How many of those are so by a fault of the plugin.
    misbehaved: usize,
}

/// A value may be as long as that of an expression.
const MOST_VALUE_BYTES: usize = 1 << 20;

/// Also refuses the rows with a value that is too long to be kept.
fn without_long_rows(columns: &[ArrayRef], refused: Vec<(usize, String)>) -> Vec<(usize, String)> {
    let long = long_rows(columns);
    if long.is_empty() {
        return refused;
    }
    let mut refused: BTreeMap<usize, String> = refused.into_iter().collect();
    for row in long {
        refused.entry(row).or_insert_with(|| "makes a value of more than 1 MiB".to_owned());
    }
    refused.into_iter().collect()
}

/// The rows with a value that is too long to be kept.
pub(crate) fn long_rows(columns: &[ArrayRef]) -> BTreeSet<usize> {
    // A column without lists that is short as a whole has no such value.
    let is_candidate = |column: &&ArrayRef| match column.data_type() {
        ArrowType::List(_) => true,
        ArrowType::Utf8View | ArrowType::BinaryView => column.get_array_memory_size() > MOST_VALUE_BYTES,
        _ => false,
    };
    let long = columns.iter().filter(is_candidate);
    let rows = |column: &ArrayRef| -> Vec<usize> {
        (0..column.len()).filter(|row| bytes_of(column, *row) > MOST_VALUE_BYTES).collect()
    };
    long.flat_map(rows).collect()
}

/// How many bytes a value takes whose type has no fixed size.
fn bytes_of(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        _ if column.is_null(row) => 0,
        ArrowType::Utf8View => column.as_string_view().value(row).len(),
        ArrowType::BinaryView => column.as_binary_view().value(row).len(),
        ArrowType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|item| size_of::<i64>() + bytes_of(&items, item)).sum()
        }
        _ => 0,
    }
}

/// A guest's refusals, once they are shown to be of those payloads and in their order.
fn refused(refusals: Vec<Refusal>, payloads: usize) -> Result<Vec<(usize, String)>, Failure> {
    let wrong = |what: String| Failure::new(Cause::Output, what);
    let rise = refusals.windows(2).all(|pair| pair[0].payload < pair[1].payload);
    if !rise {
        return Err(wrong("refused payloads out of their order, or one twice".to_owned()));
    }
    if let Some(last) = refusals.last().filter(|last| last.payload as usize >= payloads) {
        return Err(wrong(format!("refused payload {} of {payloads}", last.payload)));
    }
    Ok(refusals.into_iter().map(|refusal| (refusal.payload as usize, one_line(&refusal.reason))).collect())
}
