//! What there is to ask for: features found by words, with where they come from and what plugins take for them.

use crate::harness::{Project, Server, repository};
use serde_json::{Value, json};

fn names(found: &Value) -> Vec<&str> {
    let features = found["features"].as_array().expect("a list");
    features.iter().map(|feature| feature["feature"].as_str().expect("a name")).collect()
}

#[test]
fn features_are_found_by_words_and_say_where_they_come_from() {
    let project = Project::new();
    std::fs::create_dir(project.path().join("plugins")).expect("a folder can be made");
    let component = repository().join("plugins/dist/geo.wasm");
    std::fs::copy(component, project.path().join("plugins/geo.wasm")).expect("plugins/build made it");
    project
        .file("streams/rides.yaml", "fields: {u: string, lat: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n")
        .file(
            "jobs/ways.yaml",
            "query: |\n  SELECT u, COUNT(*) AS rides, MAX(haversine_km(lat, 0.0, 0.0, 0.0)) AS km FROM rides\n  \
             GROUP BY u, TUMBLE(t, INTERVAL '1' HOUR)\nfeatures: {km: {description: Farthest north, owner: maps}}\n\
             request: {limit: double}\ntransform: {far: km > limit}\n",
        )
        .file("jobs/plain.yaml", "query: SELECT u, COUNT(*) AS rides FROM rides GROUP BY u\nemit: {on: change}\n");
    let server = Server::start(&project, "");
    server.wait_ready();
    let rows = r#"{"u":"a","lat":1.0,"t":"2026-01-01T00:00:01Z"}"#;
    assert_eq!(server.post("/v1/streams/rides/events?wait=visible", rows).0, 200);

    let (status, all) = server.get("/v1/features");
    assert_eq!(status, 200, "{all}");
    assert_eq!(names(&all), ["plain:rides", "ways:rides", "ways:km", "ways:far"]);
    for (query, found) in [
        ("north", &["ways:km"][..]),
        ("MAPS", &["ways:km"]),
        ("ways%20rides", &["ways:rides", "ways:km", "ways:far"]),
        ("plain", &["plain:rides"]),
        ("nothing-like-it", &[]),
    ] {
        assert_eq!(names(&server.get(&format!("/v1/features?q={query}")).1), found, "{query}");
    }

    let (_, km) = server.get("/v1/features/ways/km");
    assert_eq!(km["entity"], json!(["u"]), "{km}");
    assert_eq!(
        (&km["streams"], &km["type"], &km["state"]),
        (&json!(["rides"]), &json!("double"), &json!("running"))
    );
    assert_eq!(km["watermark"], server.get("/v1/jobs/ways").1["watermark"], "{km}");
    let cost = &km["cost"];
    assert_eq!(cost["plugins"], json!(["geo"]), "{km}");
    assert!(cost["fuel_per_million_events"].as_f64() > Some(1e6), "one call for one event: {km}");
    assert_eq!(server.get("/v1/features/plain/rides").1["cost"], Value::Null);
    let (_, far) = server.get("/v1/features/ways/far");
    assert_eq!((&far["derived"], &far["request"]), (&json!(true), &json!(["limit"])), "{far}");

    let (status, missing) = server.get("/v1/features/ways/kn");
    assert!(status == 404 && missing["detail"].to_string().contains("did you mean `km`?"), "{missing}");
    assert_eq!(server.get("/v1/features/way/km").0, 404);
    assert_eq!(server.get("/v1/features?p=1").0, 400);
    assert!(server.terminate().success());
}
