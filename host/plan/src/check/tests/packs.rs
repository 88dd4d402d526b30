//! Whose feature packs a project takes.

use super::*;
use crate::definition::Packs;

const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

fn read(text: &str, variables: &[(&str, &str)]) -> Result<Packs, Vec<String>> {
    let environment =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let outcome =
        check_server(&file("weir.yaml", text), &Context { environment: &environment, kinds: &Kinds });
    let said = || outcome.diagnostics.iter().map(ToString::to_string).collect();
    outcome.value.clone().map(|server| server.packs).ok_or_else(said)
}

#[test]
fn keys_come_from_the_file_or_from_the_environment() {
    assert_eq!(read("", &[]), Ok(Packs::default()));
    let wanted = Packs { trusted_keys: vec![KEY.to_owned()], require_signature: true };
    let text = format!("packs: {{trusted_keys: [{KEY}], require_signature: true}}");
    assert_eq!(read(&text, &[]), Ok(wanted.clone()));
    let variables = [("WEIR_PACKS_TRUSTED_KEYS", KEY), ("WEIR_PACKS_REQUIRE_SIGNATURE", "true")];
    assert_eq!(read("", &variables), Ok(wanted));
    let two = format!("{KEY}, {KEY}");
    let read = read("packs: {trusted_keys: []}", &[("WEIR_PACKS_TRUSTED_KEYS", &two)]).unwrap();
    assert_eq!(read.trusted_keys, [KEY, KEY]);
}

#[test]
fn what_is_no_key_and_a_demand_without_one_are_refused() {
    for (text, part) in [
        (
            "packs: {trusted_keys: [sesame]}",
            "weir.yaml:1:24: `packs.trusted_keys`: `sesame` is not a public key",
        ),
        ("packs: {require_signature: true}", "no key is trusted"),
        ("packs: {require_signature: yes}", "expected true or false"),
        ("packs: {trusted: []}", "`packs.trusted`: unknown key"),
        ("packs: [x]", "such as {require_signature: true"),
    ] {
        let said = read(text, &[]).unwrap_err().join("\n");
        assert!(said.contains(part), "{text}: {said}");
    }
}
