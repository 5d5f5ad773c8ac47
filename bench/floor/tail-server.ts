/**
 * The floor of delivery: tails files, commits each line as a row with an fsync, sends it on one socket. Nothing is
 * parsed, nothing is numbered, nobody can come back. argv: database, then the files.
 *
 * Lines that are there together share a commit, as the product's do: a floor that synced each line alone would be no floor.
 */
import { openSync, readSync, watch } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';

import { WebSocketServer, type WebSocket } from 'ws';

const [databasePath = '', ...files] = process.argv.slice(2);
const database = new DatabaseSync(databasePath);
database.exec(
  'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE lines (id INTEGER PRIMARY KEY, line TEXT) STRICT',
);
const insert = database.prepare('INSERT INTO lines (line) VALUES (?)');
const buffer = Buffer.alloc(64 * 1024);
const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
let client: WebSocket | null = null;
server.on('connection', (socket) => {
  client = socket;
});
server.on('listening', () => process.stdout.write(`${JSON.stringify(server.address())}\n`));

const dirty = new Set<{ descriptor: number; position: number }>();
let scheduled = false;
for (const file of files) {
  const tail = { descriptor: openSync(file, 'r'), position: 0 };
  watch(file, () => {
    dirty.add(tail);
    if (scheduled) return;
    scheduled = true;
    setImmediate(flush);
  });
}

function flush(): void {
  scheduled = false;
  const lines: string[] = [];
  for (const tail of dirty) {
    for (;;) {
      const bytes = readSync(tail.descriptor, buffer, 0, buffer.length, tail.position);
      const end = buffer.subarray(0, bytes).lastIndexOf(10) + 1;
      if (end === 0) break;
      tail.position += end;
      lines.push(...buffer.toString('utf8', 0, end).split('\n').filter(Boolean));
    }
  }
  dirty.clear();
  if (lines.length === 0) return;
  database.exec('BEGIN IMMEDIATE');
  for (const line of lines) insert.run(line);
  database.exec('COMMIT');
  for (const line of lines) client?.send(line);
}
