/** What waits may be large: no text of a queue passes through an answer that Temporal bounds (2 MiB). */
import { expect, test } from 'vitest';

import { readLog, script } from './conversations.ts';
import { sharedHoldfast } from './shared-holdfast.ts';
import { TableUnderTest } from './tables.ts';

const holdfast = sharedHoldfast();
const RECEIPTS = new Set(['chat.started', 'chat.queued', 'chat.rejected']);

test(
  'A1 with a queue filled to its limit, held and then released, every acknowledged send has its receipt and what waited runs whole',
  { timeout: 180_000 },
  async () => {
    const table = await TableUnderTest.create(holdfast);
    const old = await table.newChat();
    await table.send(old, script('hang'));
    // Quotes take twice their room in JSON.
    const large = `#script\ntext "ok"\n#${'"'.repeat(240 * 1024)}`;
    for (let index = 0; index < 4; index += 1) await table.send(old, large);
    await table.newChat();
    await table.until(old, (view) => view.state === 'idle' && view.held);
    await holdfast.call({
      method: 'POST',
      path: `${table.path}/active`,
      body: { conversationId: old },
    });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        holdfast.call({
          method: 'POST',
          path: `/v1/conversations/${old}/messages`,
          body: { requestId: `small${index}`, content: script('text "a"') },
        }),
      ),
    );
    expect(answers.filter(({ status }) => status !== 200 && status !== 202)).toEqual([]);
    await holdfast.call({
      method: 'PATCH',
      path: `/v1/conversations/${old}/queue`,
      body: { held: false },
    });
    await table.until(old, (view) => view.state === 'idle' && view.queue.length === 0);
    const log = await readLog(holdfast, old);
    const received = new Set(
      log.flatMap(({ type, requestId }) => (RECEIPTS.has(type) ? [requestId] : [])),
    );
    for (let index = 0; index < 10; index += 1) expect(received).toContain(`small${index}`);
    const prompts = log.flatMap((event) =>
      event.type === 'message.created' ? [event.payload.content] : [],
    );
    expect(prompts.filter((content) => content === large)).toHaveLength(4);
  },
);
