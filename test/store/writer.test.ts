/** Group commit; numbers are those of writer.ts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { openConnection, type Connection } from '../../src/store/sqlite/connection.ts';
import { Writer, type Courtesy } from '../../src/store/sqlite/writer.ts';
import { eventually } from '../support/eventually.ts';

let folder = '';
let connection: Connection;
let other: Connection;
const commits = vi.fn<() => void>();
const courtesy = {
  waiting: vi.fn<Courtesy['waiting']>(),
  done: vi.fn<Courtesy['done']>(),
  owes: vi.fn<Courtesy['owes']>(),
  pause: vi.fn<Courtesy['pause']>(),
};

beforeEach(async () => {
  vi.resetAllMocks();
  courtesy.owes.mockReturnValue(false);
  courtesy.pause.mockResolvedValue();
  folder = mkdtempSync(join(tmpdir(), 'holdfast-writer-'));
  const open = () =>
    openConnection({ path: join(folder, 'h.db'), readOnly: false, deadlineMs: 5_000 });
  connection = await open();
  other = await open();
  connection.database.exec(
    'CREATE TABLE written (what TEXT PRIMARY KEY, commit_number INTEGER) STRICT',
  );
});
afterEach(() => {
  other.close();
  connection.close();
  rmSync(folder, { recursive: true });
});

function newWriter(): Writer {
  return new Writer({ connection, giveWay: courtesy, onCommit: commits, deadlineMs: 5_000 });
}

/** A write that says in which commit it was: the number of commits before it. */
function put(writer: Writer, what: string, events = 1): Promise<string> {
  return writer.write({
    events,
    run: () => {
      connection.run('INSERT INTO written VALUES (?, ?)', [what, commits.mock.calls.length]);
      return what;
    },
  });
}

function written(): string[] {
  const rows = other.prepare('SELECT what, commit_number FROM written ORDER BY rowid').all();
  return rows.map((row) => `${String(row['what'])} ${String(row['commit_number'])}`);
}

it('1 writes of one turn of the loop share a commit, in order; the next turn has the next', async () => {
  const writer = newWriter();
  const first = [put(writer, 'a'), put(writer, 'b')];
  await Promise.resolve();
  first.push(put(writer, 'c'));
  expect(await Promise.all(first)).toStrictEqual(['a', 'b', 'c']);
  await put(writer, 'd');
  expect(written()).toStrictEqual(['a 0', 'b 0', 'c 0', 'd 1']);
});

it('1 a group is bounded by its events; a larger write goes alone', async () => {
  const writer = newWriter();
  await Promise.all([
    put(writer, 'a', 1_500),
    put(writer, 'b', 500),
    put(writer, 'c', 1),
    put(writer, 'huge', 90_000),
    put(writer, 'd', 2_000),
    put(writer, 'e', 1),
  ]);
  expect(written()).toStrictEqual(['a 0', 'b 0', 'c 1', 'huge 2', 'd 3', 'e 4']);
});

it('2 one that is refused before it wrote leaves the commit to the others', async () => {
  const writer = newWriter();
  const refuse = writer.write({
    events: 1,
    run: () => {
      throw new Error('refused');
    },
  });
  const answers = await Promise.allSettled([put(writer, 'a'), refuse, put(writer, 'b')]);
  expect(answers.map(({ status }) => status)).toStrictEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(written()).toStrictEqual(['a 0', 'b 0']);
});

it('2 one that fails half-way takes nothing with it: each goes again alone, still in order, before what came later', async () => {
  const writer = newWriter();
  const later: Promise<string>[] = [];
  const half = writer.write({
    events: 1,
    run: () => {
      connection.run('INSERT INTO written VALUES (?, 0)', ['half']);
      if (later.length === 0) later.push(put(writer, 'later'));
      throw new Error('half-way');
    },
  });
  const answers = await Promise.allSettled([put(writer, 'a'), half, put(writer, 'b')]);
  expect(answers.map(({ status }) => status)).toStrictEqual(['fulfilled', 'rejected', 'fulfilled']);
  await Promise.all(later);
  expect(written()).toStrictEqual(['a 0', 'b 1', 'later 2']);
});

it('3 nothing is answered before its commit can be seen, and the commit is announced before the answer', async () => {
  const writer = newWriter();
  let answered = false;
  commits.mockImplementation(() => {
    expect(answered).toBe(false);
    expect(written()).toHaveLength(1);
  });
  await put(writer, 'a').then(() => {
    answered = true;
  });
  expect(commits).toHaveBeenCalledOnce();
});

it('a transaction that wrote for nobody is not announced', async () => {
  const writer = newWriter();
  const run = () => {
    throw new Error('refused');
  };
  await expect(writer.write({ events: 1, run })).rejects.toThrow('refused');
  expect(commits).not.toHaveBeenCalled();
});

it('says that it waits while another process has the lock, and that it is done', async () => {
  const writer = newWriter();
  other.database.exec('BEGIN IMMEDIATE');
  const answer = put(writer, 'a');
  await eventually(() => courtesy.waiting.mock.calls.length > 2);
  expect(courtesy.done).not.toHaveBeenCalled();
  other.database.exec('COMMIT');
  await answer;
  expect(courtesy.done).toHaveBeenCalledOnce();
});

it('lets a process that waits go first, before each of its own transactions', async () => {
  const writer = newWriter();
  const gone = Promise.withResolvers<void>();
  courtesy.owes.mockReturnValueOnce(true).mockReturnValueOnce(true);
  courtesy.pause.mockReturnValueOnce(gone.promise);
  const first = put(writer, 'a');
  await eventually(() => courtesy.pause.mock.calls.length === 1);
  // What comes meanwhile is in the same commit.
  const second = put(writer, 'b');
  expect(written()).toStrictEqual([]);
  gone.resolve();
  await Promise.all([first, second]);
  await put(writer, 'c');
  expect(courtesy.pause).toHaveBeenCalledTimes(2);
  expect(written()).toStrictEqual(['a 0', 'b 0', 'c 1']);
});

it('4 nobody else ever finds a transaction open, not even between two promises', async () => {
  const writer = newWriter();
  const seen: boolean[] = [];
  const look = async (): Promise<void> => {
    for (let index = 0; index < 20; index += 1) {
      await Promise.resolve();
      seen.push(connection.database.isTransaction);
    }
  };
  // Looked for from right before a transaction on.
  courtesy.owes.mockImplementation(() => {
    void look();
    return false;
  });
  await Promise.all([put(writer, 'a'), put(writer, 'b')]);
  await put(writer, 'c');
  await eventually(() => seen.length === 40);
  expect(seen).not.toContain(true);
});

it('close settles what was accepted and refuses the rest', async () => {
  const writer = newWriter();
  const accepted = [put(writer, 'a', 2_000), put(writer, 'b', 2_000)];
  const closed = writer.close();
  await expect(put(writer, 'c')).rejects.toMatchObject({ code: 'shutting_down' });
  await closed;
  expect(written()).toStrictEqual(['a 0', 'b 1']);
  expect(await Promise.all(accepted)).toStrictEqual(['a', 'b']);
});
