// Scalar functions: of one row, or of whole columns, and how they are called for many rows at once.

import { decode, encode } from './columns.js';
import { declare, rowsGiven, scalars, spread } from './declared.js';
import { checkKeys, fieldsOf, resultOf } from './types.js';

/** Makes a function usable in SQL by its name; gives that function back, so that tests call it as such. */
export function scalar(of, apply) {
  checkKeys(of, ['name', 'arguments', 'result', 'description', 'columnar']);
  const { name, arguments: named, result, description = '', columnar = false } = of;
  const fields = fieldsOf(named, name);
  declare(scalars, { name, fields, result: resultOf(result, name), description, columnar, apply });
  return apply;
}

/** The results for so many rows. */
export function call(declared, columnsIn, rows) {
  const { fields, result, name } = declared;
  const columns = columnsIn.map((column, at) => decode(column, fields[at].type));
  const given = rowsGiven(columns, fields, rows);
  if (given === null) return encode(applied(declared, columns, rows), result, name);
  const picked = columns.map((column) => given.map((row) => column[row]));
  return encode(spread(applied(declared, picked, given.length), given, rows), result, name);
}

function applied({ apply, columnar, name }, columns, rows) {
  if (rows === 0) return [];
  if (!columnar) return Array.from({ length: rows }, (_, row) => apply(...columns.map((column) => column[row])));
  const results = Array.from(apply(...columns));
  if (results.length !== rows) throw new TypeError(`\`${name}\` returned ${results.length} values for ${rows} rows`);
  return results;
}
