// Declared functions and the way of their values to columns and back, without WebAssembly.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import * as aggregateCalls from '../weir/aggregate.js';
import { decode, encode } from '../weir/columns.js';
import { aggregates, decoders, scalars } from '../weir/declared.js';
import { aggregateFunctions, decoder, scalarFunctions } from '../weir/exports.js';
import { aggregate, bigint, boolean, bytes, decode as decoding, double, list, nullable, scalar, text, timestamp } from '../weir/index.js';
import { call } from '../weir/scalar.js';
import { fromBytes, toBytes } from '../weir/state.js';

beforeEach(() => {
  scalars.clear();
  aggregates.clear();
});

test('every type comes back at its edges', () => {
  for (const [type, values] of [
    [boolean, [true, false, null]],
    [bigint, [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 0n, null]],
    [double, [Infinity, -Infinity, 5e-324, -0, NaN, null]],
    [text, ['', '\0', 'é\u{1F600}', null]],
    [bytes, [new Uint8Array(0), Uint8Array.of(0, 255), null]],
    [timestamp, [-62135596800000, 253402300799999, null]],
    [list(bigint), [[], [2n ** 63n - 1n], [1n, 2n], null]],
    [list(text), [['a'], [], ['b', ''], null]],
  ]) {
    for (const rows of [values, values.slice(0, -1), []]) {
      assert.deepEqual(decode(encode(rows, type, 'f'), type), rows);
    }
  }
});

test('a number that is safe is a bigint, and no other', () => {
  assert.deepEqual(encode([7], bigint, 'f').values.val, BigInt64Array.of(7n));
  for (const value of [2 ** 53, 1.5, 2n ** 63n, '7']) {
    assert.throws(() => encode([value], bigint, 'f'), /`f` returned .* says that it returns bigint/);
  }
});

test('results are what is said of them', () => {
  for (const [type, value] of [
    [double, '1'],
    [boolean, 1],
    [text, '\ud800'],
    [bytes, 'x'],
    [list(double), 1],
    [list(double), [1, null]],
  ]) {
    assert.throws(() => encode([value], type, 'f'), /`f` returned/);
  }
});

test('rows with a null that is not asked for are not given', () => {
  const seen = [];
  scalar({ name: 'added', arguments: { left: double, right: nullable(double) }, result: double, columnar: true }, (left, right) => {
    seen.push([left, right]);
    return left.map((each, at) => each + (right[at] ?? 0));
  });
  const columns = [encode([1, null, 3], double, ''), encode([10, 20, null], double, '')];
  assert.deepEqual(decode(call(scalars.get('added'), columns, 3), double), [11, null, 3]);
  assert.deepEqual(seen, [[[1, 3], [10, null]]]);
});

test('what is thrown is told in one line', () => {
  scalar({ name: 'f', arguments: { x: double }, result: double }, () => {
    throw new RangeError('too\nfar');
  });
  assert.throws(() => scalarFunctions.call('f', [encode([1], double, '')], 1), (told) => told === 'RangeError: too far');
});

class Over {
  count = 0n;
  constructor(limit) {
    this.limit = limit;
  }
  update(time, value) {
    if (value > this.limit) this.count += 1n;
  }
  merge(later) {
    this.count += later.count;
  }
  finish() {
    return this.count;
  }
}

test('states are folded by key and no rows are no bytes', () => {
  aggregate({ name: 'over', parameters: { limit: bigint }, arguments: { x: bigint }, result: bigint, algebra: 'exact' }, Over);
  const declared = aggregates.get('over');
  const nothing = new Uint8Array(0);
  const values = encode([4n, 6n, 7n, null], bigint, '');
  const times = BigInt64Array.of(1n, 2n, 3n, 4n);
  const states = aggregateCalls.update(declared, [5n], [nothing, nothing, nothing], Uint32Array.of(0, 0, 1, 2), times, [values]);
  assert.deepEqual(states[2], nothing);
  const merged = aggregateCalls.merge(declared, [5n], [...states, states[1]], Uint32Array.of(0, 1, 2, 0), 3);
  const finished = aggregateFunctions.finish('over', [{ tag: 'int64', val: 5n }], merged, BigInt64Array.of(9n, 9n, 9n));
  assert.deepEqual(finished.values.val, BigInt64Array.of(2n, 1n, 0n));
});

test('states keep what they can and name what they cannot', () => {
  const kept = { big: 2n ** 70n, odd: [NaN, -0, Infinity], set: new Set(['a']), map: new Map([[1, [2n]]]), gone: undefined, b: Uint8Array.of(1), $: 1 };
  assert.deepEqual(fromBytes(toBytes(kept, 'f'), {}), kept);
  assert.deepEqual(toBytes({ a: 1, b: 2 }, 'f'), toBytes({ b: 2, a: 1 }, 'f'));
  assert.throws(() => toBytes({ when: { at: new Date(0) } }, 'f'), /the state of `f` holds `when.at`, a Date that cannot be kept/);
});

test('what is missing is named', () => {
  assert.throws(() => scalar({ name: 'F', arguments: {}, result: double }, () => 1), /`F` is not a name in SQL/);
  assert.throws(() => scalar({ name: 'f', arguments: { x: 'double' }, result: double }, () => 1), /`x` of `f` has no type/);
  assert.throws(() => scalar({ name: 'f', arguments: {} }, () => 1), /`f` does not say what it returns/);
  assert.throws(() => scalar({ name: 'f', argument: {}, result: double }, () => 1), /key `argument` that is not known/);
  assert.throws(() => aggregate({ name: 'g', arguments: {}, result: double }, class {}), /`g` has no method `update`/);
});

test('payloads become the wanted columns and others are refused alone', () => {
  decoders.length = 0;
  const apply = decoding({ columns: { user_id: text, at: timestamp, fare: nullable(double) } }, (payload) => {
    const [user_id, at, fare] = new TextDecoder().decode(payload).split(' ');
    if (at === undefined) throw new Error('has no time');
    return { user_id: user_id || null, at: Number(at), fare: fare === undefined ? null : Number(fare) };
  });
  assert.equal(apply(new TextEncoder().encode('u1 5')).fare, null);
  assert.deepEqual(decoder.describe().map(({ name }) => name), ['user_id', 'at', 'fare']);
  const payloads = ['u1 5 1.5', 'u2', 'u3 7', ' 8', 'u5 soon'].map((payload) => new TextEncoder().encode(payload));
  const { columns, refused } = decoder.decode(payloads, ['fare', 'user_id', 'at']);
  const [fares, users] = [decode(columns[0], double), decode(columns[1], text)];
  assert.deepEqual([fares[0], fares[2], users[0], users[2]], [1.5, null, 'u1', 'u3']);
  assert.deepEqual(refused.map(({ payload }) => payload), [1, 3, 4]);
  assert.equal(refused[0].reason, 'Error: has no time');
  assert.equal(refused[1].reason, '`user_id` is null, and is not nullable');
  assert.match(refused[2].reason, /`at` returned number NaN/);
  assert.throws(() => decoding({ columns: { at: timestamp } }, () => ({})), /has one decoder/);
  decoders.length = 0;
  assert.throws(() => decoding({ columns: {} }, () => ({})), /has no columns/);
  assert.throws(() => decoding({ fields: {} }, () => ({})), /has a key `fields`/);
});
