"""Compares the rows of two folders of JSON lines without regard to order: doubles rounded to 6 decimals, times to ISO.

rows.py WEIR FLINK: prints how many rows each has and how many differ; where only the column `last` differs, that too.
Exits with 1 if anything but `last` differs.
"""

import json
import pathlib
import re
import sys
from collections import Counter
from hashlib import blake2b

TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d+))?Z?")


def plain(value):
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, str) and (time := TIME.fullmatch(value)):
        return f"{time[1]}T{time[2]}.{time[3] or '':0<3}"
    return value


def digests(folder):
    """How often each row occurs: whole, and without `last`."""
    whole, rest = Counter(), Counter()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if not path.is_file() or path.name.startswith((".", "_")):
            continue
        with path.open() as lines:
            for line in lines:
                row = {name: plain(value) for name, value in json.loads(line).items()}
                whole[digest(row)] += 1
                row.pop("last", None)
                rest[digest(row)] += 1
    return whole, rest


def digest(row):
    return blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=12).digest()


def main(weir, flink):
    (weir_whole, weir_rest), (flink_whole, flink_rest) = digests(weir), digests(flink)
    differ = max((weir_rest - flink_rest).total(), (flink_rest - weir_rest).total())
    in_order = (weir_whole - flink_whole).total()
    print(f"rows {weir_rest.total()} and {flink_rest.total()}, different {differ}", end="")
    print(f", in their last-n alone {in_order - differ}" if in_order > differ else "")
    sys.exit(differ > 0)


main(*sys.argv[1:])
