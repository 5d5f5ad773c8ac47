/** What a boot finds dead, and how the roots of teams are told of it. Numbers: design.md section 12. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, onTestFinished, test } from 'vitest';

import type { CustodySettings } from '../../src/activities/custody-settings.ts';
import type { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import { Recovery } from '../../src/activities/recovery.ts';
import { HoldfastError } from '../../src/contracts/errors.ts';
import type { Event, EventPayloads } from '../../src/contracts/events.ts';
import { appendKey, attemptKey, conversationStream } from '../../src/contracts/ids.ts';
import { childConversationId, endMailId } from '../../src/domain/mail.ts';
import { RECOVERY_TEMPLATE } from '../../src/domain/recovery-text.ts';
import { mailRequestId } from '../../src/store/mail-request-id.ts';
import type { Store, TakeableMail } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  deltasOf,
  has,
  home,
  killAtOnce,
  log,
  newCustody,
  recordCancel,
  setUpCustody,
  store,
  under,
  withMethods,
  words,
} from './custody-harness.ts';

setUpCustody();

const HANG = '#script\nwords 3\nhang';
const ROOT = 'c1';

/** A child with its task, as its workflow makes it and takes it; answers the task's attempt. */
async function child(agentId: string, parent: { id: string; depth: number }, content = HANG) {
  const conversationId = childConversationId(ROOT, agentId);
  await store.append({
    stream: conversationStream(conversationId),
    key: appendKey.created(),
    events: [
      {
        type: 'conversation.created',
        payload: {
          tableId: null,
          title: agentId,
          provider: 'scripted',
          model: null,
          workspacePath: join(home, 'work'),
          agent: {
            agentId,
            name: agentId,
            role: '',
            rootId: ROOT,
            parentId: parent.id,
            depth: parent.depth + 1,
          },
        },
      },
      {
        type: 'mail.accepted',
        payload: { messageId: 'task', from: parent.id, kind: 'task', content },
      },
    ],
  });
  const requestId = mailRequestId({ from: parent.id, messageId: 'task', sending: 1 });
  return accept(content, { conversationId, requestId });
}

const root = { id: ROOT, depth: 0 };

/** A root that was never asked anything. */
async function idleRoot(): Promise<void> {
  const payload = {
    tableId: null,
    title: '',
    provider: 'scripted',
    model: null,
    workspacePath: join(home, 'work'),
  };
  await store.append({
    stream: conversationStream(ROOT),
    key: appendKey.created(),
    events: [{ type: 'conversation.created', payload }],
  });
}

/** Begins these attempts; the custody is gone when each of them has its prompt and says something. */
async function begunAndLost(refs: AttemptRef[], changed: Partial<CustodySettings> = {}) {
  const custody = newCustody(changed);
  for (const ref of refs) void custody.run(ref).catch(() => undefined);
  for (const ref of refs) {
    await eventually(() => has(ref, 'chat.delta'));
    // It may be noted only after the provider has answered.
    const calls = join(changed.spoolRoot ?? join(home, 'spools'), idOf(ref), 'in.jsonl');
    await eventually(() => readFileSync(calls, 'utf8').includes('"sent"'));
  }
  custody.close();
}

/** A host that starts; what it finds dead is ended when it answers. */
async function boot(
  name: string | null,
  changed: Partial<CustodySettings> = {},
  parts: { store?: Store } = {},
): Promise<Custody> {
  const custody = newCustody({ ...changed, boot: name }, parts);
  await custody.adopt();
  await custody.deadRecorded;
  return custody;
}

function newRecovery(
  parts: {
    store?: Store;
    host?: string;
    template?: string;
    look?: (id: string) => Promise<void>;
  } = {},
): { recovery: Recovery; looked: string[]; said: string[] } {
  const looked: string[] = [];
  const said: string[] = [];
  const recovery = new Recovery({
    store,
    host: 'h1',
    template: RECOVERY_TEMPLATE,
    look: (conversationId) => {
      looked.push(conversationId);
      return Promise.resolve();
    },
    log: (_level, text) => said.push(text),
    ...parts,
  });
  onTestFinished(() => recovery.stop());
  return { recovery, looked, said };
}

