"""What independent readers find in files of Parquet. See the script `readers` beside this file."""

import base64
import datetime
import decimal
import json
import os
import pathlib
import sys


def plain(value):
    """A value as it looks in JSON rows of weir."""
    if isinstance(value, datetime.datetime):
        value = value.astimezone(datetime.timezone.utc) if value.tzinfo else value
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def lines(names, rows):
    return [json.dumps({name: plain(value) for name, value in zip(names, row)}) for row in rows]


def files(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*.parquet"))


def rows(folder):
    import duckdb
    import pyarrow.parquet

    found = []
    for file in files(folder):
        table = pyarrow.parquet.ParquetFile(file).read()
        found += lines(table.column_names, (row.values() for row in table.to_pylist()))
    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    read = session.execute(
        "SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(pathlib.Path(folder) / "**" / "*.parquet")]
    )
    names = [column[0] for column in read.description]
    others = lines(names, read.fetchall())
    if sorted(found) != sorted(others):
        sys.exit(f"pyarrow and DuckDB differ: {sorted(set(found) ^ set(others))[:4]}")
    print("\n".join(found))


def table(program, folder):
    """The whole folder with its partitions, as a table is read."""
    for row in {"pyarrow": pyarrow_table, "duckdb": duckdb_table, "spark": spark_table}[program](folder):
        # Each guesses other types of the folders' names.
        row["dt"] = str(row["dt"])
        row["hour"] = f"{int(row['hour']):02}"
        print(json.dumps(plain(row)))


def pyarrow_table(folder):
    from pyarrow import dataset

    return dataset.dataset(folder, partitioning="hive").to_table().to_pylist(maps_as_pydicts="strict")


def duckdb_table(folder):
    import duckdb

    session = duckdb.connect()
    session.execute("SET TimeZone = 'UTC'")
    pattern = str(pathlib.Path(folder) / "**" / "*.parquet")
    read = session.execute("SELECT * FROM read_parquet(?, hive_partitioning = true)", [pattern])
    names = [column[0] for column in read.description]
    return [dict(zip(names, row)) for row in read.fetchall()]


def spark_table(folder):
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    rows = [row.asDict(recursive=True) for row in session.read.parquet(folder).collect()]
    session.stop()
    return rows


def iceberg_catalog(home):
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog("tests", uri=f"sqlite:///{home}/catalog.db", warehouse=f"file://{home}/warehouse")


def iceberg_make(home, file, time):
    """An empty table of the columns of a file, by the days of a time."""
    import pyarrow.parquet
    from pyiceberg.transforms import DayTransform

    catalog = iceberg_catalog(home)
    catalog.create_namespace("weir")
    made = catalog.create_table("weir.rows", schema=pyarrow.parquet.read_schema(file))
    with made.update_spec() as spec:
        spec.add_field(time, DayTransform(), f"{time}_day")


def iceberg_add(home, folder):
    iceberg_catalog(home).load_table("weir.rows").add_files(files(folder))


def iceberg_rows(home, condition):
    """How many files a condition needs, and the rows that it finds."""
    scan = iceberg_catalog(home).load_table("weir.rows").scan(row_filter=condition)
    print(len(list(scan.plan_files())))
    for row in scan.to_arrow().to_pylist(maps_as_pydicts="strict"):
        print(json.dumps(plain(row)))


def store(url):
    from pyarrow import fs

    return fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=url.split("//")[1],
        scheme="http",
        region="us-east-1",
    )


def get(url, bucket, prefix, folder):
    from pyarrow import fs

    found = store(url).get_file_info(fs.FileSelector(f"{bucket}/{prefix}", recursive=True, allow_not_found=True))
    for one in found:
        if one.type == fs.FileType.File:
            to = pathlib.Path(folder) / one.path[len(bucket) + 1 :]
            to.parent.mkdir(parents=True, exist_ok=True)
            with store(url).open_input_stream(one.path) as stream:
                to.write_bytes(stream.read())


def put(folder, url, bucket, prefix):
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            with store(url).open_output_stream(f"{bucket}/{prefix}/{path.relative_to(folder)}") as stream:
                stream.write(path.read_bytes())


def write(folder):
    """Files such as others write: several row groups, dictionaries, every page version, folders by partition."""
    import pyarrow
    import pyarrow.parquet

    days = [datetime.date(2026, 1, 1), datetime.date(2026, 1, 2)]
    told = []
    for day in days:
        midnight = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.timezone.utc)
        events = [
            {
                "user_id": f"u{n % 7}",
                "fare": None if n % 5 == 0 else n / 4,
                "exact": decimal.Decimal(n) / 100,
                "tags": [f"t{n % 3}"] * (n % 4),
                "trip": {"from": f"p{n % 11}", "seconds": n},
                "event_time": midnight + datetime.timedelta(milliseconds=n * 61, microseconds=n % 1000),
            }
            for n in range(2500)
        ]
        schema = pyarrow.schema(
            [
                ("user_id", pyarrow.string()),
                ("fare", pyarrow.float64()),
                ("exact", pyarrow.decimal128(12, 2)),
                ("tags", pyarrow.list_(pyarrow.string())),
                ("trip", pyarrow.struct([("from", pyarrow.string()), ("seconds", pyarrow.int32())])),
                ("event_time", pyarrow.timestamp("us", tz="UTC")),
            ]
        )
        table = pyarrow.Table.from_pylist(events, schema=schema)
        to = pathlib.Path(folder) / f"dt={day.isoformat()}"
        to.mkdir(parents=True, exist_ok=True)
        version = "1.0" if day == days[0] else "2.0"
        codec = "snappy" if day == days[0] else "zstd"
        pyarrow.parquet.write_table(
            table, to / "part-0.parquet", row_group_size=700, data_page_version=version, compression=codec
        )
        told += [json.dumps({**plain(event), "dt": day.isoformat()}) for event in events]
    (pathlib.Path(folder) / "rows.jsonl").write_text("\n".join(told) + "\n")


def speed(file, compression):
    import tempfile
    import time

    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file).combine_chunks()
    with tempfile.NamedTemporaryFile(suffix=".parquet") as out:
        start = time.process_time()
        pyarrow.parquet.write_table(table, out.name, compression=compression, row_group_size=1 << 20)
        print(f"{table.num_rows / (time.process_time() - start) / 1000:.0f}")


COMMANDS = {
    "rows": rows,
    "table": table,
    "iceberg-make": iceberg_make,
    "iceberg-add": iceberg_add,
    "iceberg-rows": iceberg_rows,
    "get": get,
    "put": put,
    "write": write,
    "speed": speed,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
