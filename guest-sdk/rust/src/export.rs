//! The exports of a component. On any other target than WebAssembly they come to nothing.

/// Makes the component's exports: once per crate, naming its functions. The kinds stand in this order: `scalars: [..]`,
/// `transforms: [..]`, `aggregates: [..]`, `processes: [..]`, `decoder: ..`.
///
/// ```
/// # #[weir::scalar]
/// # pub fn haversine_km(lat: f64, lon: f64) -> f64 { lat + lon }
/// # #[derive(weir::Row)]
/// # pub struct Risk { score: f64 }
/// # #[weir::transform]
/// # pub fn risk(amount: f64) -> Risk { Risk { score: amount } }
/// weir::export! { scalars: [haversine_km], transforms: [risk] }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    (
        $(scalars: [$($scalar:path),+ $(,)?] $(,)?)?
        $(transforms: [$($transform:path),+ $(,)?] $(,)?)?
        $(aggregates: [$($aggregate:path),+ $(,)?] $(,)?)?
        $(processes: [$($process:path),+ $(,)?] $(,)?)?
        $(decoder: $decoder:path $(,)?)?
    ) => {
        $($crate::export_scalars! { $($scalar),+ })?
        $($crate::export_transforms! { $($transform),+ })?
        $($crate::export_aggregates! { $($aggregate),+ })?
        $($crate::export_processes! { $($process),+ })?
        $($crate::export_decoder! { $decoder })?
    };
}

/// The exports of scalar functions.
#[doc(hidden)]
#[macro_export]
macro_rules! export_scalars {
    ($($scalar:path),+) => {
        const _: () = {
            const FUNCTIONS: &[$crate::scalar::ScalarEntry] = &[$($crate::scalar::ScalarEntry::of::<$scalar>()),+];
            struct Scalars;
            impl $crate::bindings::scalar::exports::weir::feature::scalar_functions::Guest for Scalars {
                fn describe() -> ::std::vec::Vec<$crate::scalar::FunctionInfo> {
                    ::std::vec![$(<$scalar as $crate::scalar::ScalarFunction>::describe()),+]
                }
                fn call(
                    name: ::std::string::String,
                    args: ::std::vec::Vec<$crate::Column>,
                    rows: u32,
                ) -> ::std::result::Result<$crate::Column, ::std::string::String> {
                    $crate::scalar::call(FUNCTIONS, &name, &args, rows)
                }
            }
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            const _: () = {
                $crate::bindings::scalar::export!(
                    Scalars with_types_in $crate::bindings::scalar
                );
            };
        };
    };
}

/// The exports of transforms.
#[doc(hidden)]
#[macro_export]
macro_rules! export_transforms {
    ($($transform:path),+) => {
        const _: () = {
            const FUNCTIONS: &[$crate::transform::TransformEntry] = &[$($crate::transform::TransformEntry::of::<$transform>()),+];
            struct Transforms;
            impl $crate::bindings::transform::exports::weir::feature::transformer::Guest for Transforms {
                fn describe() -> ::std::vec::Vec<$crate::transform::TransformInfo> {
                    ::std::vec![$(<$transform as $crate::transform::TransformFunction>::describe()),+]
                }
                fn call(
                    name: ::std::string::String,
                    args: ::std::vec::Vec<$crate::Column>,
                    rows: u32,
                ) -> ::std::result::Result<::std::vec::Vec<$crate::Column>, ::std::string::String> {
                    $crate::transform::call(FUNCTIONS, &name, &args, rows)
                }
            }
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            const _: () = {
                $crate::bindings::transform::export!(
                    Transforms with_types_in $crate::bindings::transform
                );
            };
        };
    };
}

/// The export of a decoder.
#[doc(hidden)]
#[macro_export]
macro_rules! export_decoder {
    ($decoder:path) => {
        const _: () = {
            struct Payloads;
            impl $crate::bindings::decode::exports::weir::feature::decoder::Guest for Payloads {
                fn describe() -> ::std::vec::Vec<$crate::Field> {
                    <$decoder as $crate::decode::Decoder>::describe()
                }
                fn decode(
                    payloads: ::std::vec::Vec<::std::vec::Vec<u8>>,
                    wanted: ::std::vec::Vec<::std::string::String>,
                ) -> ::std::result::Result<$crate::decode::Decoded, ::std::string::String> {
                    <$decoder as $crate::decode::Decoder>::decode(&payloads, &wanted)
                }
            }
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            const _: () = {
                $crate::bindings::decode::export!(
                    Payloads with_types_in $crate::bindings::decode
                );
            };
        };
    };
}

