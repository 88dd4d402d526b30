//! `weir pack show`: what a pack says of itself, and how that looks, also before it is installed.

use super::source::Source;
use super::trust::{Trust, TrustArguments};
use crate::command::{print, print_json};
use crate::failure::Failure;
use crate::packing::plain;
use crate::table;
use clap::Args;
use serde_json::json;
use weir_pack::bounds;
use weir_pack::config::{PackColumn, PackConfig};
use weir_pack::signature::Signed;
use weir_pack::{Pack, PackVariable};

/// What is in a pack, and who signed it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir pack show user-risk-1.2.0.tar\n  weir pack show user-risk-1.2.0.tar --key team.key.pub --json"
)]
pub(crate) struct ShowPack {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    trust: TrustArguments,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &ShowPack) -> Result<(), Failure> {
    let artifact = arguments.source.read()?;
    let pack = artifact.open()?;
    let signed = Trust::of(&arguments.trust)?.judge(&artifact)?;
    if !arguments.json {
        let title = format!("{}\n{}", head(&pack, &signed), contents(&pack.config));
        return print(&format!("{title}\n\n{}", files(&pack)));
    }
    let mut shown = serde_json::to_value(&pack.config).map_err(|error| Failure::weir(error.to_string()))?;
    shown["digest"] = json!(pack.digest);
    shown["signature"] = match &signed {
        Signed::No => json!({"state": "none"}),
        Signed::By(key, comment) => json!({"state": "trusted", "key": key.to_string(), "comment": comment}),
        Signed::Unknown(keys) => {
            json!({"state": "unknown", "keys": keys.iter().map(ToString::to_string).collect::<Vec<_>>()})
        }
    };
    print_json(&shown)
}

/// Which pack it is, and whose.
pub(super) fn head(pack: &Pack, signed: &Signed) -> String {
    let config = &pack.config;
    let mut lines = vec![format!("{}  {}", config.title(), pack.digest)];
    lines.extend((!config.description.is_empty()).then(|| plain(&config.description)));
    lines.push(match signed {
        Signed::No => "not signed".to_owned(),
        Signed::By(key, comment) => format!("signed by key {key}, which is trusted: {}", plain(comment)),
        Signed::Unknown(keys) => {
            let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
            format!(
                "signed by key {}, which nobody here trusts: it is not known whether that is true",
                keys.join(", ")
            )
        }
    });
    lines.join("\n")
}

/// What is in it.
pub(super) fn contents(config: &PackConfig) -> String {
    let columns = |columns: &[PackColumn]| {
        let shown =
            columns.iter().map(|column| format!("{} {}", plain(&column.name), plain(&column.data_type)));
        shown.collect::<Vec<_>>().join(", ")
    };
    let mut parts = Vec::new();
    let streams: Vec<Vec<String>> = config
        .streams
        .iter()
        .map(|stream| {
            vec![
                plain(&stream.name),
                plain(stream.source.as_deref().unwrap_or("-")),
                columns(&stream.columns),
            ]
        })
        .collect();
    parts.extend(section(&["stream", "source", "columns"], &streams));
    let jobs: Vec<Vec<String>> = config
        .jobs
        .iter()
        .map(|job| {
            let sinks = if job.sinks.is_empty() { "-".to_owned() } else { plain(&job.sinks.join(", ")) };
            vec![
                plain(&job.name),
                job.version.to_string(),
                plain(&job.entity.join(", ")),
                sinks,
                columns(&job.features),
            ]
        })
        .collect();
    parts.extend(section(&["job", "version", "by", "sinks", "features"], &jobs));
    let plugins: Vec<Vec<String>> = config
        .plugins
        .iter()
        .map(|plugin| vec![plain(&plugin.name), bounds::shown(plugin.bytes), plugin.digest.to_string()])
        .collect();
    parts.extend(section(&["plugin", "size", "digest"], &plugins));
    let variables: Vec<Vec<String>> = config.variables.iter().map(variable).collect();
    parts.extend(section(&["variable", "if it is not set", "named in"], &variables));
    parts.iter().map(|part| format!("\n{part}")).collect::<Vec<_>>().join("\n")
}

fn variable(variable: &PackVariable) -> Vec<String> {
    let default = match &variable.default {
        None => "has to be set".to_owned(),
        Some(default) if default.is_empty() => "nothing".to_owned(),
        Some(default) => plain(default),
    };
    vec![plain(&variable.name), default, plain(&variable.files.join(", "))]
}

fn section(head: &[&str], rows: &[Vec<String>]) -> Option<String> {
    (!rows.is_empty()).then(|| table::render(head, rows))
}

fn files(pack: &Pack) -> String {
    let row = |(path, bytes): (&String, &Vec<u8>)| vec![path.clone(), bounds::shown(bytes.len() as u64)];
    table::render(&["file", "size"], &pack.files.iter().map(row).collect::<Vec<_>>())
}
