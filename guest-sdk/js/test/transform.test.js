// Functions that give several columns, called as the host calls them; without WebAssembly.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';

import { decode, encode } from '../weir/columns.js';
import { aggregates, processes, scalars, transforms } from '../weir/declared.js';
import { transformer } from '../weir/exports.js';
import { bigint, double, list, nullable, scalar, text, timestamp, transform } from '../weir/index.js';

const RISK = { name: 'risk', arguments: { amount: double, mean: nullable(double) }, results: { score: double, band: nullable(text) } };

beforeEach(() => {
  for (const kind of [scalars, transforms, aggregates, processes]) kind.clear();
});

function columns(found, ...types) {
  return found.map((column, at) => decode(column, types[at]));
}

test('a function stays what it is and says what it takes and gives', () => {
  const risk = transform({ ...RISK, description: 'How much more a ride is.' }, (amount, mean) => ({ score: amount / (mean ?? 20) }));
  assert.deepEqual(risk(10, null), { score: 0.5 });
  const type = (logical) => ({ logical, list: false });
  assert.deepEqual(transformer.describe(), [
    {
      name: 'risk',
      arguments: [{ name: 'amount', dataType: type('double') }, { name: 'mean', dataType: type('double') }],
      results: [{ name: 'score', dataType: type('double') }, { name: 'band', dataType: type('text') }],
      description: 'How much more a ride is.',
    },
  ]);
});

test('every result is a column and a null that is not asked for is a row of nulls', () => {
  transform(RISK, (amount, mean) => ({ score: amount / (mean ?? 20), band: mean === null ? undefined : 'high' }));
  const given = [encode([10, null, 30], double, ''), encode([2.5, 1, null], double, '')];
  const found = columns(transformer.call('risk', given, 3), double, text);
  assert.deepEqual(found, [[4, null, 1.5], ['high', null, null]]);
  const none = [encode([], double, ''), encode([], double, '')];
  assert.deepEqual(columns(transformer.call('risk', none, 0), double, text), [[], []]);
});

test('null is a row of nulls, and whole numbers keep 64 bits', () => {
  const results = { same: bigint, all: list(bigint), at: nullable(timestamp) };
  transform({ name: 'wide', arguments: { n: bigint }, results }, (n) => (n === 0n ? null : { same: n, all: [n, 7], at: 5 }));
  const [most, least] = [2n ** 63n - 1n, -(2n ** 63n)];
  const found = columns(transformer.call('wide', [encode([most, 0n, least], bigint, '')], 3), bigint, list(bigint), timestamp);
  assert.deepEqual(found, [[most, null, least], [[most, 7n], null, [least, 7n]], [5, null, 5]]);
});

test('no arguments are given as often as there are rows', () => {
  transform({ name: 'constant', results: { one: bigint } }, () => ({ one: 1 }));
  assert.deepEqual(columns(transformer.call('constant', [], 3), bigint), [[1n, 1n, 1n]]);
});

test('whole columns have no null that is not asked for', () => {
  const seen = [];
  transform({ ...RISK, columnar: true }, (amount, mean) => {
    seen.push([amount, mean]);
    return { score: Float64Array.from(amount, (each, at) => each / (mean[at] ?? 20)), band: mean.map((each) => each && 'high') };
  });
  const given = [encode([10, null, 30], double, ''), encode([2.5, 1, null], double, '')];
  assert.deepEqual(columns(transformer.call('risk', given, 3), double, text), [[4, null, 1.5], ['high', null, null]]);
  assert.deepEqual(seen, [[[10, 30], [2.5, null]]]);
  transformer.call('risk', [encode([null], double, ''), encode([1], double, '')], 1);
  assert.equal(seen.length, 1, 'no rows are not given');
});

test('what does not fit is told in one line', () => {
  for (const [made, reason] of [
    [{ score: 'x' }, 'TypeError: `risk.score` returned string x, and says that it returns double'],
    [{ score: 1, band: 5 }, 'TypeError: `risk.band` returned number 5, and says that it returns text'],
    [{ band: 'a' }, 'TypeError: `score` is null, and is not nullable'],
    [undefined, 'TypeError: `risk` returned undefined, which is not a row'],
    [5, 'TypeError: `risk` returned 5, which is not a row'],
  ]) {
    transforms.clear();
    transform(RISK, () => made);
    const call = () => transformer.call('risk', [encode([1], double, ''), encode([1], double, '')], 1);
    assert.throws(call, (told) => told === reason, reason);
  }
  for (const [made, reason] of [
    [{ score: [1], band: ['a', 'b'] }, 'TypeError: `risk` returned 1 values of `score` for 2 rows'],
    [{ score: [1, 2] }, 'TypeError: `risk` returned 0 values of `band` for 2 rows'],
    [{ score: [1, null], band: ['a', 'b'] }, 'TypeError: `score` is null, and is not nullable'],
    [null, 'TypeError: `risk` returned null, which is not a row'],
  ]) {
    transforms.clear();
    transform({ ...RISK, columnar: true }, () => made);
    const call = () => transformer.call('risk', [encode([1, 2], double, ''), encode([1, 2], double, '')], 2);
    assert.throws(call, (told) => told === reason, reason);
  }
});

test('what is thrown fails the call with its reason', () => {
  transform(RISK, (amount) => {
    throw new RangeError(`an amount\nof ${amount}`);
  });
  const call = () => transformer.call('risk', [encode([-1], double, ''), encode([1], double, '')], 1);
  assert.throws(call, (told) => told === 'RangeError: an amount of -1');
});

test('what is missing is named', () => {
  const apply = () => null;
  assert.throws(() => transform({ name: 'f', arguments: {} }, apply), /`f` does not say what it gives; write results/);
  assert.throws(() => transform({ ...RISK, result: double }, apply), /`risk` has a key `result` that is not known/);
  assert.throws(() => transform({ ...RISK, results: { Score: double } }, apply), /`Score` of `risk` is not a name/);
  assert.throws(() => transform({ ...RISK, arguments: { x: 'double' } }, apply), /`x` of `risk` has no type/);
  scalar({ name: 'risk', arguments: {}, result: double }, () => 1);
  assert.throws(() => transform(RISK, apply), /`risk` is declared twice/);
});
