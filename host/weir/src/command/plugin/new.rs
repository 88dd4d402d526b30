//! `weir plugin new`: a plugin's folder, with a function and its test, from the templates.

use super::build::Language;
use super::{check_name, kit};
use crate::command::init::{fill, write};
use crate::command::print;
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Make the folder of a plugin
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir plugin new tip_percent --lang python\n  \
                  weir plugin new fare_rise --kind aggregate --dir plugins/fare_rise")]
pub(crate) struct New {
    /// Its name, and that of its function
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// What its function does
    #[arg(long, value_enum, default_value_t = PluginKind::Scalar)]
    kind: PluginKind,
    /// The folder to make (default: NAME)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PluginKind {
    /// One value from the arguments of each row
    Scalar,
    /// Several values from the arguments of each row, computed when a job is asked, `transform: {x: "NAME(a, b).COLUMN"}`
    Transform,
    /// One value from many rows
    Aggregate,
    /// A row from the payload of a message, `format: {plugin: NAME}`
    Decode,
    /// Rows from the events of a key, with a memory and a timer, `FROM TABLE(NAME(TABLE t PARTITION BY k))`
    Process,
}

/// The templates of a kind: where each goes in the folder, and its text.
type Templates = &'static [(&'static str, &'static str)];

fn templates(language: Language, kind: PluginKind) -> Templates {
    match (language, kind) {
        (Language::Rust, PluginKind::Scalar) => &[
            ("Cargo.toml", include_str!("../../../templates/plugin/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../../templates/plugin/rust/scalar.rs")),
        ],
        (Language::Rust, PluginKind::Aggregate) => &[
            ("Cargo.toml", include_str!("../../../templates/plugin/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../../templates/plugin/rust/aggregate.rs")),
        ],
        (Language::Python, PluginKind::Scalar) => &[
            ("plugin.py", include_str!("../../../templates/plugin/python/scalar.py")),
            ("test_plugin.py", include_str!("../../../templates/plugin/python/test_scalar.py")),
        ],
        (Language::Js, PluginKind::Scalar) => &[
            ("package.json", include_str!("../../../templates/plugin/js/package.json")),
            ("plugin.js", include_str!("../../../templates/plugin/js/scalar.js")),
            ("test_plugin.js", include_str!("../../../templates/plugin/js/test_scalar.js")),
        ],
        (Language::Js, PluginKind::Aggregate) => &[
            ("package.json", include_str!("../../../templates/plugin/js/package.json")),
            ("plugin.js", include_str!("../../../templates/plugin/js/aggregate.js")),
            ("test_plugin.js", include_str!("../../../templates/plugin/js/test_aggregate.js")),
        ],
        (Language::Rust, PluginKind::Decode) => &[
            ("Cargo.toml", include_str!("../../../templates/plugin/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../../templates/plugin/rust/decode.rs")),
        ],
        (Language::Js, PluginKind::Decode) => &[
            ("package.json", include_str!("../../../templates/plugin/js/package.json")),
            ("plugin.js", include_str!("../../../templates/plugin/js/decode.js")),
            ("test_plugin.js", include_str!("../../../templates/plugin/js/test_decode.js")),
        ],
        (Language::Python, PluginKind::Decode) => &[
            ("plugin.py", include_str!("../../../templates/plugin/python/decode.py")),
            ("test_plugin.py", include_str!("../../../templates/plugin/python/test_decode.py")),
        ],
        (Language::Rust, PluginKind::Transform) => &[
            ("Cargo.toml", include_str!("../../../templates/plugin/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../../templates/plugin/rust/transform.rs")),
        ],
        (Language::Js, PluginKind::Transform) => &[
            ("package.json", include_str!("../../../templates/plugin/js/package.json")),
            ("plugin.js", include_str!("../../../templates/plugin/js/transform.js")),
            ("test_plugin.js", include_str!("../../../templates/plugin/js/test_transform.js")),
        ],
        (Language::Python, PluginKind::Transform) => &[
            ("plugin.py", include_str!("../../../templates/plugin/python/transform.py")),
            ("test_plugin.py", include_str!("../../../templates/plugin/python/test_transform.py")),
        ],
        (Language::Rust, PluginKind::Process) => &[
            ("Cargo.toml", include_str!("../../../templates/plugin/rust/Cargo.toml")),
            ("src/lib.rs", include_str!("../../../templates/plugin/rust/process.rs")),
        ],
        (Language::Js, PluginKind::Process) => &[
            ("package.json", include_str!("../../../templates/plugin/js/package.json")),
            ("plugin.js", include_str!("../../../templates/plugin/js/process.js")),
            ("test_plugin.js", include_str!("../../../templates/plugin/js/test_process.js")),
        ],
        (Language::Python, PluginKind::Process) => &[
            ("plugin.py", include_str!("../../../templates/plugin/python/process.py")),
            ("test_plugin.py", include_str!("../../../templates/plugin/python/test_process.py")),
        ],
        (Language::Python, PluginKind::Aggregate) => &[
            ("plugin.py", include_str!("../../../templates/plugin/python/aggregate.py")),
            ("test_plugin.py", include_str!("../../../templates/plugin/python/test_aggregate.py")),
        ],
    }
}

/// Where a plugin has its own copy of what it depends on, so that it stands alone.
const KIT: &str = "weir";

