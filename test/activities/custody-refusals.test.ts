/** A store that refuses, for a while or for good, and what custody owes all the same. */
import { describe, expect, test } from 'vitest';

import type { CustodySettings } from '../../src/activities/custody-settings.ts';
import type { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import { HoldfastError } from '../../src/contracts/errors.ts';
import type { NewEvent } from '../../src/contracts/events.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  countingProvider,
  deltasOf,
  has,
  log,
  newCustody,
  saysMore,
  setUpCustody,
  spoolText,
  store,
  typesOf,
  under,
  withAppend,
  withMethods,
  words,
} from './custody-harness.ts';

setUpCustody();

const INTERRUPTED_BY_FULL_DISK = { outcome: 'interrupted', cause: 'storage_full' };

/** Refuses `times` appends that hold such an event, as a disk that fails does; then it takes them. */
function refusingEach(type: NewEvent['type'], times: number): Store {
  let left = times;
  return withAppend((request) => {
    if (left === 0 || !request.events.some((event) => event.type === type))
      return store.append(request);
    left -= 1;
    return Promise.reject(new Error('disk I/O error'));
  });
}

describe('a store that refuses', () => {
  test('A1 an end that cannot be stored as it is ends interrupted all the same', async () => {
    let refusals = 3;
    const refusing = withAppend((request) => {
      const isEnd = request.events.some(({ type }) => type === 'chat.done');
      if (!isEnd || refusals === 0) return store.append(request);
      refusals -= 1;
      return Promise.reject(new Error('constraint failed'));
    });
    const ref = await accept('#script\nwords 3');
    const end = await newCustody({}, { store: refusing }).run(ref);
    expect(end).toEqual({ outcome: 'interrupted', cause: 'internal_error' });
    expect((await typesOf(ref)).at(-1)).toBe('chat.interrupted');
    await eventually(() => under(ref).length === 0);
  });

  test('L5 a turn with a hole in its log never ends completed', async () => {
    let refusals = 3;
    const refusing = withAppend((request) => {
      const isDelta = request.events.some(({ type }) => type === 'chat.delta');
      if (!isDelta || refusals === 0) return store.append(request);
      refusals -= 1;
      return Promise.reject(new Error('constraint failed'));
    });
    const ref = await accept('#script\nwords 200 every 5');
    expect((await newCustody({}, { store: refusing }).run(ref)).outcome).toBe('interrupted');
  });

  test('A1 the end of a process that has died is recorded though it was refused before, and is told', async () => {
    const ref = await accept('#script\nwords 3\nexit 1');
    const custody = newCustody({}, { store: refusingEach('chat.interrupted', 3) });
    expect(await custody.run(ref)).toEqual({ outcome: 'interrupted', cause: 'provider_exited' });
    expect((await typesOf(ref)).filter((type) => type === 'chat.interrupted')).toHaveLength(1);
  });

  test('a silence that cannot be recorded ends no turn', async () => {
    const ref = await accept('#script\nwords 2\nsleep 700\nwords 2');
    const silence = () => ({ quietMs: 200, stalledMs: null });
    const custody = newCustody({ silence }, { store: refusingEach('chat.quiet', 3) });
    expect((await custody.run(ref)).outcome).toBe('completed');
  });

  test('L5 a provider session that cannot be saved costs neither the turn nor a word of it', async () => {
    const ref = await accept('#script\nignore-cancel\nwords 40 every 5');
    let refused = 0;
    const saveProviderSession: Store['saveProviderSession'] = () => {
      refused += 1;
      return Promise.reject(new Error('disk I/O error'));
    };
    const custody = newCustody({}, { store: withMethods({ saveProviderSession }) });
    expect((await custody.run(ref)).outcome).toBe('completed');
    expect(refused).toBeGreaterThan(0);
    expect(deltasOf(await log(ref))).toBe(words(40));
  });

  test('the end of an attempt that could not be adopted is told to whoever asks for it', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 4000 every 2');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    first.close();
    await saysMore(ref);
    const second = newCustody({}, { store: refusingEach('chat.delta', Number.POSITIVE_INFINITY) });
    expect(await second.adopt()).toEqual({ attempts: 0, sessions: 0 });
    const end = { outcome: 'interrupted', cause: 'internal_error' };
    expect(await second.run(ref)).toEqual(end);
    await eventually(() => under(ref).length === 0);
    expect(second.status(ref)).toBeNull();
  });

  test('a claim that finds no room starts no further process until something small has been written', async () => {
    const counted = countingProvider();
    const full = withMethods({
      claim: () => Promise.reject(new HoldfastError('storage_full')),
      append: () => Promise.reject(new HoldfastError('storage_full')),
    });
    const ref = await accept('#script\nwords 3');
    const custody = newCustody({}, { store: full, providers: counted.providers });
    for (let asked = 0; asked < 4; asked += 1)
      await expect(custody.run(ref)).rejects.toMatchObject({ code: 'storage_full' });
    expect(counted.launched).toBe(1);
  });
});

