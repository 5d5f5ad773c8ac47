import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import type { CustodySettings } from '../../src/activities/custody-settings.ts';
import type { SilenceLimitsOfPhase } from '../../src/activities/silence.ts';
import type { Provider } from '../../src/contracts/provider-events.ts';
import { identify, isSameProcess } from '../../src/providers/process/process-table.ts';
import { Spool } from '../../src/providers/process/spool.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import { eventually } from '../support/eventually.ts';
import {
  accept,
  deltasOf,
  has,
  home,
  killAtOnce,
  log,
  newCustody,
  recordAllowed,
  recordCancel,
  setUpCustody,
  spoolFile,
  spoolText,
  store,
  typesOf,
  under,
  words,
} from './custody-harness.ts';

setUpCustody();

describe('a turn in custody', () => {
  test('L1 L5 streams into the log and ends once, its text in the transcript', async () => {
    const ref = await accept('#script\nwords 50\ntool look prints 2\nwords 5');
    expect(await newCustody().run(ref)).toEqual({ outcome: 'completed', cause: null });
    const events = await log(ref);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(await store.answerText(ref.turnId, 1)).toBe(words(50) + words(5));
    const types = await typesOf(ref);
    expect(types.filter((type) => type === 'chat.done')).toHaveLength(1);
    expect(types.at(-1)).toBe('chat.done');
    expect(types).toEqual(expect.arrayContaining(['tool.start', 'tool.output', 'tool.end']));
  });

  test('asked for by many, at any time, it runs once', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 20 every 2');
    const ends = await Promise.all([custody.run(ref), custody.run(ref), custody.run(ref)]);
    expect(new Set(ends.map(({ outcome }) => outcome))).toEqual(new Set(['completed']));
    expect(await custody.run(ref)).toEqual({ outcome: 'completed', cause: null });
    expect(await store.answerText(ref.turnId, 1)).toBe(words(20));
  });

  test('the next turn of the conversation uses the same warm process', async () => {
    const custody = newCustody();
    const first = await accept('#script\nwords 2');
    await custody.run(first);
    const pids = under(first);
    const second = await accept('#script\nsay turns');
    await custody.run(second);
    expect(await store.answerText(second.turnId, 1)).toContain('2');
    expect(under(first)).toEqual(pids);
    expect((await store.attempt(second.turnId, 1))?.place?.spool).toBe(`${first.turnId}.1`);
  });

  test('a provider that exits without an end: interrupted, with what it had said', async () => {
    const ref = await accept('#script\nwords 3\nexit 7');
    expect(await newCustody().run(ref)).toEqual({
      outcome: 'interrupted',
      cause: 'provider_exited',
    });
    const view = await store.snapshot('c1', 50);
    expect(view?.messages.at(-1)).toMatchObject({ content: words(3), status: 'partial' });
  });

  test('P3 kill -9 of the provider: interrupted after its last byte is in the log', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 3\nhang');
    const end = custody.run(ref);
    const pid = await eventually(() => custody.status(ref)?.pid);
    // Its last byte, as soon as it is written: it may not be in the log yet.
    await eventually(() => spoolText(ref, 'out.jsonl').includes('w2 '));
    process.kill(pid, 'SIGKILL');
    expect((await end).outcome).toBe('interrupted');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(3));
  });

  test('lines that are no JSON, not UTF-8 or too long are notices, and the turn goes on', async () => {
    const ref = await accept('#script\ngarbage\nwords 3');
    expect((await newCustody().run(ref)).outcome).toBe('completed');
    expect(await has(ref, 'notice')).toBe(true);
    expect(await store.answerText(ref.turnId, 1)).toBe(words(3));
  });

  test('a provider that is not there, and a workspace that is gone: failed, with a code, and nothing hangs', async () => {
    const custody = newCustody();
    const unknown = await accept('hello', { provider: 'nobody' });
    expect(await custody.run(unknown)).toEqual({ outcome: 'failed', cause: 'provider_not_found' });
  });

  test('a workspace that is gone: failed, with a code', async () => {
    const ref = await accept('hello', { workspacePath: join(home, 'gone') });
    expect(await newCustody().run(ref)).toEqual({
      outcome: 'failed',
      cause: 'provider_start_failed',
    });
  });
});

