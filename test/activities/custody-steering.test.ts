/** Messages for a turn that runs already: taken or refused, never both, whoever dies in between. */
import { writeFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import type { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import type { SteerRequest } from '../../src/activities/steering.ts';
import { HoldfastError } from '../../src/contracts/errors.ts';
import type { Event } from '../../src/contracts/events.ts';
import type { Provider, ProviderReport } from '../../src/contracts/provider-events.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  deltasOf,
  has,
  log,
  newCustody,
  queueForSteering,
  recordCancel,
  saysMore,
  setUpCustody,
  spoolFile,
  spoolText,
  store,
  typesOf,
  under,
  withAppend,
  withMethods,
  words,
} from './custody-harness.ts';

setUpCustody();

const COMPLETED = { outcome: 'completed', cause: null };

/** Both words of a message that was taken, as they stand in the log. */
async function takenIn(ref: AttemptRef, { requestId }: SteerRequest): Promise<Event[]> {
  return (await log(ref)).filter(
    (event) =>
      event.requestId === requestId &&
      (event.type === 'message.created' || event.type === 'chat.steered'),
  );
}

/** Lets a turn that asks for approval go on. */
async function allow(custody: Custody, ref: AttemptRef): Promise<void> {
  const asked = await eventually(async () =>
    (await log(ref)).find((event) => event.type === 'approval.requested'),
  );
  const { approvalId } = asked.payload;
  await custody.answer({ ...ref, approvalId, decision: 'allow', by: 'ann', message: null });
}

/** A turn whose script begins with `ask gate`, up to there. */
async function atTheGate(
  custody: Custody,
  ...steps: string[]
): Promise<{ ref: AttemptRef; end: ReturnType<Custody['run']> }> {
  const ref = await accept(['#script', 'ask gate', ...steps].join('\n'));
  const end = custody.run(ref);
  end.catch(() => undefined);
  await eventually(() => has(ref, 'approval.requested'));
  return { ref, end };
}

/** The scripted provider, with what its driver reports of a line changed; until it is ready, its driver takes no message. */
function reporting(
  change: (reports: ProviderReport[]) => ProviderReport[],
  reluctant: { ready: boolean; asked: number } = { ready: true, asked: 0 },
): Map<string, Provider> {
  const createDriver: Provider['createDriver'] = (spec) => {
    const driver = scriptedProvider.createDriver(spec);
    return {
      begin: (prompt) => driver.begin(prompt),
      line: (line) => change(driver.line(line)),
      steer: (message) => {
        reluctant.asked += 1;
        return reluctant.ready ? (driver.steer?.(message) ?? []) : [];
      },
      cancel: () => driver.cancel(),
      answer: (...answer) => driver.answer(...answer),
    };
  };
  return new Map([['scripted', { ...scriptedProvider, createDriver }]]);
}

describe('a message for the running turn', () => {
  test('A1 is taken: a message of that turn under its own request, told when the log holds it', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 300 every 5');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this\nplease');
    expect(await custody.steer(message)).toBe('taken');
    const taken = await takenIn(ref, message);
    expect(taken).toMatchObject([
      {
        type: 'message.created',
        turnId: ref.turnId,
        attempt: 1,
        payload: { role: 'user', content: 'and this\nplease' },
      },
      { type: 'chat.steered', payload: { turnId: ref.turnId, attempt: 1 } },
    ]);
    expect((await store.request('c1', message.requestId))?.steeredInto).toEqual({
      turnId: ref.turnId,
      attempt: 1,
    });
    expect(await custody.steer(message)).toBe('taken');
    expect(await end).toEqual(COMPLETED);
    expect(await custody.steer(message)).toBe('taken');
    expect(await takenIn(ref, message)).toEqual(taken);
    // L5: what was streamed before it is whole, and what comes after it is another row
    const rows = ((await store.snapshot('c1', 50))?.messages ?? []).slice(1);
    expect(rows.map(({ role, status }) => `${role} ${status}`)).toEqual([
      'assistant complete',
      'user complete',
      'assistant complete',
    ]);
    expect(rows[2]?.content).toMatch(/^steered: and this\nw\d+ /);
    expect(`${rows[0]?.content}${rows[2]?.content.replace('steered: and this\n', '')}`).toBe(
      words(300),
    );
  });

  test('S2 two are taken in their order, asked for at the same time and again', async () => {
    const custody = newCustody();
    const { ref, end } = await atTheGate(custody, 'words 3');
    const [one, two] = [await queueForSteering(ref, 'one'), await queueForSteering(ref, 'two')];
    const first = custody.steer(one);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(one.requestId));
    const answers = Promise.all([first, custody.steer(two), custody.steer(one)]);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(two.requestId));
    await allow(custody, ref);
    expect(await answers).toEqual(['taken', 'taken', 'taken']);
    await end;
    expect(await store.answerText(ref.turnId, 1)).toBe(`steered: one\nsteered: two\n${words(3)}`);
    // Each was offered once.
    expect(spoolText(ref, 'in.jsonl').match(/"type":"steer","attemptKey"/g)).toHaveLength(2);
  });

  test.each([
    ['a tool', 'tool build for 1000', 'tool.start', 'tool.end'],
    ['a silence', 'sleep 1000', 'approval.resolved', 'tool.end'],
  ])('comes in %s, and is taken after it', async (_what, step, seen, after) => {
    const custody = newCustody();
    const { ref, end } = await atTheGate(custody, step, 'words 2');
    const before = (await typesOf(ref)).filter((type) => type === seen).length;
    await allow(custody, ref);
    await eventually(
      async () => (await typesOf(ref)).filter((type) => type === seen).length > before,
    );
    const message = await queueForSteering(ref, 'meanwhile');
    expect(await custody.steer(message)).toBe('taken');
    expect(await end).toEqual(COMPLETED);
    const types = await typesOf(ref);
    expect(types.lastIndexOf(after)).toBeLessThan(types.indexOf('chat.steered'));
    expect(await store.answerText(ref.turnId, 1)).toBe(`steered: meanwhile\n${words(2)}`);
  });

  test('while an approval is open it waits with it, and leaves it open', async () => {
    const custody = newCustody();
    const { ref, end } = await atTheGate(custody, 'words 1');
    const message = await queueForSteering(ref, 'hurry');
    const answer = custody.steer(message);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(message.requestId));
    expect((await store.snapshot('c1', 50))?.approvals).toHaveLength(1);
    await allow(custody, ref);
    expect(await answer).toBe('taken');
    expect(await end).toEqual(COMPLETED);
  });

  test('for a turn that is being begun, it is offered after the prompt', async () => {
    // One that says nothing of itself before it has something to say.
    const silent = reporting((reports) => reports.filter(({ type }) => type !== 'session'));
    const custody = newCustody({}, { providers: silent });
    const ref = await accept('#script\nsleep 300\nwords 2');
    const message = await queueForSteering(ref, 'early');
    const end = custody.run(ref);
    expect(await custody.steer(message)).toBe('taken');
    expect(await end).toEqual(COMPLETED);
    expect(await store.answerText(ref.turnId, 1)).toBe(`steered: early\n${words(2)}`);
  });

  test('for a turn that nobody has begun, its host begins it; one that has not adopted yet is asked again', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nsleep 300\nwords 2');
    const message = await queueForSteering(ref, 'early');
    await expect(custody.steer(message)).rejects.toMatchObject({ code: 'not_found' });
    expect(under(ref)).toEqual([]);
    await custody.adopt();
    expect(await custody.steer(message)).toBe('taken');
    expect(await custody.run(ref)).toEqual(COMPLETED);
  });

  test('of another host it is asked again until that has ended', async () => {
    const ref = await accept('#script\nwords 2');
    await store.claim({ ...ref, host: 'h2', place: { spool: `${ref.turnId}.1`, from: 0 } });
    const custody = newCustody();
    await custody.adopt();
    const message = await queueForSteering(ref, 'hello');
    await expect(custody.steer(message)).rejects.toMatchObject({ code: 'not_found' });
    expect(await custody.run(ref)).toEqual({ outcome: 'interrupted', cause: 'host_lost' });
    expect(await custody.steer(message)).toBe('refused');
  });

  test('that its driver does not take yet is offered again when the provider is heard', async () => {
    const reluctant = { ready: false, asked: 0 };
    const providers = reporting((reports) => reports, reluctant);
    const custody = newCustody({}, { providers });
    const { ref, end } = await atTheGate(custody, 'words 200 every 5');
    const message = await queueForSteering(ref, 'and this');
    const answer = custody.steer(message);
    await allow(custody, ref);
    await eventually(() => has(ref, 'chat.delta'));
    expect(spoolText(ref, 'in.jsonl')).not.toContain(message.requestId);
    reluctant.ready = true;
    expect(await answer).toBe('taken');
    expect(await end).toEqual(COMPLETED);
  });

  test('C1 that its driver did not take before a cancel is not offered after it', async () => {
    const reluctant = { ready: false, asked: 0 };
    const providers = reporting((reports) => reports, reluctant);
    const custody = newCustody({ cancelGraceMs: 1_000 }, { providers });
    const ref = await accept('#script\nignore-cancel\nwords 100000 every 5');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this');
    const answer = custody.steer(message);
    await eventually(() => reluctant.asked > 0);
    await custody.cancel({ ...ref, by: 'ann' });
    reluctant.ready = true;
    expect((await end).outcome).toBe('cancelled');
    expect(await answer).toBe('refused');
    expect(spoolText(ref, 'in.jsonl')).not.toContain(message.requestId);
    const types = await typesOf(ref);
    expect(types.lastIndexOf('chat.delta')).toBeGreaterThan(types.indexOf('chat.cancelling'));
  });
});

