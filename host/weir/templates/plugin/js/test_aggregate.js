import assert from 'node:assert/strict';
import { test } from 'node:test';

import { {{TYPE}} } from './plugin.js';

function along(values) {
  const state = new {{TYPE}}();
  values.forEach((value, time) => state.update(time, value));
  return state;
}

test('a cut anywhere changes nothing', () => {
  const state = along([3, 1]);
  state.merge(along([8]));
  assert.deepEqual(state, along([3, 1, 8]));
  assert.equal(state.finish(0), 5);
});
