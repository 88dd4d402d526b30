// What a plugin declares: its functions by name.

import { checkName } from './types.js';

/** By name in SQL. */
export const scalars = new Map();
/** By name in a job's `transform`. */
export const transforms = new Map();
export const aggregates = new Map();
export const processes = new Map();
/** One at most. */
export const decoders = [];

/** Adds a function; two of one name are a mistake. */
export function declare(functions, declared) {
  checkName(declared.name);
  if ([scalars, transforms, aggregates, processes].some((kind) => kind.has(declared.name))) {
    throw new TypeError(`\`${declared.name}\` is declared twice`);
  }
  functions.set(declared.name, declared);
}

/** Sets the decoder; a second one is a mistake. */
export function declareDecoder(declared) {
  if (decoders.length > 0) throw new TypeError('a plugin has one decoder, and this one has two');
  decoders.push(declared);
}

/** Which rows have no null that the function does not take; `null` if that are all. */
export function rowsGiven(columns, fields, rows) {
  const required = columns.filter((column, at) => !fields[at].type.nullable && column.includes(null));
  if (required.length === 0) return null;
  const all = Array.from({ length: rows }, (_, row) => row);
  return all.filter((row) => required.every((column) => column[row] !== null));
}

/** The values of the given rows in their places; null in the others. */
export function spread(values, given, rows) {
  const whole = new Array(rows).fill(null);
  given.forEach((row, at) => {
    whole[row] = values[at];
  });
  return whole;
}
