// What a plugin declares: its functions by name.

import { checkName } from './types.js';

/** By name in SQL. */
export const scalars = new Map();
export const aggregates = new Map();

/** Adds a function; two of one name are a mistake. */
export function declare(functions, declared) {
  checkName(declared.name);
  if (scalars.has(declared.name) || aggregates.has(declared.name)) {
    throw new TypeError(`\`${declared.name}\` is declared twice`);
  }
  functions.set(declared.name, declared);
}

/** Which rows have no null that the function does not take; `null` if that are all. */
export function rowsGiven(columns, fields, rows) {
  const required = columns.filter((column, at) => !fields[at].type.nullable && column.includes(null));
  if (required.length === 0) return null;
  const all = Array.from({ length: rows }, (_, row) => row);
  return all.filter((row) => required.every((column) => column[row] !== null));
}