/// The exports of aggregates.
#[doc(hidden)]
#[macro_export]
macro_rules! export_aggregates {
    ($($aggregate:path),+) => {
        const _: () = {
            const FUNCTIONS: &[$crate::aggregate::AggregateEntry] = &[$($crate::aggregate::AggregateEntry::of::<$aggregate>()),+];
            type States = ::std::vec::Vec<::std::vec::Vec<u8>>;
            type Params = ::std::vec::Vec<$crate::Literal>;
            type Outcome<T> = ::std::result::Result<T, ::std::string::String>;
            struct Aggregates;
            impl $crate::bindings::aggregate::exports::weir::feature::aggregate_functions::Guest for Aggregates {
                fn describe() -> ::std::vec::Vec<$crate::aggregate::AggregateInfo> {
                    ::std::vec![$(<$aggregate as $crate::aggregate::AggregateFunction>::describe()),+]
                }
                fn update(
                    name: ::std::string::String,
                    params: Params,
                    states: States,
                    groups: ::std::vec::Vec<u32>,
                    times: ::std::vec::Vec<i64>,
                    args: ::std::vec::Vec<$crate::Column>,
                ) -> Outcome<States> {
                    $crate::aggregate::call(FUNCTIONS, &name, |function| {
                        (function.update)(&params, states, &groups, &times, &args)
                    })
                }
                fn merge(
                    name: ::std::string::String,
                    params: Params,
                    states: States,
                    groups: ::std::vec::Vec<u32>,
                    group_count: u32,
                ) -> Outcome<States> {
                    $crate::aggregate::call(FUNCTIONS, &name, |function| {
                        (function.merge)(&params, &states, &groups, group_count)
                    })
                }
                fn finish(
                    name: ::std::string::String,
                    params: Params,
                    states: States,
                    as_of: ::std::vec::Vec<i64>,
                ) -> Outcome<$crate::Column> {
                    $crate::aggregate::call(FUNCTIONS, &name, |function| {
                        (function.finish)(&params, &states, &as_of)
                    })
                }
            }
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            const _: () = {
                $crate::bindings::aggregate::export!(
                    Aggregates with_types_in $crate::bindings::aggregate
                );
            };
        };
    };
}

/// The export of keyed logic.
#[doc(hidden)]
#[macro_export]
macro_rules! export_processes {
    ($($process:path),+) => {
        const _: () = {
            const FUNCTIONS: &[$crate::process::ProcessEntry] = &[$($crate::process::ProcessEntry::of::<$process>()),+];
            type States = ::std::vec::Vec<::std::vec::Vec<u8>>;
            type Params = ::std::vec::Vec<$crate::Literal>;
            type Outcome = ::std::result::Result<$crate::process::Progress, ::std::string::String>;
            struct Processes;
            impl $crate::bindings::process::exports::weir::feature::processor::Guest for Processes {
                fn describe() -> ::std::vec::Vec<$crate::process::ProcessInfo> {
                    ::std::vec![$(<$process as $crate::process::ProcessFunction>::describe()),+]
                }
                fn on_events(
                    name: ::std::string::String,
                    params: Params,
                    states: States,
                    timers: ::std::vec::Vec<::std::option::Option<i64>>,
                    counts: ::std::vec::Vec<u32>,
                    times: ::std::vec::Vec<i64>,
                    args: ::std::vec::Vec<$crate::Column>,
                ) -> Outcome {
                    $crate::process::call(FUNCTIONS, &name, |function| {
                        (function.on_events)(&params, states, timers, &counts, &times, &args)
                    })
                }
                fn on_timer(
                    name: ::std::string::String,
                    params: Params,
                    states: States,
                    times: ::std::vec::Vec<i64>,
                ) -> Outcome {
                    $crate::process::call(FUNCTIONS, &name, |function| {
                        (function.on_timer)(&params, states, &times)
                    })
                }
            }
            #[cfg(target_arch = "wasm32")]
            #[allow(unsafe_code)]
            const _: () = {
                $crate::bindings::process::export!(
                    Processes with_types_in $crate::bindings::process
                );
            };
        };
    };
}
