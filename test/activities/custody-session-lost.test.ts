/**
 * A provider that has lost the session it was to go on with: it is said, and the attempt goes on in a new one, which is told
 * what was said before. Numbers: those of custody.ts.
 */
import { describe, expect, test } from 'vitest';

import type { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import type { Provider, ProviderReport, TurnPrompt } from '../../src/contracts/provider-events.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  log,
  newCustody,
  setUpCustody,
  store,
  under,
  withMethods,
} from './custody-harness.ts';

setUpCustody();

const ASK = '#script\nsay turns\ntext "|"\nsay history';
const MISSING: ProviderReport = {
  type: 'end',
  end: { outcome: 'failed', code: 'session_missing', message: 'No such session.' },
};

/** What a resumed session reports, in place of what its program says. */
type Resumed = (reports: ProviderReport[]) => ProviderReport[];
const nothingBut: Resumed = (reports) =>
  reports.flatMap((report) => (report.type === 'end' ? [MISSING] : []));

/** The scripted provider, which remembers no session, and what its drivers were begun with, adopted ones too. */
function forgetful(resumed: Resumed = nothingBut): {
  providers: Map<string, Provider>;
  begun: { isNew: boolean; prompt: TurnPrompt }[];
} {
  const begun: { isNew: boolean; prompt: TurnPrompt }[] = [];
  const provider: Provider = {
    ...scriptedProvider,
    createDriver: (spec) => {
      const driver = scriptedProvider.createDriver(spec);
      const isNew = spec.resumeSessionId === null;
      return {
        begin: (prompt) => {
          begun.push({ isNew, prompt });
          return driver.begin(prompt);
        },
        line: (line) => (isNew ? driver.line(line) : resumed(driver.line(line))),
        cancel: () => driver.cancel(),
        answer: (...answer) => driver.answer(...answer),
        steer: (message) => driver.steer?.(message) ?? [],
      };
    },
  };
  return { providers: new Map([['scripted', provider]]), begun };
}

/** A conversation of one turn whose process is gone. */
async function afterOneTurn(providers: ReadonlyMap<string, Provider>): Promise<void> {
  const custody = newCustody({}, { providers });
  const one = await accept('#script\ntext "first"');
  await custody.run(one);
  await custody.endIdleSessions();
  await eventually(() => under(one).length === 0);
  custody.close();
}

async function adopting(...given: Parameters<typeof newCustody>): Promise<Custody> {
  const custody = newCustody(...given);
  await custody.adopt();
  return custody;
}

/** It is said once, the prompt was given to one new session with what was said before, and there is one end. */
async function expectGoneOn(ref: AttemptRef): Promise<void> {
  const events = (await log(ref)).filter(({ turnId }) => turnId === ref.turnId);
  const notices = events.flatMap((event) => (event.type === 'notice' ? [event.payload.code] : []));
  expect(notices.filter((code) => code === 'session_lost')).toEqual(['session_lost']);
  expect(events.filter(({ type }) => type === 'chat.done')).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'chat.error' || type === 'chat.interrupted')).toEqual(
    [],
  );
  const [turns, history = ''] = (await store.answerText(ref.turnId, ref.attempt)).split('|');
  expect(turns).toBe('1');
  expect(history.split('\n')).toContain('first');
}

