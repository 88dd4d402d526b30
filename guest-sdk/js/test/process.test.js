// Keyed logic, called as the host calls it, and played in a test; without WebAssembly.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { decode, encode } from '../weir/columns.js';
import { aggregates, processes, scalars } from '../weir/declared.js';
import { processor } from '../weir/exports.js';
import { bigint, double, list, nullable, play, process, text, timestamp } from '../weir/index.js';

const nothing = new Uint8Array(0);
const times = (...of) => BigInt64Array.from(of, BigInt);
const counts = (...of) => Uint32Array.from(of);

class Visits {
  started = null;
  rides = 0;
  city = null;
  constructor(pause) {
    this.pause = Number(pause);
  }
  onEvent(at, { fare, city }, out) {
    if (fare < 0) throw new RangeError(`a fare of ${fare}`);
    this.started ??= at;
    this.rides += 1;
    this.city = city ?? this.city;
    out.timer = at + this.pause;
  }
  onTimer(at, out) {
    out.emit({ started: this.started, rides: this.rides, city: this.city });
    Object.assign(this, new Visits(this.pause));
  }
}

/** Does what an event's word says. */
class Obeys {
  kept = '';
  onEvent(at, { word }, out) {
    if (word === 'early') out.timer = at - 50;
    else if (word === 'clear') out.timer = null;
    else if (word === 'soon') out.timer = 'soon';
    else if (word === 'five') out.emit(5);
    else if (word === 'most' || word === 'many') for (let row = 0; row < (word === 'most' ? 1000 : 2000); row += 1) out.emit({});
    else if (word === 'grow') this.kept = 'x'.repeat(65_536);
    else if (word === 'say') out.emit({ timer: out.timer });
    else out.timer = at + Number(word);
  }
  onTimer(at, out) {
    out.emit({ timer: out.timer });
    if (at < 100) out.timer = at < 0 ? at : at + 10;
  }
}

const rows = { started: timestamp, rides: bigint, city: nullable(text) };

beforeEach(() => {
  for (const kind of [scalars, aggregates, processes]) kind.clear();
  process({ name: 'visits', parameters: { pause: bigint }, arguments: { fare: double, city: nullable(text) }, rows }, Visits);
  process({ name: 'obeys', arguments: { word: text }, rows: { timer: nullable(bigint) } }, Obeys);
});

const ten = [{ tag: 'int64', val: 10n }];

function ordered(timer, ...orders) {
  const words = encode(orders.map(([, word]) => word), text, '');
  return processor.onEvents('obeys', [], [nothing], [timer], counts(orders.length), times(...orders.map(([at]) => at)), [words]);
}

test('it says what it takes and makes', () => {
  const [visits] = processor.describe();
  assert.deepEqual(visits.parameters, [{ name: 'pause', dataType: { logical: 'bigint', list: false } }]);
  assert.deepEqual([visits.arguments, visits.results].map((of) => of.map(({ name }) => name)), [['fare', 'city'], Object.keys(rows)]);
});

test('events of several keys are taken up to the timer of each', () => {
  const columns = [encode(Array(6).fill(1), double, ''), encode(['a', null, null, 'c', 'd', 'e'], text, '')];
  const given = [[nothing, nothing, nothing], Array(3).fill(undefined), counts(4, 1, 1), times(0, 5, 15, 16, 3, 50)];
  const made = processor.onEvents('visits', ten, ...given, columns);
  assert.deepEqual([made.taken, made.timers, made.madeBy], [counts(4, 1, 1), [26n, 13n, 60n], counts()]);
  const fired = processor.onTimer('visits', ten, made.states, times(26, 13, 60));
  assert.deepEqual([fired.madeBy, fired.taken, fired.timers], [counts(0, 1, 2), counts(0, 0, 0), Array(3).fill(undefined)]);
  assert.deepEqual([timestamp, bigint, text].map((type, at) => decode(fired.rows[at], type)), [[0, 3, 50], [4n, 1n, 1n], ['c', 'd', 'e']]);
  assert.deepEqual(fired.states, [nothing, nothing, nothing], 'all that was known is forgotten');
});

test('an event behind the timer is left to the host', () => {
  let made = ordered(undefined, [0, '10'], [10, 'say'], [11, 'say']);
  assert.deepEqual([made.taken, made.timers, made.madeBy, decode(made.rows[0], bigint)], [counts(2), [10n], counts(1), [10n]]);
  made = ordered(undefined, [0, '10'], [5, 'clear'], [11, 'say']);
  assert.deepEqual([made.taken, made.timers, decode(made.rows[0], bigint)], [counts(3), [undefined], [null]]);
});

