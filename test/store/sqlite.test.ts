/** What is the SQLite engine's own, beside the contract: its file, its lock, its disk, its wakes. */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterEach, describe, expect, it, vi } from 'vitest';

import type { NewEvent } from '../../src/contracts/events.ts';
import { openStore } from '../../src/store/open.ts';
import { openConnection } from '../../src/store/sqlite/connection.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { note, type WriterTask } from '../fixtures/store-writer.ts';
import { eventually } from '../support/eventually.ts';
import { makeSqliteData, type SqliteData } from './sqlite-data.ts';

describe('the SQLite engine', () => {
  const made: SqliteData[] = [];
  afterEach(async () => {
    await Promise.all(made.splice(0).map((data) => data.destroy()));
  });
  const newData = (): SqliteData => {
    const data = makeSqliteData();
    made.push(data);
    return data;
  };

  describe('its file', () => {
    it('is private, as are those beside it, and written through to the disk at every commit', async () => {
      const data = newData();
      const store = await data.open();
      await store.append({ stream: 'table:a', events: [note('x')] });
      for (const suffix of ['', '-wal', '-commits', '-waiting'])
        expect(statSync(data.path + suffix).mode & 0o777).toBe(0o600);
      expect(statSync(join(data.path, '..')).mode & 0o777).toBe(0o700);
      const connection = await openConnection({
        path: data.path,
        readOnly: false,
        deadlineMs: 5_000,
      });
      const { mode, synchronous } =
        connection
          .prepare(
            'SELECT journal_mode AS mode, synchronous FROM pragma_journal_mode, pragma_synchronous',
          )
          .get() ?? {};
      connection.close();
      expect([mode, synchronous]).toStrictEqual(['wal', 2]);
    });

    it('is made once by processes that open it all at once', async () => {
      const data = newData();
      const task: WriterTask = { type: 'share', streams: ['table:a'], count: 3, prefix: 'p' };
      const program = new URL('../fixtures/store-writer.ts', import.meta.url).pathname;
      const codes = await Promise.all(
        [1, 2, 3, 4].map((index) => {
          const one = JSON.stringify({ ...task, prefix: `p${index}` });
          const child = spawn(process.execPath, [program, data.url, one], {
            stdio: ['ignore', 'ignore', 'inherit'],
          });
          return new Promise((resolve) => child.on('exit', resolve));
        }),
      );
      expect(codes).toStrictEqual([0, 0, 0, 0]);
      const stores = await Promise.all([data.open(), data.open({ readOnly: true })]);
      for (const store of stores) expect(await store.lastSeq('table:a')).toBe(12);
    });

    it('of a newer Holdfast is refused with both versions, and left as it is', async () => {
      const data = newData();
      await (await data.open()).close();
      const raw = data.raw();
      raw.exec('PRAGMA user_version = 99');
      await expect(data.open()).rejects.toThrow(/schema version 99; this Holdfast knows \d/);
      await expect(data.open({ readOnly: true })).rejects.toThrow(/newer Holdfast/);
      expect(raw.prepare('PRAGMA user_version').get()).toEqual({ user_version: 99 });
    });

    it('of something else is refused, and left as it is', async () => {
      const data = newData();
      const folder = mkdtempSync(join(tmpdir(), 'holdfast-store-'));
      const path = join(folder, 'other.db');
      const other = new DatabaseSync(path);
      other.exec('CREATE TABLE customers (name TEXT)');
      await expect(openSqliteStore({ path })).rejects.toThrow(/not one of Holdfast's/);
      expect(other.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'delete' });
      other.close();
      writeFileSync(path, 'not a database at all, but long enough to have a header of its own');
      await expect(openSqliteStore({ path })).rejects.toThrow(/not a database/);
      rmSync(folder, { recursive: true });
      await expect(data.open()).resolves.toBeDefined();
    });
  });

  it('F1 its log, as people may query it, tells which custody wrote what', async () => {
    const data = newData();
    const store = await data.open();
    const scope = { turnId: 't1', attempt: 1 };
    await store.append({
      stream: 'conversation:c1',
      events: [
        {
          type: 'conversation.created',
          payload: { tableId: null, title: '', provider: 'p', model: null, workspacePath: '/' },
        },
        {
          type: 'chat.started',
          ...scope,
          requestId: 'r1',
          payload: { attempt: 1, provider: 'p', model: null },
        },
      ],
    });
    for (const place of [{ spool: 's', from: 0 }, null]) {
      const { epoch } = await store.claim({ conversationId: 'c1', ...scope, host: 'h1', place });
      await store.append({
        stream: 'conversation:c1',
        fence: { ...scope, epoch },
        events: [
          {
            type: 'chat.quiet',
            ...scope,
            payload: { phase: 'streaming', silentMs: 1, evidence: {} },
          },
        ],
      });
    }
    const rows = data
      .raw()
      .prepare(
        'SELECT event, stream, seq, type, turn_id, attempt, request_id, epoch FROM log ORDER BY event',
      )
      .all();
    expect(rows.map((row) => Object.values(row))).toStrictEqual([
      [1, 'conversation:c1', 1, 'conversation.created', null, null, null, null],
      [2, 'conversation:c1', 2, 'chat.started', 't1', 1, 'r1', null],
      [3, 'conversation:c1', 3, 'chat.quiet', 't1', 1, null, 1],
      [4, 'conversation:c1', 4, 'chat.quiet', 't1', 1, null, 2],
    ]);
  });

  describe('its lock', () => {
    it('held by another process is waited for while the event loop runs on; what came meanwhile is one commit', async () => {
      const data = newData();
      const store = await data.open();
      await store.append({ stream: 'table:a', events: [note('first')] });
      const raw = data.raw();
      raw.exec('BEGIN IMMEDIATE');
      let answered = 0;
      const appends = [1, 2, 3].map((index) =>
        store.append({ stream: 'table:a', events: [note(`${index}`)] }).then(() => (answered += 1)),
      );
      // The loop turns hundreds of times, and reads go on.
      let turns = 0;
      await eventually(async () => {
        turns += 1;
        expect(await store.lastSeq('table:a')).toBe(1);
        return turns > 20;
      });
      expect(answered).toBe(0);
      raw.exec('COMMIT');
      await Promise.all(appends);
      const { items } = await store.events('table:a', 0, 10);
      expect(
        items.map(({ json }) => (JSON.parse(json) as { payload: { text: string } }).payload.text),
      ).toStrictEqual(['first', '1', '2', '3']);
    });

    it('held for too long fails what waits, and only that', async () => {
      const data = newData();
      const store = await data.openWith({ busyDeadlineMs: 50 });
      const raw = data.raw();
      raw.exec('BEGIN IMMEDIATE');
      const append = () => store.append({ stream: 'table:a', events: [note('x')] });
      const both = await Promise.allSettled([append(), append()]);
      expect(both).toMatchObject([
        {
          status: 'rejected',
          reason: {
            code: 'internal',
            message: expect.stringMatching(/locked by another process for \d+ ms/) as string,
          },
        },
        { status: 'rejected' },
      ]);
      raw.exec('ROLLBACK');
      expect(await append()).toStrictEqual({ status: 'appended', firstSeq: 1, lastSeq: 1 });
    });
  });

  describe('its disk', () => {
    /** c1 with a running, claimed turn, on a database that may not grow; in it lie 2 MB that another table can free. */
    const fullSoon = async (data: SqliteData) => {
      const first = await data.open();
      await first.close();
      const raw = data.raw();
      raw.exec('CREATE TABLE filler (bytes BLOB) STRICT');
      raw.prepare('INSERT INTO filler VALUES (zeroblob(2000000))').run();
      const { pages } =
        raw.prepare('SELECT page_count AS pages FROM pragma_page_count').get() ?? {};
      const store = await data.openWith({ sizeLimitBytes: (Number(pages) + 60) * 4096 });
      await store.append({ stream, events: opening });
      const { epoch } = await store.claim({
        conversationId: 'c1',
        ...turn,
        host: 'h1',
        place: { spool: 's', from: 0 },
      });
      return { store, raw, fence: { ...turn, epoch } };
    };
    const stream = 'conversation:c1';
    const turn = { turnId: 't1', attempt: 1 };
    const opening: NewEvent[] = [
      {
        type: 'conversation.created',
        payload: { tableId: null, title: '', provider: 'p', model: null, workspacePath: '/' },
      },
      { type: 'chat.started', ...turn, payload: { attempt: 1, provider: 'p', model: null } },
    ];
    const big = (messageId: string): NewEvent[] => [
      { type: 'assistant.segment.started', ...turn, payload: { messageId, kind: 'text' } },
      {
        type: 'assistant.segment.ended',
        ...turn,
        payload: { messageId, content: 'x'.repeat(20_000), status: 'complete' },
      },
    ];

    it('full: throws storage_full, writes nothing by halves, and goes on when there is room again', async () => {
      const { store, raw, fence } = await fullSoon(newData());
      let written = 0;
      const append = () =>
        store.append({
          stream,
          fence,
          key: `k${written}`,
          spoolOffset: written + 1,
          events: big(`m${written}`),
        });
      const fill = async (): Promise<void> => {
        for (;;) {
          await append();
          written += 1;
        }
      };
      await expect(fill()).rejects.toMatchObject({ code: 'storage_full' });
      expect(written).toBeGreaterThan(1);
      await expect(append()).rejects.toMatchObject({ code: 'storage_full' });
      const whole = async () => {
        expect(await store.lastSeq(stream)).toBe(2 + 2 * written);
        expect(await store.attempt('t1', 1)).toMatchObject({ spoolOffset: written });
        expect(
          (await store.snapshot('c1', 100))?.messages.map(({ messageId }) => messageId),
        ).toStrictEqual(Array.from({ length: written }, (_, index) => `m${index}`));
      };
      await whole();
      raw.exec('DROP TABLE filler');
      expect(await append()).toMatchObject({ status: 'appended', firstSeq: 3 + 2 * written });
      written += 1;
      await whole();
    });

    it('too full for one append: those beside it in the same commit are written', async () => {
      const { store, fence } = await fullSoon(newData());
      const huge: NewEvent = {
        type: 'chat.delta',
        ...turn,
        payload: { messageId: 'm', text: 'x'.repeat(1_000_000) },
      };
      const answers = await Promise.allSettled([
        store.append({ stream, fence, events: [note('before')] }),
        store.append({ stream, fence, events: [huge] }),
        store.append({ stream, fence, events: [note('after')] }),
      ]);
      expect(answers).toMatchObject([
        { value: { status: 'appended', lastSeq: 3 } },
        { reason: { code: 'storage_full' } },
        { value: { status: 'appended', lastSeq: 4 } },
      ]);
    });
  });

  describe('its wakes', () => {
    it('tell of each growth once', async () => {
      const data = newData();
      const [writer, reader] = await Promise.all([data.open(), data.open({ readOnly: true })]);
      const told: string[] = [];
      reader.watch((heads) => {
        for (const [name, seq] of heads) told.push(`${name} ${seq}`);
      });
      const expected: string[] = [];
      for (let seq = 1; seq <= 5; seq += 1) {
        // Three streams in one commit, then one of them alone.
        const names = ['table:c', 'table:a', 'table:b'].slice(0, seq === 1 || seq === 4 ? 3 : 1);
        await Promise.all(
          names.map(async (stream) => {
            const answer = await writer.append({ stream, events: [note('x')] });
            if (answer.status === 'appended') expected.push(`${stream} ${answer.lastSeq}`);
          }),
        );
        await eventually(() => told.length >= expected.length);
      }
      expect(told).toStrictEqual(expected);
    });

    it('survive that the file of commits is deleted and replaced', async () => {
      const data = newData();
      const [writer, reader] = await Promise.all([data.open(), data.open({ readOnly: true })]);
      let seen = 0;
      reader.watch((heads) => {
        seen = heads.get('table:a') ?? seen;
      });
      const file = `${data.path}-commits`;
      const appendAndSee = async (): Promise<void> => {
        const { lastSeq } = (await writer.append({ stream: 'table:a', events: [note('x')] })) as {
          lastSeq: number;
        };
        await eventually(() => seen === lastSeq);
      };
      await appendAndSee();
      for (const replace of [
        () => rmSync(file),
        () => {
          rmSync(file);
          writeFileSync(file, '');
        },
        () => renameSync(file, `${file}.old`),
      ]) {
        replace();
        await appendAndSee();
        await eventually(() => existsSync(file));
        // Both sides have the new file when wakes come faster than the poll would: ten in less than two of its periods.
        await eventually(async () => {
          const started = performance.now();
          for (let index = 0; index < 10; index += 1) await appendAndSee();
          return performance.now() - started < 2_000;
        }, 25_000);
      }
    }, 90_000);

    it('come by polling where the file cannot be watched, and that is said once', async () => {
      const data = newData();
      const log = vi.fn<(message: string) => void>();
      const [writer, reader] = await Promise.all([
        data.open(),
        data.openWith({ readOnly: true, log }),
      ]);
      rmSync(`${data.path}-commits`, { force: true });
      // A folder in its place can neither be opened for writing nor overwritten.
      mkdirSync(`${data.path}-commits`);
      let seen = 0;
      reader.watch((heads) => {
        seen = heads.get('table:a') ?? seen;
      });
      for (let index = 1; index <= 5; index += 1) {
        await writer.append({ stream: 'table:a', events: [note('x')] });
        await eventually(() => seen === index);
      }
      expect(log.mock.calls.map(([message]) => message)).toStrictEqual([
        'commits of other processes cannot be watched; the store is polled instead',
      ]);
    });
  });
});

describe('opening a store', () => {
  it('refuses an address that no engine serves, in words', async () => {
    await expect(openStore({ url: 'postgres://localhost/holdfast' })).rejects.toThrow(
      /not built yet/,
    );
    await expect(openStore({ url: 'sqlite:relative.db' })).rejects.toThrow(/absolute path/);
    await expect(openStore({ url: 'mysql://x' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });
});