describe('A1 a message is refused', () => {
  test('when the turn ends without having taken it; nothing of it is in the log', async () => {
    const custody = newCustody();
    const { ref, end } = await atTheGate(custody, 'words 2');
    const message = await queueForSteering(ref, 'too late');
    // A provider that does not hear it.
    const pid = custody.status(ref)?.pid ?? 0;
    const answer = custody.steer(message);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(message.requestId));
    process.kill(pid, 'SIGKILL');
    expect((await end).outcome).toBe('interrupted');
    expect(await answer).toBe('refused');
    expect(await takenIn(ref, message)).toEqual([]);
    expect(await custody.steer(message)).toBe('refused');
  });

  test('by a provider that takes none in mid-turn, at once', async () => {
    const none: Provider = {
      ...scriptedProvider,
      capabilities: { ...scriptedProvider.capabilities, steer: false },
    };
    const custody = newCustody({}, { providers: new Map([['scripted', none]]) });
    const { ref } = await atTheGate(custody);
    const message = await queueForSteering(ref, 'hello');
    expect(await custody.steer(message)).toBe('refused');
    expect(spoolText(ref, 'in.jsonl')).not.toContain(message.requestId);
  });

  test('by a script that ignores it, at its end', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nno-steer\nask gate\nwords 2');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'approval.requested'));
    const message = await queueForSteering(ref, 'hello');
    const answer = custody.steer(message);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(message.requestId));
    await allow(custody, ref);
    expect(await end).toEqual(COMPLETED);
    expect(await answer).toBe('refused');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(2));
  });

  test('C1 while the turn is being cancelled; one that was offered before is answered at its end', async () => {
    const custody = newCustody({ cancelGraceMs: 2_000 });
    const ref = await accept('#script\nignore-cancel\nwords 1\nhang');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    const before = await queueForSteering(ref, 'before');
    let answered = false;
    const answer = custody.steer(before).finally(() => {
      answered = true;
    });
    await eventually(() => spoolText(ref, 'in.jsonl').includes(before.requestId));
    await custody.cancel({ ...ref, by: 'ann' });
    const after = await queueForSteering(ref, 'after');
    const again = custody.steer(before).finally(() => {
      answered = true;
    });
    expect(await custody.steer(after)).toBe('refused');
    expect(answered).toBe(false);
    expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
    expect(await Promise.all([answer, again])).toEqual(['refused', 'refused']);
    expect(spoolText(ref, 'in.jsonl')).not.toContain(after.requestId);
  });

  test('C1 when a cancel has been recorded, though it has not begun', async () => {
    const custody = newCustody();
    const { ref } = await atTheGate(custody);
    await recordCancel(ref);
    const message = await queueForSteering(ref, 'hello');
    expect(await custody.steer(message)).toBe('refused');
    expect(spoolText(ref, 'in.jsonl')).not.toContain(message.requestId);
  });

  test('of a turn that has ended, or that nobody knows', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 2');
    await custody.run(ref);
    const message = await queueForSteering(ref, 'hello');
    expect(await custody.steer(message)).toBe('refused');
    expect(await custody.steer({ ...message, turnId: 'nobody' })).toBe('refused');
    // C1: the warm process of that turn never hears of it.
    const next = await accept('#script\nwords 2');
    await custody.run(next);
    expect(deltasOf(await log(next)).includes('steered')).toBe(false);
  });
});

