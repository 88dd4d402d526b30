"""Rows of every type, written and read by the reference libraries of each format. See the script `readers` beside this
file."""

import base64
import datetime
import decimal
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

ROWS = 400
DAY_ZERO = datetime.date(1970, 1, 1)
# What a row holds: names with types as a stream declares them.
COLUMNS = {
    "id": "bigint",
    "t": "timestamp",
    "s": "string",
    "big": "bigint",
    "n": "int",
    "d": "double",
    "f": "float",
    "m": "decimal",
    "b": "boolean",
    "born": "date",
    "content": "bytes",
    "ts": "timestamp",
    "l": ["string"],
    "p": {"": "bigint"},
    "r": {"a": "int", "b": ["double"]},
    "rr": [{"a": "bigint", "s": "string"}],
    "pl": {"": ["bigint"]},
    "j": "json",
}
# Protocol Buffers have no maps of lists.
WITHOUT = {"protobuf": ["pl"]}

TEXTS = ["", " ", "a", "over\nlines\r\n", 'say "so", twice', "naïve 中文 🎈", "null", "\\N", "x" * 13, "\t'\u2028", "y" * 5000]
MILLIS = [0, -1, 1, 999, -62135596800000, 253402300799999, 1767225600000]
EDGES = {
    "bigint": [0, -1, 2**63 - 1, -(2**63), 2**53 + 1],
    "int": [0, -1, 2**31 - 1, -(2**31)],
    "double": [0.0, -0.0, 5e-324, 1.7976931348623157e308, -2.5, 0.1, 1e16],
    "float": [0.0, 1.401298464324817e-45, 3.4028234663852886e38, -2.5, 0.10000000149011612],
    "decimal": [decimal.Decimal(text) for text in ("0.000", "-0.001", "9" * 35 + ".999", "-" + "9" * 35 + ".999", "12.500")],
    "date": [DAY_ZERO, datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2024, 2, 29)],
    "bytes": [b"", b"\0\xff", bytes(range(256))],
    "timestamp": MILLIS,
    "string": TEXTS,
    "boolean": [True, False],
    "json": ["{}", "[1, null, \"x\"]", '{"a": {"b": [true]}, "text": "over\\nlines"}', '"text"', "12.5"],
}


def fresh(source, kind):
    if kind == "bigint":
        return source.randrange(-(2**63), 2**63)
    if kind == "int":
        return source.randrange(-(2**31), 2**31)
    if kind == "double":
        return source.uniform(-1, 1) * 10 ** source.randrange(-300, 300)
    if kind == "float":
        return struct.unpack("f", struct.pack("f", source.uniform(-1, 1) * 10 ** source.randrange(-30, 30)))[0]
    if kind == "decimal":
        return decimal.Decimal(source.randrange(-(10**38) + 1, 10**38)).scaleb(-3, decimal.Context(prec=38))
    if kind == "date":
        return datetime.date.fromordinal(source.randrange(1, 3652059))
    if kind == "bytes":
        return source.randbytes(source.randrange(40))
    if kind == "timestamp":
        return source.randrange(-(10**13), 10**13)
    if kind == "string":
        return "".join(source.choice('abcé"\n,; {}') for _ in range(source.randrange(30)))
    return source.choice(EDGES[kind])


def value(source, kind, nulls):
    """A value of a type, or None now and then."""
    if nulls and source.random() < 0.15:
        return None
    if isinstance(kind, list):
        return [value(source, kind[0], nulls) for _ in range(source.choice([0, 1, 2, 7]))]
    if isinstance(kind, dict) and "" in kind:
        return {key: value(source, kind[""], nulls) for key in source.sample(["", "k", "é", "a b", '"'], source.randrange(4))}
    if isinstance(kind, dict):
        return {name: value(source, of, nulls) for name, of in kind.items()}
    return source.choice(EDGES[kind]) if source.random() < 0.4 else fresh(source, kind)


