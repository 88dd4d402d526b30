import assert from 'node:assert/strict';
import { test } from 'node:test';

import { EARTH_RADIUS_KM, great_circle_km_js, haversine_km_js } from './plugin.js';

function assertClose(found, expected) {
  assert.ok(Math.abs(found - expected) <= 1e-9 * expected, `${found} is not ${expected}`);
}

test('a degree of the equator is a part of it', () => {
  assertClose(great_circle_km_js(0, 0, 0, 1), (EARTH_RADIUS_KM * Math.PI) / 180);
});

test('antipodes are half a turn apart', () => {
  for (const distance of haversine_km_js([0, 12.3], [0, 45.6], [0, -12.3], [180, 225.6])) {
    assertClose(distance, EARTH_RADIUS_KM * Math.PI);
  }
});

test('a place is nowhere from itself, and columns without rows have no distances', () => {
  assert.equal(great_circle_km_js(1, 2, 1, 2), 0);
  assert.deepEqual(haversine_km_js([], [], [], []), []);
});

test('what is beyond every number is refused', () => {
  assert.throws(() => great_circle_km_js(1e308, 0, -1e308, 0), /Infinity degrees have no direction/);
  assert.ok(Number.isNaN(great_circle_km_js(NaN, 0, 0, 0)));
});