describe('F2 a host that dies', () => {
  test('after a message was offered: the next one goes on waiting for it, and it is taken once', async () => {
    const first = newCustody();
    const { ref } = await atTheGate(first, 'words 3');
    const message = await queueForSteering(ref, 'and this');
    void first.steer(message).catch(() => undefined);
    await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
    first.close();
    const second = newCustody();
    await second.adopt();
    const answer = second.steer(message);
    await allow(second, ref);
    expect(await answer).toBe('taken');
    expect(await second.run(ref)).toEqual(COMPLETED);
    expect(await takenIn(ref, message)).toHaveLength(2);
    expect(await store.answerText(ref.turnId, 1)).toBe(`steered: and this\n${words(3)}`);
    expect(spoolText(ref, 'in.jsonl').match(/"type":"steer","attemptKey"/g)).toHaveLength(1);
  });

  test.each([
    ['was not written', false],
    ['was written, and that was not noted', true],
  ])(
    'after an offer was recorded that %s: it is written again, and taken once',
    async (_what, written) => {
      const first = newCustody();
      const { ref } = await atTheGate(first, 'words 3');
      const message = await queueForSteering(ref, 'and this');
      if (written) {
        void first.steer(message).catch(() => undefined);
        await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
      }
      first.close();
      const calls = spoolText(ref, 'in.jsonl');
      const { requestId: id, content } = message;
      const key = `${ref.turnId}.1`;
      const call = { type: 'steer', attemptKey: key, requestId: id, content };
      const frames = [JSON.stringify({ type: 'steer', turn: key, id, content })];
      writeFileSync(
        spoolFile(ref, 'in.jsonl'),
        written
          ? calls.replace('{"sent":1}\n', '')
          : `${calls}${JSON.stringify({ outOffset: spoolText(ref, 'out.jsonl').length, upSeconds: 1, call, frames })}\n`,
      );
      const second = newCustody();
      await second.adopt();
      await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
      const answer = second.steer(message);
      await allow(second, ref);
      expect(await answer).toBe('taken');
      expect(await second.run(ref)).toEqual(COMPLETED);
      expect(await takenIn(ref, message)).toHaveLength(2);
      expect(await store.answerText(ref.turnId, 1)).toBe(`steered: and this\n${words(3)}`);
    },
  );

  test('after the provider took it, and before the log holds that: recorded once by the next one', async () => {
    let deaf = false;
    const over = withAppend((request) =>
      deaf ? new Promise(() => undefined) : store.append(request),
    );
    const first = newCustody({}, { store: over });
    const ref = await accept('#script\nwords 300 every 5\nhang once');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this');
    deaf = true;
    void first.steer(message).catch(() => undefined);
    await eventually(() => spoolText(ref, 'out.jsonl').includes('"steered"'));
    first.close();
    expect(await takenIn(ref, message)).toEqual([]);
    const second = newCustody();
    await second.adopt();
    expect(await second.steer(message)).toBe('taken');
    expect(await takenIn(ref, message)).toHaveLength(2);
    await second.cancel({ ...ref, by: 'ann' });
    await second.run(ref);
    expect(await takenIn(ref, message)).toHaveLength(2);
    expect(deltasOf(await log(ref))).toMatch(/^(w\d+ )+steered: and this\n(w\d+ )*/);
  });

  test('after the log holds it: the next one says so, and records nothing of it again', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 400 every 5');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this');
    expect(await first.steer(message)).toBe('taken');
    first.close();
    // Nor does it write it again, though nobody noted that it was written.
    writeFileSync(
      spoolFile(ref, 'in.jsonl'),
      spoolText(ref, 'in.jsonl').replace('{"sent":1}\n', ''),
    );
    const second = newCustody();
    await second.adopt();
    expect(await second.steer(message)).toBe('taken');
    expect(await second.run(ref)).toEqual(COMPLETED);
    expect(spoolText(ref, 'in.jsonl')).not.toContain('{"sent":1}');
    expect(await takenIn(ref, message)).toHaveLength(2);
    expect((await store.answerText(ref.turnId, 1)).replace('steered: and this\n', '')).toBe(
      words(400),
    );
  });

  test('with the turn: what had been taken is recorded before its end, what had not is refused', async () => {
    const first = newCustody();
    const { ref } = await atTheGate(first, 'sleep 300', 'words 1', 'exit 3');
    const [one, two] = [await queueForSteering(ref, 'one'), await queueForSteering(ref, 'two')];
    void first.steer(one).catch(() => undefined);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(one.requestId));
    await allow(first, ref);
    first.close();
    await eventually(() => spoolText(ref, 'out.jsonl').includes('"delta"'));
    const second = newCustody();
    await second.adopt();
    expect((await second.run(ref)).outcome).toBe('interrupted');
    expect(await second.steer(one)).toBe('taken');
    expect(await second.steer(two)).toBe('refused');
    const types = await typesOf(ref);
    expect(types.indexOf('chat.steered')).toBeLessThan(types.indexOf('chat.interrupted'));
  });

  test('after a message was offered, whose spool cannot be adopted: whoever asks meanwhile is told', async () => {
    const first = newCustody();
    const ref = await accept('#script\nno-steer\nwords 4000 every 2');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this');
    void first.steer(message).catch(() => undefined);
    await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
    first.close();
    await saysMore(ref);
    const refusing = withAppend((request) =>
      request.events.some(({ type }) => type === 'chat.delta')
        ? Promise.reject(new Error('disk I/O error'))
        : store.append(request),
    );
    const second = newCustody({}, { store: refusing });
    const adopted = second.adopt();
    expect(await eventually(() => second.steer(message).catch(() => null))).toBe('refused');
    expect(await adopted).toEqual({ attempts: 0, sessions: 0 });
  });

  test('F1 one that has lost the turn and does not know it yet offers nothing', async () => {
    const first = newCustody();
    const { ref } = await atTheGate(first, 'words 2');
    const message = await queueForSteering(ref, 'and this');
    const second = newCustody();
    await second.adopt();
    expect(first.status(ref)).not.toBeNull();
    await expect(first.steer(message)).rejects.toMatchObject({ code: 'fenced' });
    expect(spoolText(ref, 'in.jsonl')).not.toContain(message.requestId);
    const answer = second.steer(message);
    await allow(second, ref);
    expect(await answer).toBe('taken');
    expect(await second.run(ref)).toEqual(COMPLETED);
    expect(await takenIn(ref, message)).toHaveLength(2);
  });

  test('F1 those that lose the turn while a message is offered tell neither taken nor refused', async () => {
    const [first, second, third] = [newCustody(), newCustody(), newCustody()];
    const { ref } = await atTheGate(first, 'words 2');
    const message = await queueForSteering(ref, 'and this');
    const lost = [first.steer(message)];
    await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
    await second.adopt();
    lost.push(second.steer(message));
    await third.adopt();
    const answer = third.steer(message);
    await allow(third, ref);
    for (const each of lost) await expect(each).rejects.toMatchObject({ code: 'fenced' });
    expect(await answer).toBe('taken');
  });

  test('after a message was offered, and then the provider: refused by the next one, whoever asked', async () => {
    const first = newCustody();
    const { ref } = await atTheGate(first, 'words 3');
    const message = await queueForSteering(ref, 'and this');
    void first.steer(message).catch(() => undefined);
    await eventually(() => spoolText(ref, 'in.jsonl').includes('{"sent":1}'));
    first.close();
    const second = newCustody();
    await second.adopt();
    const answer = second.steer(message);
    process.kill(second.status(ref)?.pid ?? 0, 'SIGKILL');
    expect(await answer).toBe('refused');
    expect((await second.run(ref)).outcome).toBe('interrupted');
  });
});