def generated():
    source = random.Random(7)
    rows = []
    for number in range(ROWS):
        row = {name: value(source, kind, True) for name, kind in COLUMNS.items()}
        rows.append(row | {"id": number, "t": 1767225600000 + number})
    return rows


def moment(millis):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)).isoformat(timespec="milliseconds") + "Z"


def as_json(kind, held):
    """A value as JSON of weir has it, where it can be said exactly: numbers are as long as they have to be."""
    if held is None:
        return None
    if isinstance(kind, list):
        return [as_json(kind[0], item) for item in held]
    if isinstance(kind, dict):
        return {name: as_json(kind.get(name, kind.get("")), item) for name, item in held.items()}
    plain = {"decimal": str, "date": str, "timestamp": moment, "json": json.loads}
    if kind == "bytes":
        return base64.b64encode(held).decode()
    return plain[kind](held) if kind in plain else held


def line(row):
    return json.dumps({name: as_json(kind, row[name]) for name, kind in COLUMNS.items()}, ensure_ascii=False)


def same(kind, held):
    """A value of lines in a form that is equal where the values are."""
    if held is None:
        return None
    if isinstance(kind, list):
        return [same(kind[0], item) for item in held]
    if isinstance(kind, dict):
        return {name: same(kind.get(name, kind.get("")), item) for name, item in held.items()}
    if kind == "decimal":
        return decimal.Decimal(held)
    if kind == "double":
        return struct.pack("<d", float(held))
    if kind == "float":
        return struct.pack("<f", float(held))
    return held


def without_absence(kind, held):
    """What Protocol Buffers keep: a list or a map is there, and nothing in it is null."""
    if isinstance(kind, list):
        return [without_absence(kind[0], item) for item in held or [] if item is not None]
    if isinstance(kind, dict) and "" in kind:
        return {name: without_absence(kind[""], item) for name, item in (held or {}).items() if item is not None}
    if isinstance(kind, dict) and held is not None:
        return {name: without_absence(of, held[name]) for name, of in kind.items()}
    return held


def kept(row, form):
    if form != "protobuf":
        return row
    return {name: without_absence(kind, row[name]) for name, kind in COLUMNS.items() if name not in WITHOUT[form]}


# ---- Avro


def avro_type(kind, name, micros, fixed):
    if isinstance(kind, list):
        return {"type": "array", "items": avro_union(kind[0], name + "_", micros, fixed)}
    if isinstance(kind, dict) and "" in kind:
        return {"type": "map", "values": avro_union(kind[""], name + "_", micros, fixed)}
    if isinstance(kind, dict):
        fields = [{"name": of, "type": avro_union(inner, f"{name}_{of}", micros, fixed)} for of, inner in kind.items()]
        return {"type": "record", "name": name, "fields": fields}
    size = {"type": "fixed", "name": name, "size": 16} if fixed else {"type": "bytes"}
    return {
        "bigint": "long",
        "json": "string",
        "decimal": size | {"logicalType": "decimal", "precision": 38, "scale": 3},
        "date": {"type": "int", "logicalType": "date"},
        "timestamp": {"type": "long", "logicalType": "timestamp-micros" if micros else "timestamp-millis"},
    }.get(kind, kind)


def avro_union(*of):
    return ["null", avro_type(*of)]


def avro_schema(micros=False, fixed=False):
    # The branch of null stands behind its value for some, as others write it.
    fields = [
        {"name": name, "type": avro_union(kind, f"of_{name}", micros, fixed)[:: -1 if micros else 1]}
        for name, kind in COLUMNS.items()
    ]
    return {"type": "record", "name": "Row", "namespace": "reference", "fields": fields}


