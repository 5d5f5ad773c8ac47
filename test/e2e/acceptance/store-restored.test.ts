/** The store is restored from a copy of before: what Temporal believes beyond that is given up, and the conversation goes on. */
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { eventually } from '../../support/eventually.ts';
import { newConversation, readLog, script, send } from './conversations.ts';
import { viewOnce } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const holdfast = sharedHoldfast();
const databaseFiles = (folder: string): string[] =>
  readdirSync(folder).filter((name) => name.startsWith('holdfast.db'));

test(
  'W1 a turn of which the restored store knows nothing is given up, and its message can be sent again',
  { timeout: 200_000 },
  async () => {
    const conversationId = await newConversation(holdfast);
    await send(holdfast, conversationId, script('text "before"'));
    await viewOnce({ holdfast, conversationId, is: ({ state }) => state === 'idle' });
    const copy = join(holdfast.workspace, 'copy');
    mkdirSync(copy);
    await holdfast.pressCtrlC();
    for (const name of databaseFiles(holdfast.home))
      copyFileSync(join(holdfast.home, name), join(copy, name));
    await holdfast.start();
    const path = `/v1/conversations/${conversationId}/messages`;
    const body = { requestId: 'mid', content: script('sleep 4000', 'text "middle"') };
    await holdfast.ask({ path, body });
    await viewOnce({ holdfast, conversationId, is: ({ state }) => state === 'processing' });
    await holdfast.pressCtrlC();
    for (const name of databaseFiles(holdfast.home)) rmSync(join(holdfast.home, name));
    for (const name of readdirSync(copy)) copyFileSync(join(copy, name), join(holdfast.home, name));
    await holdfast.start();
    const after = { requestId: 'after', content: script('text "after"') };
    for (const asked of [after, body])
      await eventually(
        async () => (await holdfast.call({ path, body: asked })).status === 200,
        60_000,
      );
    await eventually(async () => {
      const log = await readLog(holdfast, conversationId);
      return log.filter(({ type }) => type === 'chat.done').length === 3;
    }, 60_000);
    const log = await readLog(holdfast, conversationId);
    const prompts = log.flatMap((event) =>
      event.type === 'message.created' ? [event.requestId] : [],
    );
    expect(prompts.slice(1)).toStrictEqual(['after', 'mid']);
  },
);
