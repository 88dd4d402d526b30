//! The reference page, `host/weir/REFERENCE.md`: made of the tables that the program itself goes by, and compared with
//! the file, so that it cannot fall behind.
//!
//! Knows how the page looks. Must not know any key, option, route or function: each table says its own.

mod command_line;
mod definitions;
mod http;
mod queries;

const HEAD: &str = "# Reference

Everything that weir takes and says, made of the tables that it goes by itself (a test compares them). How things hang
together is in the [README](../../README.md), how a plugin is written in [plugins/README.md](../../plugins/README.md).

Durations are a whole number and `ms`, `s`, `m`, `h` or `d`; sizes a whole number and `B`, `KiB`, `MiB` or `GiB`. Times
are RFC 3339 or milliseconds since 1970 on the way in, RFC 3339 in UTC on the way out. Names of streams, jobs and
plugins are a lower-case letter and then at most 63 of `a-z`, `0-9` and `_`. Paths start at the project's folder.
`${NAME}` and `${NAME:-default}` in YAML come from the environment.
";

fn page() -> String {
    let parts = [definitions::part(), command_line::part(), http::part(), queries::part()];
    parts.iter().fold(HEAD.to_owned(), |page, part| page + "\n" + part)
}

/// A table in Markdown.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let rule = format!("|{}\n", "---|".repeat(head.len()));
    rows.into_iter().fold(line(&head) + &rule, |table, row| table + &line(&row))
}

/// As it is typed; nothing where there is nothing.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[test]
fn the_reference_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/REFERENCE.md");
    let page = page();
    if std::env::var_os("WEIR_WRITE_DOCUMENTATION").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let differs = found.lines().zip(page.lines()).position(|(found, made)| found != made);
    assert!(
        found == page,
        "host/weir/REFERENCE.md differs from what weir says, from line {:?} on; run \
         `WEIR_WRITE_DOCUMENTATION=1 cargo test -p weir the_reference` and commit the file",
        differs.map(|line| line + 1)
    );
}
