// record-typeorm.js - what migrations written for TypeORM would send to PostgreSQL, without a server: each class is run against a stub of
// its query runner that writes down the SQL and answers with no rows. Prints [{"name", "up", "down"}].
//
//   node record-typeorm.js FOLDER
'use strict';
const fs = require('fs');
const Module = require('module');
const path = require('path');

// What else a migration asks for decides nothing that is recorded.
const load = Module._load;
Module._load = (name, ...rest) => {
  try { return load(name, ...rest); } catch (error) { return new Proxy(function () {}, { get: () => () => '', construct: () => ({}) }); }
};

async function record(migration, way) {
  const sql = [];
  const runner = {
    query: async (text) => { sql.push(String(text).trim().replace(/;+\s*$/, '') + ';\n'); return []; },
    hasColumn: async () => way === 'down',
    hasTable: async () => way === 'down',
  };
  try { await migration[way](runner); } catch (error) { /* it wanted rows: what it had sent by then is all there is */ }
  return sql.join('');
}

async function main() {
  const folder = path.resolve(process.argv[2]), out = [];
  for (const name of fs.readdirSync(folder).filter((file) => /^\d+.*\.js$/.test(file)).sort()) {
    const exported = Object.values(require(path.join(folder, name))).find((value) => typeof value === 'function');
    if (!exported) continue;
    const migration = new exported();
    out.push({ name, up: await record(migration, 'up'), down: await record(migration, 'down') });
  }
  // An extension that whoever installs the product makes.
  out.unshift({ name: '0-extension', up: 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp";\n', down: '' });
  process.stdout.write(JSON.stringify(out));
}
main();
