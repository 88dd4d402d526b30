// Functions that give several columns: of one row, or of whole columns, and how they are called for many rows.

import { decode, encode } from './columns.js';
import { declare, rowsGiven, spread, transforms } from './declared.js';
import { checkKeys, fieldsOf } from './types.js';

/**
 * Makes a function usable in a job's `transform`, `name(a, b).column` or `name(*).column`; gives that function back, so that tests
 * call it as such. It gets the arguments in their order and gives an object with the results, or null for a row of nulls.
 */
export function transform(of, apply) {
  checkKeys(of, ['name', 'arguments', 'results', 'description', 'columnar']);
  const { name, arguments: named, results: given, description = '', columnar = false } = of;
  const results = fieldsOf(given, name);
  if (results.length === 0) throw new TypeError(`\`${name}\` does not say what it gives; write results: {score: double}, say`);
  declare(transforms, { name, fields: fieldsOf(named, name), results, description, columnar, apply });
  return apply;
}

/** The columns of the results for so many rows. */
export function call(declared, columnsIn, rows) {
  const { fields, results, name } = declared;
  const columns = columnsIn.map((column, at) => decode(column, fields[at].type));
  const given = rowsGiven(columns, fields, rows);
  const encoded = (found) => found.map((values, at) => encode(values, results[at].type, `${name}.${results[at].name}`));
  if (given === null) return encoded(applied(declared, columns, rows));
  const picked = columns.map((column) => given.map((row) => column[row]));
  return encoded(applied(declared, picked, given.length).map((values) => spread(values, given, rows)));
}

/** An array for each result. */
function applied(declared, columns, rows) {
  if (rows === 0) return declared.results.map(() => []);
  return declared.columnar ? atOnce(declared, columns, rows) : byRows(declared, columns, rows);
}

function atOnce({ apply, results, name }, columns, rows) {
  const made = apply(...columns);
  checkRow(made, name);
  return results.map(({ name: result, type }) => {
    const values = Array.from(made[result] ?? [], (value) => checked(value, result, type));
    if (values.length !== rows) {
      throw new TypeError(`\`${name}\` returned ${values.length} values of \`${result}\` for ${rows} rows`);
    }
    return values;
  });
}

function byRows({ apply, results, name }, columns, rows) {
  const made = results.map(() => []);
  for (let row = 0; row < rows; row += 1) {
    const found = apply(...columns.map((column) => column[row]));
    if (found !== null) checkRow(found, name);
    results.forEach(({ name: result, type }, at) => {
      made[at].push(found === null ? null : checked(found[result], result, type));
    });
  }
  return made;
}

/** Refuses what has no members, so that a forgotten `return` is not taken for nulls. */
function checkRow(made, name) {
  if (made === null || typeof made !== 'object') throw new TypeError(`\`${name}\` returned ${String(made)}, which is not a row`);
}

function checked(value, result, type) {
  if ((value ?? null) === null && !type.nullable) throw new TypeError(`\`${result}\` is null, and is not nullable`);
  return value ?? null;
}
