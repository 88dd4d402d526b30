// `node build.mjs build|test FOLDER [--name NAME] [--out DIR]`: a plugin's folder -> a component, for `weir plugin`.
//
// The folder holds plugin.js or plugin.ts (with whatever it imports), and this kit as `weir/`. Exit codes: 0 done, 1 the plugin
// is at fault, 2 something is missing on this machine.

import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

// Pinned, since the bytes of a component come from it.
const TOOLS = ['@bytecodealliance/componentize-js@0.23.0', 'esbuild@0.25.12'];
const OLDEST_NODE = 20;
const KIT = fileURLToPath(new URL('.', import.meta.url));
const WORLDS = [
  { declared: 'scalars', interface: 'scalar-functions', object: 'scalarFunctions' },
  { declared: 'transforms', interface: 'transformer', object: 'transformer' },
  { declared: 'aggregates', interface: 'aggregate-functions', object: 'aggregateFunctions' },
  { declared: 'processes', interface: 'processor', object: 'processor' },
  { declared: 'decoders', interface: 'decoder', object: 'decoder' },
];

class PluginFault extends Error {}
class Missing extends Error {}

const say = (text) => process.stderr.write(`weir: ${text}\n`);

/** Where the tools are, which are brought the first time. */
async function tools() {
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE) {
    throw new Missing(`Node ${OLDEST_NODE} or newer is needed to build plugins, and this is ${process.versions.node}; set WEIR_NODE to one`);
  }
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'weir', `js-tools-${TOOLS.join('-').replaceAll(/[@/]/g, '_')}`);
  if (!existsSync(join(cache, 'ready'))) {
    say(`installing ${TOOLS.join(' and ')} into ${cache} (once)`);
    await mkdir(cache, { recursive: true });
    await writeFile(join(cache, 'package.json'), '{"private": true}\n');
    const done = spawnSync('npm', ['install', '--silent', '--no-audit', '--no-fund', ...TOOLS], { cwd: cache, encoding: 'utf8' });
    if (done.error || done.status !== 0) {
      const reason = done.error?.message ?? done.stderr.trim().split('\n').slice(-4).join('\n  ');
      throw new Missing(`the tools cannot be installed (npm asks the registry that its own settings name):\n  ${reason}`);
    }
    // Packages are found from where they are.
    const found = "export { componentize } from '@bytecodealliance/componentize-js';\nexport { build as bundle } from 'esbuild';\n";
    await writeFile(join(cache, 'tools.mjs'), found);
    await writeFile(join(cache, 'ready'), '');
  }
  return import(pathToFileURL(join(cache, 'tools.mjs')));
}

function sourceOf(folder) {
  const found = ['plugin.js', 'plugin.ts'].map((name) => join(folder, name)).find(existsSync);
  if (!found) throw new PluginFault(`${folder} has no plugin.js; \`weir plugin new NAME --lang js\` makes a folder that has`);
  return found;
}

/** One module of the plugin, the kit and what else it imports. */
async function bundled(bundle, folder, entry) {
  const options = { bundle: true, format: 'esm', platform: 'neutral', mainFields: ['module', 'main'], target: 'es2023', write: false };
  try {
    const stdin = { contents: entry, resolveDir: folder, sourcefile: 'entry.js' };
    const { outputFiles } = await bundle({ ...options, stdin, external: ['weir:*'], logLevel: 'silent' });
    return outputFiles[0].text;
  } catch (error) {
    const told = error.errors?.map(({ text, location }) => (location ? `${location.file}:${location.line}: ${text}` : text));
    throw new PluginFault(told?.join('\n') ?? String(error));
  }
}

/** The worlds that the plugin has functions of, with signatures. */
async function declared(bundle, folder, source, scratch) {
  const entry = `import ${JSON.stringify(source)};\nexport * from './weir/declared.js';\n`;
  const module = join(scratch, 'declared.mjs');
  await writeFile(module, await bundled(bundle, folder, entry));
  let found;
  try {
    found = await import(pathToFileURL(module));
  } catch (error) {
    throw new PluginFault(`${basename(source)} cannot be evaluated: ${error}`);
  }
  // A plugin's own kit may be older than a kind.
  const count = (functions) => functions?.size ?? functions?.length ?? 0;
  const worlds = WORLDS.filter((world) => count(found[world.declared]) > 0);
  if (worlds.length === 0) throw new PluginFault(`${basename(source)} declares no function; call scalar(..), transform(..), aggregate(..), process(..) or decode(..) for one`);
  const type = ({ logical, list }) => (list ? `array<${sql(logical)}>` : sql(logical));
  const sql = (logical) => (logical === 'text' ? 'string' : logical);
  const columns = (fields) => fields.map((field) => `${field.name} ${type(field.type)}`).join(', ');
  const shown = {
    scalars: ({ name, fields, result }) => `scalar ${name}(${columns(fields)}) -> ${type(result)}`,
    transforms: ({ name, fields, results }) => `transform ${name}(${columns(fields)}) -> (${columns(results)})`,
    aggregates: ({ name, parameters, fields, result }) => `aggregate ${name}(${columns([...parameters, ...fields])}) -> ${type(result)}`,
    processes: ({ name, parameters, fields, results }) => `process ${name}(${columns([...parameters, ...fields])}) -> (${columns(results)})`,
    decoders: ({ fields }) => `decode payload -> (${columns(fields)})`,
  };
  const signatures = worlds.flatMap((world) => [...found[world.declared].values()].map(shown[world.declared]));
  return { worlds, signatures };
}

