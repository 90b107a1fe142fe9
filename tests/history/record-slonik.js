// record-slonik.js - what migrations written with slonik's sql`` would send to PostgreSQL, without a server: the modules are run against a
// stub that writes down the SQL, values in their places, and answers with no rows. The schema they start from is that of an older package.
// Prints [{"name", "up", "down"}].
//
//   node record-slonik.js FOLDER OLDER_PACKAGE      FOLDER is written to: the modules find their stubs beside it
'use strict';
const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');

const DATABASE = 'history';

const stubs = {
  '@silverhand/slonik': `
    const text = (value) => value === null || value === undefined ? 'NULL' : typeof value === 'number' || typeof value === 'boolean' ? String(value)
      : value.sql !== undefined ? value.sql : "'" + String(value).replace(/'/g, "''") + "'";
    export const sql = (parts, ...values) => ({ sql: parts.raw ? parts.reduce((all, part, i) => all + text(values[i - 1]) + part) : '' });
    sql.identifier = (names) => ({ sql: names.map((name) => '"' + name.replace(/"/g, '""') + '"').join('.') });
    sql.join = (members, glue) => ({ sql: members.length ? members.map(text).join(glue.sql) : 'NULL' });
    sql.jsonb = (value) => ({ sql: "'" + JSON.stringify(value).replace(/'/g, "''") + "'::jsonb" });
    sql.raw = (given) => ({ sql: given });
    sql.fragment = sql; sql.unsafe = sql;`,
  '@logto/shared': `let last = 0;
    export const generateStandardId = (size = 21) => String(++last).padStart(size, 'x');
    export class GlobalValues {} export class ConsoleLog { info() {} warn() {} error() {} plain() {} succeed() {} fatal() {} }`,
  '@logto/shared/universal': `let last = 0; export const generateStandardId = (size = 21) => String(++last).padStart(size, 'y');`,
  '@logto/core-kit': `export const generateDarkColor = (color) => color;`,
  '@silverhand/essentials': `export const yes = (value) => value === '1' || value === 'true'; export const deduplicate = (list) => [...new Set(list)];
    export const isSameArray = (a, b) => String(a) === String(b); export const appendPath = (url, ...parts) => new URL(parts.join('/'), url);`,
  nanoid: `let last = 0; export const nanoid = (size = 21) => String(++last).padStart(size, 'z'); export const customAlphabet = (of, size) => () => nanoid(size);`,
  inquirer: `export default { prompt: async () => ({}) };`,
  chalk: `const plain = (value) => value; export default new Proxy(plain, { get: () => plain });`,
};

function writeStubs(folder) {
  for (const [name, source] of Object.entries(stubs)) {
    const [file, home] = [path.join(folder, 'node_modules', name), name.split('/').slice(0, name.startsWith('@') ? 2 : 1).join('/')];
    fs.mkdirSync(file, { recursive: true });
    fs.writeFileSync(path.join(file, 'index.js'), source);
    const exported = { '.': './index.js' };
    for (const other of Object.keys(stubs)) if (other.startsWith(home + '/')) exported['.' + other.slice(home.length)] = '.' + other.slice(home.length) + '/index.js';
    if (name === home) fs.writeFileSync(path.join(file, 'package.json'), JSON.stringify({ name, type: 'module', exports: exported }));
  }
}

async function record(way) {
  const sent = [];
  const add = (query) => sent.push(query.sql.trim().replace(/;+\s*$/, '') + ';\n');
  const answer = (rows) => async (query) => {
    if (!/^\s*(select|with)\b/i.test(query.sql)) add(query);
    return rows;
  };
  const row = { currentDatabase: DATABASE, id: 'recorded', count: 0, exists: false, value: {} };
  const pool = { query: async (query) => { add(query); return { rows: [], rowCount: 0 }; }, one: answer(row), maybeOne: answer(null), many: answer([]),
                 any: answer([]), exists: answer(false) };
  const patience = new Promise((resolve) => setTimeout(resolve, 500));
  try { await Promise.race([way(pool), patience]); } catch (error) { /* it wanted rows: what it had sent by then is all there is */ }
  return sent;
}

// As the product lays its first schema: tables in their order, what goes around each, what comes last.
function base(older) {
  const read = (name) => fs.readFileSync(path.join(older, 'tables', name), 'utf8');
  const order = (text) => Number((/init_order = ([\d.]+)/.exec(text) || [0, 1000])[1]);
  const tenants = /`([^`]*)`/.exec(fs.readFileSync(path.join(older, 'lib/models/tenants.js'), 'utf8'))[1];
  const files = fs.readdirSync(path.join(older, 'tables')).filter((name) => !/^_(before|after)/.test(name)).map((name) => [name, read(name)]);
  files.sort((a, b) => order(a[1]) - order(b[1]) || (a[0] < b[0] ? -1 : 1));
  const around = (name) => read('_after_each.sql').replaceAll('${name}', name);
  const tables = files.map(([name, text]) => text + (/no_after_each/.test(text) ? '' : around(path.basename(name, '.sql')))).join('\n');
  const rows = "INSERT INTO tenants (id) VALUES ('default'), ('admin');\n";
  return [read('_before_all.sql'), tenants, tables, read('_after_all.sql'), rows].join('\n').replaceAll('${database}', DATABASE);
}

async function main() {
  const folder = path.resolve(process.argv[2]), older = path.resolve(process.argv[3]);
  const known = new Set(fs.readdirSync(path.join(older, path.basename(folder))));
  const when = (name) => Number((/-(\d{10,}(\.\d+)?)-/.exec(name) || [0, 0])[1]);
  writeStubs(path.dirname(folder));
  console.log = console.info = console.warn = () => {}; /* some tell what they do; stdout is ours */
  const out = [{ name: '0-base', up: base(older), down: '' }];
  for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.js') && !known.has(file)).sort((a, b) => when(a) - when(b))) {
    const alteration = (await import(pathToFileURL(path.join(folder, name)))).default;
    /* What can't be in the transaction comes before it, both ways, each statement on its own. */
    const alone = (sent, way) => sent.forEach((sql, i) => out.push({ name: `${name} before ${i}`, up: '', down: '', [way]: sql }));
    if (alteration.beforeUp) alone(await record(alteration.beforeUp), 'up');
    out.push({ name, up: (await record(alteration.up)).join(''), down: (await record(alteration.down)).join('') });
    if (alteration.beforeDown) alone((await record(alteration.beforeDown)).reverse(), 'down'); /* read from the end */
  }
  fs.writeSync(1, JSON.stringify(out));
  process.exit(0); /* whatever still waits */
}
main();
