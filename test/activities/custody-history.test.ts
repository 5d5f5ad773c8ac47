/** What a new session of the provider is told of the conversation, and when a session is a new one. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import type { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import type { NewEvent } from '../../src/contracts/events.ts';
import type { Provider, ProviderReport, TurnPrompt } from '../../src/contracts/provider-events.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  home,
  log,
  newCustody,
  setUpCustody,
  spoolFile,
  store,
  under,
  withMethods,
} from './custody-harness.ts';

setUpCustody();

/** Says what it was told, which turn of its process this is, and its session. */
const ASK = '#script\nsay turns\ntext " "\nsay session\ntext " "\nsay history';

async function append(event: NewEvent, conversationId = 'c1'): Promise<void> {
  await store.append({ stream: `conversation:${conversationId}`, events: [event] });
}

const rollback = (messageId: string | null): Promise<void> =>
  append({ type: 'history.cut', payload: { messageId, by: 'rollback' } });

const changeProvider = (provider: string): Promise<void> =>
  append({ type: 'conversation.updated', conversationId: 'c1', payload: { provider } });

async function answers(custody: Custody, ref: AttemptRef) {
  expect((await custody.run(ref)).outcome).toBe('completed');
  const text = await store.answerText(ref.turnId, 1);
  const [turns = '', session = ''] = text.split(' ', 2);
  return { turns, session, history: text.slice(turns.length + session.length + 2) };
}

/** What the record in `history` says, without the lines of its frame. */
function told(history: string): string[] {
  const mark = /^\[record-[0-9a-f]+\]/.exec(history)?.[0] ?? 'none';
  return history.split('\n').filter((line) => !line.startsWith(mark));
}

async function messageIds(): Promise<string[]> {
  return ((await store.snapshot('c1', 100))?.messages ?? []).map(({ messageId }) => messageId);
}

/** The scripted provider under two names, and what their drivers were begun with. */
function twoProviders(change: (reports: ProviderReport[]) => ProviderReport[] = (same) => same): {
  providers: Map<string, Provider>;
  begun: TurnPrompt[];
} {
  const begun: TurnPrompt[] = [];
  const createDriver: Provider['createDriver'] = (spec) => {
    const driver = scriptedProvider.createDriver(spec);
    return {
      begin: (prompt) => {
        begun.push(prompt);
        return driver.begin(prompt);
      },
      line: (line) => change(driver.line(line)),
      cancel: () => driver.cancel(),
      answer: (...answer) => driver.answer(...answer),
    };
  };
  const named = (providerId: string): [string, Provider] => [
    providerId,
    { ...scriptedProvider, providerId, createDriver },
  ];
  return { providers: new Map([named('scripted'), named('other')]), begun };
}

async function endIdle(custody: Custody, ref: AttemptRef): Promise<void> {
  await custody.endIdleSessions();
  await eventually(() => under(ref).length === 0);
}

describe('a session that knows the conversation is told nothing', () => {
  test('the first turn, the next of a warm process, and one that resumes', async () => {
    const custody = newCustody();
    const one = await accept(ASK);
    const first = await answers(custody, one);
    expect(first).toMatchObject({ turns: '1', history: 'none' });
    const warm = await answers(custody, await accept(ASK));
    expect(warm).toEqual({ turns: '2', session: first.session, history: 'none' });
    await endIdle(custody, one);
    const resumed = await answers(custody, await accept(ASK));
    expect(resumed).toEqual({ turns: '1', session: first.session, history: 'none' });
  });
});

