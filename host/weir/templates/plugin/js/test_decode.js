import assert from 'node:assert/strict';
import { test } from 'node:test';

import { {{NAME}} } from './plugin.js';

const payload = (text) => new TextEncoder().encode(text);

test('a payload is a ride and others are refused', () => {
  assert.deepEqual({{NAME}}(payload('u1 1700000000000 12.5')), { user_id: 'u1', at: 1700000000000, fare: 12.5 });
  assert.equal({{NAME}}(payload('u1 1700000000000')).fare, null);
  assert.throws(() => {{NAME}}(payload('u1 yesterday')));
});
