import assert from 'node:assert/strict';
import { test } from 'node:test';

import { MINUTE_MS, MOST_CITIES, Visits } from './plugin.js';
import { play } from './weir/index.js';

function visits(pauseMinutes, ...rides) {
  const events = rides.map(([minute, city]) => [minute * MINUTE_MS, { city }]);
  const rows = play(Visits, events, { until: 1000 * MINUTE_MS, parameters: [BigInt(pauseMinutes)] });
  return rows.map(([at, { started, rides: count, cities }]) => [at / MINUTE_MS, started / MINUTE_MS, count, cities]);
}

test('a visit ends with the pause behind its last ride', () => {
  const rides = [[0, 'berlin'], [29, 'paris'], [59, 'berlin'], [60, null], [91, 'rome']];
  assert.deepEqual(visits(30, ...rides), [[90, 0, 4, ['berlin', 'paris']], [121, 91, 1, ['rome']]]);
  assert.deepEqual(visits(31, ...rides), [[122, 0, 5, ['berlin', 'paris', 'rome']]]);
});

test('rides of one time are one visit whatever the pause', () => {
  for (const pause of [0, -5]) {
    assert.deepEqual(visits(pause, [3, null], [3, null], [4, null]), [[3, 3, 2, []], [4, 4, 1, []]]);
  }
});

test('the first cities are told', () => {
  const names = Array.from({ length: 20 }, (_, n) => `city${n}`);
  const [[, , rides, cities], ...more] = visits(5, ...names.map((name, minute) => [minute, name]));
  assert.deepEqual([rides, cities, more], [20, names.slice(0, MOST_CITIES), []]);
});

test('methods are called as such', () => {
  const [one, made] = [new Visits(30n), []];
  const out = { timer: null, emit: (row) => made.push(row) };
  one.onEvent(5, { city: 'berlin' }, out);
  assert.equal(out.timer, 5 + 30 * MINUTE_MS);
  one.onTimer(out.timer, out);
  assert.deepEqual(made, [{ started: 5, rides: 1, cities: ['berlin'] }]);
  assert.deepEqual(one, new Visits(30n), 'nothing is remembered');
});
