//! Canonical texts without the components that plugin functions come from: what stays the same when another version
//! of a plugin is activated.
//!
//! Knows how a function's identity ends, see [`ScalarFunction::identity`](weir_plan::ScalarFunction::identity). An
//! aggregate's identity has its parameters before that, a scalar's its name alone.

use weir_plan::COMPONENT_MARK;

const HASH_CHARS: usize = 64;

/// Whose components are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// Those of scalar functions: state that was made with another version of them can be gone on from.
    Scalars,
    /// Also those of aggregates, whose state only they can read.
    All,
}

/// The text without components; texts in quotes are the user's own and stay.
pub(crate) fn without_components(canonical: &str, of: Of) -> String {
    let mut kept = String::with_capacity(canonical.len());
    let (mut quoted, mut rest) = (false, canonical);
    while let Some(first) = rest.chars().next() {
        let is_of_aggregate = kept.ends_with(')');
        if !quoted && (of == Of::All || !is_of_aggregate) && starts_with_component(rest) {
            rest = &rest[COMPONENT_MARK.len() + HASH_CHARS..];
            continue;
        }
        let length = match first {
            // What is escaped is no end of a text.
            '\\' if quoted => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => first.len_utf8(),
        };
        quoted ^= first == '"';
        kept.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    kept
}

fn starts_with_component(text: &str) -> bool {
    let hash = text.strip_prefix(COMPONENT_MARK).and_then(|rest| rest.get(..HASH_CHARS));
    hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_left_out_and_texts_of_the_user_stay() {
        let hash = "0123456789abcdef".repeat(4);
        let of = |text: &str, of| without_components(&text.replace("HASH", &hash), of);
        let calls = "track(\"m\",x double)@sha256:HASH[f@sha256:HASH(a, 1)]";
        assert_eq!(of(calls, Of::All), "track(\"m\",x double)[f(a, 1)]");
        let scalars = of(calls, Of::Scalars);
        assert_eq!(scalars, format!("track(\"m\",x double)@sha256:{hash}[f(a, 1)]"));
        let text = r#"concat("x\"@sha256:HASH", "é@sha256:HASH")"#;
        assert_eq!(of(text, Of::All), text.replace("HASH", &hash));
        assert_eq!(of("f@sha256:12", Of::All), "f@sha256:12");
    }
}
