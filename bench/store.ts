/**
 * The store against its floor: the same inserts on a bare database of the same run, fsynced the same way.
 *
 * Run alone: `node bench/store.ts`. Figures mean something only beside their floor: machines differ, and so do minutes.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, watch, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';

import type { NewEvent } from '../src/contracts/events.ts';
import { conversationStream } from '../src/contracts/ids.ts';
import { openStore } from '../src/store/open.ts';
import type { Store } from '../src/store/port.ts';

export type BenchRow = { figure: string; unit: string; product: number; floor: number };

const SMALL_TEXT = 'word ';

function delta(turnId: string, text: string): NewEvent {
  return {
    type: 'chat.delta',
    turnId,
    attempt: 1,
    requestId: `request-of-${turnId}`,
    payload: { messageId: `${turnId}-1-1`, text },
  };
}

/** Measures for about ten seconds in all. */
export async function benchStore(): Promise<BenchRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-store-'));
  try {
    const rows: BenchRow[] = [];
    const flood = { streams: 1, batch: 500, batches: 400 };
    const together = { streams: 20, batch: 25, batches: 400 };
    const single = { streams: 20, batch: 1, batches: 500 };
    for (const [figure, load] of [
      ['flood of one conversation', flood],
      ['20 conversations together', together],
      ['single events of 20 conversations', single],
    ] as const) {
      const floor = floorRate(folder, load);
      const product = await productRate(folder, load);
      rows.push({ figure, unit: 'events/s', product, floor });
    }
    const product = await wakeLatency(folder, 'product');
    const floor = await wakeLatency(folder, 'floor');
    for (const [figure, name] of [
      ['append → answered, p50', 'answeredMs'],
      ['append → another process is told, p50', 'toldMs'],
    ] as const)
      rows.push({ figure, unit: 'ms', product: product[name], floor: floor[name] });
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Load = { streams: number; batch: number; batches: number };

async function productRate(folder: string, load: Load): Promise<number> {
  const path = join(folder, `product-${load.streams}-${load.batch}.db`);
  const store = await openStore({ url: `sqlite:${path}` });
  const streams = await Promise.all(
    Array.from({ length: load.streams }, (_, index) => startTurn(store, `c${index}`)),
  );
  const started = performance.now();
  await Promise.all(
    streams.map(async ({ stream, fence, events }) => {
      for (let batch = 0; batch < load.batches; batch += 1)
        await store.append({ stream, fence, events: events(load.batch), spoolOffset: batch });
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  await store.close();
  return (load.streams * load.batch * load.batches) / seconds;
}

async function startTurn(store: Store, conversationId: string) {
  const stream = conversationStream(conversationId);
  const turnId = `turn-of-${conversationId}-8f14e45fceea`;
  await store.append({
    stream,
    events: [
      {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: '',
          provider: 'scripted',
          model: null,
          workspacePath: '/',
        },
      },
      {
        type: 'chat.started',
        turnId,
        attempt: 1,
        payload: { attempt: 1, provider: 'scripted', model: null },
      },
    ],
  });
  const { epoch } = await store.claim({
    conversationId,
    turnId,
    attempt: 1,
    host: 'bench',
    place: { spool: 'bench', from: 0 },
  });
  const events = (count: number) => Array.from({ length: count }, () => delta(turnId, SMALL_TEXT));
  return { stream, fence: { turnId, attempt: 1, epoch }, events };
}

/** The least that any log of this kind does: the event's JSON, one insert, one COMMIT for what came together. */
function floorRate(folder: string, { streams, batch, batches }: Load): number {
  const database = openFloor(join(folder, `floor-${streams}-${batch}.db`));
  const insert = database.prepare('INSERT INTO log (stream, json) VALUES (?, ?)');
  const started = performance.now();
  for (let round = 0; round < batches; round += 1) {
    database.exec('BEGIN IMMEDIATE');
    for (let stream = 0; stream < streams; stream += 1)
      for (let index = 0; index < batch; index += 1)
        insert.run(
          stream,
          JSON.stringify({
            ...delta('turn-of-c0-8f14e45fceea', SMALL_TEXT),
            conversationId: 'c0',
            seq: index,
            at: '2026-01-01T00:00:00.000Z',
          }),
        );
    database.exec('COMMIT');
  }
  const seconds = (performance.now() - started) / 1000;
  database.close();
  return (streams * batch * batches) / seconds;
}

function openFloor(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, json TEXT NOT NULL) STRICT;`);
  return database;
}

const WAKES = 400;

/** Medians, from the moment a writing process begins one append: to its answer there, and to this process's listener. */
async function wakeLatency(
  folder: string,
  kind: 'product' | 'floor',
): Promise<{ answeredMs: number; toldMs: number }> {
  const path = join(folder, `wake-${kind}.db`);
  let told = Promise.withResolvers<number>();
  const stop = await (kind === 'product' ? listenProduct : listenFloor)(path, () =>
    told.resolve(clock()),
  );
  const writer = spawn(process.execPath, [import.meta.filename, 'writer', kind, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const answeredMs: number[] = [];
  const toldMs: number[] = [];
  try {
    for await (const line of createInterface({ input: writer.stdout })) {
      if (line !== 'ready') {
        const { started, answered } = JSON.parse(line) as { started: number; answered: number };
        answeredMs.push(answered - started);
        toldMs.push((await told.promise) - started);
      }
      if (toldMs.length === WAKES) break;
      // A watcher may be woken twice by one commit: the echo of the last one must be over.
      await new Promise((resolve) => setTimeout(resolve, 2));
      told = Promise.withResolvers();
      writer.stdin.write('next\n');
    }
  } finally {
    writer.stdin.end();
    await stop();
  }
  return { answeredMs: median(answeredMs), toldMs: median(toldMs) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function listenProduct(path: string, woken: () => void): Promise<() => Promise<void>> {
  const store = await openStore({ url: `sqlite:${path}`, readOnly: true });
  const stop = store.watch(woken);
  return async () => {
    stop();
    await store.close();
  };
}

async function listenFloor(path: string, woken: () => void): Promise<() => Promise<void>> {
  const file = `${path}-commits`;
  writeSync(openSync(file, 'w'), 'x');
  const database = openFloor(path);
  const newest = database.prepare('SELECT max(id) FROM log');
  const watcher = watch(file, () => {
    newest.get();
    woken();
  });
  return async () => {
    watcher.close();
    database.close();
  };
}

function clock(): number {
  return performance.timeOrigin + performance.now();
}

/** The writing process: one small commit for each line on stdin, its times on stdout. */
async function writeForWakes(kind: string, path: string): Promise<void> {
  let commit: () => unknown;
  if (kind === 'product') {
    const store = await openStore({ url: `sqlite:${path}` });
    const { stream, fence, events } = await startTurn(store, 'c0');
    commit = () => store.append({ stream, fence, events: events(1) });
  } else {
    const database = openFloor(path);
    const insert = database.prepare('INSERT INTO log (stream, json) VALUES (?, ?)');
    const file = openSync(`${path}-commits`, 'r+');
    commit = () => {
      database.exec('BEGIN IMMEDIATE');
      insert.run(1, JSON.stringify(delta('turn-of-c0-8f14e45fceea', SMALL_TEXT)));
      database.exec('COMMIT');
      writeSync(file, 'x', 0);
    };
  }
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== 'next') continue;
    const started = clock();
    await commit();
    process.stdout.write(`${JSON.stringify({ started, answered: clock() })}\n`);
  }
}

if (import.meta.main) {
  const [role, kind = '', path = ''] = process.argv.slice(2);
  if (role === 'writer') await writeForWakes(kind, path);
  else
    console.table(
      (await benchStore()).map(({ figure, unit, product, floor }) => ({
        figure,
        unit,
        product: Number(product.toPrecision(4)),
        floor: Number(floor.toPrecision(4)),
        ratio: Number((product / floor).toPrecision(3)),
      })),
    );
}
