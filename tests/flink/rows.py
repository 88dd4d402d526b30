"""Compares the rows of two folders of JSON lines without regard to order: doubles rounded to 6 decimals, times to ISO.

rows.py WEIR FLINK: prints how many rows each has and how many differ; where only the column `last` differs, that too.
A double that lies between two roundings may be rounded either way: rows that are the same but for doubles less than a
millionth apart count as the same. Exits with 1 if anything but `last` differs.
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


def rows(folder):
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file() and not path.name.startswith((".", "_")):
            with path.open() as lines:
                yield from map(json.loads, lines)


def digest(row):
    plain_row = {name: plain(value) for name, value in row.items()}
    return blake2b(json.dumps(plain_row, sort_keys=True).encode(), digest_size=12).digest()


def but_last(row):
    return {name: value for name, value in row.items() if name != "last"}


def digests(folder):
    """How often each row occurs: whole, and without `last`."""
    whole, rest = Counter(), Counter()
    for row in rows(folder):
        whole[digest(row)] += 1
        rest[digest(but_last(row))] += 1
    return whole, rest


def doubles(folder, wanted):
    """Of rows with these digests: by their other columns, their doubles."""
    found = {}
    for row in filter(lambda row: digest(row) in wanted, map(but_last, rows(folder))):
        is_double = {name: isinstance(value, float) for name, value in row.items()}
        others = tuple(plain(value) for name, value in row.items() if not is_double[name])
        found.setdefault(others, []).append([value for name, value in row.items() if is_double[name]])
    return found


def rounded_apart(weir, weir_only, flink, flink_only):
    """How many of the rows that only one side has are on the other side too, rounded the other way."""
    if not weir_only or not flink_only:
        return 0
    ours, theirs = doubles(weir, weir_only), doubles(flink, flink_only)
    return sum(
        len(ours[key]) == len(theirs.get(key, ())) == 1
        and all(abs(one - other) < 1e-6 for one, other in zip(ours[key][0], theirs[key][0], strict=True))
        for key in ours
    )


def main(weir, flink):
    (weir_whole, weir_rest), (flink_whole, flink_rest) = digests(weir), digests(flink)
    weir_only, flink_only = weir_rest - flink_rest, flink_rest - weir_rest
    apart = rounded_apart(weir, weir_only, flink, flink_only)
    differ = max(weir_only.total(), flink_only.total()) - apart
    in_order = (weir_whole - flink_whole).total() - weir_only.total()
    print(f"rows {weir_rest.total()} and {flink_rest.total()}, different {differ}", end="")
    print(f", in their last-n alone {in_order}" if in_order > 0 else "")
    sys.exit(differ > 0)


main(*sys.argv[1:])