/** Tells what is owed; answers who was told to look. */
async function recover(parts: Parameters<typeof newRecovery>[0] = {}): Promise<string[]> {
  const { recovery, looked } = newRecovery(parts);
  await recovery.run();
  return looked;
}

async function eventsOf(conversationId: string): Promise<Event[]> {
  return log({ conversationId, turnId: '', attempt: 1 });
}

type Mail = EventPayloads['mail.accepted'];

async function recoveriesOf(conversationId: string): Promise<Mail[]> {
  return (await eventsOf(conversationId)).flatMap((event) =>
    event.type === 'mail.accepted' && event.payload.kind === 'recovery' ? [event.payload] : [],
  );
}

/** `<turn's attempt> <cause> <boot>` of the interrupted ends. */
async function interruptedOf({ conversationId }: AttemptRef): Promise<string[]> {
  return (await eventsOf(conversationId)).flatMap((event) => {
    if (event.type !== 'chat.interrupted') return [];
    const { cause, boot: name = 'none' } = event.payload;
    return [`${attemptKey(event.turnId ?? '', event.attempt ?? 0)} ${cause} ${name}`];
  });
}

async function takeable(conversationId: string): Promise<TakeableMail[]> {
  const limits = { limit: 100, limitBytes: 1_000_000, waiting: true };
  return (await store.takeableMail({ conversationId, ...limits })).items;
}

const idOf = ({ turnId, attempt }: AttemptRef): string => attemptKey(turnId, attempt);

