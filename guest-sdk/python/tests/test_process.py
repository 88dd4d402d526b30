"""Keyed logic, called as the host calls it, and played in a test; without WebAssembly."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, field
from typing import Iterator, List, NamedTuple, Optional, TypedDict

import weir
from weir.plugin import declared
from weir.plugin.columns import WrongResult, decode, encode
from weir.plugin.hints import DataType, Undeclared

BIGINT, DOUBLE, TEXT, TIMESTAMP = (DataType(logical) for logical in ("bigint", "double", "text", "timestamp"))


@dataclass
class Visit:
    started: weir.Timestamp
    rides: int
    city: Optional[str]


class Tick(TypedDict):
    n: int


class Seen(NamedTuple):
    all: List[int]


class Told(NamedTuple):
    timer: Optional[int]


class Visits:
    """Rides with no pause."""

    timer: Optional[int] = None
    started: Optional[int] = None
    rides = 0
    city: Optional[str] = None

    def __init__(self, pause: int) -> None:
        self.pause = pause

    def on_event(self, at: int, fare: float, city: Optional[str]) -> None:
        if fare < 0:
            raise ValueError(f"a fare of {fare}")
        if self.started is None:
            self.started = at
        self.rides += 1
        self.city = city or self.city
        self.timer = at + self.pause

    def on_timer(self, at: int) -> Iterator[Visit]:
        yield Visit(self.started, self.rides, self.city)
        self.started, self.rides, self.city = None, 0, None


class Obeys:
    """Does what an event's word says."""

    def on_event(self, at: int, word: str) -> Iterator[Told]:
        if word == "early":
            self.timer = at - 50
        elif word == "clear":
            self.timer = None
        elif word in ("most", "many"):
            yield from [Told(None)] * (1000 if word == "most" else 2000)
        elif word == "grow":
            self.kept = "x" * 65_536
        elif word == "say":
            yield Told(self.timer)
        else:
            self.timer = at + int(word)

    def on_timer(self, at: int) -> List[Told]:
        told = Told(self.timer)
        if at < 100:
            self.timer = at if at < 0 else at + 10
        return [told]