describe('cancel', () => {
  test('P1 a provider that ends the turn after TERM, but not itself, is ended', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nignore-cancel\nwords 1\nsleep 450\nwords 1');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    await custody.cancel({ ...ref, by: 'ann' });
    await end;
    await eventually(() => under(ref).length === 0);
  });

  test('C1 an obeyed cancel ends the turn cancelled, keeps the partial text and the warm process', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 1000 every 5');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    expect(await custody.cancel({ ...ref, by: 'ann' })).toBe('cancelling');
    expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
    const types = await typesOf(ref);
    expect(
      types.filter((type) => type.startsWith('chat.cancelled') || type === 'chat.done'),
    ).toEqual(['chat.cancelled']);
    expect((await store.snapshot('c1', 50))?.messages.at(-1)?.status).toBe('partial');
    expect(under(ref).length).toBeGreaterThan(0);
    expect(await custody.cancel({ ...ref, by: 'bob' })).toBe('ended');
  });

  test('P1 a provider that ignores everything, with a grandchild in its own session: nothing is left', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nignore-cancel\nchild\nwords 1000 every 5');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    expect(under(ref).length).toBeGreaterThanOrEqual(3);
    await custody.cancel({ ...ref, by: 'ann' });
    await custody.cancel({ ...ref, by: 'ann' });
    expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
    await eventually(() => under(ref).length === 0);
    const steps = (await log(ref)).flatMap((event) =>
      event.type === 'chat.cancelling' ? [event.payload.step] : [],
    );
    expect(steps).toEqual(['protocol', 'terminate', 'kill', 'sweep']);
  });

  test('a cancel while the attempt starts keeps the prompt from being sent', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nwords 5');
    const end = custody.run(ref);
    expect(await custody.cancel({ ...ref, by: 'ann' })).toBe('cancelling');
    expect(await end).toEqual({ outcome: 'cancelled', cause: 'ann' });
    expect(await has(ref, 'chat.delta')).toBe(false);
  });
});

describe('silence', () => {
  /** A busy machine may take a second to start the program: that is not the silence that is meant. */
  const onceItSpeaks =
    (limits: SilenceLimitsOfPhase): CustodySettings['silence'] =>
    ({ phase }) =>
      phase === 'waiting-for-model' ? { quietMs: null, stalledMs: null } : limits;

  test('a provider that hangs is called quiet, with evidence, then stopped: interrupted, cause stalled', async () => {
    const custody = newCustody({ silence: onceItSpeaks({ quietMs: 200, stalledMs: 600 }) });
    const ref = await accept('#script\nwords 3\nhang');
    expect(await custody.run(ref)).toEqual({ outcome: 'interrupted', cause: 'stalled' });
    const quiet = (await log(ref)).filter((event) => event.type === 'chat.quiet');
    expect(quiet).toHaveLength(1);
    expect(quiet[0]?.payload).toMatchObject({
      phase: 'streaming',
      evidence: { lastEvent: 'chat.delta', processAlive: true },
    });
    expect(await store.answerText(ref.turnId, 1)).toBe(words(3));
  });

  test('each phase has limits of its own, and output ends a silence', async () => {
    const told: boolean[] = [];
    const custody = newCustody(
      {
        silence: ({ phase }) => ({
          quietMs: phase === 'streaming' ? 150 : null,
          stalledMs: null,
        }),
      },
      { events: { onQuiet: ({ quiet }) => told.push(quiet) } },
    );
    const ref = await accept(
      '#script\nwords 1\ntool build for 1500\nwords 1\nsleep 1500\nwords 1\nsleep 1500',
    );
    expect((await custody.run(ref)).outcome).toBe('completed');
    const phases = (await log(ref)).flatMap((event) =>
      event.type === 'chat.quiet' ? [event.payload.phase] : [],
    );
    expect(phases).toEqual(['streaming', 'streaming']);
    expect(told).toEqual([true, false, true, false]);
  });

  test('a turn host that was stopped for longer than the limit finds the output, and calls nothing silent', async () => {
    const custody = newCustody({ silence: onceItSpeaks({ quietMs: 400, stalledMs: 800 }) });
    const ref = await accept('#script\nwords 60 every 50');
    const end = custody.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    // What SIGSTOP and SIGCONT do to the host: its event loop stands still while the provider goes on.
    const until = performance.now() + 1_500;
    while (performance.now() < until);
    expect((await end).outcome).toBe('completed');
    expect(await has(ref, 'chat.quiet')).toBe(false);
  });
});

