// record.js - what migrations written for db-migrate would send to PostgreSQL, without a server: the modules are run against a stub that
// writes down the SQL. Prints [{"name", "up", "down"}]; a migration that decides by what it reads is given no rows.
//
//   node record.js FOLDER
'use strict';
const fs = require('fs');
const Module = require('module');
const path = require('path');

// What the migrations ask for beside the driver, as far as they use it.
const helpers = {
  async: {
    series(tasks, end) {
      let chain = Promise.resolve();
      for (const task of tasks) chain = chain.then(() => new Promise((resolve) => task(resolve)));
      chain.then(() => end && end(null, []));
    },
  },
  uuid: { v4: () => '00000000-0000-4000-8000-000000000000' },
};
const load = Module._load;
Module._load = (name, ...rest) => helpers[name] || load(name, ...rest);

const ident = (name) => '"' + String(name).replace(/"/g, '""') + '"';
const types = { int: 'INTEGER', string: 'VARCHAR', datetime: 'TIMESTAMP' };

function column(name, spec) {
  if (typeof spec === 'string') spec = { type: spec };
  let text = ident(name) + ' ' + (spec.autoIncrement ? 'SERIAL' : types[spec.type] || String(spec.type).toUpperCase());
  if (spec.length) text += '(' + Number(spec.length) + ')';
  if (spec.primaryKey) text += ' PRIMARY KEY';
  if (spec.notNull) text += ' NOT NULL';
  if (spec.unique) text += ' UNIQUE';
  if (spec.defaultValue !== undefined) {
    const value = spec.defaultValue;
    text += ' DEFAULT ' + (typeof value === 'string' ? "'" + value.replace(/'/g, "''") + "'" : String(value));
  }
  return text;
}

function recorder() {
  const sql = [];
  const done = (args, result) => {
    const callback = args.find((arg) => typeof arg === 'function');
    if (callback) callback(null, result);
    return Promise.resolve(result);
  };
  const add = (text) => sql.push(String(text).trim().replace(/;+\s*$/, ''));
  return {
    sql,
    runSql(text, ...rest) { add(text); return done(rest, { rows: [] }); },
    all(text, ...rest) { return done(rest, []); },
    createTable(name, spec, ...rest) {
      const columns = spec.columns || spec;
      add(`CREATE TABLE ${ident(name)} (${Object.keys(columns).map((key) => column(key, columns[key])).join(', ')})`);
      return done(rest);
    },
    dropTable(name, ...rest) { add(`DROP TABLE ${ident(name)}`); return done(rest); },
    addColumn(table, name, spec, ...rest) { add(`ALTER TABLE ${ident(table)} ADD COLUMN ${column(name, spec)}`); return done(rest); },
    removeColumn(table, name, ...rest) { add(`ALTER TABLE ${ident(table)} DROP COLUMN ${ident(name)}`); return done(rest); },
  };
}

async function run(migrate) {
  const db = recorder();
  if (typeof migrate !== 'function') return '';
  await new Promise((resolve) => {
    const timer = setTimeout(resolve, 500);
    const end = () => { clearTimeout(timer); resolve(); };
    try {
      const result = migrate(db, end);
      if (result && typeof result.then === 'function') result.then(end, end);
    } catch (error) { end(); }
  });
  return db.sql.filter(Boolean).map((text) => text + ';\n').join('');
}

async function main() {
  const folder = path.resolve(process.argv[2]);
  const out = [];
  for (const name of fs.readdirSync(folder).filter((file) => /^\d+.*\.js$/.test(file)).sort()) {
    let module;
    try { module = require(path.join(folder, name)); } catch (error) { continue; }
    out.push({ name, up: await run(module.up), down: await run(module.down) });
  }
  // Rows the program itself, or a migration that loops over what it reads, puts in; and the table the driver keeps its list in.
  out.push({
    name: '20211202120807-rows-of-the-program',
    up: "CREATE TABLE migrations (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL);\n" +
        "INSERT INTO roles (name, description, type, project) VALUES ('Owner', '', 'project', 'default'), ('Member', '', 'project', 'default');\n",
    down: '',
  });
  out.sort((a, b) => (a.name < b.name ? -1 : 1));
  process.stdout.write(JSON.stringify(out));
}
main();