describe('a session that is lost', () => {
  test('is said, and the same attempt goes on in a new one by itself', async () => {
    const { providers, begun } = forgetful();
    await afterOneTurn(providers);
    const custody = newCustody({}, { providers });
    const two = await accept(ASK);
    expect(await custody.run(two)).toEqual({ outcome: 'completed', cause: null });
    await expectGoneOn(two);
    expect(begun.map(({ isNew, prompt }) => [isNew, prompt.history === undefined])).toEqual([
      [true, true],
      [false, true],
      [true, false],
    ]);
    // The new session is the conversation's: the next turn finds it warm.
    const three = await accept(ASK);
    await custody.run(three);
    expect(await store.answerText(three.turnId, 1)).toBe('2|none');
  });

  test('is remembered by nobody: the next process begins with the new one', async () => {
    const { providers } = forgetful();
    await afterOneTurn(providers);
    const before = (await store.conversation('c1'))?.providerSessionId;
    const custody = newCustody({}, { providers });
    await custody.run(await accept(ASK));
    const after = (await store.conversation('c1'))?.providerSessionId;
    expect(after).toEqual(expect.any(String));
    expect(after).not.toBe(before);
  });

  test.each<[string, Resumed]>([
    [
      'said something',
      (reports) => reports.map((report) => (report.type === 'end' ? MISSING : report)),
    ],
    [
      'noted something',
      (reports) =>
        reports.flatMap(({ type }): ProviderReport[] => {
          if (type === 'session') return [{ type: 'notice', code: 'x', text: 'y' }];
          return type === 'end' ? [MISSING] : [];
        }),
    ],
  ])('ends the attempt as failed where the provider %s before', async (_what, resumed) => {
    const { providers, begun } = forgetful(resumed);
    await afterOneTurn(providers);
    const custody = newCustody({}, { providers });
    const two = await accept('#script\ntext "second"');
    expect(await custody.run(two)).toEqual({ outcome: 'failed', cause: 'session_missing' });
    expect(begun).toHaveLength(2);
  });

  test('is no reason to begin again where the session was new', async () => {
    const provider: Provider = {
      ...scriptedProvider,
      createDriver: (spec) => {
        const driver = scriptedProvider.createDriver(spec);
        return {
          begin: (prompt) => driver.begin(prompt),
          line: (line) => nothingBut(driver.line(line)),
          cancel: () => driver.cancel(),
          answer: (...answer) => driver.answer(...answer),
        };
      },
    };
    const custody = newCustody({}, { providers: new Map([['scripted', provider]]) });
    const one = await accept('#script\ntext "first"');
    expect(await custody.run(one)).toEqual({ outcome: 'failed', cause: 'session_missing' });
  });

  test('C1: a cancel that comes while it is found out ends the attempt as cancelled, and nothing is begun again', async () => {
    const { providers, begun } = forgetful();
    await afterOneTurn(providers);
    const two = await accept(ASK);
    const cancelling = withMethods({
      saveProviderSession: async (...given) => {
        if (given[2] === null) await custody.cancel({ ...two, by: 'ann' });
        return store.saveProviderSession(...given);
      },
    });
    const custody: Custody = newCustody({}, { providers, store: cancelling });
    expect((await custody.run(two)).outcome).not.toBe('completed');
    expect(begun).toHaveLength(2);
  });
});

describe('kill -9 of the turn host on the way (F2, A1)', () => {
  /** The store of a turn host that dies when it does this for the second turn: before it, or after it. */
  type Step = {
    name: string;
    isStep: (call: { method: string; args: readonly unknown[] }) => boolean;
    after: boolean;
  };
  const forgets = ({ method, args }: { method: string; args: readonly unknown[] }) =>
    method === 'saveProviderSession' && args[2] === null;
  const says = ({ method, args }: { method: string; args: readonly unknown[] }) =>
    method === 'append' && JSON.stringify(args).includes('session_lost');
  let claims = 0;
  const claimsAgain = ({ method }: { method: string }) => {
    if (method === 'claim') claims += 1;
    return method === 'claim' && claims === 2;
  };
  const steps: Step[] = [
    { name: 'before the session is forgotten', isStep: forgets, after: false },
    { name: 'after it', isStep: forgets, after: true },
    { name: 'before it is said', isStep: says, after: false },
    { name: 'after it', isStep: says, after: true },
    { name: 'before the new process is claimed', isStep: claimsAgain, after: false },
    { name: 'after it', isStep: claimsAgain, after: true },
  ];

  test.each(steps.map((step, index) => ({ ...step, index })))(
    '$index $name: the next one goes on, and it is said once',
    async ({ isStep, after }) => {
      const { providers } = forgetful();
      await afterOneTurn(providers);
      const two = await accept(ASK);
      claims = 0;
      const died = Promise.withResolvers<void>();
      const never = new Promise<never>(() => undefined);
      const dying = dyingAt({
        isStep,
        die: async (carryOut) => {
          if (after) await carryOut();
          first.close();
          died.resolve();
          return never;
        },
      });
      const first: Custody = newCustody({}, { providers, store: dying });
      void first.run(two).catch(() => undefined);
      await died.promise;
      const second = await adopting({}, { providers });
      expect(await second.run(two)).toEqual({ outcome: 'completed', cause: null });
      await expectGoneOn(two);
    },
  );
});

function dyingAt({
  isStep,
  die,
}: {
  isStep: (call: { method: string; args: readonly unknown[] }) => boolean;
  die: (carryOut: () => Promise<unknown>) => Promise<never>;
}): Store {
  return withMethods({
    append: async (...args) => {
      const carryOut = () => store.append(...args);
      return isStep({ method: 'append', args }) ? die(carryOut) : carryOut();
    },
    claim: async (...args) => {
      const carryOut = () => store.claim(...args);
      return isStep({ method: 'claim', args }) ? die(carryOut) : carryOut();
    },
    saveProviderSession: async (...args) => {
      const carryOut = () => store.saveProviderSession(...args);
      return isStep({ method: 'saveProviderSession', args }) ? die(carryOut) : carryOut();
    },
  });
}