describe('what a boot finds dead', () => {
  test('M2 ends with the name of the boot; what lives is adopted, and what dies later has none', async () => {
    const dead = await accept(HANG);
    const alive = await child('a', root);
    await begunAndLost([dead, alive]);
    await killAtOnce(dead);
    const custody = await boot('boot1');
    expect(await interruptedOf(dead)).toEqual([`${idOf(dead)} provider_died boot1`]);
    await killAtOnce(alive);
    await eventually(async () => {
      custody.tick();
      return (await interruptedOf(alive)).length > 0;
    });
    expect(await interruptedOf(alive)).toEqual([`${idOf(alive)} provider_died none`]);
    expect((await store.owedRecoveries('h1')).map(({ interrupted }) => interrupted)).toMatchObject([
      [{ conversationId: ROOT, boot: 'boot1' }],
    ]);
  });

  test('M2 one that has exited while nobody looked, with its code', async () => {
    const ref = await accept('#script\nwords 3\nsleep 300\nexit 7');
    await begunAndLost([ref]);
    await eventually(() => under(ref).length === 0);
    await boot('boot1');
    expect(await interruptedOf(ref)).toEqual([`${idOf(ref)} provider_exited boot1`]);
  });

  test('one that ended its turn while nobody looked is completed', async () => {
    const ref = await accept('#script\nwords 100 every 2');
    await begunAndLost([ref]);
    const out = join(home, 'spools', idOf(ref), 'out.jsonl');
    await eventually(() => readFileSync(out, 'utf8').includes('"end"'));
    await killAtOnce(ref);
    const custody = await boot('boot1');
    expect(await custody.run(ref)).toEqual({ outcome: 'completed', cause: null });
    expect(await interruptedOf(ref)).toEqual([]);
  });

  test('one that somebody has cancelled is cancelled', async () => {
    const ref = await accept(HANG);
    await begunAndLost([ref]);
    await killAtOnce(ref);
    await recordCancel(ref);
    const custody = await boot('boot1');
    expect(await custody.run(ref)).toEqual({ outcome: 'cancelled', cause: 'ann' });
  });

  test.each<[string, (ref: AttemptRef) => Promise<void> | void]>([
    ['spool_lost', (ref) => rmSync(join(home, 'spools', idOf(ref)), { recursive: true })],
    ['host_rebooted', (ref) => killAtOnce(ref).then(() => rebooted(ref))],
    [
      'prompt_unconfirmed',
      async (ref) => {
        const folder = join(home, 'spools', idOf(ref));
        await allSaid(ref);
        const calls = readFileSync(join(folder, 'in.jsonl'), 'utf8');
        writeFileSync(join(folder, 'in.jsonl'), calls.replace('{"sent":0}\n', ''));
        writeFileSync(join(folder, 'out.jsonl'), '');
      },
    ],
    [
      'stalled',
      (ref) => {
        const calls = join(home, 'spools', idOf(ref), 'in.jsonl');
        const call = { type: 'stop', attemptKey: idOf(ref), cause: 'stalled', message: '' };
        const stop = JSON.stringify({ outOffset: 1_000_000, call, frames: [] });
        writeFileSync(calls, `${readFileSync(calls, 'utf8')}${stop}\n`);
        return killAtOnce(ref);
      },
    ],
    [
      'time_limit',
      // It was stopped for that, has obeyed, and is gone.
      async (ref) => {
        const folder = join(home, 'spools', idOf(ref));
        await allSaid(ref);
        const out = readFileSync(join(folder, 'out.jsonl'), 'utf8');
        const end = { type: 'end', turn: idOf(ref), outcome: 'cancelled' };
        writeFileSync(join(folder, 'out.jsonl'), `${out}${JSON.stringify(end)}\n`);
        const outOffset = Buffer.byteLength(out);
        const calls = [
          { type: 'stop', attemptKey: idOf(ref), cause: 'time_limit', message: '' },
          { type: 'cancel', attemptKey: idOf(ref) },
        ].map((call) => `${JSON.stringify({ outOffset, call, frames: [] })}\n`);
        const recorded = readFileSync(join(folder, 'in.jsonl'), 'utf8');
        writeFileSync(join(folder, 'in.jsonl'), `${recorded}${calls.join('')}`);
        return killAtOnce(ref);
      },
    ],
  ])('M2 %s: its end names the boot', async (cause, spoil) => {
    const ref = await accept(HANG);
    await begunAndLost([ref]);
    await spoil(ref);
    await boot('boot1');
    expect(await interruptedOf(ref)).toEqual([`${idOf(ref)} ${cause} boot1`]);
  });

  test('M2 one that was claimed before a reboot and never begun is ended at the boot, not when somebody asks', async () => {
    const ref = await accept(HANG);
    await store.claim({ ...ref, host: 'h1', place: { spool: idOf(ref), from: 0 } });
    mkdirSync(join(home, 'spools', idOf(ref)));
    const spec = { mark: idOf(ref), conversationId: ROOT, providerId: 'scripted', bootId: 'other' };
    writeFileSync(join(home, 'spools', idOf(ref), 'spec.json'), JSON.stringify(spec));
    await boot('boot1');
    expect(await interruptedOf(ref)).toEqual([`${idOf(ref)} process_lost boot1`]);
  });

  test('nothing names the boot when nobody is to be told', async () => {
    const ref = await accept(HANG);
    const task = await child('a', root);
    await begunAndLost([ref, task]);
    await killAtOnce(ref);
    await killAtOnce(task);
    await boot(null);
    await eventually(async () => (await interruptedOf(task)).length > 0);
    await eventually(async () => (await interruptedOf(ref)).length > 0);
    expect(await interruptedOf(ref)).toEqual([`${idOf(ref)} provider_died none`]);
    expect(await store.owedRecoveries('h1')).toEqual([]);
    expect(await takeable(ROOT)).toMatchObject([{ kind: 'error', from: task.conversationId }]);
  });
});

/** Its provider writes nothing more. */
async function allSaid(ref: AttemptRef): Promise<void> {
  const out = join(home, 'spools', idOf(ref), 'out.jsonl');
  await eventually(() => readFileSync(out, 'utf8').includes('w2 '));
}

/** Its spool was made before this start of the machine. */
function rebooted(ref: AttemptRef): void {
  const spec = join(home, 'spools', idOf(ref), 'spec.json');
  const made = JSON.parse(readFileSync(spec, 'utf8')) as object;
  writeFileSync(spec, JSON.stringify({ ...made, bootId: 'another' }));
  rmSync(join(home, 'spools', idOf(ref), 'exit'), { force: true });
}

