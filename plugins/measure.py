"""Runs the same rows through jobs that differ in one function, and says what each takes. See `measure`."""

import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HAVERSINE = (
    "12742.0176 * ASIN(SQRT(POWER(SIN(RADIANS(lat2 - lat) / 2), 2) + "
    "COS(RADIANS(lat)) * COS(RADIANS(lat2)) * POWER(SIN(RADIANS(lon2 - lon) / 2), 2)))"
)
JOBS = {
    "no function": "MAX(lat)",
    "scalar, built in": f"MAX({HAVERSINE})",
    "scalar, Rust": "MAX(haversine_km(lat, lon, lat2, lon2))",
    "scalar, Python, columns": "MAX(haversine_km_py(lat, lon, lat2, lon2))",
    "scalar, Python, rows": "MAX(great_circle_km(lat, lon, lat2, lon2))",
    "aggregate, built in": "STDDEV_POP(lat)",
    "aggregate, Rust": "trip(lat, lon)",
    "aggregate, Python": "trip_py(lat, lon)",
}
RUNS = 3


def rows(path: Path, count: int) -> None:
    dice = random.Random(1)
    with path.open("w") as out:
        for row in range(count):
            lat, lon, lat2, lon2 = (round(dice.uniform(-60, 60), 5) for _ in range(4))
            user = dice.randrange(10_000)
            out.write(f'{{"u":"u{user}","lat":{lat},"lon":{lon},"lat2":{lat2},"lon2":{lon2},"t":{1_767_225_600_000 + row * 10}}}\n')


def project(folder: Path, positions: Path, components: Path, value: str) -> None:
    for part in ("streams", "jobs", "plugins"):
        (folder / part).mkdir(parents=True)
    (folder / "streams/p.yaml").write_text(
        "fields: {u: string, lat: double, lon: double, lat2: double, lon2: double, t: timestamp}\nevent_time: t\n"
        f"source: {{file: {{path: {positions}}}}}\n"
    )
    (folder / "jobs/j.yaml").write_text(
        f"query: SELECT u, {value} AS value FROM p GROUP BY u, TUMBLE(t, INTERVAL '1' HOUR)\nsinks: [discard: {{}}]\n"
    )
    for component in components.glob("*.wasm"):
        shutil.copy(component, folder / "plugins")


def processor_seconds(weir: str, folder: Path) -> float:
    shutil.rmtree(folder / ".weir/state", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([weir, "run", str(folder), "--until-end", "--reset", "j"], check=True, stdout=subprocess.DEVNULL, env=os.environ | {"WEIR_LOG": "error"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    weir, work, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    positions = work / "positions.jsonl"
    rows(positions, count)
    for at, (name, value) in enumerate(JOBS.items()):
        folder = work / f"job{at}"
        project(folder, positions, work / "components", value)
        # The first run compiles the components.
        processor_seconds(weir, folder)
        took = statistics.median(processor_seconds(weir, folder) for _ in range(RUNS))
        print(f"{name:24} {count / took:12,.0f} rows per CPU-second {took:8.2f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