describe('a turn’s limit', () => {
  test('past it the turn is stopped: interrupted, with that cause, its text kept', async () => {
    const custody = newCustody({ turnLimitMs: 500 });
    const ref = await accept('#script\nwords 100000 every 5');
    const end = custody.run(ref);
    await eventually(() => {
      custody.tick();
      return has(ref, 'chat.cancelling');
    });
    expect(await end).toEqual({ outcome: 'interrupted', cause: 'time_limit' });
    expect(await store.answerText(ref.turnId, 1)).toContain('w0 ');
  });

  test('it is counted from the prompt, whoever has custody, and never by the wall clock', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 100000 every 5');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    first.close();
    const calls = spoolFile(ref, 'in.jsonl');
    const [begin = ''] = readFileSync(calls, 'utf8').split('\n');
    const { upSeconds } = JSON.parse(begin) as { upSeconds: number };
    expect(Math.abs(uptime() - upSeconds)).toBeLessThan(60);
    // As if it had been begun two hours ago.
    const earlier = begin.replace(`"upSeconds":${upSeconds}`, `"upSeconds":${upSeconds - 7_200}`);
    writeFileSync(calls, `${earlier}\n{"sent":0}\n`);
    const second = newCustody({ turnLimitMs: 7_100_000 });
    await second.adopt();
    expect(await has(ref, 'chat.cancelling')).toBe(false);
    second.tick();
    expect(await second.run(ref)).toEqual({ outcome: 'interrupted', cause: 'time_limit' });
  });
});

describe('approvals', () => {
  test('an approval is asked for, answered once, and the tool runs', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nask deploy\nwords 2');
    const end = custody.run(ref);
    const asked = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    const approvalId = asked.type === 'approval.requested' ? asked.payload.approvalId : '';
    const answer = { ...ref, approvalId, decision: 'allow', by: 'ann', message: null } as const;
    expect(await custody.answer(answer)).toBe(true);
    expect(await custody.answer(answer)).toBe(false);
    expect((await end).outcome).toBe('completed');
    expect(await typesOf(ref)).toEqual(expect.arrayContaining(['approval.resolved', 'tool.end']));
  });

  test('a decision that was recorded but not handed over is handed over by the adopting custody', async () => {
    const custody = newCustody();
    const ref = await accept('#script\nask deploy\nwords 2');
    void custody.run(ref).catch(() => undefined);
    const asked = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    custody.close();
    const approvalId = asked.type === 'approval.requested' ? asked.payload.approvalId : '';
    await recordAllowed(ref, approvalId);
    const next = newCustody();
    await next.adopt();
    expect((await next.run(ref)).outcome).toBe('completed');
    expect((await typesOf(ref)).filter((type) => type === 'approval.resolved')).toHaveLength(1);
  });
});

