//! What `weir init` writes: the files of each template, with marks such as `{{LISTEN}}` to be filled in.
//!
//! Knows texts. Must not know the disk, nor what any definition means.

/// A file of a project: its path below the folder, and its text.
pub(crate) type File = (&'static str, &'static str);

const SERVER: File = ("weir.yaml", include_str!("../templates/weir.yaml"));

/// A generator's ride-share actions, and three jobs over them.
pub(crate) const RIDES: &[File] = &[
    SERVER,
    ("streams/event_user_action.yaml", include_str!("../templates/rides/streams/event_user_action.yaml")),
    (
        "streams/event_ride_completed.yaml",
        include_str!("../templates/rides/streams/event_ride_completed.yaml"),
    ),
    ("jobs/client_action_sequence.yaml", include_str!("../templates/rides/jobs/client_action_sequence.yaml")),
    ("jobs/user_activity.yaml", include_str!("../templates/rides/jobs/user_activity.yaml")),
    ("jobs/passenger_rides.yaml", include_str!("../templates/rides/jobs/passenger_rides.yaml")),
    ("README.md", include_str!("../templates/rides/README.md")),
];

const STREAM: File = ("streams/rides.yaml", include_str!("../templates/start/streams/rides.yaml"));
const CITY_HOURS: File = ("jobs/city_hours.yaml", include_str!("../templates/start/jobs/city_hours.yaml"));
const USER_DAY: File = ("jobs/user_day.yaml", include_str!("../templates/start/jobs/user_day.yaml"));
const EVENTS: &str = include_str!("../templates/start/events.jsonl");

/// The same few rides and the same two jobs, from wherever rides come.
#[derive(Debug)]
pub(crate) struct Start {
    /// The files.
    pub(crate) files: &'static [File],
    /// What stands for `{{SOURCE}}` in the stream.
    pub(crate) source: &'static str,
    /// What to type when it is made, in the project's folder.
    pub(crate) next: &'static str,
}

/// Rides are posted.
pub(crate) const HTTP: Start = Start {
    files: &[
        SERVER,
        STREAM,
        CITY_HOURS,
        USER_DAY,
        ("events.jsonl", EVENTS),
        ("README.md", include_str!("../templates/start/http.md")),
    ],
    source: "  http: {keep: 7d}                         # POST /v1/streams/rides/events; rows stay 7 days in the ingest log",
    next: "weir check .\n  weir serve .\n\nin another shell, in the same folder:\n\n  \
           curl 'http://{{LISTEN}}/v1/streams/rides/events?wait=visible' --data-binary @events.jsonl\n  \
           weir lookup user_day user_id=u1",
};

/// Rides are lines of files.
pub(crate) const FILES: Start = Start {
    files: &[
        SERVER,
        STREAM,
        CITY_HOURS,
        USER_DAY,
        ("data/2026-01-31.jsonl", EVENTS),
        ("README.md", include_str!("../templates/start/files.md")),
    ],
    source: "  file: {path: \"data/*.jsonl\"}             # also .gz; with `follow: true` new lines and files are waited for",
    next: "weir run . --until-end\n  cat out/city_hours/*.jsonl\n  weir serve .\n\nin another shell:\n\n  \
           weir lookup user_day user_id=u1",
};

/// Rides are messages of a topic.
pub(crate) const KAFKA: Start = Start {
    files: &[
        SERVER,
        STREAM,
        CITY_HOURS,
        USER_DAY,
        ("events.jsonl", EVENTS),
        ("README.md", include_str!("../templates/start/kafka.md")),
    ],
    source: "  kafka: {brokers: \"127.0.0.1:9092\", topic: rides, start: earliest}",
    next: "kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic rides --partitions 2\n  \
           kafka-console-producer.sh --bootstrap-server 127.0.0.1:9092 --topic rides < events.jsonl\n  \
           weir serve .\n\nin another shell:\n\n  weir lookup user_day user_id=u1",
};

/// Rides are posted, and features asked for, from Python.
pub(crate) const PYTHON: Start = Start {
    files: &[
        SERVER,
        STREAM,
        CITY_HOURS,
        USER_DAY,
        ("events.jsonl", EVENTS),
        ("features.py", include_str!("../templates/start/features.py")),
        ("README.md", include_str!("../templates/start/python.md")),
    ],
    source: HTTP.source,
    next: "weir serve .\n\nin another shell, in the same folder:\n\n  python3 features.py post rides events.jsonl\n  \
           python3 features.py get user_day user_id=u1",
};
