// Runs steps from standard input in libsql, one after the other, and prints what each of them gave: rows, or an error.
const Database = require("libsql");
const db = new Database(":memory:");
db.exec("PRAGMA foreign_keys = ON");
const run = {
	exec: (sql) => (db.exec(sql), null),
	prepare: (sql) => (db.prepare(sql), null),
	query: (sql) => db.prepare(sql).raw().all(),
};
const answers = [];
for (const { Do, SQL } of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
	try {
		answers.push({ rows: run[Do](SQL) });
	} catch (e) {
		answers.push({ error: e.message });
	}
}
console.log(JSON.stringify(answers));