describe('the root of a team', () => {
  test('M2 is told once of itself and its children; their ends are told with it, and by nothing else', async () => {
    const own = await accept(HANG);
    const task = await child('a', root);
    const grandchild = await child('b', { id: task.conversationId, depth: 1 });
    const other = await child('c', root, '#script\nwords 100000 every 5');
    const all = [own, task, grandchild];
    await begunAndLost([...all, other]);
    for (const ref of all) await killAtOnce(ref);
    await boot('boot1');
    // Until it is told, an end of this boot starts nothing.
    expect(await takeable(ROOT)).toEqual([]);
    expect(await recover()).toEqual([ROOT]);
    const [mail, ...more] = await recoveriesOf(ROOT);
    expect(more).toEqual([]);
    const endOfTask = { messageId: endMailId(task), from: task.conversationId };
    expect(mail).toMatchObject({
      messageId: 'recovery-boot1',
      from: null,
      boot: 'boot1',
      covers: [endOfTask],
    });
    const lines = mail?.content.split('\n') ?? [];
    expect(lines).toEqual(
      expect.arrayContaining([
        '- your own turn: provider_died',
        '- a: provider_died',
        '- b: provider_died',
        '- b, below a: interrupted',
        '- c: running',
      ]),
    );
    expect(mail?.content).toContain('not delivered yet: 1 to agents (a 1).');
    expect(await takeable(ROOT)).toMatchObject([{ kind: 'recovery', messageId: 'recovery-boot1' }]);
    expect(await store.mailRow({ conversationId: ROOT, ...endOfTask })).toMatchObject({
      state: 'accepted',
      coveredBy: 'recovery-boot1',
    });
    // A grandchild's end is its parent's to hear.
    expect(await takeable(task.conversationId)).toMatchObject([
      { kind: 'error', messageId: endMailId(grandchild) },
    ]);
    expect(await store.owedRecoveries('h1')).toEqual([]);
    expect(await recover()).toEqual([]);
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
  });

  test('M2 whose own turn was not interrupted is told too, and is given its child’s end by itself', async () => {
    await accept('#script\nwords 100000 every 5');
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    await boot('boot1');
    expect(await takeable(ROOT)).toEqual([]);
    await recover();
    expect((await recoveriesOf(ROOT)).map(({ covers }) => covers)).toEqual([undefined]);
    expect((await takeable(ROOT)).map(({ messageId }) => messageId)).toEqual([
      endMailId(task),
      'recovery-boot1',
    ]);
  });

  test('M2 a child’s turn that is not its task’s is told and has no row', async () => {
    const own = await accept(HANG);
    const task = await child('a', root, '#script\nwords 2');
    const custody = newCustody();
    await custody.run(task);
    custody.close();
    await store.append({
      stream: conversationStream(task.conversationId),
      events: [{ type: 'conversation.state', payload: { state: 'idle' } }],
    });
    const later = await accept(HANG, { conversationId: task.conversationId });
    await begunAndLost([own, later]);
    await killAtOnce(own);
    await killAtOnce(later);
    await boot('boot1');
    await recover();
    const [mail] = await recoveriesOf(ROOT);
    expect(mail?.content).toContain('- a: provider_died');
    expect(mail?.covers).toBeUndefined();
    // Its task was completed before.
    expect((await takeable(ROOT)).map(({ kind }) => kind)).toEqual(['result', 'recovery']);
  });

  test('a conversation without children is told nothing', async () => {
    const alone = await accept(HANG);
    await begunAndLost([alone]);
    await killAtOnce(alone);
    await boot('boot1');
    expect(await interruptedOf(alone)).toEqual([`${idOf(alone)} provider_died boot1`]);
    expect(await recover()).toEqual([]);
    expect(await recoveriesOf(ROOT)).toEqual([]);
  });

  test('its text is the template’s', async () => {
    await idleRoot();
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    await boot('boot1');
    await recover({ template: 'gone: {{interrupted}}' });
    expect(await recoveriesOf(ROOT)).toMatchObject([{ content: 'gone: - a: provider_died' }]);
  });
});