describe('a session that does not know it is told what was said', () => {
  test('after a rollback: the warm process that knows more is ended, and what is cut is not told', async () => {
    const custody = newCustody();
    const one = await accept('#script\ntext "first"\ntool build prints 1');
    await custody.run(one);
    const kept = await messageIds();
    const two = await accept('#script\ntext "second"');
    await custody.run(two);
    expect(under(one).length).toBeGreaterThan(0);
    await rollback(kept.at(-1) ?? null);
    const three = await accept(ASK);
    const { turns, history } = await answers(custody, three);
    expect(turns).toBe('1');
    expect(under(one)).toEqual([]);
    expect(told(history)).toEqual([
      '#script',
      'text "first"',
      'tool build prints 1',
      'first',
      'build {"forMs":0,"prints":1}',
      '(ok) build line 1',
      '',
    ]);
    // Its process knows it from here on.
    expect(await answers(custody, await accept(ASK))).toMatchObject({
      turns: '2',
      history: 'none',
    });
  });

  test('after everything was cut there is nothing to tell, and the session is new all the same', async () => {
    const custody = newCustody();
    const { session } = await answers(custody, await accept(ASK));
    await rollback(null);
    const after = await answers(custody, await accept(ASK));
    expect(after).toMatchObject({ turns: '1', history: 'none' });
    expect(after.session).not.toBe(session);
  });

  test('in a fork', async () => {
    const custody = newCustody();
    await custody.run(await accept('#script\ntext "first"'));
    const { provider, model, workspacePath } = (await store.conversation('c1')) ?? {
      provider: '',
      model: null,
      workspacePath: '',
    };
    await store.fork({
      conversationId: 'c2',
      create: { tableId: null, title: '', provider, model, workspacePath },
      origin: { conversationId: 'c1', messageId: null },
    });
    const { turns, history } = await answers(custody, await accept(ASK, { conversationId: 'c2' }));
    expect(turns).toBe('1');
    expect(told(history)).toEqual(['#script', 'text "first"', 'first']);
  });

  test('after a change of provider, there and back', async () => {
    const { providers } = twoProviders();
    const custody = newCustody({}, { providers });
    const first = await answers(custody, await accept(ASK));
    await changeProvider('other');
    const second = await answers(custody, await accept(ASK, { provider: 'other' }));
    expect(second.turns).toBe('1');
    expect(second.session).not.toBe(first.session);
    expect(told(second.history).slice(0, 2)).toEqual(['#script', 'say turns']);
    await changeProvider('scripted');
    const third = await answers(custody, await accept(ASK));
    expect(third.turns).toBe('1');
    expect([first.session, second.session]).not.toContain(third.session);
    expect(third.history.match(/The user wrote:/g)).toHaveLength(2 + 1);
  });

  test('when nobody knows its session, as the provider never named it', async () => {
    const silent = (reports: ProviderReport[]) => reports.filter(({ type }) => type !== 'session');
    const custody = newCustody({}, { providers: twoProviders(silent).providers });
    const one = await accept('#script\ntext "first"');
    await custody.run(one);
    expect((await store.conversation('c1'))?.providerSessionId).toBeNull();
    // As long as its process is there, that knows.
    expect(await answers(custody, await accept(ASK))).toMatchObject({
      turns: '2',
      history: 'none',
    });
    await endIdle(custody, one);
    const { turns, history } = await answers(custody, await accept(ASK));
    expect(turns).toBe('1');
    expect(told(history).slice(0, 3)).toEqual(['#script', 'text "first"', 'first']);
  });

  test('F2 what it was told is in the spool: the driver of the next host is begun with the very same', async () => {
    const { providers, begun } = twoProviders();
    const first = newCustody({}, { providers });
    await first.run(await accept('#script\ntext "first"'));
    await rollback((await messageIds()).at(-1) ?? null);
    const ref = await accept('#script\nask gate\nsay history');
    void first.run(ref).catch(() => undefined);
    const asked = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    first.close();
    // What is said meanwhile is no part of it.
    await append({
      type: 'message.created',
      payload: { messageId: 'late', role: 'system', content: 'late' },
    });
    const second = newCustody({}, { providers });
    await second.adopt();
    const { approvalId } = asked.payload;
    await second.answer({ ...ref, approvalId, decision: 'deny', by: 'ann', message: null });
    expect((await second.run(ref)).outcome).toBe('completed');
    expect(begun).toHaveLength(3);
    expect(begun[1]).toMatchObject({ content: '#script\nask gate\nsay history' });
    expect(begun[2]).toMatchObject({ ...begun[1] });
    expect(await store.answerText(ref.turnId, 1)).toBe(begun[1]?.history);
    expect(told(begun[1]?.history ?? '')).toEqual(['#script', 'text "first"', 'first']);
  });
});

