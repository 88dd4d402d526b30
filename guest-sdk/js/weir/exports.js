// The component's exports, made of what is declared. Errors are told in one line.

import * as aggregate from './aggregate.js';
import { aggregates, decoders, processes, scalars, transforms } from './declared.js';
import * as decoding from './decode.js';
import * as keyed from './process.js';
import * as scalar from './scalar.js';
import { told } from './told.js';
import * as transforming from './transform.js';

const fields = (of) => of.map(({ name, type }) => ({ name, dataType: dataType(type) }));
const dataType = ({ logical, list }) => ({ logical, list });
const constants = (literals) => literals.map((literal) => literal.val ?? null);

/** What a function gives; what it throws as the error that the interface has for it, which is a text. */
function answer(functions, name, give) {
  try {
    return give(functions.get(name));
  } catch (error) {
    throw told(error);
  }
}

/** `weir:feature/scalar-functions` */
export const scalarFunctions = {
  describe: () =>
    [...scalars.values()].map(({ name, fields: of, result, description }) => ({
      name,
      arguments: fields(of),
      result: dataType(result),
      description,
    })),
  call: (name, args, rows) => answer(scalars, name, (declared) => scalar.call(declared, args, rows)),
};

/** `weir:feature/transformer` */
export const transformer = {
  describe: () =>
    [...transforms.values()].map(({ name, fields: of, results, description }) => ({
      name,
      arguments: fields(of),
      results: fields(results),
      description,
    })),
  call: (name, args, rows) => answer(transforms, name, (declared) => transforming.call(declared, args, rows)),
};

/** `weir:feature/decoder` */
export const decoder = {
  describe: () => fields(decoders[0].fields),
  decode: (payloads, wanted) => decoding.call(decoders[0], payloads, wanted),
};

/** `weir:feature/aggregate-functions` */
export const aggregateFunctions = {
  describe: () =>
    [...aggregates.values()].map(({ name, parameters, fields: of, result, algebra, description }) => ({
      name,
      parameters: fields(parameters),
      arguments: fields(of),
      result: dataType(result),
      algebra,
      description,
    })),
  update: (name, params, states, groups, times, args) =>
    answer(aggregates, name, (it) => aggregate.update(it, constants(params), states, groups, times, args)),
  merge: (name, params, states, groups, count) =>
    answer(aggregates, name, (it) => aggregate.merge(it, constants(params), states, groups, count)),
  finish: (name, params, states, asOf) =>
    answer(aggregates, name, (it) => aggregate.finish(it, constants(params), states, asOf)),
};

/** `weir:feature/processor` */
export const processor = {
  describe: () =>
    [...processes.values()].map(({ name, parameters, fields: of, results, description }) => ({
      name,
      parameters: fields(parameters),
      arguments: fields(of),
      results: fields(results),
      description,
    })),
  onEvents: (name, params, states, timers, counts, times, args) =>
    answer(processes, name, (it) => keyed.onEvents(it, constants(params), states, timers, counts, times, args)),
  onTimer: (name, params, states, times) =>
    answer(processes, name, (it) => keyed.onTimer(it, constants(params), states, times)),
};