describe('adoption', () => {
  test('F2 a turn goes on through a change of custody: same process, its text whole and once', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 400 every 2');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    const pid = await eventually(() => first.status(ref)?.pid);
    first.close();
    const second = newCustody();
    expect(await second.adopt()).toEqual({ attempts: 1, sessions: 1 });
    expect(second.status(ref)?.pid).toBe(pid);
    expect((await second.run(ref)).outcome).toBe('completed');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(400));
    const deltas = (await log(ref)).flatMap((event) =>
      event.type === 'chat.delta' ? [event.payload.text] : [],
    );
    expect(deltas.join('')).toBe(words(400));
    expect(await has(ref, 'chat.attached')).toBe(true);
  });

  test('a turn that ended while nobody looked is ended from its spool', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 100 every 2');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    first.close();
    const spool = Spool.open({ root: join(home, 'spools'), name: `${ref.turnId}.1` });
    await eventually(() =>
      readFileSync(join(spool?.path ?? '', 'out.jsonl'), 'utf8').includes('"end"'),
    );
    const second = newCustody();
    await second.adopt();
    expect((await second.run(ref)).outcome).toBe('completed');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(100));
  });

  test('F1 the older custody is fenced at its next append, lets go, learns that it must stop, and harms nothing', async () => {
    let superseded = 0;
    const onSuperseded = () => {
      superseded += 1;
    };
    const first = newCustody({}, { events: { onSuperseded } });
    const ref = await accept('#script\nwords 300 every 3');
    const lost = first.run(ref);
    await eventually(() => has(ref, 'chat.delta'));
    // Both read the same spool now; only one may write.
    const second = newCustody();
    await second.adopt();
    await expect(lost).rejects.toMatchObject({ code: 'fenced' });
    await eventually(() => superseded === 1);
    expect((await second.run(ref)).outcome).toBe('completed');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(300));
    expect((await typesOf(ref)).filter((type) => type === 'chat.done')).toHaveLength(1);
  });

  test('a cancel that was recorded before the custody changed is carried out by the next', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 1000 every 5');
    void first.run(ref).catch(() => undefined);
    await eventually(() => has(ref, 'chat.delta'));
    first.close();
    await recordCancel(ref);
    const second = newCustody();
    await second.adopt();
    expect(await second.run(ref)).toEqual({ outcome: 'cancelled', cause: 'ann' });
  });

  test('the prompt is sent at most once: handed over or not, nobody knows → interrupted, and the process is gone', async () => {
    const first = newCustody();
    const ref = await accept('#script\nhang');
    void first.run(ref).catch(() => undefined);
    const pid = await eventually(() => first.status(ref)?.pid);
    const identity = identify(pid);
    const calls = spoolFile(ref, 'in.jsonl');
    await eventually(() => readFileSync(calls, 'utf8').includes('"sent"'));
    await eventually(() => identity !== null && isSameProcess(identity));
    first.close();
    // As if it had died between the record and the write, before the provider said a word.
    writeFileSync(calls, readFileSync(calls, 'utf8').replace('{"sent":0}\n', ''));
    writeFileSync(spoolFile(ref, 'out.jsonl'), '');
    const second = newCustody();
    await second.adopt();
    expect(await second.run(ref)).toEqual({ outcome: 'interrupted', cause: 'prompt_unconfirmed' });
    await eventually(() => under(ref).length === 0);
  });

  test('an attempt that was claimed but never begun starts again, once', async () => {
    const ref = await accept('#script\nwords 4');
    await store.claim({ ...ref, host: 'h1', place: { spool: `${ref.turnId}.1`, from: 0 } });
    const folder = join(home, 'spools', `${ref.turnId}.1`);
    const spec = { mark: `${ref.turnId}.1`, conversationId: 'c1', providerId: 'scripted' };
    mkdirSync(folder);
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    writeFileSync(join(folder, 'spec.json'), JSON.stringify({ ...spec, bootId }));
    const custody = newCustody();
    expect(await custody.adopt()).toEqual({ attempts: 0, sessions: 0 });
    expect((await custody.run(ref)).outcome).toBe('completed');
    expect(await store.answerText(ref.turnId, 1)).toBe(words(4));
  });

  test('after a reboot the same state proves nothing any more: interrupted', async () => {
    const ref = await accept('#script\nwords 4');
    await store.claim({ ...ref, host: 'h1', place: { spool: `${ref.turnId}.1`, from: 0 } });
    const folder = join(home, 'spools', `${ref.turnId}.1`);
    mkdirSync(folder);
    const spec = {
      mark: `${ref.turnId}.1`,
      conversationId: 'c1',
      providerId: 'scripted',
      bootId: 'other',
    };
    writeFileSync(join(folder, 'spec.json'), JSON.stringify(spec));
    const custody = newCustody();
    await custody.adopt();
    expect((await custody.run(ref)).outcome).toBe('interrupted');
  });

  test('a spool that is gone ends its attempt interrupted, with the delivered text kept (L5)', async () => {
    const first = newCustody();
    const ref = await accept('#script\nwords 3\nhang');
    void first.run(ref).catch(() => undefined);
    await eventually(
      async () => (await store.snapshot('c1', 50))?.overlays[`${ref.turnId}-1-1`] === words(3),
    );
    first.close();
    rmSync(join(home, 'spools', `${ref.turnId}.1`), { recursive: true });
    const second = newCustody();
    await second.adopt();
    expect(await second.run(ref)).toEqual({ outcome: 'interrupted', cause: 'spool_lost' });
    expect((await store.snapshot('c1', 50))?.messages.at(-1)).toMatchObject({
      content: words(3),
      status: 'partial',
    });
    await eventually(() => under(ref).length === 0);
  });

  test('a turn that keeps changing hands without a sign of its provider is ended, with that cause', async () => {
    const ref = await accept('#script\nwords 2 every 30\nhang');
    const first = newCustody();
    void first.run(ref).catch(() => undefined);
    // The last word: one that came later would be a sign, from which all is counted anew.
    await eventually(async () => deltasOf(await log(ref)) === words(2));
    first.close();
    for (let times = 0; times < 20; times += 1) {
      const custody = newCustody();
      expect((await custody.adopt()).attempts).toBe(1);
      custody.close();
    }
    const last = newCustody();
    await last.adopt();
    expect(await last.run(ref)).toEqual({ outcome: 'interrupted', cause: 'recovery_budget' });
  });

  test('P2 at boot a left-over of an ended attempt is killed and written down; a stranger with a mark is not touched', async () => {
    const ref = await accept('#script\nwords 2');
    const first = newCustody();
    await first.run(ref);
    first.close();
    await killAtOnce(ref);
    const leftOver = spawn('sleep', ['600'], {
      env: { HOLDFAST_TURN: `${ref.turnId}.1` },
      detached: true,
    });
    const stranger = spawn('sleep', ['600'], {
      env: { HOLDFAST_TURN: 'tofanotherhome.1' },
      detached: true,
    });
    try {
      await eventually(() => under(ref).length === 1);
      const gone = new Promise((resolve) => leftOver.once('exit', resolve));
      await newCustody().adopt();
      await gone;
      expect(stranger.exitCode).toBeNull();
      expect(identify(stranger.pid ?? 0)).not.toBeNull();
      const notices = (await log(ref)).flatMap((event) =>
        event.type === 'notice' ? [event.payload] : [],
      );
      expect(notices).toEqual([
        { code: 'stray_killed', text: expect.stringContaining(String(leftOver.pid)) as string },
      ]);
    } finally {
      stranger.kill('SIGKILL');
      leftOver.kill('SIGKILL');
    }
  });

  test('a decision that was recorded, for a process that is gone and left no exit file, holds up nobody', async () => {
    const first = newCustody();
    const ref = await accept('#script\nask deploy\nwords 3');
    void first.run(ref).catch(() => undefined);
    const asked = await eventually(async () =>
      (await log(ref)).find((event) => event.type === 'approval.requested'),
    );
    first.close();
    const { approvalId } = asked.payload;
    await recordAllowed(ref, approvalId);
    // All at once, as in a power cut: the wrapper writes no exit code.
    await killAtOnce(ref);
    rmSync(join(home, 'spools', `${ref.turnId}.1`, 'exit'), { force: true });
    const second = newCustody();
    await second.adopt();
    expect((await second.run(ref)).outcome).toBe('interrupted');
  });

  test('a spool that cannot be read again ends alone; the other turns of the host are adopted', async () => {
    const first = newCustody();
    const poisoned = await accept('#script\nwords 3\nhang');
    void first.run(poisoned).catch(() => undefined);
    await eventually(() => has(poisoned, 'chat.delta'));
    first.close();
    const failing: Provider = {
      ...scriptedProvider,
      createDriver: (spec) => ({
        ...scriptedProvider.createDriver(spec),
        line: () => {
          throw new Error('a defect of this driver');
        },
      }),
    };
    const second = newCustody({}, { providers: new Map([['scripted', failing]]) });
    expect(await second.adopt()).toEqual({ attempts: 0, sessions: 0 });
    expect(await second.run(poisoned)).toEqual({ outcome: 'interrupted', cause: 'internal_error' });
    // P2: what was killed for it is written down.
    const killed = (await log(poisoned)).filter(
      (event) => event.type === 'notice' && event.payload.code === 'stray_killed',
    );
    expect(killed.length).toBeGreaterThan(0);
    await eventually(() => under(poisoned).length === 0);
  });

  test('a warm session between turns is adopted and serves the next turn', async () => {
    const first = newCustody();
    const one = await accept('#script\nwords 2');
    await first.run(one);
    first.close();
    const pids = under(one);
    const second = newCustody();
    expect(await second.adopt()).toEqual({ attempts: 0, sessions: 1 });
    const two = await accept('#script\nsay turns');
    expect((await second.run(two)).outcome).toBe('completed');
    expect(await store.answerText(two.turnId, 1)).toContain('2');
    expect(under(one)).toEqual(pids);
  });

  test('an idle session is ended after its limit, with everything under its mark', async () => {
    const custody = newCustody({ sessionIdleMs: 0 });
    const ref = await accept('#script\nchild\nwords 2');
    await custody.run(ref);
    expect(under(ref).length).toBeGreaterThan(0);
    await eventually(() => {
      custody.tick();
      return under(ref).length === 0;
    });
    expect(readdirSync(join(home, 'spools'))).toHaveLength(1);
  });
});
