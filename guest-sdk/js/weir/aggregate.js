// Aggregates: classes whose objects are the states of a function of many rows, and how states are folded.

import { decode, encode, moment } from './columns.js';
import { aggregates, declare, rowsGiven } from './declared.js';
import { codec } from './state.js';
import { checkKeys, fieldsOf, resultOf } from './types.js';

const ALGEBRAS = ['exact', 'ordered', 'approximate'];

/**
 * Makes a class usable in SQL by its name; gives the class back. `update(time, ..)` adds a row of that event time,
 * `merge(later)` the state of a later stretch of rows, `finish(asOf)` gives the value at that moment. Parameters are what the
 * constructor gets: constants that a query gives before the arguments.
 */
export function aggregate(of, State) {
  checkKeys(of, ['name', 'parameters', 'arguments', 'result', 'algebra', 'description']);
  const { name, parameters: constants, arguments: named, result, algebra = 'ordered', description = '' } = of;
  if (!ALGEBRAS.includes(algebra)) {
    throw new TypeError(`\`${algebra}\` is not an algebra of \`${name}\`; write one of ${ALGEBRAS.join(', ')}`);
  }
  for (const method of ['update', 'merge', 'finish']) {
    if (typeof State?.prototype?.[method] !== 'function') {
      throw new TypeError(`\`${name}\` has no method \`${method}\`; an aggregate has update, merge and finish`);
    }
  }
  const [parameters, fields] = [fieldsOf(constants, name), fieldsOf(named, name)];
  declare(aggregates, { name, parameters, fields, result: resultOf(result, name), algebra, description, State });
  return State;
}

/** Adds rows to states: row `i` belongs to `states[groups[i]]`. */
export function update(declared, constants, states, groups, times, columnsIn) {
  const { decode: read, encode: write } = codec(declared, constants);
  const { fields } = declared;
  const columns = columnsIn.map((column, at) => decode(column, fields[at].type));
  const touched = new Map();
  const given = rowsGiven(columns, fields, groups.length) ?? groups.keys();
  for (const row of given) {
    const group = groups[row];
    if (!touched.has(group)) touched.set(group, read(states[group]));
    touched.get(group).update(moment(times[row]), ...columns.map((column) => column[row]));
  }
  return states.map((state, group) => (touched.has(group) ? write(touched.get(group)) : state));
}

/** Folds states into one per group, from the earliest to the latest. */
export function merge(declared, constants, states, groups, count) {
  const { decode: read, encode: write } = codec(declared, constants);
  const merged = new Map();
  states.forEach((state, at) => {
    if (state.length === 0) return;
    const later = read(state);
    const held = merged.get(groups[at]);
    if (held === undefined) merged.set(groups[at], later);
    else held.merge(later);
  });
  return Array.from({ length: count }, (_, group) => (merged.has(group) ? write(merged.get(group)) : new Uint8Array(0)));
}

/** The value of each state at its moment. */
export function finish(declared, constants, states, asOf) {
  const { decode: read } = codec(declared, constants);
  const values = states.map((state, at) => read(state).finish(moment(asOf[at])));
  return encode(values, declared.result, declared.name);
}