test('timers are kept and never lie before their event', () => {
  assert.deepEqual(ordered(70n, [0, 'say'], [1, 'say']).timers, [70n]);
  const made = ordered(undefined, [7, 'early'], [7, 'say'], [8, 'say']);
  assert.deepEqual([made.taken, made.timers, decode(made.rows[0], bigint)], [counts(2), [7n], [7n]]);
});

test('a fired timer is gone and sets a later one only', () => {
  const fired = processor.onTimer('obeys', [], [nothing, nothing], times(90, 200));
  assert.deepEqual([fired.timers, decode(fired.rows[0], bigint)], [[100n, undefined], [null, null]]);
  const said = (told) => /set the timer to -1, which is not later than -1, when it fired/.test(told);
  assert.throws(() => processor.onTimer('obeys', [], [nothing], times(-1)), said);
});

test('nulls that are not asked for leave the memory alone', () => {
  const columns = [encode([null, null], double, ''), encode(['a', 'b'], text, '')];
  const made = processor.onEvents('visits', ten, [Uint8Array.of(9)], [9n], counts(2), times(5, 6), columns);
  assert.deepEqual([made.states, made.timers, made.taken, made.madeBy], [[Uint8Array.of(9)], [9n], counts(2), counts()]);
});

test('what fails fails the call with its reason', () => {
  assert.equal(ordered(undefined, [0, 'most']).madeBy.length, 1000);
  for (const [word, reason] of [
    ['many', /`obeys` makes more than 1000 rows at one time/],
    ['grow', /a state of `obeys` has \d+ bytes, and may have 65536/],
    ['soon', /the timer of `obeys` is string soon; write milliseconds, or null/],
    ['five', /`obeys` made 5, which is not a row/],
  ]) {
    assert.throws(() => ordered(undefined, [0, word]), (told) => reason.test(told));
  }
  const columns = [encode([-1], double, ''), encode(['a'], text, '')];
  const call = () => processor.onEvents('visits', ten, [nothing], [undefined], counts(1), times(5), columns);
  assert.throws(call, (told) => told === 'RangeError: a fare of -1');
});

test('a row is what it was when it was made', () => {
  const Grows = process(
    { name: 'grows', rows: { seen: list(bigint) } },
    class {
      seen = [];
      onEvent(at, event, out) {
        this.seen.push(at);
        out.emit({ seen: this.seen });
        this.seen.push(-at);
      }
    },
  );
  const made = processor.onEvents('grows', [], [nothing], [undefined], counts(2), times(1, 2), []);
  assert.deepEqual(decode(made.rows[0], list(bigint)), [[1n], [1n, -1n, 2n]]);
  assert.deepEqual(play(Grows, [[1, {}], [2, {}]]), [[1, { seen: [1] }], [2, { seen: [1, -1, 2] }]]);
});

test('events are played as the host gives them', () => {
  const rides = [[0, { fare: 1 }], [10, { fare: 1, city: 'a' }], [12, {}], [21, { fare: 2 }]];
  const visit = (started, many, city) => ({ started, rides: many, city });
  assert.deepEqual(play(Visits, rides, { until: 31, parameters: [10n] }), [[20, visit(0, 2, 'a')], [31, visit(21, 1, null)]]);
  assert.deepEqual(play(Visits, rides.slice(0, 1), { parameters: [10n] }), []);
  for (const [events, parameters, reason] of [
    [[[0, { fare: -1 }]], [10n], /a fare of -1/],
    [[[0, { fair: 1 }]], [10n], /takes no column fair/],
    [[[1, {}], [0, {}]], [10n], /the event of 0 comes behind one of 1/],
    [[], [], /takes 1 parameters, and there are 0/],
  ]) {
    assert.throws(() => play(Visits, events, { parameters }), reason);
  }
  assert.throws(() => play(class {}, []), /takes a class that process\(\.\.\) got/);
});

test('what is missing is named', () => {
  class Silent {
    onEvent(at, event, out) {
      out.timer = at;
    }
  }
  assert.throws(() => process({ name: 'f', rows }, class {}), /`f` has no method `onEvent`/);
  assert.throws(() => process({ name: 'f', rows: {} }, Silent), /`f` does not say what rows it makes/);
  assert.throws(() => process({ name: 'f', columns: {}, rows }, Silent), /has a key `columns`/);
  assert.throws(() => process({ name: 'visits', rows }, Silent), /`visits` is declared twice/);
  assert.throws(() => play(process({ name: 'f', rows }, Silent), [[0, {}]]), /`f` set its timer, and has no method `onTimer`/);
  process({ name: 'g', rows }, class { onEvent(at, event, out) { out.emit({ started: at }); } });
  assert.throws(() => processor.onEvents('g', [], [nothing], [undefined], counts(1), times(1), []), (told) => /`rides` is null/.test(told));
});
