//! The report of `weir plugin check`, for a terminal and as a page. Must not know how anything is tried.

use std::fmt::Write;
use weir_plugin::{Finding, Plugin, Tried, Verdict};

/// Lines for a terminal.
pub(super) fn text(file: &str, plugin: &Plugin, tried: &[Tried]) -> String {
    let mut text = format!("{file}: a server takes it\n");
    // Without a namespace it is what a tool-chain has left there for itself.
    for export in plugin.ignored().iter().filter(|export| export.contains(':')) {
        push(&mut text, format_args!("  its export {export} is not weir's, and ignored"));
    }
    for function in tried {
        push(&mut text, format_args!("\n{}", function.function));
        for finding in &function.findings {
            for (at, line) in lines(finding).into_iter().enumerate() {
                push(&mut text, format_args!("  {}{line}", if at == 0 { "" } else { "        " }));
            }
        }
    }
    text
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a text takes whatever is written to it");
}

/// What is said of a finding: the first line names the law.
fn lines(finding: &Finding) -> Vec<String> {
    let (law, says) = (finding.law, finding.says);
    match &finding.verdict {
        Verdict::Holds { .. } => vec![format!("holds   {law}: {says}")],
        Verdict::Noted { note } => vec![format!("note    {law}: {note}")],
        Verdict::Broken { rows, because } => {
            let mut lines = vec![format!("BROKEN  {law}: {says}")];
            if rows.is_empty() {
                lines.push("without any row".to_owned());
            }
            lines.extend(rows.iter().cloned());
            lines.extend(because.iter().cloned());
            lines
        }
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1c2833}\
                     table{border-collapse:collapse;width:100%}td{border-top:1px solid #d5dbdb;padding:.4em .8em .4em 0;\
                     vertical-align:top}td:first-child{width:5em;font-weight:600}.holds{color:#1e8449}.note{color:#9a7d0a}\
                     .broken{color:#c0392b}pre{background:#f4f6f6;padding:.6em;overflow:auto}h2{font:600 17px monospace}";

/// A page that stands alone.
pub(super) fn html(file: &str, plugin: &Plugin, tried: &[Tried]) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\n\
         <h1>{title}</h1>\n<p>sha256 {}</p>\n",
        plugin.sha256(),
        title = escaped(file)
    );
    for function in tried {
        push(&mut page, format_args!("<h2>{}</h2>\n<table>", escaped(&function.function)));
        for finding in &function.findings {
            push(&mut page, format_args!("{}", row(finding)));
        }
        page.push_str("</table>\n");
    }
    page.push_str("</html>\n");
    page
}

fn row(finding: &Finding) -> String {
    let says = escaped(finding.says);
    let (class, more) = match &finding.verdict {
        Verdict::Holds { cases } => ("holds", format!("{cases} case(s)")),
        Verdict::Noted { note } => ("note", escaped(note)),
        Verdict::Broken { rows, because } => {
            let lines = [&rows[..], &because[..]].concat().join("\n");
            ("broken", format!("<pre>{}</pre>", escaped(&lines)))
        }
    };
    format!("<tr><td class=\"{class}\">{class}</td><td><b>{}</b>: {says}<br>{more}</td></tr>", finding.law)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