def avro_value(kind, held, scale=1):
    if held is None:
        return None
    if isinstance(kind, list):
        return [avro_value(kind[0], item, scale) for item in held]
    if isinstance(kind, dict):
        return {name: avro_value(kind.get(name, kind.get("")), item, scale) for name, item in held.items()}
    if kind == "timestamp":
        return held * scale + (scale // 2)
    return (held - DAY_ZERO).days if kind == "date" else held


def avro_rows(rows, scale=1):
    return [{name: avro_value(kind, row[name], scale) for name, kind in COLUMNS.items()} for row in rows]


def write_avro(folder, rows):
    import fastavro

    quarter = len(rows) // 4
    for index, codec in enumerate(["null", "deflate", "snappy", "zstandard"]):
        part, micros = rows[index * quarter : (index + 1) * quarter], index % 2 == 1
        with open(folder / f"{codec}.avro", "wb") as out:
            schema = avro_schema(micros, fixed=index > 1)
            fastavro.writer(out, schema, avro_rows(part, 1000 if micros else 1), codec=codec, sync_interval=2000)


def avro_messages(folder, rows, number):
    import io

    import fastavro

    (folder / "avro.avsc").write_text(json.dumps(avro_schema()))
    schema, messages = fastavro.parse_schema(avro_schema()), []
    for row in avro_rows(rows):
        out = io.BytesIO(struct.pack(">bI", 0, number))
        out.seek(5)
        fastavro.schemaless_writer(out, schema, row)
        messages.append(out.getvalue())
    return messages


def read_avro(folder):
    import fastavro

    for path in sorted(folder.rglob("*.avro")):
        with open(path, "rb") as file:
            yield from fastavro.reader(file)


def read_avro_messages(folder):
    import io

    import fastavro

    schema = fastavro.parse_schema(json.loads((folder / "schema").read_text()))
    for message in messages_of(folder):
        rest = io.BytesIO(message[5:])
        yield fastavro.schemaless_reader(rest, schema)
        if rest.read():
            sys.exit("bytes follow a message")


# ---- Protocol Buffers


def proto_item(kind, name, inner):
    if isinstance(kind, dict):
        inner.append(f"message {name} {{\n{proto_fields(kind, name, inner)}}}\n")
        return name
    return {
        "bigint": "sint64",
        "int": "int32",
        "boolean": "bool",
        "timestamp": "google.protobuf.Timestamp",
        "double": "double",
        "float": "float",
        "bytes": "bytes",
    }.get(kind, "string")


def proto_fields(columns, above, inner):
    text = ""
    # Numbers have gaps, and large ones take more than a byte.
    for number, (name, kind) in zip(range(1, 10_000, 7), columns.items()):
        below = f"{above}_{name}"
        if isinstance(kind, list):
            field = f"repeated {proto_item(kind[0], below, inner)}"
        elif isinstance(kind, dict) and "" in kind:
            field = f"map<string, {proto_item(kind[''], below, inner)}>"
        else:
            field = f"optional {proto_item(kind, below, inner)}"
        text += f"  {field} {name} = {number};\n"
    return text


def proto_text():
    inner = []
    columns = {name: kind for name, kind in COLUMNS.items() if name not in WITHOUT["protobuf"]}
    fields = proto_fields(columns, "Row", inner)
    return (
        'syntax = "proto3";\npackage reference;\nimport "google/protobuf/timestamp.proto";\n'
        f"message Before {{ int32 x = 1; }}\nmessage Row {{\n{fields}}}\n{''.join(inner)}"
    )


def proto_class(text, name):
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    with tempfile.TemporaryDirectory() as place:
        source = pathlib.Path(place) / "row.proto"
        source.write_text(text)
        into = ["--include_imports", f"--descriptor_set_out={place}/set"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{place}", *into, str(source)], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString((pathlib.Path(place) / "set").read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def put_proto(message, kind, held):
    for name, of in kind.items():
        if name not in held or held[name] is None:
            continue
        put_proto_field(message, name, of, held[name])


def put_proto_field(message, name, of, held):
    field = getattr(message, name)
    if isinstance(of, list) and isinstance(of[0], dict):
        for item in held:
            put_proto(field.add(), of[0], item)
    elif isinstance(of, list):
        field.extend(held)
    elif isinstance(of, dict) and "" in of:
        for key, item in held.items():
            field[key] = item
    elif isinstance(of, dict):
        field.SetInParent()
        put_proto(field, of, held)
    elif of == "timestamp":
        field.SetInParent()
        field.seconds, field.nanos = held // 1000, held % 1000 * 1_000_000 + 999
    else:
        setattr(message, name, str(held) if of in ("decimal", "date") else held)


def proto_messages(folder, rows, number):
    (folder / "rows.proto").write_text(proto_text())
    made = proto_class(proto_text(), "reference.Row")
    messages = []
    for row in rows:
        message = made()
        put_proto(message, {name: kind for name, kind in COLUMNS.items() if name in row}, row)
        # The places of the second message of the file: one place, which is 1; both as zigzag.
        messages.append(struct.pack(">bIbb", 0, number, 2, 2) + message.SerializeToString())
    return messages


def of_proto(message, kind):
    found = {}
    for name, of in kind.items():
        if name in WITHOUT["protobuf"]:
            continue
        field = getattr(message, name)
        if isinstance(of, list):
            found[name] = [of_proto(item, of[0]) if isinstance(of[0], dict) else item for item in field]
        elif isinstance(of, dict) and "" in of:
            found[name] = dict(field)
        elif not message.HasField(name):
            found[name] = None
        elif isinstance(of, dict):
            found[name] = of_proto(field, of)
        else:
            found[name] = field.seconds * 1000 + field.nanos // 1_000_000 if of == "timestamp" else field
    return found


def read_proto_messages(folder):
    made = proto_class((folder / "schema").read_text(), "weir.Row")
    for message in messages_of(folder):
        if message[5] != 0:
            sys.exit("not the first message of its file")
        yield of_proto(made.FromString(message[6:]), COLUMNS)


def messages_of(folder):
    return [base64.b64decode(text) for text in (folder / "messages").read_text().split()]


# ---- Parquet and CSV


def arrow_type(kind):
    import pyarrow as pa

    if isinstance(kind, list):
        return pa.list_(arrow_type(kind[0]))
    if isinstance(kind, dict) and "" in kind:
        return pa.map_(pa.string(), arrow_type(kind[""]))
    if isinstance(kind, dict):
        return pa.struct([(name, arrow_type(of)) for name, of in kind.items()])
    return {
        "bigint": pa.int64(),
        "int": pa.int32(),
        "double": pa.float64(),
        "float": pa.float32(),
        "decimal": pa.decimal128(38, 3),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "bytes": pa.binary(),
        "timestamp": pa.timestamp("ms", tz="UTC"),
    }.get(kind, pa.string())


def arrow_value(kind, held):
    if isinstance(kind, dict) and "" in kind and held is not None:
        return list(held.items())
    return held


def write_parquet(folder, rows):
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema([(name, arrow_type(kind)) for name, kind in COLUMNS.items()])
    table = pa.Table.from_pylist(
        [{name: arrow_value(kind, row[name]) for name, kind in COLUMNS.items()} for row in rows], schema=schema
    )
    half = len(rows) // 2
    options = {"row_group_size": 70, "data_page_size": 1000}
    pyarrow.parquet.write_table(table[:half], folder / "one.parquet", compression="snappy", **options)
    pyarrow.parquet.write_table(
        table[half:], folder / "two.parquet", compression="zstd", data_page_version="2.0", use_dictionary=False, **options
    )


def read_parquet(folder):
    import pyarrow.parquet

    for path in sorted(folder.rglob("*.parquet")):
        table = pyarrow.parquet.ParquetFile(path).read()
        for name, kind in COLUMNS.items():
            if kind == "timestamp":
                index = table.column_names.index(name)
                table = table.set_column(index, name, table[name].cast("int64"))
        yield from table.to_pylist()


def is_json_in_csv(kind):
    return isinstance(kind, (list, dict))


def csv_text(kind, held):
    if held is None:
        return None
    if kind == "json":
        return held
    told = as_json(kind, held)
    return json.dumps(told, ensure_ascii=False) if is_json_in_csv(kind) or kind == "boolean" else str(told)


def write_csv(folder, rows):
    import pyarrow as pa
    import pyarrow.csv

    columns = {name: pa.array([csv_text(kind, row[name]) for row in rows], pa.string()) for name, kind in COLUMNS.items()}
    options = pyarrow.csv.WriteOptions(quoting_style="needed")
    pyarrow.csv.write_csv(pa.table(columns), folder / "rows.csv", options)


def of_csv(kind, text):
    if text is None or kind in ("string", "decimal", "bytes", "date", "timestamp"):
        return text
    if is_json_in_csv(kind) or kind in ("json", "boolean"):
        return json.loads(text, parse_float=decimal.Decimal)
    return int(text) if kind in ("bigint", "int") else float(text)


def read_csv(folder):
    """Rows as lines have them."""
    import pyarrow as pa
    import pyarrow.csv

    for path in sorted(folder.rglob("*.csv")):
        convert = pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in COLUMNS}, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        )
        parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
        for row in pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert).to_pylist():
            yield {name: of_csv(COLUMNS[name], text) for name, text in row.items()}