async function component(componentize, bundle, folder, source, worlds, scratch) {
  const wit = join(scratch, 'wit');
  await cp(join(KIT, '..', '..', 'wit'), wit, { recursive: true });
  const exported = worlds.map((world) => `  export ${world.interface};\n`).join('');
  await writeFile(join(wit, 'plugin.wit'), `package weir:feature@0.1.0;\nworld plugin {\n  import platform;\n${exported}}\n`);
  const entry = [
    "import { log } from 'weir:feature/platform@0.1.0';",
    `import ${JSON.stringify(source)};`,
    "import * as made from './weir/exports.js';",
    "import { seal } from './weir/surroundings.js';",
    // Not earlier: while the component is built there is no host to log to.
    'let sealed = false;',
    'const within = (functions) => Object.fromEntries(Object.entries(functions).map(([name, call]) => [name, (...given) => {',
    '  if (!sealed) { sealed = true; seal(log); }',
    '  return call(...given);',
    '}]));',
    ...worlds.map((world) => `export const ${world.object} = within(made.${world.object});`),
  ].join('\n');
  const module = join(scratch, 'plugin.js');
  await writeFile(module, await bundled(bundle, folder, entry));
  const disableFeatures = ['random', 'stdio', 'clocks', 'http', 'fetch-event'];
  const made = await componentize({ sourcePath: module, witPath: wit, worldName: 'plugin', disableFeatures });
  const foreign = made.imports.find(([name]) => !name.startsWith('weir:'));
  if (foreign) throw new PluginFault(`imports ${foreign[0]}; a plugin may import weir:* only`);
  return made.component;
}

async function build(folder, name, out) {
  const source = sourceOf(folder);
  const { componentize, bundle } = await tools();
  const scratch = await mkdtemp(join(tmpdir(), 'weir-plugin-'));
  try {
    const { worlds, signatures } = await declared(bundle, folder, source, scratch);
    say(`building ${name} (about twenty seconds)`);
    const bytes = await component(componentize, bundle, folder, source, worlds, scratch);
    await mkdir(out, { recursive: true });
    const target = join(out, `${name}.wasm`);
    await writeFile(`${target}.part`, bytes);
    await rename(`${target}.part`, target);
    say(`${target}, ${(bytes.length / 1e6).toFixed(1)} MB: ${signatures.join('; ')}`);
    process.stdout.write(`${target}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Runs the folder's tests under Node. */
async function test(folder) {
  const tests = (await readdir(folder)).filter((name) => /(^test_|\.test\.)/.test(name) && /\.(m?js)$/.test(name));
  if (tests.length === 0) throw new PluginFault(`${folder} has no tests; write test_plugin.js`);
  const done = spawnSync(process.execPath, ['--test', ...tests], { cwd: folder, stdio: 'inherit' });
  if (done.status !== 0) throw new PluginFault('tests failed');
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { name: { type: 'string' }, out: { type: 'string' } } });
  const [verb, given] = positionals;
  const folder = resolve(given ?? '.');
  if (verb === 'test') return test(folder);
  if (verb !== 'build') throw new PluginFault('usage: node build.mjs build|test FOLDER [--name NAME] [--out DIR]');
  return build(folder, values.name ?? basename(folder), resolve(values.out ?? join(folder, 'dist')));
}

try {
  await main();
} catch (error) {
  if (error instanceof PluginFault || error instanceof Missing) {
    process.stderr.write(`error: ${error.message}\n`);
    process.exitCode = error instanceof PluginFault ? 1 : 2;
  } else {
    process.stderr.write(`error: the component cannot be made: ${error?.message ?? error}\n`);
    process.exitCode = 1;
  }
}
