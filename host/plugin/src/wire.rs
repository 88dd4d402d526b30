//! The types of `wit/` as Rust sees them: what is lowered into a guest and what is lifted out of it. wasmtime
//! matches them against a component's types when an export is looked up, so a difference from `wit/` refuses
//! every component. Knows no Arrow.

use wasmtime::component::{ComponentType, Lift, Lower};

/// Prefix of every interface of this version line; a component built against a later one of it still fits.
pub(crate) const SCALAR_FUNCTIONS: &str = "weir:feature/scalar-functions@0.1.";
/// As above.
pub(crate) const AGGREGATE_FUNCTIONS: &str = "weir:feature/aggregate-functions@0.1.";
/// As above.
pub(crate) const DECODER: &str = "weir:feature/decoder@0.1.";
/// As above.
pub(crate) const PROCESSOR: &str = "weir:feature/processor@0.1.";
/// As above.
pub(crate) const TRANSFORMER: &str = "weir:feature/transformer@0.1.";
/// As above.
pub(crate) const AGGREGATE_MIGRATION: &str = "weir:feature/aggregate-migration@0.1.";
/// As above.
pub(crate) const PROCESS_MIGRATION: &str = "weir:feature/process-migration@0.1.";
/// The interfaces that a component may import.
pub(crate) const IMPORTS: [&str; 2] = ["weir:feature/platform@0.1.", "weir:feature/types@0.1."];
/// The name under which the linker offers the platform.
pub(crate) const PLATFORM: &str = "weir:feature/platform@0.1.0";

/// `types.values` on its way into a guest.
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum ValuesIn<'a> {
    #[component(name = "booleans")]
    Booleans(&'a [u8]),
    #[component(name = "int64s")]
    Int64s(&'a [i64]),
    #[component(name = "float64s")]
    Float64s(&'a [f64]),
    #[component(name = "texts")]
    Texts(&'a [&'a str]),
    #[component(name = "blobs")]
    Blobs(&'a [&'a [u8]]),
}

/// `types.column` on its way into a guest.
#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    #[component(name = "values")]
    pub(crate) values: ValuesIn<'a>,
    #[component(name = "validity")]
    pub(crate) validity: &'a [u8],
    #[component(name = "offsets")]
    pub(crate) offsets: &'a [u32],
}

/// `types.values` out of a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum ValuesOut {
    #[component(name = "booleans")]
    Booleans(Vec<u8>),
    #[component(name = "int64s")]
    Int64s(Vec<i64>),
    #[component(name = "float64s")]
    Float64s(Vec<f64>),
    #[component(name = "texts")]
    Texts(Vec<String>),
    #[component(name = "blobs")]
    Blobs(Vec<Vec<u8>>),
}

/// `types.column` out of a guest.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ColumnOut {
    #[component(name = "values")]
    pub(crate) values: ValuesOut,
    #[component(name = "validity")]
    pub(crate) validity: Vec<u8>,
    #[component(name = "offsets")]
    pub(crate) offsets: Vec<u32>,
}

/// What a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum LogicalType {
    /// True or false.
    #[component(name = "boolean")]
    Boolean,
    /// 64-bit integer.
    #[component(name = "bigint")]
    Bigint,
    /// 64-bit float.
    #[component(name = "double")]
    Double,
    /// UTF-8.
    #[component(name = "text")]
    Text,
    /// Milliseconds since the epoch.
    #[component(name = "timestamp")]
    Timestamp,
    /// Raw bytes.
    #[component(name = "bytes")]
    Bytes,
}

/// A logical type, or a list of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct DataType {
    /// The type of the values.
    #[component(name = "logical")]
    pub logical: LogicalType,
    /// Whether each row is a list of them.
    #[component(name = "list")]
    pub list: bool,
}

/// A named, typed parameter or argument.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub struct Field {
    /// Its name, for people.
    #[component(name = "name")]
    pub name: String,
    /// Its type.
    #[component(name = "data-type")]
    pub data_type: DataType,
}

/// `types.literal`.
#[derive(Debug, Clone, PartialEq, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Literal {
    #[component(name = "null")]
    #[allow(dead_code, reason = "a case of the interface that no query can spell yet")]
    Null,
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "int64")]
    Int64(i64),
    #[component(name = "float64")]
    Float64(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "blob")]
    Blob(Vec<u8>),
}

/// `scalar-functions.function-info`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct FunctionInfo {
    #[component(name = "name")]
    pub(crate) name: String,
    #[component(name = "arguments")]
    pub(crate) arguments: Vec<Field>,
    #[component(name = "result")]
    pub(crate) result: DataType,
    #[component(name = "description")]
    pub(crate) description: String,
}

