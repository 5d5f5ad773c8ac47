/**
 * A workflow task that is carried out twice: what its first run has committed is in the store when the second, in which
 * other commands come first, decides. Found by torture, seed 3.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { createRecordActivities, type RecordRequest } from '../../src/activities/records.ts';
import { conversationStream } from '../../src/contracts/ids.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  newConversation,
} from '../../src/domain/conversation.ts';
import { promptMessageId, turnIdOf } from '../../src/domain/turn-ids.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';

const conversationId = 'c1';
const salt = 'the salt of this run';
let folder: string;
let store: Store;
let records: ReturnType<typeof createRecordActivities>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-basis-'));
  store = await openStore({ url: `sqlite:${join(folder, 'holdfast.db')}` });
  records = createRecordActivities({ store });
  await records.openConversation({
    conversationId,
    create: { tableId: null, title: '', provider: 'scripted', model: null, workspacePath: folder },
  });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Decides and records as the workflow does; the answer, and the model after it. */
async function handle(model: ConversationModel, command: Command) {
  const turnId =
    command.type === 'send'
      ? turnIdOf({ salt, conversationId, requestId: command.requestId })
      : (model.queue[0]?.turnId ?? 'none');
  const decision = decide(model, command, {
    now: new Date().toISOString(),
    turnId,
    messageId: promptMessageId(turnId),
  });
  if (decision === null) return { answer: null, model };
  const { turn, queue } = model;
  const request: RecordRequest = {
    conversationId,
    key: decision.key,
    events: decision.events,
    request: decision.request === null ? null : { ...decision.request, content: '' },
    unlessEnded: null,
    basis: {
      turn: turn === null ? null : { turnId: turn.turnId, attempt: turn.attempt },
      queue: queue.map((item) => item.turnId),
    },
  };
  const answer = await records.recordDecision(request);
  const after =
    answer === 'recorded'
      ? decision.events.reduce((each, event) => apply(each, event, new Date().toISOString()), model)
      : model;
  return { answer, model: after };
}

const send = (requestId: string, whenBusy: 'queue' | 'interrupt' = 'queue'): Command => ({
  type: 'send',
  requestId,
  content: requestId,
  whenBusy,
});
const lastSeq = (): Promise<number> => store.lastSeq(conversationStream(conversationId));

test('A1 S2 a decision on a state that the store has left is not recorded', async () => {
  const before = newConversation({ conversationId, provider: 'scripted', model: null });
  const first = await handle(before, send('r1'));
  const second = await handle(first.model, send('r2'));
  expect([first.answer, second.answer]).toEqual(['recorded', 'recorded']);
  const seq = await lastSeq();

  // The task was lost with its worker; carried out again, r3 comes before what the first run has recorded.
  expect((await handle(before, send('r3'))).answer).toBe('behind');
  expect((await handle(first.model, send('r3', 'interrupt'))).answer).toBe('behind');
  expect(await lastSeq()).toBe(seq);

  // Decided anew from what is recorded, nothing is lost.
  const third = await handle(second.model, send('r3', 'interrupt'));
  expect(third.answer).toBe('recorded');
  const state = await store.workflowState(conversationId);
  expect(state?.queue.map(({ requestId }) => requestId)).toEqual(['r3', 'r2']);
});

test('A2 the same decision once more, on the same state, changes nothing', async () => {
  const before = newConversation({ conversationId, provider: 'scripted', model: null });
  const first = await handle(before, send('r1'));
  const seq = await lastSeq();
  const again = await handle(before, send('r1'));
  expect(first.answer).toBe('recorded');
  // It finds its own work, and goes on from the store.
  expect(again.answer).toBe('behind');
  expect(await lastSeq()).toBe(seq);
});
