/** A disk without room, under custody: nothing is begun, what runs is ended, and all of it is recorded in the end. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { describe, expect, onTestFinished, test } from 'vitest';

import type { AttemptRef } from '../../src/activities/live-turn.ts';
import type { Room } from '../../src/store/disk-room.ts';
import type { Store } from '../../src/store/port.ts';
import { openSqliteStore } from '../../src/store/sqlite/store.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  deltasOf,
  has,
  home,
  log,
  newCustody,
  recordCancel,
  setUpCustody,
  spoolText,
  store,
  typesOf,
  under,
  withMethods,
  words,
} from './custody-harness.ts';

setUpCustody();

/** A disk whose room is what the test says. */
function disk(): { level: Room['level']; room: () => Room } {
  return {
    level: 'ample',
    room() {
      return { level: this.level, freeBytes: 1, reserveBytes: 2 };
    },
  };
}

/** The test's store, through a connection for which the database is soon full; `makeRoom` frees what fills it. */
async function nearlyFull(): Promise<{ full: Store; makeRoom: () => void }> {
  const path = join(home, 'holdfast.db');
  const filler = new DatabaseSync(path);
  filler.exec('CREATE TABLE filler (bytes BLOB) STRICT');
  filler.prepare('INSERT INTO filler VALUES (zeroblob(4000000))').run();
  const { pages } = filler.prepare('SELECT page_count AS pages FROM pragma_page_count').get() ?? {};
  const full = await openSqliteStore({ path, sizeLimitBytes: (Number(pages) + 20) * 4096 });
  onTestFinished(async () => {
    filler.close();
    await full.close();
  });
  return { full, makeRoom: () => filler.exec('DROP TABLE filler') };
}

/** What the provider has written, whether or not anybody could record it. */
function spooled(ref: AttemptRef): string {
  const lines = spoolText(ref, 'out.jsonl').split('\n');
  return lines
    .flatMap((line) => {
      const said = JSON.parse(line || '{}') as { type?: string; text?: string };
      return said.type === 'delta' && said.text !== undefined ? [said.text] : [];
    })
    .join('');
}

const INTERRUPTED = { outcome: 'interrupted', cause: 'storage_full' };

describe('a store that is full', () => {
  test('L5 the provider is stopped at once; with room again all it had said is in the log, then the end', async () => {
    const { full, makeRoom } = await nearlyFull();
    const ref = await accept('#script\nwords 100000 every 1');
    let ended = false;
    const custody = newCustody({}, { store: full });
    const end = custody.run(ref).finally(() => {
      ended = true;
    });
    await eventually(() => has(ref, 'chat.delta'));
    await eventually(() => under(ref).length === 0, 20_000);
    const before = await log(ref);
    expect(ended).toBe(false);
    expect(before.some(({ type }) => type === 'chat.interrupted')).toBe(false);
    const said = spooled(ref);
    expect(said.length).toBeGreaterThan(deltasOf(before).length);
    makeRoom();
    expect(await end).toEqual(INTERRUPTED);
    const after = await log(ref);
    expect(after.slice(0, before.length)).toEqual(before);
    expect(deltasOf(after)).toBe(said);
    expect(await store.answerText(ref.turnId, 1)).toBe(said);
    expect(said).toBe(words(said.split(' ').length - 1));
    expect(after.at(-1)).toMatchObject({
      type: 'chat.interrupted',
      payload: { cause: 'storage_full', retryable: true },
    });
  });

  test('F2 a host that starts meanwhile waits with its spools, and gives nothing of them up', async () => {
    const ref = await accept('#script\nwords 300 every 5');
    const first = newCustody();
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    first.close();
    const { full, makeRoom } = await nearlyFull();
    let refused = 0;
    let stuffed = true;
    const second = newCustody(
      {},
      {
        store: withMethods(
          {
            // The claim is one small row: it would fit where nothing else does.
            claim: (request) => {
              if (!stuffed) return full.claim(request);
              refused += 1;
              return full.append({ stream: 'table:x', events: [tooLarge()] }).then(neverWritten);
            },
          },
          full,
        ),
      },
    );
    const adopted = second.adopt();
    // More often than anything else is tried.
    await eventually(() => refused > 6, 20_000);
    expect(spooled(ref)).toBe(words(300));
    expect(await has(ref, 'chat.attached')).toBe(false);
    expect(under(ref).length).toBeGreaterThan(0);
    stuffed = false;
    makeRoom();
    expect(await adopted).toMatchObject({ sessions: 1 });
    expect(await second.run(ref)).toEqual({ outcome: 'completed', cause: null });
    expect(await store.answerText(ref.turnId, 1)).toBe(words(300));
  });
});

function neverWritten(): never {
  throw new Error('it was not too large');
}

function tooLarge() {
  return {
    type: 'notice' as const,
    payload: { code: 'x', text: 'x'.repeat(5_000_000) },
  };
}

describe('a disk with less than its reserve', () => {
  test('nothing is begun: the attempt waits, says so once, and runs when there is room', async () => {
    const room = disk();
    room.level = 'low';
    const custody = newCustody({ room: () => room.room() });
    const ref = await accept('#script\nwords 4');
    for (let asked = 0; asked < 3; asked += 1)
      await expect(custody.run(ref)).rejects.toMatchObject({ code: 'storage_full' });
    const notices = (await log(ref)).filter(({ type }) => type === 'notice');
    expect(notices).toMatchObject([{ attempt: 1, payload: { code: 'storage_full' } }]);
    expect(under(ref)).toEqual([]);
    room.level = 'ample';
    expect((await custody.run(ref)).outcome).toBe('completed');
  });

  test('C1 an attempt that waits for room can be cancelled', async () => {
    const room = disk();
    room.level = 'exhausted';
    const custody = newCustody({ room: () => room.room() });
    const ref = await accept('#script\nwords 4');
    await expect(custody.run(ref)).rejects.toMatchObject({ code: 'storage_full' });
    await recordCancel(ref);
    expect(await custody.run(ref)).toEqual({ outcome: 'cancelled', cause: 'ann' });
  });

  test('what runs goes on while there is enough for its end, and is stopped when there is not', async () => {
    const room = disk();
    const custody = newCustody({ room: () => room.room() });
    const ref = await accept('#script\nwords 100000 every 2');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    room.level = 'low';
    custody.tick();
    const { length } = await log(ref);
    await eventually(async () => (await log(ref)).length > length + 10);
    expect(await has(ref, 'chat.cancelling')).toBe(false);
    room.level = 'exhausted';
    custody.tick();
    expect(await end).toEqual(INTERRUPTED);
    expect(await store.answerText(ref.turnId, 1)).toBe(deltasOf(await log(ref)));
  });

  test('a provider that dies of the full disk is not said to have died by itself', async () => {
    const room = disk();
    const custody = newCustody({ room: () => room.room() });
    const ref = await accept('#script\nwords 3\nexit 1');
    room.level = 'ample';
    const end = custody.run(ref);
    await eventually(() => custody.status(ref) !== null);
    room.level = 'exhausted';
    expect(await end).toEqual(INTERRUPTED);
    expect((await typesOf(ref)).filter((type) => type === 'chat.interrupted')).toHaveLength(1);
  });
});
