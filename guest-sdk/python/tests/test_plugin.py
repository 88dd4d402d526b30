"""Decorated functions and classes, and the way of their values to columns and back, without WebAssembly."""

from __future__ import annotations

import datetime
import math
import unittest
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, TypedDict

import weir
from weir.plugin import blame, declared
from weir.plugin.columns import Raw, WrongResult, decode, encode
from weir.plugin.hints import DataType, Undeclared

UTC = datetime.timezone.utc


def raw(values, data_type, nulls=()):
    """A column whose rows in `nulls` are null, whatever stands there."""
    column = encode(list(values), data_type, "test")
    validity = bytes(row not in nulls for row in range(len(values))) if nulls else column.validity
    return Raw(column.values, validity, column.offsets)


class Plugins(unittest.TestCase):
    def setUp(self):
        declared.clear()
        self.addCleanup(declared.clear)


@dataclass
class Ride:
    user_id: str
    at: weir.Timestamp
    fare: Optional[float]


class Sparse(TypedDict):
    user_id: Optional[str]


class Pair(NamedTuple):
    left: int
    right: List[str]


class Decoders(Plugins):
    def test_payloads_become_the_wanted_columns_and_others_are_refused_alone(self):
        @weir.decode
        def ride(payload: bytes) -> Ride:
            user_id, at, *fare = payload.decode().split()
            return Ride(user_id, weir.Timestamp(int(at)), float(fare[0]) if fare else None)

        self.assertEqual(ride(b"u1 5").fare, None)
        decoder = declared.decoders["ride"]
        self.assertEqual([(f.name, str(f.type), f.type.nullable) for f in decoder.columns],
                         [("user_id", "string", False), ("at", "timestamp", False), ("fare", "double", True)])
        columns, refused = decoder.decode([b"u1 5 1.5", b"u2 x", b"u3 7", b"\xff 1"], ["fare", "user_id"])
        fares, users = decode(columns[0], DataType("double")), decode(columns[1], DataType("text"))
        self.assertEqual((fares[0], fares[2], users[0], users[2]), (1.5, None, "u1", "u3"))
        self.assertEqual([at for at, _ in refused], [1, 3])
        self.assertRegex(refused[0][1], r"test_plugin.py:\d+: ValueError: invalid literal")
        self.assertEqual(decoder.decode([], ["at"])[1], [])

    def test_values_that_are_not_what_the_hints_say_refuse_their_payload(self):
        rows = iter([Ride("a", 1, None), Ride(None, 2, None), Ride("c", "later", None), 5, {"user_id": "e", "at": 4}])

        @weir.decode
        def ride(payload: bytes) -> Ride:
            return next(rows)

        _, refused = declared.decoders["ride"].decode([b""] * 5, ["user_id", "at"])
        self.assertEqual([at for at, _ in refused], [1, 2, 3])
        self.assertEqual(refused[0][1], "`user_id` is None, and its hint is not Optional")
        self.assertIn("`at` returned str 'later'", refused[1][1])
        self.assertIn("`ride` returned int, which is not a row", refused[2][1])

    def test_rows_are_dataclasses_named_tuples_or_typed_dicts_and_one_decoder_is_all(self):
        @weir.decode
        def pair(payload: bytes) -> Pair:
            return Pair(len(payload), [payload.decode()])

        (column,), refused = declared.decoders["pair"].decode([b"ab", b""], ["right"])
        self.assertEqual((decode(column, DataType("text", True)), refused), ([["ab"], [""]], []))
        with self.assertRaisesRegex(Undeclared, "a plugin has one decoder"):
            @weir.decode
            def sparse(payload: bytes) -> Sparse:
                return {"user_id": None}
        declared.clear()
        weir.decode(sparse_of)
        self.assertEqual(declared.decoders["sparse_of"].decode([b"x"], ["user_id"])[1], [])
        with self.assertRaisesRegex(Undeclared, "a row is a dataclass"):
            @weir.decode
            def wrong(payload: bytes) -> Optional[int]:
                return None


    def test_what_is_not_a_decoder_is_told(self):
        def of_text(payload: str) -> Ride: ...
        def of_two(payload: bytes, more: int) -> Ride: ...
        async def later(payload: bytes) -> Ride: ...

        for function, said in ((of_text, "takes a payload"), (of_two, "takes a payload"), (later, "not a plain function")):
            with self.assertRaisesRegex(Undeclared, said):
                weir.decode(function)

        @weir.decode()
        def ends(payload: bytes) -> Ride:
            raise SystemExit(3)

        self.assertRegex(declared.decoders["ends"].decode([b""], [])[1][0][1], r"SystemExit: 3")


def sparse_of(payload: bytes) -> Sparse:
    return {"user_id": None}


