//! A plugin in JavaScript from its folder to looked-up values; whole numbers keep all of their 64 bits on the way.

use crate::harness::{Project, Server, repository, weir};
use serde_json::json;
use std::path::Path;
use std::process::Command;

const STREAM: &str =
    "fields: {k: string, n: bigint, x: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";
const JOB: &str = "query: |\n  SELECT k, MAX(same(n)) AS most, distinct_of(n) AS different, AVG(halved(x)) AS half\n  \
                   FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const PLUGIN: &str = r"
import { aggregate, bigint, decode, double, scalar, text, timestamp } from './weir/index.js';

scalar({ name: 'same', arguments: { n: bigint }, result: bigint }, (n) => n);

scalar({ name: 'halved', arguments: { x: double }, result: double, columnar: true }, (values) => {
  if (values.some((value) => value < 0)) throw new RangeError('below nought');
  if (values.includes(1000)) return values.map(() => Math.random());
  return values.map((value) => value / 2);
});

aggregate(
  { name: 'distinct_of', arguments: { n: bigint }, result: bigint, algebra: 'exact' },
  class {
    seen = new Set();
    update(time, n) {
      console.log('saw', n);
      this.seen.add(n);
    }
    merge(later) {
      for (const n of later.seen) this.seen.add(n);
    }
    finish() {
      return this.seen.size;
    }
  },
);

decode({ columns: { k: text, at: timestamp, n: bigint } }, (payload) => {
  const [k, at, n] = new TextDecoder().decode(payload).split(' ');
  return { k, at: Number(at), n: BigInt(n) };
});
";
const STREAM_OF_LINES: &str = "fields: {k: string, at: timestamp, n: bigint}\nevent_time: at\n\
                               format: {plugin: numbers}\nsource: {file: {path: lines.txt}}\n";
const JOB_OF_LINES: &str = "query: SELECT k, MAX(n) AS most FROM lines GROUP BY k\nemit: {on: change}\n";

#[track_caller]
fn done(folder: &Path, arguments: &[&str]) {
    let output = Command::new(weir()).arg("plugin").args(arguments).current_dir(folder).output();
    let output = output.expect("weir starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_folder_in_javascript_becomes_values_that_are_looked_up() {
    let project = Project::new();
    let here = project.path();
    done(here, &["new", "numbers", "--lang", "js"]);
    done(here, &["test", "numbers"]);
    project.file("numbers/plugin.js", PLUGIN);
    done(here, &["build", "numbers"]);
    std::fs::create_dir(here.join("plugins")).expect("a folder can be made");
    std::fs::copy(here.join("numbers/dist/numbers.wasm"), here.join("plugins/numbers.wasm"))
        .expect("it was built");
    project.file("streams/s.yaml", STREAM).file("jobs/j.yaml", JOB);
    let lines = format!("a 1767225600000 {}\na 1767225601000 x\na 1767225602000 7\n", i64::MAX);
    project
        .file("lines.txt", &lines)
        .file("streams/lines.yaml", STREAM_OF_LINES)
        .file("jobs/l.yaml", JOB_OF_LINES);
    let server = Server::start(&project, "plugins: {numbers: {memory: 96MiB}}\n");
    server.wait_ready();

    let most = i64::MAX;
    let rows = [(most, 4.0), (most - 1, 2.0), (i64::MIN, -1.0), (0, 1000.0), (most, 6.0)];
    let body: String = rows
        .iter()
        .zip(1..)
        .map(|((n, x), at)| {
            format!("{{\"k\":\"a\",\"n\":{n},\"x\":{x},\"t\":\"2026-01-01T00:00:0{at}Z\"}}\n")
        })
        .collect();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", body);
    assert_eq!((status, &answer["accepted"]), (200, &json!(5)), "{answer}");
    let (_, answer) = server.get("/v1/jobs/j/values?k=a");
    let value = |name: &str| answer["features"][name]["current"]["value"].clone();
    assert_eq!(
        [value("most"), value("different"), value("half")],
        [json!(most), json!(2), json!(2.0)],
        "{answer}"
    );
    let (_, letters) = server.get("/v1/deadletters/s");
    let text = letters.to_string();
    assert!(text.contains("call of `halved`: RangeError: below nought"), "{text}");
    assert!(text.contains("Math.random() is not there in a plugin"), "{text}");
    let (_, answer) = server.get("/v1/jobs/l/values?k=a");
    assert_eq!(answer["features"]["most"]["value"], json!(i64::MAX), "{answer}");
    let (_, letters) = server.get("/v1/deadletters/lines");
    let letters = letters["dead_letters"].as_array().expect("a list");
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    assert!(letters.len() == 1 && reason.contains("SyntaxError"), "{letters:?}");
    let (code, said) = server.weir(&["plugin", "logs", "numbers"]);
    assert!(code == Some(0) && said.contains(" info  [j] saw 9223372036854775807\n"), "{said}");
    assert!(server.terminate().success());
}

#[test]
fn the_kit_keeps_its_own_tests() {
    let tests = Command::new("node")
        .args(["--test", "test"])
        .current_dir(repository().join("guest-sdk/js"))
        .output()
        .expect("node is there");
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));
}