describe('a host that dies', () => {
  test('M2 between the ends and the mail, twice: the next start tells it, once', async () => {
    const own = await accept(HANG);
    const task = await child('a', root);
    await begunAndLost([own, task]);
    await killAtOnce(own);
    await killAtOnce(task);
    for (const name of ['boot1', 'boot2', 'boot3']) (await boot(name)).close();
    await recover();
    // By the boot that has ended them: another start of the host adds nothing.
    expect(await recoveriesOf(ROOT)).toMatchObject([
      { boot: 'boot1', covers: [{ messageId: endMailId(task) }] },
    ]);
    expect(await recover()).toEqual([]);
  });

  test('M2 between the ends and the mail, and is started again with nobody to be told: what is owed is told all the same', async () => {
    await idleRoot();
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    (await boot('boot1')).close();
    await boot(null);
    await recover();
    expect(await recoveriesOf(ROOT)).toMatchObject([{ boot: 'boot1' }]);
    // Else the end of its child would wait for ever.
    expect((await takeable(ROOT)).map(({ kind }) => kind)).toEqual(['error', 'recovery']);
  });

  test('M2 between two ends: one mail tells of both, and covers what the root’s own boot has ended', async () => {
    const own = await accept(HANG);
    const first = await child('a', root);
    const second = await child('b', root);
    const refs = [own, first, second];
    const before = newCustody();
    for (const ref of refs) void before.run(ref).catch(() => undefined);
    // All of it: what is still to be recorded when it is adopted would wait for the busy store.
    for (const ref of refs) await eventually(async () => deltasOf(await log(ref)) === words(3));
    before.close();
    for (const ref of refs) await killAtOnce(ref);
    const busy = withMethods({
      append: (request) =>
        request.stream === conversationStream(second.conversationId)
          ? Promise.reject(new HoldfastError('internal', 'the database is locked'))
          : store.append(request),
    });
    const dying = newCustody({ boot: 'boot1' }, { store: busy });
    await dying.adopt();
    let isRecorded = false;
    void dying.deadRecorded.then(() => {
      isRecorded = true;
    });
    await eventually(async () => (await interruptedOf(first)).length === 1);
    await eventually(async () => (await interruptedOf(own)).length === 1);
    expect(isRecorded).toBe(false);
    dying.close();
    await boot('boot2');
    expect(await interruptedOf(second)).toEqual([`${idOf(second)} provider_died boot2`]);
    await recover();
    const [mail, ...more] = await recoveriesOf(ROOT);
    expect(more).toEqual([]);
    expect(mail).toMatchObject({ boot: 'boot2', covers: [{ messageId: endMailId(first) }] });
    for (const line of ['- your own turn:', '- a:', '- b:']) expect(mail?.content).toContain(line);
    expect((await takeable(ROOT)).map(({ messageId }) => messageId)).toEqual([
      endMailId(second),
      'recovery-boot2',
    ]);
  });

  test('M2 after the mail, before the root was told to look: the row is there for the next look', async () => {
    await idleRoot();
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    await boot('boot1');
    const { recovery } = newRecovery({ look: () => Promise.reject(new Error('no Temporal')) });
    const run = recovery.run();
    await eventually(async () => (await recoveriesOf(ROOT)).length === 1);
    recovery.stop();
    await run;
    (await boot('boot2')).close();
    expect(await recover()).toEqual([]);
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
    const soon = new Date(Date.now() + 1_000).toISOString();
    expect(await store.withUntakenMail({ acceptedBefore: soon, after: '', limit: 10 })).toContain(
      ROOT,
    );
  });

  test('M2 the next boot that interrupts is told by a mail of its own', async () => {
    await idleRoot();
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    (await boot('boot1')).close();
    await recover();
    await store.append({
      stream: conversationStream(task.conversationId),
      events: [{ type: 'conversation.state', payload: { state: 'idle' } }],
    });
    const again = await accept(HANG, { conversationId: task.conversationId });
    await begunAndLost([again]);
    await killAtOnce(again);
    await boot('boot2');
    await recover();
    expect((await recoveriesOf(ROOT)).map(({ boot: name }) => name)).toEqual(['boot1', 'boot2']);
  });

  test('M2 two hosts of one team: each tells of its own', async () => {
    const own = await accept(HANG);
    const task = await child('a', root);
    await begunAndLost([own]);
    mkdirSync(join(home, 'spools2'));
    await begunAndLost([task], { host: 'h2', spoolRoot: join(home, 'spools2') });
    await killAtOnce(own);
    await killAtOnce(task);
    await Promise.all([
      boot('boot1'),
      boot('boot2', { host: 'h2', spoolRoot: join(home, 'spools2') }),
    ]);
    expect(await recover()).toEqual([ROOT]);
    // The end of the other host's child waits for that host's mail.
    expect((await takeable(ROOT)).map(({ kind }) => kind)).not.toContain('error');
    expect(await recover({ host: 'h2' })).toEqual([ROOT]);
    expect(await recoveriesOf(ROOT)).toMatchObject([
      { boot: 'boot1', content: expect.stringContaining('- your own turn:') as string },
      { boot: 'boot2', content: expect.stringContaining('- a:') as string },
    ]);
    expect((await recoveriesOf(ROOT)).map(({ covers }) => covers)).toEqual([undefined, undefined]);
    expect((await takeable(ROOT)).map(({ kind }) => kind).toSorted()).toEqual([
      'error',
      'recovery',
      'recovery',
    ]);
  });
});