class Scalars(Plugins):
    def test_a_function_stays_what_it_is_and_says_what_it_takes(self):
        @weir.scalar
        def tip_percent(fare: float, tip: Optional[float]) -> Optional[float]:
            """The part of a fare
            that is tip.

            More words."""
            return (tip or 0.0) / fare * 100 if fare > 0 else None

        self.assertEqual(tip_percent(10.0, 2.0), 20.0)
        found = declared.scalars["tip_percent"]
        self.assertEqual(found.description, "The part of a fare that is tip.")
        self.assertEqual([(f.name, str(f.type), f.type.nullable) for f in found.arguments],
                         [("fare", "double", False), ("tip", "double", True)])
        double = DataType("double")
        columns = [raw([10.0, 10.0, 0.0, 4.0], double, nulls=(3,)), raw([2.0, 0.0, 1.0, 1.0], double, nulls=(1,))]
        answer = found.call(columns, 4)
        self.assertEqual(decode(answer, double), [20.0, 0.0, None, None])

    def test_whole_columns_have_no_null_that_is_not_asked_for(self):
        seen = []

        @weir.scalar(columnar=True, name="added")
        def add(left: weir.Column[int], right: weir.Column[Optional[int]]) -> weir.Column[int]:
            seen.append((left, right))
            return [a + (b or 0) for a, b in zip(left, right)]

        bigint = DataType("bigint")
        columns = [raw([1, 2, 3], bigint, nulls=(1,)), raw([10, 20, 30], bigint, nulls=(2,))]
        answer = declared.scalars["added"].call(columns, 3)
        self.assertEqual(decode(answer, bigint), [11, None, 3])
        self.assertEqual(seen, [([1, 3], [10, None])])
        self.assertEqual(decode(declared.scalars["added"].call([raw([], bigint), raw([], bigint)], 0), bigint), [])

    def test_a_column_that_lacks_rows_is_refused(self):
        @weir.scalar(columnar=True)
        def short(x: weir.Column[int]) -> weir.Column[int]:
            return x[1:]

        with self.assertRaisesRegex(WrongResult, "`short` returned 1 values for 2 rows"):
            declared.scalars["short"].call([raw([1, 2], DataType("bigint"))], 2)

    def test_results_are_what_their_hint_says(self):
        for hint, value, message in [
            ("int", 1.5, r"`f` returned float 1.5, and its hint says bigint"),
            ("int", 2**63, r"which 64 bits do not hold"),
            ("float", "1", r"returned str '1', and its hint says double"),
            ("bool", 1, r"returned int 1, and its hint says boolean"),
            ("str", b"x", r"hint says string"),
            ("str", "\ud800", r"half a surrogate pair"),
            ("bytes", "x", r"hint says bytes"),
            ("datetime", datetime.datetime(2026, 1, 1), r"without a time zone"),
            ("List[int]", 1, r"returned int 1, and its hint says array<bigint>"),
            ("List[int]", [1, None], r"returned None, and its hint says array<bigint>"),
        ]:
            with self.subTest(hint=hint, value=value):
                declared.clear()
                types = {"datetime": datetime.datetime, "List[int]": List[int]}

                def f():
                    return value

                f.__annotations__["return"] = types.get(hint) or eval(hint)
                weir.scalar(f)
                with self.assertRaisesRegex(WrongResult, message):
                    declared.scalars["f"].call([], 1)

    def test_hints_that_mean_nothing_are_refused_by_name(self):
        def no_hint(x) -> int: ...
        def no_result(x: int): ...
        def a_dict(x: dict) -> int: ...
        def many(*x: int) -> int: ...
        def Capital(x: int) -> int: ...

        for function, message in [
            (no_hint, "`x` of `no_hint` has no type hint"),
            (no_result, "`no_result` does not say what it returns"),
            (a_dict, "`x` of `a_dict` is dict; hints may be bool, int, float"),
            (many, "`x` of `many` is not a plain argument"),
            (Capital, "`Capital` is not a name in SQL"),
        ]:
            with self.assertRaisesRegex(Undeclared, message):
                weir.scalar(function)

    def test_a_name_is_declared_once(self):
        def one(x: int) -> int: ...
        def two(x: int) -> int: ...

        weir.scalar(name="same")(one)
        weir.scalar(name="same")(one)
        with self.assertRaisesRegex(Undeclared, "`same` is declared twice"):
            weir.scalar(name="same")(two)


class Columns(unittest.TestCase):
    def test_every_type_comes_back_at_its_edges(self):
        moments = [datetime.datetime(1, 1, 1, tzinfo=UTC), datetime.datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)]
        for data_type, values in [
            (DataType("boolean"), [True, False, None]),
            (DataType("bigint"), [2**63 - 1, -(2**63), 2**53 + 1, 0, None]),
            (DataType("double"), [math.inf, -math.inf, 5e-324, -0.0, None]),
            (DataType("text"), ["", "\u0000", "é\U0001F600", None]),
            (DataType("bytes"), [b"", b"\x00\xff", None]),
            (DataType("timestamp"), [-62_135_596_800_000, 253_402_300_799_999, None]),
            (DataType("timestamp", as_datetime=True), [*moments, None]),
            (DataType("bigint", list=True), [[], [2**63 - 1], [1, 2, 3], None]),
            (DataType("boolean", list=True), [[True], [], [False, True], None]),
        ]:
            for rows in (values, values[:-1], []):
                back = decode(encode(rows, data_type, "f"), data_type)
                self.assertEqual(repr(back), repr(rows), data_type)

    def test_parts_of_a_millisecond_are_cut_off(self):
        moment = datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
        column = encode([moment], DataType("timestamp", as_datetime=True), "f")
        self.assertEqual(column.values, [-1])


