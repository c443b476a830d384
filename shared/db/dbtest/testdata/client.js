// What npm's @libsql/client asks of a server; its arguments are the address and the token
const { createClient } = require("@libsql/client");
const assert = require("node:assert/strict");

const [url, authToken] = process.argv.slice(1);
const fails = async (code, message, work) => {
	await assert.rejects(work, (e) => {
		assert.equal(e.code, code, e.stack);
		assert.match(e.message, message);
		return true;
	});
};

const checks = {
	async types(c) {
		const texts = ["", "text", "a'b\"c\n\u0000\u20ac\u{1f600}"];
		for (const v of [null, 0, -1, 1.5, 1e300, ...texts]) {
			assert.equal((await c.execute({ sql: "SELECT ? AS v", args: [v] })).rows[0].v, v);
		}
		for (const size of [0, 1, 2, 3, 1000]) {
			const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7) & 255);
			const got = (await c.execute({ sql: "SELECT ? AS v, typeof(?) AS t", args: [bytes, bytes] })).rows[0];
			assert.equal(got.t, "blob");
			assert.deepEqual(new Uint8Array(got.v), bytes);
		}
		assert.equal((await c.execute({ sql: "SELECT ? AS v", args: [true] })).rows[0].v, 1);
	},
	async bigIntegers() {
		const c = createClient({ url, authToken, intMode: "bigint" });
		for (const v of [9223372036854775807n, -9223372036854775808n, 9007199254740993n]) {
			assert.equal((await c.execute({ sql: "SELECT ? AS v", args: [v] })).rows[0].v, v);
		}
		c.close();
	},
	async results(c) {
		const made = await c.execute("INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y')");
		assert.equal(made.rowsAffected, 2);
		assert.equal(made.lastInsertRowid, 2n);
		const read = await c.execute("SELECT a AS first, b FROM t ORDER BY a");
		assert.deepEqual(read.columns, ["first", "b"]);
		assert.deepEqual(read.columnTypes, ["INTEGER", "TEXT"]);
		assert.equal(read.rowsAffected, 0);
		assert.deepEqual(read.rows.map((r) => [r.first, r[1]]), [[1, "x"], [2, "y"]]);
		const named = await c.execute({ sql: "UPDATE t SET b = $b WHERE a = :a AND @c RETURNING b", args: { b: "z", a: 2, c: 1 } });
		assert.equal(named.rows[0].b, "z");
		assert.equal(named.rowsAffected, 1);
	},
	async batch(c) {
		const [inserted, , read] = await c.batch(
			[{ sql: "INSERT INTO t (a) VALUES (?)", args: [1] }, "INSERT INTO t (a) VALUES (2)", "SELECT COUNT(*) AS n FROM t"], "write");
		assert.equal(inserted.rowsAffected, 1);
		assert.equal(read.rows[0].n, 2);
		await fails("SQLITE_CONSTRAINT", /UNIQUE constraint failed: t.a/, c.batch(["INSERT INTO t (a) VALUES (3)", "INSERT INTO t (a) VALUES (1)"], "write"));
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM t")).rows[0].n, 2);
	},
	async interactive(c) {
		const tx = await c.transaction("write");
		await tx.execute("INSERT INTO t (a) VALUES (1)");
		await tx.batch(["INSERT INTO t (a) VALUES (2)", "INSERT INTO t (a) VALUES (3)"]);
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM t")).rows[0].n, 0);
		await fails("SQLITE_CONSTRAINT", /UNIQUE constraint failed/, tx.execute("INSERT INTO t (a) VALUES (1)"));
		await tx.executeMultiple("INSERT INTO t (a) VALUES (4); INSERT INTO t (a) VALUES (5);");
		await tx.commit();
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM t")).rows[0].n, 5);
		const undone = await c.transaction("deferred");
		await undone.execute("DELETE FROM t");
		await undone.rollback();
		const left = await c.transaction("read");
		left.close();
		await fails("TRANSACTION_CLOSED", /./, left.execute("SELECT 1"));
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM t")).rows[0].n, 5);
	},
	async sequences(c) {
		await c.executeMultiple(`
			INSERT INTO t (a) VALUES (1);
			CREATE TRIGGER tr AFTER INSERT ON t BEGIN UPDATE t SET b = CASE WHEN NEW.a > 1 THEN 'big' ELSE 'small' END WHERE a = NEW.a; SELECT 1; END;
			INSERT INTO t (a) VALUES (2);`);
		assert.equal((await c.execute("SELECT b FROM t WHERE a = 2")).rows[0].b, "big");
		await fails("SQLITE_CONSTRAINT", /UNIQUE/, c.executeMultiple("INSERT INTO t (a) VALUES (3); INSERT INTO t (a) VALUES (1); INSERT INTO t (a) VALUES (4)"));
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM t")).rows[0].n, 3);
	},
	async migrations(c) {
		await c.migrate(["CREATE TABLE u (t INTEGER REFERENCES t (a))", "INSERT INTO u VALUES (99)"]);
		assert.equal((await c.execute("SELECT COUNT(*) AS n FROM u")).rows[0].n, 1);
		await fails("SQLITE_CONSTRAINT", /FOREIGN KEY constraint failed/, c.execute("INSERT INTO u VALUES (98)"));
		await c.execute("DROP TABLE u");
	},
	async errors(c) {
		for (const [sql, code, message] of [
			["SELECT x FROM t", "SQLITE_UNKNOWN", /no such column: x/],
			["SELEC", "SQL_PARSE_ERROR", /SELEC/],
			["SELECT 1; SELECT 2", "SQL_MANY_STATEMENTS", /more than one statement/],
			["-- nothing", "SQL_NO_STATEMENT", /does not contain any statement/],
			["PRAGMA journal_mode = DELETE", "SQL_PARSE_ERROR", /unsupported statement/],
			["ATTACH 'other.db' AS other", "SQL_PARSE_ERROR", /unsupported statement/],
			["SELECT ?", "ARGS_INVALID", /Arguments do not match/],
			[{ sql: "SELECT 1", args: [1] }, "ARGS_INVALID", /too many parameters/],
		]) {
			await fails(code, message, c.execute(sql));
		}
		const stranger = createClient({ url, authToken: authToken + "x" });
		await assert.rejects(stranger.execute("SELECT 1"), /401/);
		stranger.close();
	},
};

(async () => {
	const c = createClient({ url, authToken });
	for (const [name, check] of Object.entries(checks)) {
		await c.executeMultiple("DROP TABLE IF EXISTS t; CREATE TABLE t (a INTEGER UNIQUE, b TEXT);");
		try {
			await check(c);
		} catch (e) {
			e.message = `${name}: ${e.message}`;
			throw e;
		}
		console.log("PASS", name);
	}
	c.close();
})().catch((e) => {
	console.error(e);
	process.exit(1);
});