# ---- What is compared


def of_library(kind, held):
    """A value that a library read, as lines have it."""
    if held is None:
        return None
    if isinstance(kind, list):
        return [of_library(kind[0], item) for item in held]
    if isinstance(kind, dict):
        items = held.items() if isinstance(held, dict) else held
        return {name: of_library(kind.get(name, kind.get("")), item) for name, item in items}
    if isinstance(held, datetime.datetime):
        return held.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if kind == "timestamp":
        return moment(held)
    return as_json(kind, held)


def compared(found, form, what):
    """Ends with what differs, if anything does."""
    rows = {row["id"]: kept(row, form) for row in generated()}
    columns = {name: kind for name, kind in COLUMNS.items() if name not in WITHOUT.get(form, [])}
    count = 0
    for row in found:
        count += 1
        expected = rows.pop(row["id"], None)
        if expected is None:
            sys.exit(f"{what}: row {row['id']} is there twice, or is another's")
        for name, kind in columns.items():
            wanted = same(kind, json.loads(json.dumps(as_json(kind, expected[name])), parse_float=decimal.Decimal))
            held = same(kind, row[name])
            if wanted != held:
                sys.exit(f"{what}: row {row['id']}, column {name}: {held!r} where {wanted!r} was written")
    if rows:
        sys.exit(f"{what}: {len(rows)} of {count + len(rows)} rows are not there: {sorted(rows)[:5]}")


