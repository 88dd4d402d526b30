// An aggregate: one value from many rows, folded in event-time order.

import { aggregate, double } from './weir/index.js';

/** What is kept of a stretch of time. */
export class {{TYPE}} {
  first = null;
  last = null;

  update(time, value) {
    this.first ??= value;
    this.last = value;
  }

  merge(later) {
    this.first ??= later.first;
    this.last = later.last ?? this.last;
  }

  finish(asOf) {
    return this.last === null ? null : this.last - this.first;
  }
}

aggregate(
  {
    name: '{{NAME}}',
    arguments: { value: double },
    result: double,
    description: 'How much a number rose from its first row to its last.',
  },
  {{TYPE}},
);
