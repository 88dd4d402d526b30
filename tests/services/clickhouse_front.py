"""The HTTP interface of ClickHouse over its engine in this process: clickhouse_front.py DATA PORT.

A statement is the parameter `query`, or else the body; beside the parameter the body is the data of an INSERT. Other
parameters are settings. Errors have the engine's own number in a header. One statement at a time.
"""

import os
import re
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb import session

NOT_SETTINGS = {"query", "database", "user", "password", "default_format"}
STATUS_OF_CODE = {"60": 404, "81": 404, "497": 403, "516": 403, "27": 400, "117": 400, "62": 400, "6": 400}


def with_data(statement, settings, data):
    """An INSERT whose data is in a file, as the engine takes it."""
    found = re.fullmatch(r"(?s)(.*)\bFORMAT\s+(\w+)\s*", statement)
    assignments = ", ".join(f"{name} = '{value}'" for name, value in settings.items())
    settings = f"SETTINGS {assignments}" if assignments else ""
    return f"{found[1]} FROM INFILE '{data}' {settings} FORMAT {found[2]}"


class Front(BaseHTTPRequestHandler):
    # A connection for each request, so that none waits for one that is kept open.
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, b"Ok.\n")

    def do_POST(self):
        given = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        statement = given.get("query") or body.decode()
        settings = {name: value for name, value in given.items() if name not in NOT_SETTINGS}
        data = None
        try:
            if "query" in given and body:
                with tempfile.NamedTemporaryFile(delete=False) as file:
                    file.write(body)
                    data = file.name
                statement = with_data(statement, settings, data)
            result = ENGINE.query(statement)
            self.answer(200, result.bytes() if result else b"")
        except Exception as error:
            code = re.search(r"Code: (\d+)", str(error))
            code = code[1] if code else "0"
            self.answer(STATUS_OF_CODE.get(code, 500), str(error).encode(), code)
        finally:
            if data:
                os.unlink(data)

    def answer(self, status, body, code=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.end_headers()
        self.wfile.write(body)


class Server(HTTPServer):
    # They wait for each other: the engine takes one statement at a time.
    request_queue_size = 64


ENGINE = session.Session(sys.argv[1])
Server(("127.0.0.1", int(sys.argv[2])), Front).serve_forever()
