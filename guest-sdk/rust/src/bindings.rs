//! The bindings that are generated from `wit/`, one module per world. Knows nothing of the rest of the kit.
//!
//! All worlds share one set of types. Each has an `export!` of its own, so that a component exports the
//! interfaces that it fills, and no others.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::pedantic)]

/// The world `scalar`, and the types that all worlds share.
pub mod scalar {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "scalar",
        pub_export_macro: true,
        default_bindings_module: "weir::bindings::scalar",
        additional_derives: [PartialEq],
        generate_unused_types: true,
    });
}

/// The world `decode`.
pub mod decode {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "decode",
        pub_export_macro: true,
        default_bindings_module: "weir::bindings::decode",
        additional_derives: [PartialEq],
        with: {
            "weir:feature/types@0.1.0": crate::bindings::scalar::weir::feature::types,
            "weir:feature/platform@0.1.0": crate::bindings::scalar::weir::feature::platform,
        },
    });
}

/// The world `aggregate`.
pub mod aggregate {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "aggregate",
        pub_export_macro: true,
        default_bindings_module: "weir::bindings::aggregate",
        additional_derives: [PartialEq],
        with: {
            "weir:feature/types@0.1.0": crate::bindings::scalar::weir::feature::types,
            "weir:feature/platform@0.1.0": crate::bindings::scalar::weir::feature::platform,
        },
    });
}

/// The world `process`.
pub mod process {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "process",
        pub_export_macro: true,
        default_bindings_module: "weir::bindings::process",
        additional_derives: [PartialEq],
        with: {
            "weir:feature/types@0.1.0": crate::bindings::scalar::weir::feature::types,
            "weir:feature/platform@0.1.0": crate::bindings::scalar::weir::feature::platform,
        },
    });
}

/// The world `transform`.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "transform",
        pub_export_macro: true,
        default_bindings_module: "weir::bindings::transform",
        additional_derives: [PartialEq],
        with: {
            "weir:feature/types@0.1.0": crate::bindings::scalar::weir::feature::types,
            "weir:feature/platform@0.1.0": crate::bindings::scalar::weir::feature::platform,
        },
    });
}
