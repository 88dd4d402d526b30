//! `weir.yaml` -> [`ServerDefinition`].

use super::keys;
use super::node::{Node, Value};
use super::report::Report;
use crate::definition::{Hooks, Limits, Log, Packs, PluginBounds, ServerDefinition};
use crate::is_name;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use weir_event::ByteSize;

/// A key group is never split and there are 128, so more shards would have nothing to do.
pub(super) const SHARDS_LIMIT: u64 = 128;

/// Reads the settings of the server; what is not given has its default.
pub(super) fn read(root: &Node, report: &mut Report) -> Option<ServerDefinition> {
    let mut server = ServerDefinition::default();
    if matches!(root.value, Value::Null) {
        return Some(server);
    }
    let mut keys =
        report.mapping("weir.yaml", root, "a mapping such as {listen: 127.0.0.1:8080}", keys::SERVER)?;
    let listen = keys.take("listen");
    let token = keys.take("token");
    server.token = token.and_then(|node| read_token(node, report));
    if let Some((node, address)) = listen.and_then(|node| Some((node, address(node, report)?))) {
        if !address.ip().is_loopback() && server.token.is_none() {
            let message = format!(
                "`listen`: {address} can be reached from other machines, and `token` is not set; set \
                 `token: ${{WEIR_TOKEN}}`, or listen on 127.0.0.1"
            );
            report.error(node.place, message);
        }
        server.listen = address;
    }
    if let Some(node) = keys.take("data_dir")
        && let Some(folder) = report.text("data_dir", node)
    {
        if folder.is_empty() {
            report.error(node.place, "`data_dir`: names no folder; write one such as .weir");
        }
        server.data_dir = folder;
    }
    if let Some(node) = keys.take("shards") {
        server.shards = report.integer("shards", node, 1..=SHARDS_LIMIT).map(|shards| shards as u16);
    }
    if let Some(node) = keys.take("checkpoint") {
        checkpoint(node, &mut server, report);
    }
    if let Some(node) = keys.take("log") {
        log(node, &mut server.log, report);
    }
    if let Some(node) = keys.take("hooks") {
        hooks(node, &mut server.hooks, report);
    }
    if let Some(node) = keys.take("limits") {
        limits(node, &mut server.limits, report);
    }
    if let Some(node) = keys.take("plugins") {
        server.plugins = plugins(node, report);
    }
    if let Some(node) = keys.take("packs") {
        server.packs = packs(node, report);
    }
    keys.finish("", report);
    Some(server)
}

fn address(node: &Node, report: &mut Report) -> Option<SocketAddr> {
    let text = report.text("listen", node)?;
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = local.map(|port: u16| (Ipv4Addr::LOCALHOST, port).into()).or_else(|| text.parse().ok());
    if address.is_none() {
        let message =
            format!("`listen`: `{text}` is not an address; write ADDRESS:PORT, such as 127.0.0.1:8080");
        report.error(node.place, message);
    }
    address
}

/// An empty token is none, as of `${WEIR_TOKEN:-}`.
fn read_token(node: &Node, report: &mut Report) -> Option<String> {
    let token = report.text("token", node).filter(|token| !token.is_empty())?;
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        let message = "`token`: holds what cannot stand in a header; use letters, digits and signs of ASCII";
        report.error(node.place, message);
    }
    Some(token)
}

fn checkpoint(node: &Node, server: &mut ServerDefinition, report: &mut Report) {
    let Some(mut keys) =
        report.mapping("checkpoint", node, "a mapping such as {every: 10s, keep: 3}", keys::CHECKPOINT)
    else {
        return;
    };
    if let Some(node) = keys.take("every")
        && let Some(every) = report.positive_span("checkpoint.every", node)
    {
        server.checkpoint_every = every;
    }
    if let Some(node) = keys.take("keep")
        && let Some(keep) = report.integer("checkpoint.keep", node, 1..=u32::MAX.into())
    {
        server.checkpoints_kept = keep as u32;
    }
    keys.finish("checkpoint.", report);
}

