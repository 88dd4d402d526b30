//! The flights once more through a real Kafka broker: four partitions keyed by tail number, read to the end.

use crate::flights::{QUERIES, STREAM, add_jobs, answers, assert_same, counted};
use crate::harness::Project;
use crate::services::flights;
use crate::services::kafka::shared;

fn stream(broker: &str, topic: &str) -> String {
    format!("{STREAM}source: {{kafka: {{brokers: \"{broker}\", topic: {topic}}}}}\n")
}

#[test]
fn a_run_until_the_end_gives_all_three_answers() {
    let broker = shared();
    broker.topic("flights_until_end", 4);
    broker.fill("flights_until_end", "tailnum", &flights());
    let project = Project::new();
    project.file("streams/flights.yaml", &stream(&broker.address, "flights_until_end"));
    project.file("weir.yaml", "shards: 2\n");
    add_jobs(&project);
    project.run(&[]);
    for (name, _) in QUERIES {
        let found = project.rows(&format!("out/{name}"));
        if name == "over_7d" {
            assert_sequences(found);
        } else {
            assert_same(name, &counted(found.into_iter()), &answers(name));
        }
    }
}

/// Flights tied in time are ordered by partition and offset, and all of a tail number are in one partition: the
/// answers are those of the file's order.
#[track_caller]
fn assert_sequences(found: Vec<serde_json::Value>) {
    assert_same("over_7d", &counted(found.into_iter()), &answers("over_7d"));
}
