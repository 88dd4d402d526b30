"""Runs the same rows through jobs that differ in one function, and says what each takes. See `measure`."""

import functools
import operator
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
FORMATS = {"format, JSON": "json", "format, Rust": "{plugin: tracker}", "format, Python": "{plugin: tracker_py}"}
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


def sentences(folder: Path, count: int) -> None:
    """What trackers send, and the same as JSON."""
    dice = random.Random(2)
    with (folder / "sentences.txt").open("w") as lines, (folder / "sentences.jsonl").open("w") as rows:
        for row in range(count):
            second, device = row % 86_400, dice.randrange(10_000)
            lat, lon, knots = dice.randrange(9_000), dice.randrange(18_000), dice.randrange(2_000) / 10
            time = f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"
            places = f"{lat // 100:02}{lat % 100 * 0.6:05.2f},N,{lon // 100:03}{lon % 100 * 0.6:05.2f},E"
            content = f"GPRMC,{time},A,{places},{knots},054.7,011126,020.3,E"
            lines.write(f"bus{device} ${content}*{functools.reduce(operator.xor, content.encode(), 0):02X}\n")
            at = 1_793_491_200_000 + second * 1000
            rows.write(f'{{"device":"bus{device}","at":{at},"lat":{lat / 100},"lon":{lon / 100},"knots":{knots}}}\n')


def project_of_format(folder: Path, work: Path, form: str) -> None:
    for part in ("streams", "jobs"):
        (folder / part).mkdir(parents=True)
    shutil.copytree(work / "components", folder / "plugins")
    path = work / ("sentences.jsonl" if form == "json" else "sentences.txt")
    (folder / "streams/p.yaml").write_text(
        "fields: {device: string, at: timestamp, lat: double, lon: double, knots: double}\nevent_time: at\ndisorder: 1d\n"
        f"format: {form}\nsource: {{file: {{path: {path}}}}}\n"
    )
    (folder / "jobs/j.yaml").write_text(
        "query: SELECT device, MAX(lat) AS lat, MAX(lon) AS lon, AVG(knots) AS knots FROM p GROUP BY device, "
        "TUMBLE(at, INTERVAL '1' HOUR)\nsinks: [discard: {}]\n"
    )


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
        project(work / f"job{at}", positions, work / "components", value)
        measure(weir, work / f"job{at}", name, count)
    sentences(work, count)
    for name, form in FORMATS.items():
        folder = work / name.split()[-1]
        project_of_format(folder, work, form)
        measure(weir, folder, name, count)


def measure(weir: str, folder: Path, name: str, count: int) -> None:
    # The first run compiles the components.
    processor_seconds(weir, folder)
    took = statistics.median(processor_seconds(weir, folder) for _ in range(RUNS))
    print(f"{name:24} {count / took:12,.0f} rows per CPU-second {took:8.2f} CPU seconds", flush=True)


if __name__ == "__main__":
    main()
