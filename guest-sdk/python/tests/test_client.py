"""The package against a real server, whose address is in WEIR_TEST_SERVER and whose token in WEIR_TOKEN.

It has a stream `rides` (user_id, n, at) that takes events, and jobs `user` (features c and s, over the last 10 seconds) and
`life` (feature c). Tests of data frames are skipped where pandas is missing.
"""

import contextlib
import datetime
import gzip
import io
import os
import sys
import tempfile
import unittest
import warnings
from unittest import mock

import weir
from weir import _tables

SERVER = os.environ.get("WEIR_TEST_SERVER", "")
BASE = 1_770_000_000_000
LATER = datetime.datetime(2026, 2, 2, 2, 40, 5)
COUNTED = ["user__c", "user__s"]


def moment(second):
    return LATER.replace(second=second, tzinfo=datetime.timezone.utc)


def spine():
    return [
        {"user_id": "u1", "event_time": moment(3), "label": 0.5},
        {"user_id": "u2", "event_time": moment(4), "label": float("nan")},
        {"user_id": "nobody", "event_time": moment(4), "label": 2.0},
    ]


@unittest.skipUnless(SERVER, "WEIR_TEST_SERVER is not set")
class OfAServer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = weir.Client(SERVER)
        events = [{"user_id": f"u{second % 3}", "n": second, "at": BASE + second * 1000} for second in range(6)]
        pushed = cls.client.push("rides", events, wait=True, idempotency_key="tests")
        assert (pushed.accepted, pushed.rejected, pushed.visible) == (6, [], True), pushed

    def nothing_is_left(self):
        self.assertEqual(self.client._http.json("GET", "/v1/train"), {"training_sets": []})


class Dicts(OfAServer):
    def setUp(self):
        patch = mock.patch.object(_tables, "pandas", None)
        patch.start()
        self.addCleanup(patch.stop)

    def rows(self, given, **options):
        rows = self.client.train(given, "user", as_of="event", **options)
        self.nothing_is_left()
        return [[row[name] for name in ["user_id", *COUNTED]] for row in rows]

    def test_rows_come_back_with_features(self):
        wanted = [["u1", 1, 1], ["u2", 1, 2], ["nobody", 0, None]]
        self.assertEqual(self.rows(spine()), wanted)
        rows = weir.train(SERVER, spine(), ["user:c", "life"], as_of="event", status=True, serving_delay="0ms")
        self.assertEqual([row["life__c__status"] for row in rows], ["ok", "ok", "not_found"])
        self.assertEqual([row["label"] for row in rows], [0.5, None, 2.0])

    def test_fields_of_a_request_are_columns_of_the_spine(self):
        given = [{**row, "amount": 3} for row in spine()[:2]]
        rows = self.client.train(given, "paid:share", as_of="event", progress=False)
        self.assertEqual([row["paid__share"] for row in rows], [3.0, 3.0])
        with self.assertRaisesRegex(weir.TrainingFailed, "the spine has no column `amount`"):
            self.client.train(spine(), "paid:share", as_of="event", progress=False)
        self.nothing_is_left()

    def test_files_are_spines(self):
        wanted = [["u1", 2, 5], ["u2", 1, 2]]
        text = b"user_id,moment\nu1,2026-02-02T02:40:05Z\nu2,2026-02-02T02:40:04Z\n"
        with tempfile.TemporaryDirectory() as folder:
            plain, packed = os.path.join(folder, "spine.csv"), os.path.join(folder, "spine.csv.gz")
            with open(plain, "wb") as file:
                file.write(text)
            with gzip.open(packed, "wb") as file:
                file.write(text)
            for path in (plain, packed):
                self.assertEqual(self.rows(path, time="moment"), wanted)
            with self.assertRaisesRegex(ValueError, "has to end in .csv"):
                self.client.train(os.path.join(folder, "spine.txt"), "user")

    def test_what_fails_says_why_and_leaves_nothing(self):
        with self.assertRaisesRegex(weir.NotFound, "did you mean|known: "):
            self.client.train(spine(), "users")
        with self.assertRaisesRegex(weir.TrainingFailed, "no column `when`"):
            self.client.train(spine(), "user", time="when")
        with self.assertRaisesRegex(weir.BadRequest, "400: `as_of` is known or event") as caught:
            self.client.train(spine(), "user", as_of="now")
        self.assertEqual(caught.exception.status, 400)
        with self.assertRaisesRegex(TypeError, "list of dicts"):
            self.client.train({"user_id": "u1"}, "user")
        with self.assertRaisesRegex(ValueError, "JOB:FEATURE"):
            self.client.train(spine(), [])
        self.nothing_is_left()

    def test_the_server_s_warnings_are_warnings(self):
        early = [{"user_id": "u1", "event_time": "2020-01-01T00:00:00Z"}]
        with self.assertWarnsRegex(weir.WeirWarning, "before any event was known"):
            self.client.train(early, "user")

    def test_progress_is_told(self):
        told = []
        self.client.train(spine(), "user", as_of="event", progress=told.append)
        self.assertEqual((told[-1].state, told[-1].share), ("done", 1.0))
        self.assertIn("100% of the spine's rows", str(told[-1]))
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            self.client.train(spine(), "user", as_of="event", progress=True)
        self.assertIn("weir: ", stderr.getvalue())
        self.assertTrue(stderr.getvalue().endswith("\r\x1b[2K"))

    def test_whoever_stops_waiting_stops_the_work(self):
        def interrupt(_progress):
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.client.train(spine(), "user", progress=interrupt)
        self.nothing_is_left()


