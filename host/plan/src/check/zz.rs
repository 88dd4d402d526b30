#[test]
fn zz() {
    for t in ["query: |\n\n      SELECT 1\n        FROM t\n", "query: |\n  SELECT 1\n","query: |2\n    SELECT 1\n", "query: >-\n\n\n  SELECT 1\n", "query: | # c\n\n  a\n", "query:\n  |\n   a\n", "query: &q |\n\n   a\n","é: {query: \"a\"}"] {
        let n = super::node::parse("f", t).unwrap();
        println!("{t:?} {:?}", n);
    }
    for t in ["[", "stream: a\nfields: {a: [b\n", "a: b: c\n", "a: 'x\n", "a: 1\n b: 2\n", "\tb: 1\n", "a: *x\n", "a: !!binary x\n", "? [1]\n: 2\n", "a: 1e999\n", "a: 99999999999999999999\n", "a: .nan\n", "{\"a\": 1,}\n", "a: @b\n", "<<: 3\n", "a: &x [*x]\n"] {
        println!("{t:?} {:?}", super::node::parse("f", t).map_err(|e| e.to_string()));
    }
}
