// Logic of one key's events: what it remembers, and when it is called again, are its own.

import { bigint, double, process, timestamp } from './weir/index.js';

/** A visit is over when no ride came for so long. */
export const PAUSE_MS = 30 * 60_000;

/** What is remembered of a key. */
export class {{TYPE}} {
  started = null;
  rides = 0;
  fares = 0;

  onEvent(at, { fare }, out) {
    this.started ??= at;
    this.rides += 1;
    this.fares += fare;
    out.timer = at + PAUSE_MS;
  }

  onTimer(at, out) {
    out.emit({ started: this.started, rides: this.rides, fares: this.fares });
    // A key of which nothing is remembered takes no room.
    Object.assign(this, new {{TYPE}}());
  }
}

process(
  {
    name: '{{NAME}}',
    arguments: { fare: double },
    rows: { started: timestamp, rides: bigint, fares: double },
    description: 'Rides with no pause of half an hour between them.',
  },
  {{TYPE}},
);