/// Addresses, each by what it is told of.
fn hooks(node: &Node, hooks: &mut Hooks, report: &mut Report) {
    let shape = "a mapping such as {bootstrapped: \"https://example.com/hook\"}";
    let Some(mut keys) = report.mapping("hooks", node, shape, keys::HOOKS) else { return };
    if let Some(node) = keys.take("bootstrapped")
        && let Some(url) = report.text("hooks.bootstrapped", node)
    {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message =
                "`hooks.bootstrapped`: is not an address; write one that begins with https:// or http://";
            report.error(node.place, message);
        }
        hooks.bootstrapped = Some(url);
    }
    keys.finish("hooks.", report);
}

const FORMATS: [(&str, bool); 2] = [("text", false), ("json", true)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A format or a level as a word, or both in a mapping.
fn log(node: &Node, log: &mut Log, report: &mut Report) {
    if let Value::Text(word) = &node.value {
        match FORMATS.iter().find(|(format, _)| format == word) {
            Some((_, json)) => log.json = *json,
            None => read_level("log", node, log, report),
        }
        return;
    }
    let Some(mut keys) =
        report.mapping("log", node, "json, text, a level, or {format: json, level: info}", keys::LOG)
    else {
        return;
    };
    if let Some(node) = keys.take("format")
        && let Some(json) = report.word("log.format", node, &FORMATS)
    {
        log.json = json;
    }
    if let Some(node) = keys.take("level") {
        read_level("log.level", node, log, report);
    }
    keys.finish("log.", report);
}

/// A level, or levels by part of weir: `warn,weir_engine=debug`.
fn read_level(key: &str, node: &Node, log: &mut Log, report: &mut Report) {
    let Some(text) = report.text(key, node) else { return };
    let is_level = |part: &str| {
        let level = part.rsplit('=').next().unwrap_or_default().trim();
        LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level))
    };
    if text.split(',').all(is_level) {
        log.level = text;
        return;
    }
    let message =
        format!("`{key}`: `{text}` is not a level; write json, text, or one of {}", LEVELS.join(", "));
    report.error(node.place, message);
}

fn limits(node: &Node, limits: &mut Limits, report: &mut Report) {
    let Some(mut keys) = report.mapping("limits", node, "a mapping such as {body: 10MiB}", keys::LIMITS)
    else {
        return;
    };
    type ReadBytes = fn(&str, &Node, &mut Report) -> Option<u64>;
    let sizes: [(_, _, ReadBytes); 5] = [
        ("plugin_memory", &mut limits.plugin_memory_bytes, memory),
        ("body", &mut limits.body_bytes, size),
        ("train_body", &mut limits.train_body_bytes, size),
        ("dead_letters", &mut limits.dead_letters_bytes, size),
        ("outbox", &mut limits.outbox_bytes, size),
    ];
    for (key, limit, read) in sizes {
        if let Some(node) = keys.take(key)
            && let Some(bytes) = read(&format!("limits.{key}"), node, report)
        {
            *limit = bytes;
        }
    }
    if let Some(node) = keys.take("plugin_fuel_per_call")
        && let Some(fuel) = report.integer("limits.plugin_fuel_per_call", node, 1..=u64::MAX)
    {
        limits.plugin_fuel_per_call = fuel;
    }
    keys.finish("limits.", report);
}

/// Bounds by plugin; a plugin may come later.
fn plugins(node: &Node, report: &mut Report) -> BTreeMap<String, PluginBounds> {
    let Value::Mapping(plugins) = &node.value else {
        let found = node.value.noun();
        let shape = "a mapping such as {geo: {memory: 128MiB}}";
        report.error(node.place, format!("`plugins`: expected {shape}, found {found}"));
        return BTreeMap::new();
    };
    report.repeated(plugins);
    let mut bounds = BTreeMap::new();
    for (key, node) in plugins {
        let label = format!("plugins.{}", key.name);
        if !is_name(&key.name) {
            report.error(key.place, format!("`{label}`: is not a name of a plugin; write [a-z][a-z0-9_]*"));
        }
        let Some(mut keys) = report.mapping(&label, node, "a mapping such as {memory: 128MiB}", keys::PLUGIN)
        else {
            continue;
        };
        let memory_bytes =
            keys.take("memory").and_then(|node| memory(&format!("{label}.memory"), node, report));
        let fuel_per_call = keys
            .take("fuel_per_call")
            .and_then(|node| report.integer(&format!("{label}.fuel_per_call"), node, 1..=u64::MAX));
        let output_bytes =
            keys.take("output").and_then(|node| size(&format!("{label}.output"), node, report));
        let state_bytes = keys.take("state").and_then(|node| state(&format!("{label}.state"), node, report));
        let log_lines = keys
            .take("log_lines")
            .and_then(|node| report.integer(&format!("{label}.log_lines"), node, 0..=u64::from(u32::MAX)));
        keys.finish(&format!("{label}."), report);
        let log_lines = log_lines.and_then(|lines| u32::try_from(lines).ok());
        let of_plugin = PluginBounds { memory_bytes, fuel_per_call, output_bytes, state_bytes, log_lines };
        bounds.insert(key.name.clone(), of_plugin);
    }
    bounds
}

