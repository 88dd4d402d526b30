import assert from 'node:assert/strict';
import { test } from 'node:test';

import { share } from './plugin.js';

test('no tip is nothing and no fare has no share', () => {
  assert.equal(share(10, 2), 20);
  assert.equal(share(10, null), 0);
  assert.equal(share(0, null), null);
});
