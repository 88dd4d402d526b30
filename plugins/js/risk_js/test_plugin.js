import assert from 'node:assert/strict';
import { test } from 'node:test';

import { risk_js } from './plugin.js';

function told(...of) {
  const { score, band, times_usual } = risk_js(...of);
  return [score, band, times_usual];
}

test('bands begin where they are said to', () => {
  assert.deepEqual(told(20, 20, 100n), [0, 'low', 1]);
  assert.deepEqual(told(-5, 20, 100n), [0, 'low', -0.25]);
  assert.deepEqual(told(40, 20, 100n), [0.25, 'medium', 2]);
  assert.deepEqual(told(80, 20, 100n), [0.5, 'high', 4]);
});

test('a new rider is compared with everybody', () => {
  for (const of of [[null, null], [null, 3n], [0, 3n]]) assert.deepEqual(told(80, ...of), [0.5, 'high', null]);
  assert.deepEqual(told(80, 40, 0n), [0.5, 'high', 2]);
});

test('what is known of a rider counts the more the more rides there are', () => {
  const [few, many] = [risk_js(80, 40, 1n).score, risk_js(80, 40, 1000n).score];
  assert.ok(few < 0.5 && many < few && many > 0.24, `${few} ${many}`);
});

test('what is beyond every number is high', () => {
  assert.deepEqual(told(Infinity, 1, 1n), [1, 'high', Infinity]);
  assert.deepEqual(told(NaN, 1, 1n), [NaN, 'high', NaN]);
});

test('the bits are those of every language', () => {
  // The samples in other languages have the same test, with the same number in it.
  const bits = new DataView(new ArrayBuffer(8));
  let folded = 0n;
  const fold = (value) => {
    bits.setFloat64(0, value);
    folded = BigInt.asUintN(64, folded * 31n + bits.getBigUint64(0));
  };
  for (let n = 0; n < 2000; n += 1) {
    const mean_fare = n % 13 === 0 ? null : (n % 17) * 1.7;
    const rides = n % 7 === 0 ? null : (BigInt(n % 11) << BigInt(n % 55)) + BigInt(n);
    const { score, band, times_usual } = risk_js(n * 0.37, mean_fare, rides);
    for (const value of [score, band.length, times_usual ?? -1]) fold(value);
  }
  assert.equal(folded, 13387914542432622362n);
});
