//! Settings that the environment gives, and those of the log.

use super::*;

/// What `weir.yaml` comes to with these variables.
fn server(text: &str, variables: &[(&str, &str)]) -> Outcome<ServerDefinition> {
    let environment =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    check_server(&file("weir.yaml", text), &Context { environment: &environment, kinds: &Kinds })
}

#[test]
fn every_setting_has_a_variable_that_comes_before_the_file() {
    let names: Vec<String> = server_variables().into_iter().map(|variable| variable.name).collect();
    for name in ["WEIR_LISTEN", "WEIR_TOKEN", "WEIR_CHECKPOINT_EVERY", "WEIR_LOG", "WEIR_LOG_FORMAT"] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
    let text = "listen: 127.0.0.1:1\nshards: 2\ncheckpoint: {every: 7s, keep: 9}\n";
    let variables = [
        ("WEIR_LISTEN", "0.0.0.0:81"),
        ("WEIR_TOKEN", "12345"),
        ("WEIR_CHECKPOINT_EVERY", "3s"),
        ("WEIR_LIMITS_BODY", "20MiB"),
        ("WEIR_DATA_DIR", "elsewhere"),
        ("WEIR_SHARDS", ""),
        ("WEIR_LOG_FORMAT", "json"),
        ("WEIR_LOG", "warn,weir_engine=debug"),
    ];
    for text in [text, ""] {
        let server = server(text, &variables).value.unwrap();
        assert_eq!(server.listen.to_string(), "0.0.0.0:81");
        assert_eq!(server.token.as_deref(), Some("12345"));
        assert_eq!(server.checkpoint_every, Span::from_millis(3000));
        assert_eq!(
            server.checkpoints_kept,
            if text.is_empty() { 3 } else { 9 },
            "the rest of a mapping stays"
        );
        assert_eq!(server.shards, if text.is_empty() { None } else { Some(2) }, "an empty variable is none");
        assert_eq!((server.limits.body_bytes, &*server.data_dir), (20 << 20, "elsewhere"));
        assert!(server.log.json);
    }
}

#[test]
fn what_a_variable_says_wrong_is_told_by_its_name() {
    let outcome = server("shards: 2\n", &[("WEIR_SHARDS", "many"), ("WEIR_LOG", "loud")]);
    let told: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
    assert!(outcome.value.is_none());
    for words in ["environment variable WEIR_SHARDS", "environment variable WEIR_LOG:"] {
        assert!(told.iter().any(|line| line.starts_with(words)), "{words} is not in {told:?}");
    }
    assert!(server("", &[("WEIR_LISTEN", "0.0.0.0:1")]).value.is_none(), "beyond loopback needs a token");
}

#[test]
fn a_log_is_a_format_a_level_or_both() {
    let log = |text: &str| server(text, &[]).value.map(|server| (server.log.json, server.log.level));
    assert_eq!(log(""), Some((false, "info".to_owned())));
    assert_eq!(log("log: json"), Some((true, "info".to_owned())));
    assert_eq!(log("log: debug"), Some((false, "debug".to_owned())));
    assert_eq!(
        log("log: {format: json, level: \"warn,weir_engine=trace\"}"),
        Some((true, "warn,weir_engine=trace".to_owned()))
    );
    for wrong in ["log: loud", "log: {format: xml}", "log: {level: 3}", "log: [json]", "log: {colour: red}"] {
        assert_eq!(log(wrong), None, "{wrong}");
    }
}