describe('a session id', () => {
  /** Reports another session id with the end of a tool: as late as can be. */
  const late = (reports: ProviderReport[]): ProviderReport[] =>
    reports.some(({ type }) => type === 'tool.end')
      ? [{ type: 'session', sessionId: 'late' }, ...reports]
      : reports;

  async function reportedLate(meanwhile: () => Promise<void>): Promise<string | null | undefined> {
    const custody = newCustody({}, { providers: twoProviders(late).providers });
    const ref = await accept('#script\nask gate\nwords 2');
    const end = custody.run(ref);
    const asked = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    await meanwhile();
    const { approvalId } = asked.payload;
    await custody.answer({ ...ref, approvalId, decision: 'allow', by: 'ann', message: null });
    expect((await end).outcome).toBe('completed');
    return (await store.conversation('c1'))?.providerSessionId;
  }

  test('that a turn reports is remembered', async () => {
    expect(await reportedLate(async () => undefined)).toBe('late');
  });

  test.each([
    ['a change of provider', () => changeProvider('other')],
    ['a cut', () => rollback(null)],
  ])('that a turn reports after %s is not: it is a session of before', async (_what, change) => {
    expect(await reportedLate(change)).toBeNull();
  });

  test('of an attempt that was started before the provider was changed is neither resumed nor remembered', async () => {
    const { providers } = twoProviders();
    const custody = newCustody({}, { providers });
    await answers(custody, await accept(ASK));
    await changeProvider('other');
    const other = await answers(custody, await accept(ASK, { provider: 'other' }));
    // It was accepted for the one, and is begun when the conversation has changed to the other again.
    await changeProvider('scripted');
    const ref = await accept(ASK);
    await changeProvider('other');
    const { session, history } = await answers(custody, ref);
    expect(session).not.toBe(other.session);
    expect(history).not.toBe('none');
    expect((await store.conversation('c1'))?.providerSessionId).toBeNull();
    const next = await answers(custody, await accept(ASK, { provider: 'other' }));
    expect(next).toMatchObject({ turns: '1' });
    expect(next.history).not.toBe('none');
  });

  test('that the provider has lost is forgotten: the retry is told what was said', async () => {
    let lost = false;
    const { providers } = twoProviders((reports) =>
      reports.map((report) =>
        lost && report.type === 'end'
          ? { type: 'end', end: { outcome: 'failed', code: 'session_missing', message: 'gone' } }
          : report,
      ),
    );
    const custody = newCustody({}, { providers });
    const one = await accept('#script\ntext "first"');
    await custody.run(one);
    await endIdle(custody, one);
    lost = true;
    const two = await accept('hello');
    expect(await custody.run(two)).toEqual({ outcome: 'failed', cause: 'session_missing' });
    await endIdle(custody, two);
    lost = false;
    const { turns, history } = await answers(custody, await accept(ASK));
    expect(turns).toBe('1');
    expect(told(history).slice(0, 3)).toEqual(['#script', 'text "first"', 'first']);
  });
});

describe('a process whose first turn was cancelled before its prompt was sent', () => {
  test('the next turn finds it warm, and is told what was said before', async () => {
    let meanwhile = async (): Promise<void> => undefined;
    const cancelling = withMethods({
      claim: async (request) => {
        await meanwhile();
        return store.claim(request);
      },
    });
    const custody = newCustody({}, { store: cancelling });
    const one = await accept('#script\ntext "first"');
    await custody.run(one);
    const kept = await messageIds();
    const two = await accept('#script\ntext "second"');
    await custody.run(two);
    await rollback(kept.at(-1) ?? null);
    const three = await accept('never sent');
    meanwhile = async () => void (await custody.cancel({ ...three, by: 'user' }));
    expect((await custody.run(three)).outcome).toBe('cancelled');
    meanwhile = async () => undefined;
    // It has only just been started: what its wrapper runs before the provider comes and goes.
    const found = await eventually(() => {
      if (!existsSync(spoolFile(three, 'pid'))) return false;
      const pids = under(three);
      return pids.length === 2 && pids;
    });
    const next = await accept(ASK);
    const four = await answers(custody, next);
    expect(under(three)).toEqual(found);
    expect(under(next)).toEqual([]);
    expect(four.turns).toBe('1');
    expect(told(four.history)).toContain('first');
    expect(told(four.history)).not.toContain('second');
  });
});

describe('a warm process and its generation', () => {
  const specOf = (ref: AttemptRef): string => join(home, 'spools', `${ref.turnId}.1`, 'spec.json');

  test('of the same generation serves on after a change of custody, also one from before there were any', async () => {
    const first = newCustody();
    const one = await accept(ASK);
    await answers(first, one);
    first.close();
    const spec = JSON.parse(readFileSync(specOf(one), 'utf8')) as Record<string, unknown>;
    expect(spec['sessionGeneration']).toBe(0);
    delete spec['sessionGeneration'];
    writeFileSync(specOf(one), JSON.stringify(spec));
    const second = newCustody();
    expect(await second.adopt()).toEqual({ attempts: 0, sessions: 1 });
    expect(await answers(second, await accept(ASK))).toMatchObject({ turns: '2', history: 'none' });
  });

  test('of an older one does not, though nobody saw the cut', async () => {
    const first = newCustody();
    const one = await accept(ASK);
    await answers(first, one);
    first.close();
    await rollback((await messageIds()).at(-1) ?? null);
    const second = newCustody();
    expect(await second.adopt()).toEqual({ attempts: 0, sessions: 1 });
    const { turns, history } = await answers(second, await accept(ASK));
    expect(turns).toBe('1');
    expect(history).not.toBe('none');
    await eventually(() => under(one).length === 0);
  });
});

test('a turn that fails at what it should be told starts no process, and is begun again', async () => {
  const ref = await accept('#script\nwords 2');
  const broken = withMethods({ history: () => Promise.reject(new Error('disk I/O error')) });
  await expect(newCustody({}, { store: broken }).run(ref)).rejects.toThrow('disk I/O error');
  expect(under(ref)).toEqual([]);
  expect((await newCustody().run(ref)).outcome).toBe('completed');
});
