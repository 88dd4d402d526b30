//! Texts of definitions in commands that a person gives to a shell. Knows quotes; must not know any command.

/// A text as one word of a shell's command, whatever stands in it.
pub(crate) fn in_shell(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._:/,-=@".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_a_command() {
        assert_eq!(in_shell("a b;$(c)"), "'a b;$(c)'");
        assert_eq!(
            (in_shell("http://a:1/b-c"), in_shell("")),
            ("http://a:1/b-c".to_owned(), "''".to_owned())
        );
        assert_eq!(in_shell("it's"), "'it'\\''s'");
    }
}
