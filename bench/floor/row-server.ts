/**
 * The floor of every reader: rows of the product's own database, by one prepared statement, written to sockets as they
 * are. No protocol, no numbers, no check of who asks, and nobody who is slow. argv: the database.
 *
 * A client's line is `after <stream> <seq>`: it gets the rows after it and the line `caught-up`; or `watch`: it gets
 * whatever comes by stdin. There `rows <stream> <seq>` is the rows after it for all who watch, and `tail <file>` every
 * line of a growing file, each flush of them committed with an fsync before it is written.
 */
import { openSync, readSync, watch } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';

const [databasePath = ''] = process.argv.slice(2);
const database = new DatabaseSync(databasePath, { readOnly: true });
const select = database.prepare(
  'SELECT json FROM events WHERE stream = (SELECT stream FROM streams WHERE name = ?) AND seq > ? ORDER BY seq',
);
const watchers = new Set<Socket>();

function rowsAfter(stream: string, seq: number): string {
  return select
    .all(stream, seq)
    .map(({ json }) => `${String(json)}\n`)
    .join('');
}

function answer(socket: Socket, line: string): void {
  const [verb, stream = '', seq = '0'] = line.split(' ');
  if (verb === 'watch') watchers.add(socket);
  else socket.write(rowsAfter(stream, Number(seq)));
  socket.write('caught-up\n');
}

const server = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('data', (data) => {
    const lines = (rest + data.toString()).split('\n');
    rest = lines.pop() ?? '';
    socket.cork();
    for (const line of lines) answer(socket, line);
    socket.uncork();
  });
  socket.on('error', () => undefined);
  socket.on('close', () => watchers.delete(socket));
});
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
  process.stdout.write(`${JSON.stringify(server.address())}\n`),
);

function writeToAll(bytes: Buffer): void {
  for (const socket of watchers) socket.write(bytes);
}

function tail(file: string): void {
  const kept = new DatabaseSync(`${file}.db`);
  kept.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE lines (id INTEGER PRIMARY KEY, line TEXT) STRICT',
  );
  const insert = kept.prepare('INSERT INTO lines (line) VALUES (?)');
  const buffer = Buffer.alloc(64 * 1024);
  const descriptor = openSync(file, 'r');
  let position = 0;
  watch(file, () => {
    const count = readSync(descriptor, buffer, 0, buffer.length, position);
    const end = buffer.subarray(0, count).lastIndexOf(10) + 1;
    if (end === 0) return;
    position += end;
    const bytes = Buffer.from(buffer.subarray(0, end));
    kept.exec('BEGIN IMMEDIATE');
    for (const line of bytes.toString('utf8').split('\n').filter(Boolean)) insert.run(line);
    kept.exec('COMMIT');
    writeToAll(bytes);
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  const [verb, what = '', seq = '0'] = line.split(' ');
  if (verb === 'tail') tail(what);
  else writeToAll(Buffer.from(rowsAfter(what, Number(seq))));
  process.stdout.write('done\n');
}
process.exit(0);
