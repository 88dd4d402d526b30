import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PAUSE_MS, {{TYPE}} } from './plugin.js';
import { play } from './weir/index.js';

test('a visit ends with the pause behind its last ride', () => {
  const rides = [[0, { fare: 2.5 }], [PAUSE_MS, { fare: 4 }], [2 * PAUSE_MS + 1, { fare: 1 }]];
  const rows = play({{TYPE}}, rides, { until: 3 * PAUSE_MS });
  assert.deepEqual(rows, [[2 * PAUSE_MS, { started: 0, rides: 2, fares: 6.5 }]]);
});