describe('an answer to an approval', () => {
  async function asked(
    over: Store,
  ): Promise<{ custody: Custody; ref: AttemptRef; answer: () => Promise<boolean> }> {
    const ref = await accept('#script\nask shell\ntext "done"');
    const custody = newCustody({}, { store: over });
    void custody.run(ref).catch(() => undefined);
    const request = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    const { approvalId } = request.payload;
    const answer = () =>
      custody.answer({ ...ref, approvalId, decision: 'allow', by: 'ann', message: null });
    return { custody, ref, answer };
  }

  test('asked for again while it is being recorded, it is answered when that is done, not before', async () => {
    let locked = true;
    const { custody, ref, answer } = await asked(
      withAppend((request) =>
        locked && request.events.some(({ type }) => type === 'approval.resolved')
          ? Promise.reject(new HoldfastError('internal', 'locked'))
          : store.append(request),
      ),
    );
    const answers: boolean[] = [];
    const both = [answer(), answer()].map((each) => each.then((given) => answers.push(given)));
    // Another append gets through meanwhile: nothing has been answered.
    await store.append({
      stream: 'table:x',
      events: [{ type: 'notice', payload: { code: 'x', text: '' } }],
    });
    expect(answers).toEqual([]);
    locked = false;
    await Promise.all(both);
    expect(answers).toEqual([true, true]);
    expect((await custody.run(ref)).outcome).toBe('completed');
  });

  test('refused for good, it is still open, and the next answer counts', async () => {
    const { custody, ref, answer } = await asked(refusingEach('approval.resolved', 3));
    await expect(answer()).rejects.toThrow('disk I/O error');
    expect(await answer()).toBe(true);
    expect((await custody.run(ref)).outcome).toBe('completed');
    expect((await typesOf(ref)).filter((type) => type === 'approval.resolved')).toHaveLength(1);
  });
});

describe('a stop of ours, and a host that starts meanwhile', () => {
  test('C1 a provider that answers the stop of a stalled turn only then: interrupted all the same', async () => {
    const silence: CustodySettings['silence'] = ({ phase }) =>
      phase === 'streaming' ? { quietMs: 200, stalledMs: 600 } : { quietMs: null, stalledMs: null };
    const first = newCustody({ silence, cancelGraceMs: 60_000 });
    const ref = await accept('#script\nwords 3\nhang');
    void first.run(ref).catch(() => undefined);
    const pid = await eventually(() => first.status(ref)?.pid);
    await eventually(() => has(ref, 'chat.quiet'));
    process.kill(pid, 'SIGSTOP');
    await eventually(() => spoolText(ref, 'in.jsonl').includes('"cancel"'));
    first.close();
    process.kill(pid, 'SIGCONT');
    const second = newCustody({ silence });
    await second.adopt();
    expect(await second.run(ref)).toEqual({ outcome: 'interrupted', cause: 'stalled' });
  });

  /** A turn that is being stopped because the store is full, until its host is gone; `when` says how far it came. */
  async function stoppedByFullDisk(
    script: string,
    when: (ref: AttemptRef) => boolean,
  ): Promise<AttemptRef> {
    let full = false;
    const over = withAppend((request) =>
      full ? Promise.reject(new HoldfastError('storage_full')) : store.append(request),
    );
    const ref = await accept(script);
    const custody = newCustody({ cancelGraceMs: 20_000 }, { store: over });
    void custody.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    full = true;
    await eventually(() => when(ref));
    custody.close();
    return ref;
  }

  test('C1 a provider that has obeyed it: interrupted for that reason, and nobody is said to have cancelled', async () => {
    const ref = await stoppedByFullDisk('#script\nwords 5000 every 5', (each) =>
      spoolText(each, 'out.jsonl').includes('"end"'),
    );
    const next = newCustody();
    await next.adopt();
    expect(await next.run(ref)).toEqual(INTERRUPTED_BY_FULL_DISK);
    expect(await typesOf(ref)).not.toContain('chat.cancelled');
  });

  test('P1 a provider that ignores it: the next host goes on stopping it', async () => {
    const ref = await stoppedByFullDisk('#script\nignore-cancel\nwords 5000 every 5', (each) =>
      spoolText(each, 'in.jsonl').includes('"cancel"'),
    );
    const next = newCustody();
    await next.adopt();
    expect(await next.run(ref)).toEqual(INTERRUPTED_BY_FULL_DISK);
    await eventually(() => under(ref).length === 0);
  });
});

test('F1 a custody that was fenced begins nothing any more: it would end what the other one runs', async () => {
  const first = newCustody();
  const ref = await accept('#script\nwords 300 every 5');
  const lost = first.run(ref);
  await eventually(() => has(ref, 'chat.delta'));
  const second = newCustody();
  await second.adopt();
  await expect(lost).rejects.toMatchObject({ code: 'fenced' });
  await expect(first.run(ref)).rejects.toMatchObject({ code: 'fenced' });
  expect((await second.run(ref)).outcome).toBe('completed');
  expect(await store.answerText(ref.turnId, 1)).toBe(words(300));
});
