"""A project of Feast with one feature view, whose rows weir writes: see the script `feast` beside this file."""

import json
import pathlib
import sys
import time

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Float64, Int64, String, UnixTimestamp

KINDS = {
    "redis": lambda place: {"type": "redis", "connection_string": place},
    "dynamodb": lambda place: {"type": "dynamodb", "region": "us-east-1", "endpoint_url": place},
}
FEATURES = {"n": Int64, "total": Float64, "newest": Array(Float64), "note": String, "ends": UnixTimestamp}


def apply(folder, kind, place):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    (folder / "feature_store.yaml").write_text(
        json.dumps(
            {
                "project": "shop",
                "provider": "local",
                "registry": str(folder / "registry.db"),
                "entity_key_serialization_version": 3,
                "offline_store": {"type": "file"},
                "online_store": KINDS[kind](place),
            }
        )
    )
    user = Entity(name="user_id", value_type=ValueType.STRING)
    view = FeatureView(
        name="counts",
        entities=[user],
        schema=[Field(name="user_id", dtype=String)] + [Field(name=n, dtype=t) for n, t in FEATURES.items()],
        source=FileSource(path=str(folder / "none.parquet"), timestamp_field="event_timestamp"),
        online=True,
    )
    FeatureStore(repo_path=str(folder)).apply([user, view])


def read(folder, first, end):
    store = FeatureStore(repo_path=folder)
    users = [f"u{user}" for user in range(int(first), int(end))] + ["nobody"]
    names = [f"counts:{name}" for name in FEATURES]
    began = time.perf_counter()
    answer = store.get_online_features(features=names, entity_rows=[{"user_id": user} for user in users])
    columns = answer.to_dict()
    took = time.perf_counter() - began
    times = []
    for user in users[:20]:
        began = time.perf_counter()
        store.get_online_features(features=names, entity_rows=[{"user_id": user}])
        times.append(time.perf_counter() - began)
    for row in range(len(users)):
        values = {name: columns[name][row] for name in ["user_id", *FEATURES]}
        if values["ends"] is not None:
            values["ends"] = values["ends"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
        print(json.dumps(values))
    middle = sorted(times)[len(times) // 2]
    print(f"{len(users)} entities in {took * 1000:.1f} ms, one in {middle * 1000:.2f} ms", file=sys.stderr)


{"apply": apply, "read": read}[sys.argv[1]](*sys.argv[2:])
