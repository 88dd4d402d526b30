"""What tests/past/measure does: makes projects and archives, runs weir over them, prints what it took."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

BASE = 1_770_000_000_000
USERS = 20_000
ALONE_SECONDS = 20
STREAM = """fields: {user_id: string, fare: double, city: string, at: timestamp}
event_time: at
disorder: 1s
idle_after: 1s
"""
CITIES = ["berlin", "lagos", "lima", "osaka", "paris"]


def row(number, at):
    user = (number * 2_654_435_761) % USERS
    return f'{{"user_id":"u{user}","fare":{number % 977}.25,"city":"{CITIES[number % 5]}","at":{at}}}\n'


def write(folder, name, text):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def write_job(folder, name, columns):
    query = f"query: SELECT user_id, {columns} FROM rides GROUP BY user_id\n"
    write(folder, f"jobs/{name}.yaml", f"{query}emit: {{on: change}}\n")


class Server:
    def __init__(self, weir, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        write(folder, "weir.yaml", f"listen: 127.0.0.1:{self.port}\n")
        self.log = open(os.path.join(folder, "serve.log"), "a")
        self.process = subprocess.Popen([weir, "serve", folder], stderr=self.log)
        while True:
            try:
                self.connect().request("GET", "/healthz")
                return
            except OSError:
                time.sleep(0.02)

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, connection, path, body=None):
        connection.request("GET" if body is None else "POST", path, body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def is_done(self, connection, job):
        connection.request("GET", f"/v1/jobs/{job}")
        answer = connection.getresponse()
        told = json.loads(answer.read())
        if told.get("state") == "failed":
            raise RuntimeError(told["reason"])
        return (told.get("bootstrap") or {}).get("state") == "done" and told.get("ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


class Load:
    """Asks at a fixed pace, whatever the answers take, and remembers how long each took."""

    def __init__(self, server):
        self.server, self.ends = server, threading.Event()
        self.lookups, self.visible, self.lags = [], [], []
        self.number = 0
        jobs = [(self.look, 0.005), (self.post, 0.1), (self.lag, 0.1)]
        self.threads = [threading.Thread(target=self.again, args=job, daemon=True) for job in jobs]

    def again(self, act, every):
        connection, due = self.server.connect(), time.monotonic()
        while not self.ends.is_set():
            act(connection, due)
            due += every
            time.sleep(max(0.0, due - time.monotonic()))

    def look(self, connection, due):
        self.number += 1
        user = (self.number * 7919) % USERS
        self.server.ask(connection, f"/v1/jobs/live/values?user_id=u{user}")
        self.lookups.append(time.monotonic() - due)

    def post(self, connection, due):
        body = row(self.number, int(time.time() * 1000))
        self.server.ask(connection, "/v1/streams/rides/events?wait=visible", body)
        self.visible.append(time.monotonic() - due)

    def lag(self, connection, due):
        self.lags.append(self.server.ask(connection, "/v1/jobs/live")["lag_ms"])

    def during(self, is_over):
        for thread in self.threads:
            thread.start()
        began = time.monotonic()
        while not is_over(time.monotonic() - began):
            time.sleep(0.1)
        self.ends.set()
        for thread in self.threads:
            thread.join()
        took = time.monotonic() - began
        line = [f"{took:7.1f} s"]
        for values in (self.lookups, self.visible):
            line += [f"{percentile(values, share) * 1000:9.2f}" for share in (0.5, 0.99)]
        line.append(f"{max(self.lags):9.0f}")
        return " ".join(line)


@contextlib.contextmanager
def busy_cores():
    """A process on each core that only counts, as far behind others as weir's reading of the past: what any work there costs."""
    count = "import os\nos.nice(10)\nn = 0\nwhile True: n += 1"
    processes = [subprocess.Popen([sys.executable, "-c", count]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def beside(weir, work, rows):
    """The job `live` is there; others of its stream begin one after the other.

    Between them it is alone, and beside processes that have nothing to do with weir.
    """
    # The archive ends a minute ago, so that the log has what comes from then on.
    until = int(time.time() * 1000) - 60_000
    write(work, "streams/rides.yaml", STREAM + "source: {http: {}}\narchive: {source: {file: {path: 'archive/*'}}}\n")
    os.makedirs(os.path.join(work, "archive"))
    with open(os.path.join(work, "archive/rides.jsonl"), "w") as archive:
        archive.writelines(row(number, until - (rows - number)) for number in range(rows))
    server = Server(weir, work)
    connection = server.connect()
    server.ask(connection, "/v1/streams/rides/events", row(rows - 1, until - 1))
    server.stop()
    write_job(work, "live", "COUNT(*) AS rides, SUM(fare) AS spent")
    server = Server(weir, work)
    connection = server.connect()
    while not server.is_done(connection, "live"):
        time.sleep(0.1)
    print(f"{rows} rows of the archive\n{'':12} {'':9} lookup p50 ms, p99; visible p50, p99; most lag")
    for turn in range(int(os.environ.get("TURNS", "3"))):
        for_a_while = lambda seconds: seconds > ALONE_SECONDS
        print(f"{'alone':12} {Load(server).during(for_a_while)}", flush=True)
        with busy_cores():
            print(f"{'busy cores':12} {Load(server).during(for_a_while)}", flush=True)
        name = f"begins{turn}"
        write_job(work, name, "COUNT(*) AS rides, MAX(fare) AS most, LAST_VALUE(city) AS city")
        server.process.send_signal(signal.SIGHUP)
        # Until the server has read the definitions there is no such job.
        is_done = lambda _: server.is_done(server.connect(), name)
        print(f"{'beginning':12} {Load(server).during(is_done)}", flush=True)
    server.stop()


def run(weir, folder, what):
    """Reads everything; what `--stats` says."""
    began = time.monotonic()
    done = subprocess.run([weir, "run", folder, "--until-end", "--stats"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    stats = json.loads(done.stdout.strip().splitlines()[-1])
    took = time.monotonic() - began
    shown = {key: value for key, value in stats.items() if not isinstance(value, (dict, list))}
    print(f"{what}: {took:.1f} s\n  {json.dumps(shown)}", flush=True)


def project(folder, archive, form):
    # The log has one event, later than all.
    write(folder, "log.jsonl", row(1, BASE + 1_000_000_000_000))
    source = f"source: {{file: {{path: log.jsonl}}}}\narchive: {{source: {{file: {{path: '{archive}'}}}}, format: {form}, allow_gap: true}}\n"
    write(folder, "streams/rides.yaml", STREAM + source)
    write_job(folder, "counts", "COUNT(*) AS rides, SUM(fare) AS spent")
    write(folder, "weir.yaml", "")


def large(weir, work, gigabytes):
    size = gigabytes << 30
    lines = os.path.join(work, "lines")
    project(lines, "archive/*.jsonl", "json")
    path = os.path.join(lines, "archive/all.jsonl")
    os.makedirs(os.path.dirname(path))
    piece = "".join(row(number, BASE + number) for number in range(1_000_000))
    # A million rows are as many milliseconds: the same rows again, later.
    millions = BASE // 1_000_000
    with open(path, "w") as file:
        later = 0
        while file.tell() < size:
            file.write(piece.replace(f'"at":{millions}', f'"at":{millions + later}'))
            later += 1
    run(weir, lines, f"one JSON lines file of {os.path.getsize(path) / (1 << 30):.2f} GB")
    shutil.rmtree(lines)
    columns = os.path.join(work, "columns")
    project(columns, "archive/*.parquet", "parquet")
    path = one_parquet(weir, work, columns, size)
    run(weir, columns, f"one Parquet file of {os.path.getsize(path) / (1 << 30):.2f} GB")


def one_parquet(weir, work, columns, size):
    """A file that weir's own sink writes of made-up rides, whose identifiers do not compress."""
    writer = os.path.join(work, "writer")
    rows = size // 22
    generated = f"source: {{generator: {{kind: rides, rate: 1000, seed: 7, keys: 10000000, until: {rows}, start: '2020-01-01T00:00:00Z'}}}}\n"
    fields = "fields: {user_id: string, ride_id: string, fare: double, city: string, event_time: timestamp}\nevent_time: event_time\n"
    write(writer, "streams/rides.yaml", fields + generated)
    sink = "{file: {path: out, format: parquet, target_size: 64GiB, roll: 1000d}}"
    query = "SELECT user_id, ride_id, fare, city, event_time AS at FROM rides"
    write(writer, "jobs/all.yaml", f"query: {query}\nsinks: [{sink}]\n")
    write(writer, "weir.yaml", "")
    run(weir, writer, "writing the Parquet file")
    found = [os.path.join(root, name) for root, _, names in os.walk(os.path.join(writer, "out")) for name in names]
    found = max((name for name in found if name.endswith(".parquet")), key=os.path.getsize)
    path = os.path.join(columns, "archive/all.parquet")
    os.makedirs(os.path.dirname(path))
    os.rename(found, path)
    shutil.rmtree(writer)
    return path


def many(weir, work, files):
    project(work, "archive/*.jsonl", "json")
    os.makedirs(os.path.join(work, "archive"))
    for number in range(files):
        with open(os.path.join(work, f"archive/{number:06}.jsonl"), "w") as file:
            file.writelines(row(number * 100 + line, BASE + number * 100 + line) for line in range(100))
    run(weir, work, f"{files} files of 100 rows")


if __name__ == "__main__":
    weir, work, what, *more = sys.argv[1:]
    kinds = {"beside": (beside, 2_000_000), "large": (large, 4), "many": (many, 10_000)}
    act, usual = kinds[what]
    act(weir, work, int(more[0]) if more else usual)
