import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { conversationWorkflowId } from '../../src/contracts/ids.ts';
import { quietAttribute, stateAttribute } from '../../src/workflows/definitions.ts';
import { eventually } from '../support/eventually.ts';
import { ownNamespace, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, idle, ran, snapshotOf, startHarness } from './harness.ts';

let harness: Harness;

beforeAll(async () => {
  harness = await startHarness({ ...ownNamespace(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

describe('conversation workflow', () => {
  test('A3 a send is recorded before its turn is run, and the conversation is idle after its end', async () => {
    const { double, handle } = await harness.start('send');
    await handle.signal('send', { requestId: 'r1', content: 'hello' });
    const ref = await ran(double);
    expect(double.types()).toEqual(['message.created', 'chat.started', 'conversation.state']);
    expect(await snapshotOf(handle)).toMatchObject({
      state: 'processing',
      turn: { turnId: ref.turnId, attempt: 1, requestId: 'r1' },
      host: harness.host,
    });
    double.end(ref);
    await eventually(() => double.types().length === 4);
    expect(double.recorded.at(-1)?.events).toMatchObject([
      { type: 'conversation.state', payload: { state: 'idle' } },
    ]);
  });

  test('A2 the same requestId five times runs one turn', async () => {
    const { double, handle } = await harness.start('five');
    await Promise.all(
      [1, 2, 3, 4, 5].map(() => handle.signal('send', { requestId: 'r1', content: 'hello' })),
    );
    double.end(await ran(double));
    await handle.signal('send', { requestId: 'r2', content: 'next' });
    const second = await ran(double, 2);
    expect(double.recorded.filter(({ request }) => request?.requestId === 'r1')).toHaveLength(1);
    expect(double.ran).toHaveLength(2);
    double.end(second);
  });

  test('A1 a local activity that ran twice has recorded once, and the turn still runs', async () => {
    const { double, handle } = await harness.start('twice');
    double.failOnceAfterRecording = 'request:r1';
    await handle.signal('send', { requestId: 'r1', content: 'hello' });
    const ref = await ran(double);
    expect(double.types()).toEqual(['message.created', 'chat.started', 'conversation.state']);
    double.end(ref);
  });

  test('S2 a send while a turn runs waits, and runs after it; a rejecting one is refused', async () => {
    const { double, handle } = await harness.start('queue');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const first = await ran(double);
    await handle.signal('send', { requestId: 'r2', content: 'two' });
    await handle.signal('send', { requestId: 'r3', content: 'three', whenBusy: 'reject' });
    await eventually(() => double.types().includes('chat.rejected'));
    expect(double.ran).toHaveLength(1);
    double.end(first);
    const second = await ran(double, 2);
    expect(
      double.recorded.find(({ request }) => request?.requestId === 'r2')?.request,
    ).toMatchObject({
      status: 'queued',
      turnId: second.turnId,
      position: 0,
    });
    expect(
      double.recorded.find(({ request }) => request?.requestId === 'r3')?.request,
    ).toMatchObject({
      status: 'rejected',
      code: 'busy',
    });
    double.end(second);
  });

  test('a send after the end is in the log, but before the activity has told, is no busy one', async () => {
    const { double, handle } = await harness.start('settle');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const first = await ran(double);
    // The log has the end; the activity has not answered yet.
    double.ended.add(`${first.turnId}.1`);
    await handle.signal('send', { requestId: 'r2', content: 'two', whenBusy: 'reject' });
    const second = await ran(double, 2);
    expect(second.turnId).not.toBe(first.turnId);
    expect(double.types()).not.toContain('chat.rejected');
    double.end(first);
    double.end(second);
    await eventually(
      () => double.types().filter((type) => type === 'conversation.state').length === 4,
    );
    expect((await snapshotOf(handle)).state).toBe('idle');
  });

  test('C1 a cancel is recorded, carried to the host once, and ends the turn', async () => {
    const { double, handle } = await harness.start('cancel');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const ref = await ran(double);
    await handle.signal('cancel', { by: 'ann' });
    await handle.signal('cancel', { by: 'bob' });
    await eventually(
      () => double.types().at(-1) === 'conversation.state' && double.stopped.length > 0,
    );
    await idle(handle);
    expect(double.stopped).toEqual([
      { conversationId: ref.conversationId, turnId: ref.turnId, attempt: 1, by: 'ann' },
    ]);
    expect(double.types().filter((type) => type === 'chat.cancelling')).toHaveLength(1);
  });

  describe('carried out again, after its worker died with more in the store than it has come to', () => {
    /** The workflow still has the first turn, whose activity has not told of its end, and a message that waits. */
    async function behind(name: string) {
      const { double, handle } = await harness.start(name);
      await handle.signal('send', { requestId: 'r1', content: 'one' });
      const first = await ran(double);
      await handle.signal('send', { requestId: 'r2', content: 'two' });
      const queued = await eventually(() =>
        double.recorded.find(({ request }) => request?.requestId === 'r2'),
      );
      double.ended.add(`${first.turnId}.1`);
      double.isAhead = true;
      double.start = { ...double.start, host: harness.host };
      return { double, handle, first, turnId: queued.request?.turnId ?? '' };
    }

    /** The store has the second turn. */
    async function behindATurn(name: string) {
      const it = await behind(name);
      const { double, turnId } = it;
      const at = new Date().toISOString();
      const turn = { turnId, attempt: 1, requestId: 'r2', startedAt: at, cancelRequested: false };
      double.start = { ...double.start, state: 'processing', turn };
      return it;
    }

    test.each([
      ['that names it', (turnId: string) => ({ turnId, by: 'ann' })],
      ['of whatever runs', () => ({ by: 'ann' })],
    ])('C1 a cancel %s stops the turn that runs', async (name, argument) => {
      const { double, handle, first, turnId } = await behindATurn(`ahead-${name.length}`);
      await handle.signal('cancel', argument(turnId));
      await eventually(() => double.stopped.length > 0);
      expect(double.stopped).toMatchObject([{ turnId, by: 'ann' }]);
      double.isAhead = false;
      double.end(first);
      await idle(handle);
      expect(double.ran.map((ref) => ref.turnId)).toEqual([first.turnId, turnId]);
    });

    test('an approval is answered to the turn that asks', async () => {
      const { double, handle, first, turnId } = await behindATurn('ahead-approval');
      const answer = { approvalId: 'a1', turnId, decision: 'allow', by: 'ann' } as const;
      await handle.signal('resolveApproval', answer);
      await eventually(() => double.answered.length > 0);
      expect(double.answered).toEqual([`a1 of ${turnId}`]);
      double.isAhead = false;
      double.end(first);
      double.end({ turnId, attempt: 1 });
      await idle(handle);
    });

    test('A3 what has been settled is rolled back', async () => {
      const { double, handle, first } = await behind('ahead-rollback');
      await handle.signal('rollback', { commandId: 'k1', messageId: null });
      await eventually(() => double.types().includes('history.cut'));
      double.isAhead = false;
      double.end(first);
      await idle(handle);
    });

    test('A3 a row that has come into the queue meanwhile is taken out of it', async () => {
      const { double, handle, first, turnId } = await behindATurn('ahead-queue');
      const row = { requestId: 'm1', turnId: 't-m1', attempt: 1, content: 'mail', position: 0 };
      double.start = { ...double.start, queue: [row] };
      await handle.signal('removeQueued', { commandId: 'k1', requestId: 'm1' });
      await eventually(() => double.keys.has('command:k1'));
      double.isAhead = false;
      double.end(first);
      double.end({ turnId, attempt: 1 });
      await idle(handle);
    });
  });

  test('an interrupting send goes to the front of the queue and stops the turn; nothing waiting is lost', async () => {
    const { double, handle } = await harness.start('interrupt');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    await ran(double);
    await handle.signal('send', { requestId: 'r2', content: 'two' });
    await handle.signal('send', { requestId: 'r3', content: 'three', whenBusy: 'interrupt' });
    const second = await ran(double, 2);
    double.end(second);
    const third = await ran(double, 3);
    double.end(third);
    const turnOf = (requestId: string): unknown =>
      double.recorded.find(({ request }) => request?.requestId === requestId)?.request?.turnId;
    expect([second.turnId, third.turnId]).toEqual([turnOf('r3'), turnOf('r2')]);
  });

  test('a retry runs a new attempt of the same turn', async () => {
    const { double, handle } = await harness.start('retry');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const first = await ran(double);
    double.end(first, 'interrupted');
    await eventually(() => double.types().length === 4);
    await handle.signal('retry', { turnId: first.turnId });
    const second = await ran(double, 2);
    expect(second).toEqual({ ...first, attempt: 2 });
    double.end(second);
  });

  test('a conversation that Temporal has lost goes on from the store: its turn is run, its queue kept', async () => {
    const id = `lost-${randomUUID().slice(0, 8)}`;
    const double = harness.doubleOf(id);
    double.start = {
      ...double.start,
      host: harness.host,
      turn: {
        turnId: 'told',
        attempt: 1,
        requestId: 'r1',
        startedAt: new Date().toISOString(),
        cancelRequested: false,
      },
      queue: [{ requestId: 'r2', turnId: 'twaits', content: 'two', position: 0, attempt: 1 }],
    };
    await harness.client.workflow.signalWithStart('conversation', {
      workflowId: conversationWorkflowId(id),
      taskQueue: harness.taskQueue,
      args: [{ conversationId: id }],
      signal: 'send',
      signalArgs: [{ requestId: 'r3', content: 'three' }],
    });
    expect(await ran(double)).toMatchObject({ turnId: 'told' });
    double.end({ turnId: 'told', attempt: 1 });
    expect(await ran(double, 2)).toMatchObject({ turnId: 'twaits' });
    double.end({ turnId: 'twaits', attempt: 1 });
    double.end(await ran(double, 3));
  });

  test('S2 an interrupt after the end is in the log goes first, and the head of the queue is not started to be cancelled', async () => {
    const { double, handle } = await harness.start('window');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const first = await ran(double);
    await handle.signal('send', { requestId: 'r2', content: 'two' });
    await eventually(() => double.recorded.some(({ request }) => request?.requestId === 'r2'));
    double.ended.add(`${first.turnId}.1`);
    await handle.signal('send', { requestId: 'r3', content: 'three', whenBusy: 'interrupt' });
    const turnOf = (requestId: string): unknown =>
      double.recorded.find(({ request }) => request?.requestId === requestId)?.request?.turnId;
    const second = await ran(double, 2);
    expect(second.turnId).toBe(turnOf('r3'));
    double.end(first);
    double.end(second);
    const third = await ran(double, 3);
    expect(third.turnId).toBe(turnOf('r2'));
    double.end(third);
    await idle(handle);
    expect(double.stopped).toEqual([]);
  });

  test('C1 a cancel of "the running turn" whose end is in the log does not hit the one that comes after it', async () => {
    const { double, handle } = await harness.start('late-cancel');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const first = await ran(double);
    await handle.signal('send', { requestId: 'r2', content: 'two' });
    await eventually(() => double.recorded.some(({ request }) => request?.requestId === 'r2'));
    double.ended.add(`${first.turnId}.1`);
    await handle.signal('cancel');
    const second = await ran(double, 2);
    double.end(first);
    double.end(second);
    await idle(handle);
    expect(double.stopped).toEqual([]);
    expect(double.types()).not.toContain('chat.cancelling');
  });

  test('a conversation that was lost while its last end was unsettled starts what waits, by itself', async () => {
    const id = `unsettled-${randomUUID().slice(0, 8)}`;
    const double = harness.doubleOf(id);
    double.start = {
      ...double.start,
      host: harness.host,
      state: 'processing',
      queue: [{ requestId: 'r2', turnId: 'twaits', content: 'two', position: 0, attempt: 1 }],
    };
    await harness.client.workflow.start('conversation', {
      workflowId: conversationWorkflowId(id),
      taskQueue: harness.taskQueue,
      args: [{ conversationId: id }],
    });
    expect(await ran(double)).toMatchObject({ turnId: 'twaits' });
    double.end({ turnId: 'twaits', attempt: 1 });
  });

  test('an operator’s signal without the documented shape is ignored, and the conversation goes on', async () => {
    const { double, handle } = await harness.start('operator');
    await handle.signal('send', { nonsense: true });
    await handle.signal('send', 'text');
    await handle.signal('cancel');
    await handle.signal('send', { requestId: 'r1', content: '' });
    await handle.signal('send', { requestId: 'r2', content: 'fine' });
    double.end(await ran(double));
    expect(double.recorded[0]?.request).toMatchObject({ requestId: 'r1', status: 'rejected' });
  });

  test('a silence that the turn host tells of can be searched for, while that turn runs', async () => {
    const { double, handle } = await harness.start('quiet');
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    const ref = await ran(double);
    const isQuiet = async () =>
      (await handle.describe()).typedSearchAttributes.get(quietAttribute) === true;
    const say = (quiet: boolean, attempt = 1) =>
      handle.signal('quiet', { turnId: ref.turnId, attempt, quiet });
    await say(true);
    await eventually(isQuiet);
    expect((await snapshotOf(handle)).inWords).toMatch(/has fallen silent\.$/);
    await say(false);
    await eventually(async () => !(await isQuiet()));
    // Not of this attempt, and no such argument at all.
    await say(true, 9);
    await handle.signal('quiet', 7);
    await say(true);
    await eventually(isQuiet);
    double.end(ref);
    await idle(handle);
    await eventually(async () => !(await isQuiet()));
    expect((await snapshotOf(handle)).inWords).toBe('Idle.');
  });

  test('a turn costs at most 15 history events, and its state can be searched for', async () => {
    const { double, handle } = await harness.start('events');
    // Read by `describe`, never by a query: a query that meets a Workflow Task splits it, and costs four events more.
    const idleAt = (turns: number): Promise<number> =>
      eventually(async () => {
        const { typedSearchAttributes, historyLength } = await handle.describe();
        const isIdle = typedSearchAttributes.get(stateAttribute) === 'idle';
        return isIdle &&
          double.types().filter((type) => type === 'conversation.state').length === 2 * turns
          ? historyLength
          : null;
      });
    await handle.signal('send', { requestId: 'r1', content: 'one' });
    double.end(await ran(double));
    const before = await idleAt(1);
    await handle.signal('send', { requestId: 'r2', content: 'two' });
    double.end(await ran(double, 2));
    expect((await idleAt(2)) - before).toBeLessThanOrEqual(15);
  });
});
