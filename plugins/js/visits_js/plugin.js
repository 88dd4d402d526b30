// Logic of one key's events: a rider's visits, each told when it is over. As `plugins/visits` and `plugins/python/visits_py`,
// to be compared with them.

import { bigint, list, nullable, process, text, timestamp } from './weir/index.js';

/** What is told of a visit has so many cities, the first ones. */
export const MOST_CITIES = 16;
export const MINUTE_MS = 60_000;

/** The visit that goes on, if one does. */
export class Visits {
  constructor(pauseMinutes) {
    this.pauseMinutes = pauseMinutes;
    this.forget();
  }

  forget() {
    this.started = null;
    this.rides = 0;
    this.cities = [];
  }

  onEvent(at, { city }, out) {
    this.started ??= at;
    this.rides += 1;
    if (city !== null && !this.cities.includes(city) && this.cities.length < MOST_CITIES) this.cities.push(city);
    // A bigint of SQL comes as a BigInt, and times are numbers.
    out.timer = at + Number(this.pauseMinutes) * MINUTE_MS;
  }

  onTimer(at, out) {
    if (this.started !== null) out.emit({ started: this.started, rides: this.rides, cities: this.cities });
    this.forget();
  }
}

process(
  {
    name: 'visits_js',
    parameters: { pause_minutes: bigint },
    arguments: { city: nullable(text) },
    rows: { started: timestamp, rides: bigint, cities: list(text) },
    description:
      'Visits: events with no pause of so many minutes between them. Each is a row when it is over, with its cities in ' +
      'the order in which they came.',
  },
  Visits,
);
