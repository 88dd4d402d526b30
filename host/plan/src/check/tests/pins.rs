//! Versions of plugins that a job pins.

use super::*;

const BAD: &[Case] = &[
    (
        "jobs/a.yaml",
        "query: SELECT 1\nplugins: {geo: two, Geo: 1, trip: 0, geo_js: [1], geo: active}\n",
        &[
            "2:16: `plugins.geo`: expected the number of a version, such as 2, or active, found `two`; `weir plugin list` shows",
            "2:21: `plugins.Geo`: is not a name of a plugin; write [a-z][a-z0-9_]*",
            "2:35: `plugins.trip`: expected a whole number from 1 to 4294967295, found 0",
            "2:46: `plugins.geo_js`: expected the number of a version, such as 2, or active, found a list",
            "2:51: `geo`: already given in line 2; keep one",
        ],
    ),
    (
        "jobs/a.yaml",
        "query: SELECT 1\nplugins: geo\n",
        &["2:10: `plugins`: expected a mapping of versions by plugin such as {geo: 2}, found a text"],
    ),
];

#[test]
fn what_is_no_version_is_said_with_its_place() {
    for (path, text, wanted) in BAD {
        let said = said(&project(&[("weir.yaml", ""), (*path, *text)]));
        assert_eq!(said.len(), wanted.len(), "{said:#?}");
        for (said, wanted) in said.iter().zip(*wanted) {
            assert!(said.starts_with(&format!("{path}:{wanted}")), "{said}: {wanted}");
        }
    }
}

#[test]
fn a_job_pins_versions_of_plugins_by_their_numbers() {
    let pins = |text: &str| job(&format!("query: SELECT 1\n{text}")).pins;
    let expected = BTreeMap::from([("geo".to_owned(), crate::Pin { version: 2, place: (2, 11) })]);
    assert_eq!(pins("plugins: {geo: 2, trip: active}\n"), expected);
    assert_eq!(pins("plugins: {}\n"), BTreeMap::new());
}
