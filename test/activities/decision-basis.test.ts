/**
 * A workflow task that is carried out twice: what its first run has committed is in the store when the second, in which
 * other commands come first, decides. Found by torture, seed 3; what tables add to it, by test/domain/table-sequences.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  createRecordActivities,
  type DecisionBasis,
  type RecordRequest,
} from '../../src/activities/records.ts';
import { conversationStream, tableStream } from '../../src/contracts/ids.ts';
import {
  apply,
  type Command,
  type ConversationModel,
  decide,
  newConversation,
  type Occupied,
  queueMark,
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
async function handle(
  model: ConversationModel,
  command: Command,
  { occupied = null, now = new Date() }: { occupied?: Occupied | null; now?: Date } = {},
) {
  const { tableId, conversationId: id } = model;
  const turnId =
    command.type === 'send'
      ? turnIdOf({ salt, conversationId: id, requestId: command.requestId })
      : (model.queue[0]?.turnId ?? 'none');
  const decision = decide(model, command, {
    now: now.toISOString(),
    turnId,
    messageId: promptMessageId(turnId),
    occupied,
  });
  if (decision === null) return { answer: null, model };
  const leaves = decision.events.some(
    (event) => event.type === 'conversation.state' && event.payload.state === 'idle',
  );
  const request: RecordRequest = {
    conversationId: id,
    key: decision.key,
    events: decision.events,
    request: decision.request === null ? null : { ...decision.request, content: '' },
    unlessEnded: null,
    basis: basisOf(model),
    ...(decision.waitedSince === undefined ? {} : { waitedSince: decision.waitedSince }),
    ...(tableId === null || !leaves ? {} : { leaves: tableId }),
  };
  const answer = await records.recordDecision(request);
  const after =
    answer === 'recorded' || answer === 'recorded-others-wait'
      ? decision.events.reduce((each, event) => apply(each, event, new Date().toISOString()), model)
      : model;
  return { answer, model: after };
}

function basisOf({ turn, queue, held }: ConversationModel): DecisionBasis {
  return {
    turn: turn === null ? null : { turnId: turn.turnId, attempt: turn.attempt },
    queue: queue.map(queueMark),
    held,
  };
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

test('C1 A3 whether the store has gone on: with a turn, a row, a settled end; not with an end that is still to be settled', async () => {
  const hasGoneOn = (model: ConversationModel): Promise<boolean> =>
    records.hasGoneOn({ conversationId, basis: basisOf(model) });
  const before = newConversation({ conversationId, provider: 'scripted', model: null });
  expect(await hasGoneOn(before)).toBe(false);
  const first = await handle(before, send('r1'));
  expect([await hasGoneOn(before), await hasGoneOn(first.model)]).toEqual([true, false]);
  const second = await handle(first.model, send('r2'));
  expect([await hasGoneOn(first.model), await hasGoneOn(second.model)]).toEqual([true, false]);
  await end(first.model.turn);
  expect(await hasGoneOn(second.model)).toBe(false);
  const third = await handle(second.model, endedTurn(second.model));
  expect([await hasGoneOn(second.model), await hasGoneOn(third.model)]).toEqual([true, false]);
  await end(third.model.turn);
  const settled = await handle(third.model, endedTurn(third.model));
  expect([await hasGoneOn(third.model), await hasGoneOn(settled.model)]).toEqual([true, false]);
});

test('A1 the same request decided anew on what has come of it meanwhile is not recorded, and not done', async () => {
  const before = newConversation({ conversationId, provider: 'scripted', model: null });
  const first = await handle(before, send('r1'));
  const second = await handle(first.model, send('r2'));
  // Both have run and are over before the task is carried out again; then r1 comes to a conversation that runs r3.
  let { model } = second;
  for (const _ of ['r1', 'r2']) {
    await end(model.turn);
    ({ model } = await handle(model, endedTurn(model)));
  }
  const later = await handle(model, send('r3'));
  const seq = await lastSeq();
  const forgetful = { ...later.model, recent: [] };
  expect((await handle(forgetful, send('r1'))).answer).toBe('known');
  expect((await handle(forgetful, send('r2', 'interrupt'))).answer).toBe('known');
  expect(await lastSeq()).toBe(seq);
});

test('S2 a hold that the workflow does not know of is not passed over', async () => {
  const before = newConversation({ conversationId, provider: 'scripted', model: null });
  const first = await handle(before, send('r1'));
  const waits = await handle(first.model, send('r2'));
  const hold: Command = { type: 'queue.hold', commandId: 'k1', held: true };
  const held = await handle(waits.model, hold);
  expect(held.answer).toBe('recorded');
  await end(first.model.turn);
  // Temporal was restored from a copy of before the hold.
  expect((await handle(waits.model, endedTurn(waits.model))).answer).toBe('behind');
  expect((await handle(held.model, endedTurn(held.model))).answer).toBe('recorded');
  expect(await store.workflowState(conversationId)).toMatchObject({
    state: 'idle',
    turn: null,
    held: true,
  });
});

describe('in a table', () => {
  const tableId = 'tb';
  const own = newConversation({ conversationId: 'a', provider: 'scripted', model: null });
  const a = { ...own, tableId };
  const b = { ...a, conversationId: 'b' };
  const at = (seconds: number) => ({ now: new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)) });
  const activate = (id: string) =>
    store.append({
      stream: tableStream(tableId),
      events: [
        {
          type: 'conversation.activated',
          tableId,
          conversationId: id,
          payload: { previous: null, reason: 'user' },
        },
      ],
    });

  beforeEach(async () => {
    const create = { title: '', provider: 'scripted', model: null, workspacePath: folder };
    await store.append({
      stream: tableStream(tableId),
      events: [{ type: 'table.created', tableId, payload: create }],
    });
    for (const id of ['a', 'b'])
      await records.openConversation({ conversationId: id, create: { ...create, tableId } });
    await activate('a');
  });

  test('S1 a start is refused with the reason, and nothing of it is recorded', async () => {
    expect((await handle(b, send('r1'))).answer).toBe('occupied-elsewhere');
    const running = await handle(a, send('r1'));
    expect(running.answer).toBe('recorded');
    expect((await handle(b, send('r1'))).answer).toBe('occupied-running');
    // The slot is no word against one's own turn.
    await activate('b');
    expect((await handle(a, send('r2'))).answer).toBe('behind');
    expect(await store.lastSeq(conversationStream('b'))).toBe(1);
  });

  test('S2 what has waited less gives way, to the millisecond; what is given the slot does not', async () => {
    const running = await handle(a, send('r1'), at(1));
    const waits = await handle(running.model, send('r2'), at(10));
    const other = await handle(b, send('r3'), { occupied: 'running', ...at(9) });
    expect([waits.answer, other.answer]).toEqual(['recorded', 'recorded']);
    await end(running.model.turn);
    const settle = endedTurn(waits.model);
    expect((await handle(waits.model, settle)).answer).toBe('occupied-waiting');
    const gaveWay = await handle(waits.model, settle, { occupied: 'waiting' });
    expect(gaveWay.answer).toBe('recorded-others-wait');
    expect((await handle(gaveWay.model, send('r4'), at(11))).answer).toBe('recorded');
    const given: Command = { type: 'resume', stored: 'idle', given: true };
    const again = { ...gaveWay.model, queue: (await store.workflowState('a'))?.queue ?? [] };
    expect((await handle(again, given)).answer).toBe('recorded');
  });

  test('S2 of two that wait since the same moment neither gives way', async () => {
    const running = await handle(a, send('r1'), at(1));
    const waits = await handle(running.model, send('r2'), at(10));
    await handle(b, send('r3'), { occupied: 'running', ...at(10) });
    await end(running.model.turn);
    expect((await handle(waits.model, endedTurn(waits.model))).answer).toBe('recorded');
  });

  test('W1 whoever becomes idle learns that another one waits, and whoever is held does not count', async () => {
    const running = await handle(a, send('r1'));
    const other = await handle(b, send('r2'), { occupied: 'running' });
    const hold: Command = { type: 'queue.hold', commandId: 'k1', held: true };
    const held = await handle(other.model, hold);
    await end(running.model.turn);
    const settled = await handle(running.model, endedTurn(running.model));
    expect(settled.answer).toBe('recorded');
    const next = await handle(settled.model, send('r3'));
    const release: Command = { type: 'queue.hold', commandId: 'k2', held: false };
    await handle(held.model, release, { occupied: 'running' });
    await end(next.model.turn);
    expect((await handle(next.model, endedTurn(next.model))).answer).toBe('recorded-others-wait');
  });

  test('A1 a start under a key under which it was recorded that it waits is none', async () => {
    const running = await handle(a, send('r1'), at(1));
    const waits = await handle(running.model, send('r2'), at(10));
    await handle(b, send('r3'), { occupied: 'running', ...at(9) });
    await end(running.model.turn);
    const settle = endedTurn(waits.model);
    expect((await handle(waits.model, settle, { occupied: 'waiting' })).answer).toBe(
      'recorded-others-wait',
    );
    // Carried out again, the task first tries to start what waits.
    const seq = await store.lastSeq(conversationStream('a'));
    expect((await handle(waits.model, settle)).answer).toBe('known');
    expect((await handle(waits.model, settle, { occupied: 'waiting' })).answer).toBe(
      'recorded-others-wait',
    );
    expect(await store.lastSeq(conversationStream('a'))).toBe(seq);
    expect(await store.workflowState('a')).toMatchObject({ state: 'idle', turn: null });
  });
});

/** The end of an attempt in the log, before the workflow knows of it. */
async function end(turn: { turnId: string; attempt: number } | null | undefined): Promise<void> {
  if (turn == null) throw new Error('nothing runs');
  const { turnId, attempt } = turn;
  const row = await store.attempt(turnId, attempt);
  await store.append({
    stream: conversationStream(row?.conversationId ?? ''),
    events: [{ type: 'chat.done', turnId, attempt, payload: {} }],
  });
}

function endedTurn({ turn }: ConversationModel): Command {
  return { type: 'turn.ended', turnId: turn?.turnId ?? '', attempt: turn?.attempt ?? 0 };
}