class Asked(OfAServer):
    def test_lookups(self):
        values = self.client.lookup("user", {"user_id": "u1"}, {"user_id": "nobody"}, as_of=moment(4))
        self.assertEqual(values, [{"user:c": 2, "user:s": 5}, {"user:c": 0, "user:s": None}])
        self.assertEqual(self.client.lookup(["life:c"], {"user_id": "u2"}), [{"life:c": 2}])
        answer = self.client.lookup_answer("life", {"user_id": "u2"})
        self.assertEqual(answer["rows"][0]["features"]["life:c"]["status"], "ok")
        with self.assertRaisesRegex(weir.NotFound, "job `lif` not found; did you mean `life`"):
            self.client.lookup("lif", {"user_id": "u2"})
        with self.assertRaisesRegex(weir.BadRequest, "user_id"):
            self.client.lookup("life", {"user": "u2"})

    def test_derived_features_take_a_request(self):
        entities = [{"user_id": "u1"}, {"user_id": "u1", "request": {"amount": 1}}]
        values = self.client.lookup("paid:share", *entities, as_of=moment(4), request={"amount": 5})
        self.assertEqual(values, [{"paid:share": 2.5}, {"paid:share": 0.5}])
        with self.assertRaisesRegex(weir.BadRequest, "the request field `amount` is missing"):
            self.client.lookup("paid:share", {"user_id": "u1"})
        with self.assertRaisesRegex(weir.BadRequest, "`amount`: .* is not a number"):
            self.client.lookup("paid:share", {"user_id": "u1", "request": {"amount": "x"}})

    def test_events_that_are_refused_are_told(self):
        pushed = self.client.push("rides", {"user_id": 7})
        self.assertEqual((pushed.accepted, [each["row"] for each in pushed.rejected]), (0, [0]))
        with self.assertRaisesRegex(weir.NotFound, "stream `ride` not found"):
            self.client.push("ride", [])

    def test_features_are_listed(self):
        jobs = {job.name: job for job in self.client.features()}
        self.assertEqual([feature.name for feature in jobs["user"].features], ["user:c", "user:s"])
        count, share = jobs["paid"].features
        self.assertEqual((count.derived, share.derived, share.request), (False, True, ["amount"]))
        self.assertEqual(jobs["paid"].request, {"amount": "double"})
        self.assertEqual((jobs["life"].entity, jobs["life"].state), (["user_id"], "running"))
        self.assertEqual(jobs["life"].features[0].type, "bigint")

    def test_who_may_not_ask_and_where_nobody_answers(self):
        with self.assertRaisesRegex(weir.Unauthorized, "401: the bearer token is wrong"):
            weir.Client(SERVER, token="another").features()
        with self.assertRaisesRegex(weir.Unreachable, "is `weir serve` running there"):
            weir.Client("http://127.0.0.1:1").features()
        with self.assertRaisesRegex(ValueError, "http://ADDRESS:PORT"):
            weir.Client("127.0.0.1:8080")


@unittest.skipIf(_tables.pandas is None, "pandas is not installed")
class Frames(OfAServer):
    def check(self, columns, **more):
        import pandas

        frame = pandas.DataFrame(spine(), index=[7, 8, 9]).assign(**more)
        made = self.client.train(frame, "user", as_of="event", progress=False)
        self.nothing_is_left()
        self.assertEqual(list(made.index), [7, 8, 9])
        self.assertEqual(list(made.columns), [*frame.columns, *COUNTED])
        self.assertEqual(list(made["user__c"]), [1, 1, 0])
        self.assertEqual(made["user__s"].fillna(-1).tolist(), [1, 2, -1])
        self.assertEqual(made["label"].fillna(-1).tolist(), [0.5, -1, 2.0])
        self.assertEqual(list(made["event_time"]), list(frame["event_time"]))
        for name in columns:
            self.assertEqual(made[name].tolist(), frame[name].tolist(), name)
        return made

    def test_frames_come_back_with_features(self):
        made = self.check(["text", "flag", "whole"], text=["a", "ü", ""], flag=[True, False, True], whole=[1, 2, 3])
        self.assertEqual(str(made["user__c"].dtype), "int64")

    def test_frames_without_pyarrow(self):
        with mock.patch.object(_tables, "_parquet", None):
            self.check(["text", "flag", "whole"], text=["a", "ü", "b"], flag=[True, False, True], whole=[1, 2, 3])

    def test_times_without_a_zone_are_utc_and_an_empty_frame_is_refused(self):
        import pandas

        frame = pandas.DataFrame({"user_id": ["u1"], "event_time": [LATER]})
        for parquet in (_tables._parquet, None):
            with mock.patch.object(_tables, "_parquet", parquet):
                made = self.client.train(frame, ["user:c"], as_of="event")
                self.assertEqual(made["user__c"].tolist(), [2])
        with self.assertRaisesRegex(ValueError, "no rows"):
            self.client.train(frame.iloc[:0], "user")

    def test_events_of_a_frame(self):
        import pandas

        frame = pandas.DataFrame({"user_id": ["later"], "n": [1], "at": [LATER]})
        self.assertEqual(self.client.push("rides", frame, wait=True).accepted, 1)


if __name__ == "__main__":
    warnings.simplefilter("error", weir.WeirWarning)
    print(f"pandas: {_tables.pandas is not None}, pyarrow: {_tables._parquet is not None}", file=sys.stderr)
    unittest.main()
