import assert from 'node:assert/strict';
import { test } from 'node:test';

import { unusual } from './plugin.js';

test('twice as much is unusual and nothing is told of a new rider', () => {
  assert.deepEqual(unusual(10, 8), { times: 1.25, band: 'low' });
  assert.deepEqual(unusual(16, 8), { times: 2, band: 'high' });
  assert.equal(unusual(16, null), null);
});
