/** `holdfast export` and `holdfast import`, on real stores: what goes out comes in, and what is not an export is refused by its line. */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { exportConversation, importConversation } from '../../../src/cli/transfer.ts';
import { loadConfig } from '../../../src/config.ts';
import type { NewEvent } from '../../../src/contracts/events.ts';
import { openStore } from '../../../src/store/open.ts';
import type { Store } from '../../../src/store/port.ts';

let home: string;
let store: Store;
/** What commands have said beside their answers. */
let said = '';

beforeEach(async () => {
  said = '';
  home = mkdtempSync(join(tmpdir(), 'holdfast-transfer-'));
  store = await openStore({ url: configOf(home).store.url });
});

afterEach(async () => {
  await store.close();
  rmSync(home, { recursive: true, force: true });
});

function configOf(folder: string) {
  return loadConfig({ HOME: folder, HOLDFAST_HOME: folder });
}

/** Runs a command as the command line would; what it wrote to stdout. */
async function run(
  command: typeof exportConversation,
  args: string[],
  folder = home,
): Promise<string> {
  let written = '';
  const out = { write: (text: string) => void (written += text), isTerminal: false };
  const err = { write: (text: string) => void (said += text), isTerminal: false };
  const code = await command({ args, config: configOf(folder), environment: {}, out, err });
  expect(code).toBe(0);
  return written;
}

const turn = { turnId: 't1', attempt: 1, requestId: 'r1' };

async function tell(conversationId: string, events: NewEvent[]): Promise<void> {
  await store.append({ stream: `conversation:${conversationId}`, events });
}

async function makeConversation(): Promise<void> {
  await tell('c1', [
    {
      type: 'conversation.created',
      payload: {
        tableId: null,
        title: 'Über “alles”',
        provider: 'scripted',
        model: null,
        workspacePath: realpathSync(home),
      },
    },
    {
      type: 'message.created',
      turnId: 't1',
      requestId: 'r1',
      payload: { messageId: 'm1', role: 'user', content: 'zwei\nZeilen \u2028 und \0' },
    },
    { type: 'chat.started', ...turn, payload: { attempt: 1, provider: 'scripted', model: null } },
    { type: 'conversation.state', payload: { state: 'processing' } },
    { type: 'assistant.segment.started', ...turn, payload: { messageId: 'm2', kind: 'text' } },
    { type: 'chat.delta', ...turn, payload: { messageId: 'm2', text: 'halb' } },
  ]);
}

async function end(): Promise<void> {
  const content = { messageId: 'm2', content: 'halb und ganz', status: 'complete' } as const;
  await tell('c1', [
    { type: 'assistant.segment.ended', ...turn, payload: content },
    { type: 'chat.done', ...turn, payload: {} },
    { type: 'conversation.state', payload: { state: 'idle' } },
  ]);
}

test('a conversation comes back under another id with the same messages, times and turns', async () => {
  await makeConversation();
  await end();
  const file = join(home, 'c1.jsonl');
  writeFileSync(file, await run(exportConversation, ['c1']));
  expect(await run(importConversation, ['--as', 'c2', file])).toBe('c2\n');
  const [was, is] = [await store.snapshot('c1', 100), await store.snapshot('c2', 100)];
  const shown = (view: typeof was) =>
    view?.messages.map(({ role, content, status, at }) => ({ role, content, status, at }));
  expect(shown(is)).toEqual(shown(was));
  expect(is).toMatchObject({ conversationId: 'c2', title: 'Über “alles”', state: 'idle' });
  const turns = await store.turns('c2', null, 10);
  expect(turns.items).toMatchObject([{ outcome: 'completed', conversationId: 'c2' }]);
});

test('into another home it keeps its ids', async () => {
  await makeConversation();
  await end();
  const other = mkdtempSync(join(tmpdir(), 'holdfast-transfer-'));
  try {
    const file = join(home, 'c1.jsonl');
    writeFileSync(file, await run(exportConversation, ['c1']));
    expect(await run(importConversation, [file], other)).toBe('c1\n');
    const there = await openStore({ url: configOf(other).store.url, readOnly: true });
    const view = await there.snapshot('c1', 100);
    expect(view?.messages.map(({ messageId }) => messageId)).toEqual(['m1', 'm2']);
    // A file does not choose where agents work.
    expect(view?.workspacePath).toBe(realpathSync(other));
    expect(said).toContain('is not one of this home');
    await there.close();
  } finally {
    rmSync(other, { recursive: true, force: true });
  }
});

test('what was running is interrupted, and keeps what was said', async () => {
  await makeConversation();
  const file = join(home, 'c1.jsonl');
  writeFileSync(file, await run(exportConversation, ['c1']));
  await run(importConversation, ['--as', 'c2', file]);
  const view = await store.snapshot('c2', 100);
  expect(view).toMatchObject({ state: 'idle', activeTurn: null });
  expect(view?.messages.at(-1)).toMatchObject({ content: 'halb', status: 'partial' });
  const turns = await store.turns('c2', null, 10);
  expect(turns.items).toMatchObject([{ outcome: 'interrupted', cause: 'imported' }]);
});

test('a conversation that exists is not written over', async () => {
  await makeConversation();
  const file = join(home, 'c1.jsonl');
  writeFileSync(file, await run(exportConversation, ['c1']));
  const before = await store.lastSeq('conversation:c1');
  await expect(run(importConversation, [file])).rejects.toThrow(/exists already/);
  expect(await store.lastSeq('conversation:c1')).toBe(before);
});

test.each([
  ['nothing', () => '', /is empty/],
  ['another file', () => '{"a":1}\n', /line 1: is not the beginning of an export/],
  ['no JSON', (text: string) => text.replace('\n', '\n{"type"\n'), /line 2: is not a JSON object/],
  [
    'an event of a later version',
    (text: string) => text.replaceAll('"chat.done"', '"chat.later"'),
    /line \d+: is not an event of this version/,
  ],
  [
    'lines in another order',
    (text: string) => {
      const [head = '', first = '', second = '', ...rest] = text.split('\n');
      return [head, second, first, ...rest].join('\n');
    },
    /line 3: has seq 1 after 2/,
  ],
  [
    'no creation',
    (text: string) => text.split('\n').toSpliced(1, 1).join('\n'),
    /does not begin with the creation/,
  ],
])('%s is refused, and nothing is written', async (_, change, message) => {
  await makeConversation();
  await end();
  const file = join(home, 'bad.jsonl');
  writeFileSync(file, change(await run(exportConversation, ['c1'])));
  await expect(run(importConversation, ['--as', 'c2', file])).rejects.toThrow(message);
  expect(await store.conversation('c2')).toBeNull();
});
