// Keyed logic: classes whose objects are what is remembered of a key, and how events and timers reach them.

import { decode, encode, moment } from './columns.js';
import { declare, processes, rowsGiven } from './declared.js';
import { codec } from './state.js';
import { checkKeys, fieldsOf } from './types.js';

/** So many rows may one event or timer make. */
const MOST_ROWS = 1000;
const MOST_STATE_BYTES = 65_536;

/**
 * Makes a class usable in SQL as keyed logic, `FROM TABLE(name(TABLE t PARTITION BY k))`; gives the class back. An object is
 * what is remembered of one key. `onEvent(at, event, out)` takes an event of that time, an object with the columns that are said as
 * arguments; `onTimer(at, out)` is called when the timer fires. Both make rows with `out.emit(row)`, and set the timer as
 * `out.timer`. Parameters are what the constructor gets: constants that a query gives behind the table.
 */
export function process(of, Memory) {
  checkKeys(of, ['name', 'parameters', 'arguments', 'rows', 'description']);
  const { name, parameters: constants, arguments: named, rows, description = '' } = of;
  if (typeof Memory?.prototype?.onEvent !== 'function') {
    throw new TypeError(`\`${name}\` has no method \`onEvent\`; keyed logic has onEvent, and onTimer if it sets a timer`);
  }
  const results = fieldsOf(rows, name);
  if (results.length === 0) {
    throw new TypeError(`\`${name}\` does not say what rows it makes; write rows: {started: timestamp}, say`);
  }
  const [parameters, fields] = [fieldsOf(constants, name), fieldsOf(named, name)];
  declare(processes, { name, parameters, fields, results, description, State: Memory });
  return Memory;
}

/** What an event or a timer makes: rows, and when the timer fires. */
class Output {
  #rows = [];
  #declared;
  #timer;

  constructor(declared, timer) {
    this.#declared = declared;
    this.#timer = timer;
  }
  /** Milliseconds, or null. */
  get timer() {
    return this.#timer;
  }
  set timer(at) {
    this.#timer = at ?? null;
  }
  /** Makes a row, of the time of the event or timer. */
  emit(row) {
    // One more than there may be is enough to tell that there were too many.
    if (this.#rows.length <= MOST_ROWS) this.#rows.push(kept(this.#declared, row));
  }
  get rows() {
    return this.#rows;
  }
}

/** A row as it is now: what becomes of its lists later is not told. */
function kept({ results, name }, row) {
  if (row === null || typeof row !== 'object') throw new TypeError(`\`${name}\` made ${String(row)}, which is not a row`);
  const copied = (value) => (Array.isArray(value) || value instanceof Uint8Array ? value.slice() : (value ?? null));
  return Object.fromEntries(results.map(({ name: column }) => [column, copied(row[column])]));
}

/** Gives an event to a key under its timer: the timer from then on, and the rows made. */
export function take(declared, memory, timer, at, event) {
  const out = new Output(declared, timer);
  memory.onEvent(at, event, out);
  const { timer: next, rows } = checked(declared, out);
  return { timer: next === null ? null : Math.max(next, at), rows };
}

/** Fires a key's timer: the next one, and the rows made. */
export function fire(declared, memory, at) {
  const out = new Output(declared, null);
  memory.onTimer?.(at, out);
  const { timer: next, rows } = checked(declared, out);
  if (next !== null && next <= at) {
    throw new RangeError(`onTimer of \`${declared.name}\` set the timer to ${next}, which is not later than ${at}, when it fired`);
  }
  return { timer: next, rows };
}

function checked({ name, State }, { timer, rows }) {
  if (rows.length > MOST_ROWS) throw new RangeError(`\`${name}\` makes more than ${MOST_ROWS} rows at one time`);
  if (timer === null) return { timer, rows };
  const at = typeof timer === 'bigint' ? Number(timer) : timer;
  if (!Number.isSafeInteger(at)) {
    throw new TypeError(`the timer of \`${name}\` is ${typeof timer} ${String(timer)}; write milliseconds, or null`);
  }
  if (typeof State.prototype.onTimer !== 'function') throw new TypeError(`\`${name}\` set its timer, and has no method \`onTimer\``);
  return { timer: at, rows };
}

/** The memories of keys as bytes. */
export function memories(declared, constants) {
  const { decode: read, encode: write } = codec(declared, constants);
  return {
    read,
    write: (memory) => {
      const bytes = write(memory);
      if (bytes.length > MOST_STATE_BYTES) {
        throw new RangeError(`a state of \`${declared.name}\` has ${bytes.length} bytes, and may have ${MOST_STATE_BYTES}`);
      }
      return bytes;
    },
  };
}

/** The columns of rows. */
export function columnsOf({ results }, rows) {
  return results.map(({ name, type }) => {
    const values = rows.map((row) => row[name]);
    if (!type.nullable && values.includes(null)) throw new TypeError(`\`${name}\` is null, and is not nullable`);
    return encode(values, type, name);
  });
}

/** Gives events to keys: of each in order, up to its timer. Events with a null that is not taken are passed over. */
export function onEvents(declared, constants, statesIn, timersIn, counts, times, columnsIn) {
  const { read, write } = memories(declared, constants);
  const { fields } = declared;
  const columns = columnsIn.map((column, at) => decode(column, fields[at].type));
  const rowsTaken = rowsGiven(columns, fields, times.length);
  const given = rowsTaken === null ? null : new Set(rowsTaken);
  const eventOf = (row) => Object.fromEntries(fields.map(({ name }, at) => [name, columns[at][row]]));
  const [states, timers, taken, madeBy, rows] = [[...statesIn], timersIn.map((timer) => timer ?? undefined), [], [], []];
  let first = 0;
  counts.forEach((count, key) => {
    const behind = first + count;
    let memory = null;
    let timer = timers[key] === undefined ? null : moment(timers[key]);
    let row = first;
    // The host fires a timer that lies before the next event, and gives that event again.
    for (; row < behind && (row === first || timer === null || timer >= moment(times[row])); row += 1) {
      if (given !== null && !given.has(row)) continue;
      memory ??= read(states[key]);
      const made = take(declared, memory, timer, moment(times[row]), eventOf(row));
      timer = made.timer;
      for (const each of made.rows) {
        rows.push(each);
        madeBy.push(row);
      }
    }
    if (memory !== null) {
      states[key] = write(memory);
      timers[key] = timer === null ? undefined : BigInt(timer);
    }
    taken.push(row - first);
    first = behind;
  });
  return progress(states, timers, taken, madeBy, columnsOf(declared, rows));
}

/** Fires the timers of keys. */
export function onTimer(declared, constants, states, times) {
  const { read, write } = memories(declared, constants);
  const [written, timers, madeBy, rows] = [[], [], [], []];
  states.forEach((state, key) => {
    const memory = read(state);
    const made = fire(declared, memory, moment(times[key]));
    for (const each of made.rows) {
      rows.push(each);
      madeBy.push(key);
    }
    written.push(write(memory));
    timers.push(made.timer === null ? undefined : BigInt(made.timer));
  });
  return progress(written, timers, states.map(() => 0), madeBy, columnsOf(declared, rows));
}

function progress(states, timers, taken, madeBy, rows) {
  return { states, timers, taken: Uint32Array.from(taken), madeBy: Uint32Array.from(madeBy), rows };
}
