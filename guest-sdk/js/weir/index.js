// Plugins in JavaScript: declared functions and classes that weir calls as functions of SQL. Everything that this exports is
// plain JavaScript, so a plugin's tests run under Node without WebAssembly.

export { aggregate } from './aggregate.js';
export { decode } from './decode.js';
export { play } from './play.js';
export { process } from './process.js';
export { scalar } from './scalar.js';
export { log } from './surroundings.js';
export { transform } from './transform.js';
export { bigint, boolean, bytes, double, list, nullable, text, timestamp } from './types.js';