describe('telling', () => {
  /** A team whose child was interrupted. */
  async function owed(): Promise<AttemptRef> {
    await idleRoot();
    const task = await child('a', root);
    await begunAndLost([task]);
    await killAtOnce(task);
    await boot('boot1');
    return task;
  }

  test.each([
    ['full', new HoldfastError('storage_full')],
    ['busy', new HoldfastError('internal', 'the database is locked')],
  ])('M2 while the store is %s it is tried again, and said once', async (_what, refusal) => {
    await owed();
    let refused = 0;
    const { recovery, looked, said } = newRecovery({
      store: withMethods({
        append: (request) => {
          refused += 1;
          return refused <= 3 ? Promise.reject(refusal) : store.append(request);
        },
      }),
    });
    await recovery.run();
    expect(refused).toBe(4);
    expect(said).toHaveLength(1);
    expect(looked).toEqual([ROOT]);
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
  });

  test('M2 while Temporal is away it is told again to look, and recorded once', async () => {
    await owed();
    const asked: string[] = [];
    await recover({
      look: (conversationId) => {
        asked.push(conversationId);
        return asked.length <= 3 ? Promise.reject(new Error('away')) : Promise.resolve();
      },
    });
    expect(asked).toEqual([ROOT, ROOT, ROOT, ROOT]);
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
  });

  test('M2 two at once, one of them cut off after its append: one mail', async () => {
    await owed();
    const lost = withMethods({
      append: async (request) => {
        await store.append(request);
        throw new HoldfastError('internal', 'the answer was lost');
      },
    });
    const cut = newRecovery({ store: lost });
    await Promise.all([recover(), recover(), cut.recovery.run()]);
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
  });

  test('one root that cannot be told holds up no other', async () => {
    await owed();
    const broken = { rootId: 'gone', interrupted: [] };
    const { recovery, looked } = newRecovery({
      store: withMethods({
        owedRecoveries: async (host) => [broken, ...(await store.owedRecoveries(host))],
        team: (rootId) =>
          rootId === 'gone' ? Promise.reject(new Error('a defect')) : store.team(rootId),
      }),
    });
    const run = recovery.run();
    await eventually(() => looked.includes(ROOT));
    expect(await recoveriesOf(ROOT)).toHaveLength(1);
    recovery.stop();
    await run;
    expect(looked).toEqual([ROOT]);
  });
});