class Aggregates(Plugins):
    def declared_rise(self):
        @weir.aggregate
        class FareRise:
            def __init__(self) -> None:
                self.first: Optional[float] = None
                self.last: Optional[float] = None

            def update(self, time: int, value: float) -> None:
                self.first = value if self.first is None else self.first
                self.last = value

            def merge(self, later: FareRise) -> None:
                self.first = later.first if self.first is None else self.first
                self.last = self.last if later.last is None else later.last

            def finish(self, as_of: int) -> Optional[float]:
                return None if self.first is None or self.last is None else self.last - self.first

        return declared.aggregates["fare_rise"]

    def test_states_are_folded_by_key_and_no_rows_are_no_bytes(self):
        rise = self.declared_rise()
        double = DataType("double")
        values = raw([1.0, 5.0, 2.0, 0.0], double, nulls=(3,))
        states = rise.update([], [b"", b"", b""], [0, 1, 0, 2], [1, 2, 3, 4], [values])
        self.assertEqual(states[2], b"")
        later = rise.update([], [b""], [0], [9], [raw([10.0], double)])
        merged = rise.merge([], [states[0], later[0], b""], [0, 0, 1], 3)
        self.assertEqual(merged[1:], [b"", b""])
        self.assertEqual(decode(rise.finish([], merged, [10, 10, 10]), double), [9.0, None, None])
        alone = rise.merge([], [states[0]], [0], 1)
        self.assertEqual(alone, [states[0]])

    def test_equal_states_are_equal_bytes(self):
        rise = self.declared_rise()
        one = rise.update([], [b""], [0, 0], [1, 2], [raw([1.0, 1.0], DataType("double"))])
        other = rise.update([], [b""], [0], [1], [raw([1.0], DataType("double"))])
        self.assertEqual(one, other)

    def test_constants_come_before_the_arguments(self):
        @weir.aggregate(algebra="exact")
        class Over:
            def __init__(self, limit: int) -> None:
                self.limit = limit
                self.count = 0

            def update(self, time: int, x: int) -> None:
                self.count += x > self.limit

            def merge(self, later: Over) -> None:
                self.count += later.count

            def finish(self, as_of: int) -> int:
                return self.count

        over = declared.aggregates["over"]
        self.assertEqual([str(field.type) for field in over.parameters], ["bigint"])
        states = over.update([5], [b""], [0, 0], [1, 2], [raw([4, 6], DataType("bigint"))])
        self.assertEqual(over.finish([5], [states[0], b""], [3, 3]).values, [1, 0])

    def test_attributes_may_come_and_go(self):
        @weir.aggregate
        class Seen:
            def __init__(self) -> None:
                self.count = 0

            def update(self, time: int, x: int) -> None:
                self.count += 1
                setattr(self, f"x{x}", time)
                if x == 0:
                    del self.count

            def merge(self, later: Seen) -> None: ...
            def finish(self, as_of: int) -> str:
                return ",".join(sorted(vars(self)))

        seen = declared.aggregates["seen"]
        bigint = DataType("bigint")
        one = seen.update([], [b"", b""], [0, 1], [7, 8], [raw([3, 0], bigint)])
        self.assertEqual(seen.finish([], [*one, b""], [9, 9, 9]).values, ["count,x3", "x0", "count"])

    def test_a_state_that_cannot_be_kept_is_named(self):
        @weir.aggregate
        class Odd:
            def __init__(self) -> None:
                self.when = None

            def update(self, time: int, x: int) -> None:
                self.when = datetime.datetime(2026, 1, 1)

            def merge(self, later: Odd) -> None: ...
            def finish(self, as_of: int) -> int: ...

        with self.assertRaisesRegex(TypeError, "the state of `odd` holds `when`, a datetime that cannot be kept"):
            declared.aggregates["odd"].update([], [b""], [0], [1], [raw([1], DataType("bigint"))])

    def test_what_is_missing_is_named(self):
        class NoMerge:
            def update(self, time: int, x: int) -> None: ...
            def finish(self, as_of: int) -> int: ...

        with self.assertRaisesRegex(Undeclared, "`no_merge` has no method `merge`"):
            weir.aggregate(NoMerge)
        with self.assertRaisesRegex(Undeclared, "`sorted` is not an algebra"):
            weir.aggregate(algebra="sorted")(NoMerge)


class Messages(unittest.TestCase):
    def test_an_exception_is_told_with_its_line(self):
        try:
            int("x")
        except ValueError as error:
            told = blame.told(error)
        self.assertRegex(told, r"^test_plugin\.py:\d+: ValueError: invalid literal")
        try:
            import nowhere_to_be_found  # noqa: F401
        except ModuleNotFoundError as error:
            self.assertIn("import it at the top of plugin.py", blame.told(error))


if __name__ == "__main__":
    unittest.main()
