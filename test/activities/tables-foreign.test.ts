/** X1 at the moment of a race: a table gets no conversation of another one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { createTableActivities } from '../../src/activities/tables.ts';
import { openStore } from '../../src/store/open.ts';

test('X1 of two New chats with one id in two tables at once, one makes the conversation, and the other table gets nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-tables-'));
  const store = await openStore({ url: `sqlite:${join(folder, 'holdfast.db')}` });
  try {
    const signals = { signalConversation: async () => {}, signalTable: async () => {} };
    const activities = createTableActivities({ store, signals });
    const create = { title: '', provider: 'scripted', model: null, workspacePath: folder };
    for (const tableId of ['t1', 't2']) await activities.openTable({ tableId, create });
    const command = {
      type: 'newConversation',
      conversationId: 'c',
      title: '',
      provider: 'scripted',
      model: null,
    } as const;
    const decide = (tableId: string) =>
      activities.decideTable({ tableId, command, freshId: `f-${tableId}` });
    await Promise.all([decide('t1'), decide('t2')]);
    const owner = (await store.conversation('c'))?.tableId;
    const other = owner === 't1' ? 't2' : 't1';
    expect((await store.table(owner ?? ''))?.activeConversationId).toBe('c');
    expect((await store.table(other))?.activeConversationId).toBeNull();
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