describe('a store that refuses', () => {
  test('A1 a message is told as taken only when the log holds it, however long that takes', async () => {
    let locked = false;
    const over = withAppend((request) =>
      locked ? Promise.reject(new HoldfastError('internal', 'locked')) : store.append(request),
    );
    const custody = newCustody({}, { store: over });
    const { ref, end } = await atTheGate(custody, 'words 2');
    await allow(custody, ref);
    expect(await end).toEqual(COMPLETED);
    const next = await accept('#script\nsleep 1000\nwords 2');
    const nextEnd = custody.run(next);
    await eventually(() => custody.status(next) !== null);
    const message = await queueForSteering(next, 'and this');
    locked = true;
    let answered = false;
    const answer = custody.steer(message).finally(() => {
      answered = true;
    });
    // The provider has taken it and gone on to its end.
    await eventually(() => spoolText(ref, 'out.jsonl').includes(`"end","turn":"${next.turnId}.1"`));
    expect(answered).toBe(false);
    locked = false;
    expect(await answer).toBe('taken');
    expect(await nextEnd).toEqual(COMPLETED);
    expect(await takenIn(next, message)).toHaveLength(2);
  });

  test('A1 what was taken in a part that could not be recorded is not said to be: it will run by itself', async () => {
    const refusing = withAppend((request) =>
      request.events.some(({ type }) => type === 'chat.steered')
        ? Promise.reject(new Error('constraint failed'))
        : store.append(request),
    );
    const custody = newCustody({}, { store: refusing });
    const ref = await accept('#script\nwords 300 every 5');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    const message = await queueForSteering(ref, 'and this');
    expect(await custody.steer(message)).toBe('refused');
    expect(await end).toEqual({ outcome: 'interrupted', cause: 'internal_error' });
    expect(await takenIn(ref, message)).toEqual([]);
  });

  test('A1 one that was taken just while it was asked after is not refused by a turn that has ended', async () => {
    const first = newCustody();
    const { ref, end } = await atTheGate(first, 'words 2');
    const message = await queueForSteering(ref, 'and this');
    const [running, waiting] = [
      await store.attempt(ref.turnId, 1),
      await store.request('c1', message.requestId),
    ];
    const answer = first.steer(message);
    await allow(first, ref);
    expect(await answer).toBe('taken');
    await end;
    // As it was read by another host, which was between its two looks and its answer all the while.
    const stale: { attempt: (typeof running)[]; request: (typeof waiting)[] } = {
      attempt: [],
      request: [],
    };
    const second = newCustody(
      {},
      {
        store: withMethods({
          attempt: async (...of) => stale.attempt.shift() ?? store.attempt(...of),
          request: async (...of) => stale.request.shift() ?? store.request(...of),
        }),
      },
    );
    await second.adopt();
    stale.attempt.push(running);
    stale.request.push(waiting);
    expect(await second.steer(message)).toBe('taken');
    expect(stale).toEqual({ attempt: [], request: [] });
  });

  test('A1 one that is taken between the two looks of whoever asks is not refused', async () => {
    const custody = newCustody();
    const { ref, end } = await atTheGate(custody, 'words 2');
    const message = await queueForSteering(ref, 'and this');
    const answer = custody.steer(message);
    await eventually(() => spoolText(ref, 'in.jsonl').includes(message.requestId));
    const attempt: Store['attempt'] = async (...of) => {
      await allow(custody, ref);
      await end;
      return store.attempt(...of);
    };
    expect(await newCustody({}, { store: withMethods({ attempt }) }).steer(message)).toBe('taken');
    expect(await answer).toBe('taken');
  });

  test('what cannot be known is asked again', async () => {
    const request: Store['request'] = () => Promise.reject(new Error('disk I/O error'));
    const custody = newCustody({}, { store: withMethods({ request }) });
    const { ref } = await atTheGate(custody);
    const message = await queueForSteering(ref, 'hello');
    await expect(custody.steer(message)).rejects.toThrow('disk I/O error');
  });
});

test('A1 a word of a message that was never offered changes nothing', async () => {
  const ref = await accept('#script\nwords 3');
  const liar = reporting((reports) => [...reports, { type: 'steered', id: 'r9' }]);
  expect(await newCustody({}, { providers: liar }).run(ref)).toEqual(COMPLETED);
  expect(await has(ref, 'chat.steered')).toBe(false);
  expect(await store.answerText(ref.turnId, 1)).toBe(words(3));
});