/// `aggregate-functions.algebra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by guests alone")]
pub(crate) enum Algebra {
    #[component(name = "exact")]
    Exact,
    #[component(name = "ordered")]
    Ordered,
    #[component(name = "approximate")]
    Approximate,
}

/// `aggregate-functions.aggregate-info`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct AggregateFunctionInfo {
    #[component(name = "name")]
    pub(crate) name: String,
    #[component(name = "parameters")]
    pub(crate) parameters: Vec<Field>,
    #[component(name = "arguments")]
    pub(crate) arguments: Vec<Field>,
    #[component(name = "result")]
    pub(crate) result: DataType,
    #[component(name = "algebra")]
    pub(crate) algebra: Algebra,
    #[component(name = "description")]
    pub(crate) description: String,
}

/// `decoder.refusal`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Refusal {
    #[component(name = "payload")]
    pub(crate) payload: u32,
    #[component(name = "reason")]
    pub(crate) reason: String,
}

/// `decoder.decoded`.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct DecodedOut {
    #[component(name = "columns")]
    pub(crate) columns: Vec<ColumnOut>,
    #[component(name = "refused")]
    pub(crate) refused: Vec<Refusal>,
}

/// `processor.process-info`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ProcessInfo {
    #[component(name = "name")]
    pub(crate) name: String,
    #[component(name = "parameters")]
    pub(crate) parameters: Vec<Field>,
    #[component(name = "arguments")]
    pub(crate) arguments: Vec<Field>,
    #[component(name = "results")]
    pub(crate) results: Vec<Field>,
    #[component(name = "description")]
    pub(crate) description: String,
}

/// `processor.progress`.
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ProgressOut {
    #[component(name = "states")]
    pub(crate) states: Vec<Vec<u8>>,
    #[component(name = "timers")]
    pub(crate) timers: Vec<Option<i64>>,
    #[component(name = "taken")]
    pub(crate) taken: Vec<u32>,
    #[component(name = "made-by")]
    pub(crate) made_by: Vec<u32>,
    #[component(name = "rows")]
    pub(crate) rows: Vec<ColumnOut>,
}

/// `transformer.transform-info`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct TransformInfo {
    #[component(name = "name")]
    pub(crate) name: String,
    #[component(name = "arguments")]
    pub(crate) arguments: Vec<Field>,
    #[component(name = "results")]
    pub(crate) results: Vec<Field>,
    #[component(name = "description")]
    pub(crate) description: String,
}

/// `platform.level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made by guests alone")]
pub(crate) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// A function's own error, or its column.
pub(crate) type ColumnResult = (Result<ColumnOut, String>,);
/// A function's own error, or its columns.
pub(crate) type ColumnsResult = (Result<Vec<ColumnOut>, String>,);
/// A function's own error, or states.
pub(crate) type StatesResult = (Result<Vec<Vec<u8>>, String>,);
/// `scalar-functions.call` and `transformer.call`.
pub(crate) type CallParams<'a> = (&'a str, &'a [ColumnIn<'a>], u32);
/// `decoder.decode`.
pub(crate) type DecodeParams<'a> = (&'a [&'a [u8]], &'a [&'a str]);
/// A decoder's own error, or what it made.
pub(crate) type DecodeResult = (Result<DecodedOut, String>,);
/// Keyed logic's own error, or what came of it.
pub(crate) type ProgressResult = (Result<ProgressOut, String>,);
/// `processor.on-events`.
pub(crate) type OnEventsParams<'a> =
    (&'a str, &'a [Literal], &'a [&'a [u8]], &'a [Option<i64>], &'a [u32], &'a [i64], &'a [ColumnIn<'a>]);
/// `processor.on-timer`.
pub(crate) type OnTimerParams<'a> = (&'a str, &'a [Literal], &'a [&'a [u8]], &'a [i64]);
/// `aggregate-functions.update`.
pub(crate) type UpdateParams<'a> =
    (&'a str, &'a [Literal], &'a [&'a [u8]], &'a [u32], &'a [i64], &'a [ColumnIn<'a>]);
/// Of `aggregate-migration.migrate` and `process-migration.migrate`.
pub(crate) type MigrateParams<'a> = (&'a str, &'a [Literal], u32, &'a str, &'a [&'a [u8]]);
/// `aggregate-functions.merge`.
pub(crate) type MergeParams<'a> = (&'a str, &'a [Literal], &'a [&'a [u8]], &'a [u32], u32);
/// `aggregate-functions.finish`.
pub(crate) type FinishParams<'a> = (&'a str, &'a [Literal], &'a [&'a [u8]], &'a [i64]);
