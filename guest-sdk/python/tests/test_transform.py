"""Functions that give several columns, and how they are called for many rows; without WebAssembly."""

from __future__ import annotations

import datetime
import unittest
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, TypedDict

import weir
from weir.plugin import blame, declared
from weir.plugin.columns import WrongResult, decode, encode
from weir.plugin.hints import DataType, Undeclared

BIGINT, DOUBLE, TEXT = DataType("bigint"), DataType("double"), DataType("text")


def raw(values, data_type):
    return encode(list(values), data_type, "test")


@dataclass
class Risk:
    score: float
    band: Optional[str]


@dataclass
class Risks:
    score: weir.Column[float]
    band: weir.Column[Optional[str]]


class Pair(NamedTuple):
    left: int
    right: List[int]


class Sparse(TypedDict, total=False):
    exact: int
    at: Optional[datetime.datetime]


class Transforms(unittest.TestCase):
    def setUp(self):
        declared.clear()
        self.addCleanup(declared.clear)

    def test_a_function_stays_what_it_is_and_says_what_it_takes_and_gives(self):
        @weir.transform
        def risk(amount: float, Mean_fare: Optional[float]) -> Risk:
            """How much more a ride is
            than usual.

            More words."""
            return Risk(amount / (Mean_fare or 20.0), "high" if Mean_fare else None)

        self.assertEqual(risk(10.0, None), Risk(0.5, None))
        found = declared.transforms["risk"]
        self.assertEqual(found.description, "How much more a ride is than usual.")
        shown = [[(f.name, str(f.type), f.type.nullable) for f in fields] for fields in (found.arguments, found.results)]
        self.assertEqual(shown, [[("amount", "double", False), ("mean_fare", "double", True)],
                                 [("score", "double", False), ("band", "string", True)]])

    def test_every_result_is_a_column_and_a_null_that_is_not_asked_for_is_a_row_of_nulls(self):
        @weir.transform
        def risk(amount: float, mean: Optional[float]) -> Risk:
            return Risk(amount / (mean or 20.0), "high" if mean else None)

        columns = [raw([10.0, None, 30.0], DOUBLE), raw([2.5, 1.0, None], DOUBLE)]
        score, band = declared.transforms["risk"].call(columns, 3)
        self.assertEqual(decode(score, DOUBLE), [4.0, None, 1.5])
        self.assertEqual(decode(band, TEXT), ["high", None, None])
        nothing = [raw([], DOUBLE), raw([], DOUBLE)]
        self.assertEqual([column.values for column in declared.transforms["risk"].call(nothing, 0)], [[], []])

    def test_none_is_a_row_of_nulls_where_the_hint_says_so(self):
        @weir.transform(name="perhaps", description="for tests")
        def maybe(amount: int) -> Optional[Pair]:
            return Pair(amount, [amount, 2**63 - 1]) if amount else None

        perhaps = declared.transforms["perhaps"]
        self.assertEqual((perhaps.description, [str(f.type) for f in perhaps.results]), ("for tests", ["bigint", "array<bigint>"]))
        left, right = perhaps.call([raw([0, 5], BIGINT)], 2)
        self.assertEqual(decode(left, BIGINT), [None, 5])
        self.assertEqual(decode(right, DataType("bigint", True)), [None, [5, 2**63 - 1]])

        @weir.transform
        def never(amount: int) -> Pair:
            return maybe(amount)

        with self.assertRaisesRegex(WrongResult, "`never` returned NoneType, which is not a row"):
            declared.transforms["never"].call([raw([0], BIGINT)], 1)

    def test_no_arguments_and_rows_that_are_dictionaries(self):
        @weir.transform
        def constant() -> Sparse:
            return {"exact": -(2**63)}

        exact, at = declared.transforms["constant"].call([], 2)
        self.assertEqual(decode(exact, BIGINT), [-(2**63)] * 2)
        self.assertEqual(decode(at, DataType("timestamp")), [None, None])

        @weir.transform
        def empty() -> Sparse:
            return {}

        with self.assertRaisesRegex(WrongResult, "`exact` is None, and its hint is not Optional"):
            declared.transforms["empty"].call([], 1)

    def test_whole_columns_have_no_null_that_is_not_asked_for(self):
        seen = []

        @weir.transform(columnar=True)
        def risk(amount: weir.Column[float], mean: weir.Column[Optional[float]]) -> Risks:
            seen.append((amount, mean))
            return Risks([a / (m or 20.0) for a, m in zip(amount, mean)], ["high" if m else None for m in mean])

        columns = [raw([10.0, None, 30.0], DOUBLE), raw([2.5, 1.0, None], DOUBLE)]
        score, band = declared.transforms["risk"].call(columns, 3)
        self.assertEqual(decode(score, DOUBLE), [4.0, None, 1.5])
        self.assertEqual(decode(band, TEXT), ["high", None, None])
        self.assertEqual(seen, [([10.0, 30.0], [2.5, None])])
        declared.transforms["risk"].call([raw([None], DOUBLE), raw([1.0], DOUBLE)], 1)
        self.assertEqual(len(seen), 1, "no rows are not given")

    def test_columns_that_do_not_fit_are_refused(self):
        for made, message in [
            (Risks([1.0], ["a", "b"]), "`risk` returned 1 values of `score` for 2 rows"),
            ({"score": [1.0, 2.0]}, "`risk` returned 0 values of `band` for 2 rows"),
            (Risks([1.0, None], ["a", None]), "`score` is None, and its hint is not Optional"),
            (Risks([1.0, "x"], ["a", None]), r"`risk\.score` returned str 'x', and its hint says double"),
            ([1.0, 2.0], "`risk` returned list, which is not a row"),
        ]:
            declared.clear()

            @weir.transform(columnar=True)
            def risk(amount: weir.Column[float]) -> Risks:
                return made

            with self.subTest(message=message), self.assertRaisesRegex(WrongResult, message):
                declared.transforms["risk"].call([raw([1.0, 2.0], DOUBLE)], 2)

    def test_values_are_what_their_hints_say(self):
        for made, message in [
            (Risk("x", None), r"`risk\.score` returned str 'x', and its hint says double"),
            (Risk(1.0, 5), r"`risk\.band` returned int 5, and its hint says string"),
            (Risk(None, "a"), "`score` is None, and its hint is not Optional"),
            (5, "`risk` returned int, which is not a row"),
        ]:
            declared.clear()

            @weir.transform
            def risk(amount: float) -> Risk:
                return made

            with self.subTest(message=message), self.assertRaisesRegex(WrongResult, message):
                declared.transforms["risk"].call([raw([1.0], DOUBLE)], 1)

    def test_an_exception_is_told_with_its_line(self):
        @weir.transform
        def risk(amount: float) -> Risk:
            raise ValueError(f"an amount of {amount}")

        try:
            declared.transforms["risk"].call([raw([-1.0], DOUBLE)], 1)
        except ValueError as error:
            told = blame.told(error)
        self.assertRegex(told, r"^test_transform\.py:\d+: ValueError: an amount of -1\.0$")

    def test_what_is_not_a_transform_is_told(self):
        def no_result(x: int): ...
        def a_number(x: int) -> float: ...
        def a_list(x: int) -> List[Risk]: ...
        def no_hint(x) -> Risk: ...
        def Capital(x: int) -> Risk: ...
        async def later(x: int) -> Risk: ...

        for function, message in [
            (no_result, "`no_result` does not say what it returns"),
            (a_number, "`a_number` returns a class without hints"),
            (a_list, r"`a_list` returns List\[.*Risk\]; a row is a dataclass"),
            (no_hint, "`x` of `no_hint` has no type hint"),
            (Capital, "`Capital` is not a name in SQL"),
            (later, "`later` is not a plain function; a transform returns a row"),
        ]:
            with self.subTest(message=message), self.assertRaisesRegex(Undeclared, message):
                weir.transform(function)

        def by_rows(x: weir.Column[int]) -> Risk: ...
        def perhaps(x: weir.Column[int]) -> Optional[Risks]: ...

        for function, message in [
            (by_rows, "`score` of `by_rows` is float; a columnar function takes and returns weir.Column"),
            (perhaps, "`perhaps` returns .*; a row is a dataclass"),
        ]:
            with self.subTest(message=message), self.assertRaisesRegex(Undeclared, message):
                weir.transform(columnar=True)(function)

    def test_a_name_is_declared_once_whatever_the_kind(self):
        def one(x: int) -> int: ...
        def two(x: int) -> Risk: ...

        weir.scalar(name="same")(one)
        with self.assertRaisesRegex(Undeclared, "`same` is declared twice"):
            weir.transform(name="same")(two)


if __name__ == "__main__":
    unittest.main()