def same_lines(folder, form):
    paths = sorted(pathlib.Path(folder).rglob("*.jsonl"))
    texts = [text for path in paths for text in path.read_text().split("\n") if text]
    rows = [json.loads(text, parse_float=decimal.Decimal) for text in texts]
    compared(rows, form, folder)


def wrote(form, folder):
    place = pathlib.Path(folder)
    if form == "csv":
        return compared(read_csv(place), form, folder)
    read = {
        "avro": read_avro,
        "avro-messages": read_avro_messages,
        "protobuf": read_proto_messages,
        "parquet": read_parquet,
    }[form]
    names = [name for name in COLUMNS if name not in WITHOUT.get(form, [])]
    rows = ({name: of_library(COLUMNS[name], row[name]) for name in names} for row in read(place))
    compared(rows, form, folder)


def generate(folder, avro_number, proto_number):
    place, rows = pathlib.Path(folder), generated()
    (place / "rows.jsonl").write_text("".join(line(row) + "\n" for row in rows))
    write_avro(place, rows)
    write_parquet(place, rows)
    write_csv(place, rows)
    for name, messages in [
        ("avro", avro_messages(place, rows, int(avro_number))),
        ("protobuf", proto_messages(place, [kept(row, "protobuf") for row in rows], int(proto_number))),
    ]:
        (place / f"{name}.messages").write_text("".join(base64.b64encode(message).decode() + "\n" for message in messages))


if __name__ == "__main__":
    {"generate": generate, "same": same_lines, "wrote": wrote}[sys.argv[1]](*sys.argv[2:])