class Processes(unittest.TestCase):
    def setUp(self):
        declared.clear()
        self.addCleanup(declared.clear)
        weir.process(Visits)
        weir.process(name="obeys")(Obeys)
        self.visits, self.obeys = declared.processes["visits"], declared.processes["obeys"]

    def ordered(self, timer, *orders):
        times, words = zip(*orders)
        return self.obeys.on_events([], [b""], [timer], [len(times)], times, [encode(list(words), TEXT, "")])

    def test_it_says_what_it_takes_and_makes(self):
        said = [[(f.name, str(f.type), f.type.nullable) for f in fields]
                for fields in (self.visits.parameters, self.visits.arguments, self.visits.results)]
        self.assertEqual(said, [[("pause", "bigint", False)],
                                [("fare", "double", False), ("city", "string", True)],
                                [("started", "timestamp", False), ("rides", "bigint", False), ("city", "string", True)]])
        self.assertEqual((self.visits.description, Visits(5).timer), ("Rides with no pause.", None))

    def test_events_of_several_keys_are_taken_up_to_the_timer_of_each(self):
        fares = encode([1.0] * 6, DOUBLE, "")
        cities = encode(["a", None, None, "c", "d", "e"], TEXT, "")
        made = self.visits.on_events([10], [b""] * 3, [None] * 3, [4, 1, 1], [0, 5, 15, 16, 3, 50], [fares, cities])
        self.assertEqual((made.taken, made.timers, made.made_by), ([4, 1, 1], [26, 13, 60], []))
        fired = self.visits.on_timer([10], made.states, [26, 13, 60])
        self.assertEqual((fired.made_by, fired.taken, fired.timers), ([0, 1, 2], [0, 0, 0], [None] * 3))
        rows = [decode(raw, of) for raw, of in zip(fired.rows, (TIMESTAMP, BIGINT, TEXT))]
        self.assertEqual(rows, [[0, 3, 50], [4, 1, 1], ["c", "d", "e"]])
        self.assertEqual(fired.states, [b""] * 3, "all that was known is forgotten")

    def test_an_event_behind_the_timer_is_left_to_the_host(self):
        made = self.ordered(None, (0, "10"), (10, "say"), (11, "say"))
        self.assertEqual((made.taken, made.timers, made.made_by), ([2], [10], [1]))
        self.assertEqual(decode(made.rows[0], BIGINT), [10])
        made = self.ordered(None, (0, "10"), (5, "clear"), (11, "say"))
        self.assertEqual((made.taken, made.timers, decode(made.rows[0], BIGINT)), ([3], [None], [None]))

    def test_timers_are_kept_and_never_lie_before_their_event(self):
        self.assertEqual(self.ordered(70, (0, "say"), (1, "say")).timers, [70])
        made = self.ordered(None, (7, "early"), (7, "say"), (8, "say"))
        self.assertEqual((made.taken, made.timers, decode(made.rows[0], BIGINT)), ([2], [7], [7]))

    def test_a_fired_timer_is_gone_and_sets_a_later_one_only(self):
        fired = self.obeys.on_timer([], [b"", b""], [90, 200])
        self.assertEqual((fired.timers, fired.made_by, fired.states), ([100, None], [0, 1], [b"", b""]))
        self.assertEqual(decode(fired.rows[0], BIGINT), [None, None])
        with self.assertRaisesRegex(ValueError, "set the timer to -1, which is not later than -1, when it fired"):
            self.obeys.on_timer([], [b""], [-1])

    def test_nulls_that_are_not_asked_for_leave_the_memory_alone(self):
        columns = [encode([None, None], DOUBLE, ""), encode(["a", "b"], TEXT, "")]
        made = self.visits.on_events([1], [b"unread"], [9], [2], [5, 6], columns)
        self.assertEqual((made.states, made.timers, made.taken, made.made_by), ([b"unread"], [9], [2], []))

    def test_what_fails_fails_the_call_with_its_reason(self):
        self.assertEqual(len(self.ordered(None, (0, "most")).made_by), 1000)
        with self.assertRaisesRegex(WrongResult, "on_event of `obeys` makes more than 1000 rows at one time"):
            self.ordered(None, (0, "many"))
        with self.assertRaisesRegex(ValueError, "a state of `obeys` has .* bytes, and may have 65536"):
            self.ordered(None, (0, "grow"))
        with self.assertRaisesRegex(ValueError, "a fare of -1.0"):
            self.visits.on_events([1], [b""], [None], [1], [5], [encode([-1.0], DOUBLE, ""), encode(["a"], TEXT, "")])
        self.assertEqual(Obeys.timer, None)

    def test_timers_and_rows_are_what_they_may_be(self):
        given = iter([("soon", Tick(n=1)), (2**63, Tick(n=1)), (5, Tick(n=1)), (None, 7), (None, Tick(n=None)), (None, Tick(n="1"))])

        @weir.process
        class Odd:
            def on_event(self, at: int) -> Iterator[Tick]:
                self.timer, row = next(given)
                yield row

        odd = declared.processes["odd"]
        for message in ("the timer of `odd` is str 'soon'", "64 bits do not hold", "has no method `on_timer`",
                        "`odd` returned int, which is not a row", "`n` is None, and its hint is not Optional",
                        "`n` returned str '1'"):
            with self.assertRaisesRegex(WrongResult, message):
                odd.on_events([], [b""], [None], [1], [0], [])

    def test_a_dataclass_has_constants_where_it_has_no_defaults(self):
        @weir.process
        @dataclass
        class Counted:
            step: int
            seen: List[int] = field(default_factory=list)
            n: int = 0
            timer: Optional[int] = None

            def on_event(self, at: int) -> Iterator[Tick]:
                self.n += self.step
                self.seen.append(at)
                yield {"n": self.n}
                self.n %= 4
                self.seen = self.seen[-(self.n // 2):] if self.n else []

        counted = declared.processes["counted"]
        self.assertEqual([each.name for each in counted.parameters], ["step"])
        self.assertEqual([row for _, row in weir.play(Counted, [(at, {}) for at in range(3)], parameters=[2])],
                         [{"n": 2}, {"n": 4}, {"n": 2}])
        made = counted.on_events([2], [b""], [None], [2], [0, 1], [])
        self.assertEqual((made.states, made.made_by), ([b""], [0, 1]))

    def test_a_row_is_what_it_was_when_it_was_made(self):
        @weir.process
        class Grows:
            def __init__(self) -> None:
                self.seen: List[int] = []

            def on_event(self, at: int) -> Iterator[Seen]:
                self.seen.append(at)
                yield Seen(self.seen)
                self.seen.append(-at)

        made = declared.processes["grows"].on_events([], [b""], [None], [2], [1, 2], [])
        self.assertEqual(decode(made.rows[0], DataType("bigint", list=True)), [[1], [1, -1, 2]])
        self.assertEqual(weir.play(Grows, [(1, {}), (2, {})]), [(1, Seen([1])), (2, Seen([1, -1, 2]))])

    def test_a_memory_set_in_init_is_forgotten_too(self):
        @weir.process
        class Once:
            def __init__(self) -> None:
                self.timer = None
                self.n = 0

            def on_event(self, at: int) -> None:
                self.n, self.timer = 1, at

            def on_timer(self, at: int) -> Iterator[Tick]:
                yield {"n": self.n}
                self.n = 0

        once = declared.processes["once"]
        state = once.on_events([], [b""], [None], [1], [3], []).states
        self.assertNotEqual(state, [b""])
        self.assertEqual(once.on_timer([], state, [3]).states, [b""])

    def test_events_are_played_as_the_host_gives_them(self):
        rides = [(0, {"fare": 1.0}), (10, {"fare": 1.0, "city": "a"}), (12, {}), (21, {"fare": 2.0})]
        rows = weir.play(Visits, rides, until=31, parameters=[10])
        self.assertEqual(rows, [(20, Visit(0, 2, "a")), (31, Visit(21, 1, None))])
        self.assertEqual(weir.play(Visits, rides[:1], parameters=[10]), [])
        with self.assertRaisesRegex(ValueError, "a fare of -1.0"):
            weir.play(Visits, [(0, {"fare": -1.0})], parameters=[10])
        for events, parameters, message in [
            ([(0, {"fair": 1.0})], [10], "takes no column fair"),
            ([(1, {}), (0, {})], [10], "the event of 0 comes behind one of 1"),
            ([], [], "takes 1 parameters, and there are 0"),
        ]:
            with self.assertRaisesRegex((TypeError, ValueError), message):
                weir.play(Visits, events, parameters=parameters)
        with self.assertRaisesRegex(TypeError, "is not a class under @weir.process"):
            weir.play(Visit, [])

    def test_what_is_not_keyed_logic_is_told(self):
        class NoEvents:
            def on_timer(self, at: int) -> Iterator[Tick]: ...

        class NoTime:
            def on_event(self) -> Iterator[Tick]: ...

        class NoRows:
            def on_event(self, at: int) -> None: ...

        class OneRow:
            def on_event(self, at: int) -> Tick: ...

        class TwoRows:
            def on_event(self, at: int) -> Iterator[Tick]: ...
            def on_timer(self, at: int) -> Iterator[Told]: ...

        class Later:
            async def on_event(self, at: int) -> Iterator[Tick]: ...

        class Shared:
            seen: List[int] = []
            def on_event(self, at: int) -> Iterator[Tick]: ...

        class Timed:
            timer = 5
            def on_event(self, at: int) -> Iterator[Tick]: ...

        for of, message in [
            (NoEvents, "`no_events` has no method `on_event`"),
            (NoTime, "takes other arguments; write def on_event"),
            (NoRows, "`no_rows` does not say what rows it makes"),
            (OneRow, "`on_event` of `one_row` returns Tick; write `-> Iterator"),
            (TwoRows, "say different rows"),
            (Later, "is not a plain function or generator"),
            (Shared, "`seen` of `shared` is a list that all keys would share"),
            (Timed, "`timer` of `timed` is what says when"),
        ]:
            with self.assertRaisesRegex(Undeclared, message):
                weir.process(of)


if __name__ == "__main__":
    unittest.main()