/// Whose packs are installed.
fn packs(node: &Node, report: &mut Report) -> Packs {
    let mut packs = Packs::default();
    let shape = "a mapping such as {require_signature: true, trusted_keys: [RWQ..]}";
    let Some(mut keys) = report.mapping("packs", node, shape, keys::PACKS) else { return packs };
    if let Some(node) = keys.take("trusted_keys") {
        packs.trusted_keys = trusted_keys(node, report);
    }
    if let Some(node) = keys.take("require_signature") {
        packs.require_signature = report.boolean("packs.require_signature", node).unwrap_or_default();
        if packs.require_signature && packs.trusted_keys.is_empty() {
            let message = "`packs.require_signature`: no key is trusted, so that no pack could be installed; write \
                           `trusted_keys` beside it";
            report.error(node.place, message);
        }
    }
    keys.finish("packs.", report);
    packs
}

/// A list; the environment has them in one text, with commas between them.
fn trusted_keys(node: &Node, report: &mut Report) -> Vec<String> {
    let one = std::slice::from_ref(node);
    let items = if let Value::List(items) = &node.value { items } else { one };
    let mut keys = Vec::new();
    for item in items {
        let Some(text) = report.text("packs.trusted_keys", item) else { continue };
        for key in text.split(',').map(str::trim).filter(|key| !key.is_empty()) {
            if !is_public_key(key) {
                let message = format!(
                    "`packs.trusted_keys`: `{key}` is not a public key; write the line of its .pub file that begins with RW"
                );
                report.error(item.place, message);
            }
            keys.push(key.to_owned());
        }
    }
    keys
}

/// 42 bytes as minisign writes them, of which the first two are always the same.
fn is_public_key(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    text.len() == 56 && text.starts_with("RW") && text.chars().all(fits)
}

/// The least memory that any component has: a page.
const PAGE_BYTES: u64 = 64 << 10;

/// As [`size`]; a number so small that no plugin could start lacks its unit.
fn memory(key: &str, node: &Node, report: &mut Report) -> Option<u64> {
    let bytes = size(key, node, report)?;
    if bytes < PAGE_BYTES && matches!(node.value, Value::Number(_)) {
        let message =
            format!("`{key}`: {bytes} bytes are too few for any plugin; write a unit, as {bytes}MiB");
        report.error(node.place, message);
        return None;
    }
    Some(bytes)
}

/// The most bytes that a state may have.
const MOST_STATE_BYTES: u64 = 64 << 10;

fn state(key: &str, node: &Node, report: &mut Report) -> Option<u64> {
    let bytes = size(key, node, report)?;
    if bytes > MOST_STATE_BYTES {
        report.error(node.place, format!("`{key}`: a state has up to 64KiB; write so much or less"));
        return None;
    }
    Some(bytes)
}

/// Bytes: a whole number and a unit, or a whole number of bytes.
fn size(key: &str, node: &Node, report: &mut Report) -> Option<u64> {
    if let Value::Number(_) = node.value {
        return report.integer(key, node, 1..=u64::MAX);
    }
    let text = report.text(key, node)?;
    let size = text.parse::<ByteSize>();
    size.map(ByteSize::bytes).map_err(|error| report.error(node.place, format!("`{key}`: {error}"))).ok()
}
