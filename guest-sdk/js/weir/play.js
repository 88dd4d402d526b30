// Events played through keyed logic in a test, as the host gives them.

import { processes } from './declared.js';
import { columnsOf, fire, memories, take } from './process.js';

/**
 * The rows that one key's events make, each as `[at, row]` with the time of the event or timer that made it. `Memory` is a
 * class that `process(..)` got; an event is `[at, {..}]` with its columns by name, of which one that is left out is null.
 * Timers fire as the host fires them, before the first event behind them, and in the end those up to `until`. What is
 * remembered goes through its bytes after every step.
 */
export function play(Memory, events, { until = null, parameters = [] } = {}) {
  const declared = [...processes.values()].find(({ State }) => State === Memory);
  if (declared === undefined) throw new TypeError('play(..) takes a class that process(..) got');
  const { name, fields } = declared;
  if (parameters.length !== declared.parameters.length) {
    throw new TypeError(`\`${name}\` takes ${declared.parameters.length} parameters, and there are ${parameters.length}`);
  }
  const { read, write } = memories(declared, parameters);
  const rows = [];
  let [state, timer, newest] = [new Uint8Array(0), null, -Infinity];
  const step = (at, apply) => {
    const memory = read(state);
    const made = apply(memory);
    columnsOf(declared, made.rows);
    [state, timer] = [write(memory), made.timer];
    for (const row of made.rows) rows.push([at, row]);
  };
  const fireBefore = (isDue) => {
    while (timer !== null && isDue(timer)) {
      const at = timer;
      step(at, (memory) => fire(declared, memory, at));
    }
  };
  for (const [at, given] of events) {
    if (at < newest) throw new RangeError(`the event of ${at} comes behind one of ${newest}`);
    newest = at;
    fireBefore((timer) => timer < at);
    const unknown = Object.keys(given).filter((key) => !fields.some((field) => field.name === key));
    if (unknown.length > 0) throw new TypeError(`\`${name}\` takes no column ${unknown.join(', ')}`);
    const event = Object.fromEntries(fields.map((field) => [field.name, given[field.name] ?? null]));
    if (fields.some((field) => event[field.name] === null && !field.type.nullable)) continue;
    step(at, (memory) => take(declared, memory, timer, at, event));
  }
  if (until !== null) fireBefore((timer) => timer <= until);
  return rows;
}
