#!/usr/bin/env python3
"""Posts events to a running weir and asks it for features; needs nothing but Python's standard library.

features.py post STREAM FILE             post a file of JSON Lines, and return when lookups see it
features.py get JOB KEY=VALUE ..         the features of one entity
features.py many JOB KEY VALUE VALUE ..  one request for many entities
"""

import json
import os
import sys
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

SERVER = os.environ.get("WEIR_SERVER", "http://{{LISTEN}}")
TOKEN = os.environ.get("WEIR_TOKEN")


def ask(path, body=None):
    """The server's answer to a GET, or to a POST where there is a body."""
    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    try:
        with urlopen(Request(SERVER + path, data=body, headers=headers)) as answer:
            return json.load(answer)
    except HTTPError as error:
        problem = json.load(error)
        reasons = [problem.get("detail", error.reason)] + [each["detail"] for each in problem.get("errors", [])]
        sys.exit(f"{error.code}: " + "\n  ".join(reasons))
    except URLError as error:
        sys.exit(f"no answer from {SERVER}: {error.reason}; is `weir serve` running there?")


def post(stream, rows):
    return ask(f"/v1/streams/{quote(stream)}/events?wait=visible", rows)


def get(job, **entity):
    values = ask(f"/v1/jobs/{quote(job)}/values?{urlencode(entity)}")
    return {name: feature["value"] for name, feature in values["features"].items()}


def many(job, entities):
    """Each entity with its features; with a text in their place where something is wrong with it."""
    answer = ask("/v1/lookup", json.dumps({"features": [job], "entities": entities}).encode())
    for row in answer["rows"]:
        values = {name: feature["value"] for name, feature in row["features"].items()}
        yield row["entity"], row.get("error", values)


def main(arguments):
    match arguments:
        case ["post", stream, file]:
            with open(file, "rb") as rows:
                print(post(stream, rows.read()))
        case ["get", job, *entity]:
            print(get(job, **dict(pair.split("=", 1) for pair in entity)))
        case ["many", job, key, *values]:
            for entity, features in many(job, [{key: value} for value in values]):
                print(entity[key], features)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