/// What is copied there: the beginnings of paths in the kit, and what of them is left out.
fn copied(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => &[("guest-sdk/rust/", ""), ("wit/", "")],
        Language::Js => &[("guest-sdk/js/weir/", "guest-sdk/js/weir/")],
        // The package comes with the program that builds.
        Language::Python => &[],
    }
}

const SERDE: &str = "serde = { version = \"1\", default-features = false, features = [\"derive\"] }\n";

pub(super) fn run(arguments: &New) -> Result<(), Failure> {
    let name = &arguments.name;
    check_name(name)?;
    check_function_name(name, arguments.lang)?;
    let folder = arguments.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let shown = folder.display();
    if let Some(other) = Language::of(&folder) {
        return Err(Failure::user(format!("{shown} holds a plugin in {other} already; give another --dir")));
    }
    let serde = match arguments.kind {
        PluginKind::Scalar | PluginKind::Transform | PluginKind::Decode => "",
        PluginKind::Aggregate | PluginKind::Process => SERDE,
    };
    let marks = [
        ("{{NAME}}", name.clone()),
        ("{{TYPE}}", type_name(name)),
        ("{{SDK}}", format!("{KIT}/guest-sdk/rust")),
        ("{{SERDE}}\n", serde.to_owned()),
    ];
    for (path, text) in templates(arguments.lang, arguments.kind) {
        write(&folder.join(path), &fill(text, &marks))?;
    }
    for (beginning, left_out) in copied(arguments.lang) {
        for (path, text) in kit::below(beginning) {
            write(&folder.join(KIT).join(path.strip_prefix(left_out).unwrap_or(path)), text)?;
        }
    }
    print(&format!(
        "made {shown}\n\n  weir plugin test {shown}\n  weir plugin build {shown}\n  \
         weir plugin push {name} {shown}/dist/{name}.wasm --activate"
    ))
}

/// Names that no function of a language can have, or that its template uses; in lower case.
fn words(language: Language) -> &'static str {
    match language {
        Language::Rust => {
            "abstract as async await become box break const continue crate do dyn else enum extern false \
             final fn for gen if impl in let loop macro match mod move mut override priv pub ref return \
             self static struct super trait true try type typeof unsafe unsized use virtual weir where \
             while yield"
        }
        Language::Python => {
            "and as assert async await break class continue dataclass def del elif else except finally \
             float for from global if import in int is iterator lambda len max nonlocal not or pass pytest raise \
             return try weir while with yield"
        }
        Language::Js => {
            "aggregate arguments async await bigint break case catch class const continue debugger decode \
             default delete do double else enum eval export extends false finally for function if \
             implements import in instanceof interface let new null nullable package payload private \
             protected public return scalar static super switch text this throw timestamp transform true try \
             typeof undefined var void while with yield"
        }
    }
}

/// Refuses a name that its function cannot have: in its language, or in queries.
fn check_function_name(name: &str, language: Language) -> Result<(), Failure> {
    let of_sql = weir_sql::taken(name).map(str::to_owned);
    let reason = of_sql.or_else(|| {
        words(language)
            .split(' ')
            .any(|word| word == name)
            .then(|| format!("is a word of {language}, or of the template"))
    });
    match reason {
        Some(reason) => Err(Failure::user(format!("`{name}` {reason}; call the plugin otherwise"))),
        None => Ok(()),
    }
}

/// `fare_rise` -> `FareRise`
fn type_name(name: &str) -> String {
    let words = name.split('_').filter_map(|word| word.split_at_checked(1));
    words.map(|(first, rest)| first.to_ascii_uppercase() + rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_function_has_the_name_of_something_else() {
        let said =
            |name, language| check_function_name(name, language).map_err(|failure| failure.to_string());
        for (name, language, reason) in [
            (
                "lambda",
                Language::Python,
                "`lambda` is a word of Python, or of the template; call the plugin otherwise",
            ),
            (
                "match",
                Language::Rust,
                "`match` is a word of Rust, or of the template; call the plugin otherwise",
            ),
            (
                "delete",
                Language::Js,
                "`delete` is a word of JavaScript, or of the template; call the plugin otherwise",
            ),
            (
                "abs",
                Language::Python,
                "`abs` is a built-in function, which queries call in its place; call the plugin otherwise",
            ),
        ] {
            assert_eq!(said(name, language), Err(reason.to_owned()));
        }
        assert_eq!(said("lambda", Language::Rust), Ok(()));
        assert_eq!(said("tip_percent", Language::Python), Ok(()));
    }

    #[test]
    fn types_are_named_after_plugins() {
        assert_eq!(type_name("fare_rise"), "FareRise");
        assert_eq!(type_name("a__b2"), "AB2");
    }

    #[test]
    fn a_new_plugin_is_complete_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        for lang in [Language::Rust, Language::Python, Language::Js] {
            for &kind in PluginKind::value_variants() {
                let dir = folder.path().join(format!("{lang:?}{kind:?}"));
                let name = "fare_rise".to_owned();
                let arguments = New { name, lang, kind, dir: Some(dir.clone()) };
                run(&arguments).unwrap();
                let texts = templates(lang, kind).iter();
                let texts = texts.map(|(path, _)| fs::read_to_string(dir.join(path)).unwrap());
                let all = texts.collect::<String>();
                assert!(all.contains("fare_rise") && !all.contains("{{"), "{all}");
                assert_eq!(run(&arguments).unwrap_err().exit_code(), 1);
            }
        }
    }
}
