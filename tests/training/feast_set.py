"""The training set by Feast's `get_historical_features`, of features that are there as rows: feast_set.py STORE ROWS SPINE.

Started in the folder of its repository, which it makes. The rows have the values as of each ride.
"""

import json
import sys
from pathlib import Path

import pandas
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

TYPES = {
    "life__rides": Int64,
    "life__total": Float64,
    "life__action": String,
    "recent__hour_rides": Int64,
    "recent__day_total": Float64,
    "recent__week_rides": Int64,
    "recent__week_mean": Float64,
    "recent__week_most": Float64,
    "days__rides": Int64,
    "days__total": Float64,
}

store, rows, spine = sys.argv[1:]
Path("feature_store.yaml").write_text(
    json.dumps(
        {
            "project": "compared",
            "provider": "local",
            "registry": "registry.db",
            "entity_key_serialization_version": 3,
            "offline_store": {"type": store},
            "online_store": None,
        }
    )
)
user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
view = FeatureView(
    name="rides",
    entities=[user],
    schema=[Field(name="user_id", dtype=Int64)] + [Field(name=name, dtype=of) for name, of in TYPES.items()],
    source=FileSource(path=rows, timestamp_field="event_timestamp"),
    online=False,
)
feast = FeatureStore(repo_path=".")
feast.apply([user, view])
asked = pandas.read_parquet(spine).rename(columns={"event_time": "event_timestamp"})
asked["event_timestamp"] = asked["event_timestamp"].dt.tz_localize("UTC")
made = feast.get_historical_features(asked, [f"rides:{name}" for name in TYPES])
made.to_df().to_parquet("made.parquet", compression="zstd")
