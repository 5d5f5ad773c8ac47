/**
 * The `holdfast` command against the real thing: its own home, Temporal server, worker, turn host, gateway and provider
 * processes. The numbers in titles are those of design.md section 12.
 */
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';

import { processStartTime, signalGroup } from '../../../src/providers/process/process-table.ts';
import { Spool } from '../../../src/providers/process/spool.ts';
import { readLiveState } from '../../../src/supervisor/state.ts';
import { eventually } from '../../support/eventually.ts';
import { type Program, runProgram } from '../../support/program.ts';

const node = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url));
const bin = fileURLToPath(new URL('../../../bin/holdfast.mjs', import.meta.url));
const START_MS = 60_000;

type Status = {
  home: string;
  api: string;
  token: string;
  temporal: string;
  namespace: string;
  temporalUi: string;
  processes: { role: string; pid: number; startedAt: string; restarts: number }[];
  turns: {
    turnId: string;
    conversationId: string;
    attempt: number;
    providerPid: number | null;
    phase: string;
    lastOutputAt: string;
  }[];
};
type LogLine = { type: string; seq: number; payload: Record<string, unknown> };

let home: string;
let supervisor: Program;

function environment(settings: Record<string, string> = {}): Record<string, string | undefined> {
  return {
    PATH: process.env['PATH'],
    HOME: home,
    HOLDFAST_TEMPORAL_BIN: inject('temporalBinary'),
    HOLDFAST_HOME: home,
    HOLDFAST_PORT: '0',
    HOLDFAST_TEMPORAL_PORT: '0',
    HOLDFAST_TEMPORAL_UI_PORT: '0',
    HOLDFAST_WORKSPACE_ROOTS: home,
    ...settings,
  };
}

function holdfast(args: string[], settings: Record<string, string> = {}): Program {
  return runProgram({ program: node, args: [bin, ...args], environment: environment(settings) });
}

async function ended(
  program: Program,
): Promise<{ code: number | string; out: string; err: string }> {
  const code = await program.ended;
  return { code, out: program.stdout(), err: program.stderr() };
}

async function ran(args: string[], settings?: Record<string, string>) {
  return ended(holdfast(args, settings));
}

async function startUp(): Promise<Program> {
  const program = holdfast(['start']);
  await eventually(() => {
    if (program.child.exitCode !== null) throw new Error(program.stdout());
    return program.stdout().includes('Holdfast is ready');
  }, START_MS);
  return program;
}

async function status(): Promise<Status> {
  const { out } = await ran(['status', '--json']);
  return JSON.parse(out) as Status;
}

const script = (...lines: string[]): string => ['#script', ...lines].join('\n');
const words = (count: number): string =>
  Array.from({ length: count }, (_, index) => `w${index} `).join('');

async function conversationOf(program: Program): Promise<string> {
  return eventually(() => /^conversation: (\S+)$/m.exec(program.stderr())?.[1]);
}

async function log(conversationId: string): Promise<LogLine[]> {
  const { out } = await ran(['tail', '--json', '--from', '1', '--no-follow', conversationId]);
  return out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);
}

function ends(lines: LogLine[]): string[] {
  const kinds = ['chat.done', 'chat.error', 'chat.cancelled', 'chat.interrupted'];
  return lines.map((line) => line.type).filter((type) => kinds.includes(type));
}

/** The log of a conversation once its one turn has ended. */
async function endedLog(conversationId: string): Promise<LogLine[]> {
  return eventually(async () => {
    const lines = await log(conversationId);
    return ends(lines).length > 0 ? lines : null;
  }, 30_000);
}

/** The answer as somebody was shown it who saw every delta. */
function shown(lines: LogLine[]): string {
  return lines
    .filter((line) => line.type === 'chat.delta')
    .map((line) => String(line.payload['text']))
    .join('');
}

/** Until the first words of a running turn are in the log. */
async function streaming(conversationId: string): Promise<void> {
  await eventually(async () =>
    (await ran(['tail', '--no-follow', conversationId])).out.includes('w3 '),
  );
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
  supervisor = await startUp();
}, START_MS);

afterAll(async () => {
  await ran(['stop', '--turns']);
  supervisor.kill('SIGKILL');
  await supervisor.ended;
  for (const { pid } of readLiveState({ runFolder: join(home, 'run') })?.processes ?? [])
    process.kill(pid, 'SIGKILL');
  // Warm sessions outlive a stop, and nobody will come to take them over.
  const spools = join(home, 'spools');
  for (const name of existsSync(spools) ? readdirSync(spools) : []) {
    const identity = Spool.open({ root: spools, name })?.identity() ?? null;
    if (identity !== null) signalGroup(identity, 'SIGKILL');
  }
  rmSync(home, { recursive: true, force: true });
}, 60_000);

/** What the supervisor said belongs to every failure. */
afterEach(({ task }) => {
  if (task.result?.state === 'fail')
    process.stderr.write(`holdfast start said:\n${supervisor.stdout()}${supervisor.stderr()}\n`);
});

/** A request to the API, as any client makes it. */
async function call(method: string, path: string, body?: object): Promise<unknown> {
  const { api, token } = await status();
  const answer = await fetch(`${api}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${readFileSync(token, 'utf8').trim()}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (answer.status !== 200) throw new Error(await answer.text());
  return answer.json();
}

describe('start and status', () => {
  test('start prints the page with the token, the Temporal UI, the providers', async () => {
    const { api, token, temporalUi } = await status();
    const out = supervisor.stdout();
    expect(out).toContain(`${api}/#token=${readFileSync(token, 'utf8').trim()}`);
    expect(out).toContain(temporalUi);
    expect(out).toMatch(/Providers +scripted/);
    expect(statSync(token).mode & 0o777).toBe(0o600);
  });

  test('status --json has the documented shape, and its processes live', async () => {
    const facts = await status();
    const names = 'home api token temporal namespace temporalUi processes turns';
    expect(Object.keys(facts)).toEqual(names.split(' '));
    expect(facts.home).toBe(home);
    const roles = facts.processes.map(({ role }) => role);
    expect(roles.toSorted()).toEqual(['gateway', 'supervisor', 'temporal', 'turn-host', 'worker']);
    for (const { pid, startedAt, restarts } of facts.processes) {
      expect(processStartTime(pid)).not.toBeNull();
      expect(new Date(startedAt).toISOString()).toBe(startedAt);
      expect(restarts).toBe(0);
    }
    expect(facts.turns).toEqual([]);
    const health = await fetch(`${facts.api}/healthz`);
    expect(health.status).toBe(200);
  });

  test('a second start says where the first one is', async () => {
    const { code, out } = await ran(['start']);
    expect(code).toBe(1);
    expect(out).toContain((await status()).api);
  });

  test('doctor finds nothing in the way', async () => {
    const { code, out } = await ran(['doctor']);
    expect(out).not.toMatch(/^fail/m);
    expect(out).toMatch(/^ok +Temporal +\S+ answers, namespace default$/m);
    expect(out).toMatch(/^ok +scripted/m);
    expect(code).toBe(0);
  });

  test('doctor fails on a home that others can read, and says what to do', async () => {
    chmodSync(home, 0o755);
    const { code, out } = await ran(['doctor']);
    chmodSync(home, 0o700);
    expect(code).toBe(1);
    expect(out).toContain(`chmod 700 ${home}`);
  });
});

describe('send', () => {
  test('prints the answer on stdout, the new conversation on stderr', async () => {
    const { code, out, err } = await ran(['send', '--provider', 'scripted', script('words 5')]);
    expect({ code, out }).toEqual({ code: 0, out: `${words(5)}\n` });
    expect(err).toMatch(/^conversation: \S+$/m);
  });

  test('takes the message from stdin for "-", and keeps to its conversation', async () => {
    const first = await ended(
      holdfast(['send', '--new', '--conversation', 'stdin-1', script('say turns')]),
    );
    expect(first.code).toBe(0);
    const second = runProgram({
      program: '/bin/sh',
      args: ['-c', `printf '%s' "$SCRIPT" | "${node}" "${bin}" send --conversation stdin-1 -`],
      environment: environment({}),
    });
    // Nothing was in SCRIPT: an empty message is refused before it is sent.
    expect(await second.ended).toBe(2);
    const third = runProgram({
      program: '/bin/sh',
      args: [
        '-c',
        `printf '#script\\ntext "from stdin"' | "${node}" "${bin}" send --conversation stdin-1 -`,
      ],
      environment: environment({}),
    });
    expect(await third.ended).toBe(0);
    expect(third.stdout()).toBe('from stdin\n');
  });

  test('A2: the same request id is one turn with one answer', async () => {
    const args = [
      'send',
      '--json',
      '--new',
      '--conversation',
      'twice',
      '--request-id',
      'r-1',
      script('words 3'),
    ];
    const answers = await Promise.all([ran(args), ran(args)]);
    const third = await ran(args);
    const parsed = [...answers, third].map(({ out }) => JSON.parse(out) as Record<string, unknown>);
    expect(parsed[0]).toMatchObject({ requestId: 'r-1', outcome: 'completed', text: words(3) });
    expect(new Set(parsed.map((answer) => answer['turnId'])).size).toBe(1);
    const other = await ran([...args.slice(0, -1), 'other content']);
    expect(other.code).toBe(1);
    expect(other.err).toContain('request_id_reused');
  });

  test('exit code 1 for a turn that failed', async () => {
    const { code, err } = await ran(['send', script('text "half"', 'fail out of luck')]);
    expect(code).toBe(1);
    expect(err).toContain('The turn failed');
  });

  test('exit code 1 and the code for what is refused: busy, unknown conversation, unknown provider', async () => {
    const running = holdfast(['send', '--new', '--conversation', 'busy-1', script('hang')]);
    await eventually(async () =>
      (await status()).turns.some((turn) => turn.conversationId === 'busy-1'),
    );
    const busy = await ran(['send', '--conversation', 'busy-1', '--when-busy', 'reject', 'hello']);
    expect([busy.code, busy.err]).toEqual([1, expect.stringContaining('(busy)')]);
    const unknown = await ran(['send', '--conversation', 'nobody', 'hello']);
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('(not_found)')]);
    const provider = await ran(['send', '--provider', 'nobody', 'hello']);
    expect([provider.code, provider.err]).toEqual([
      1,
      expect.stringContaining('(provider_not_found)'),
    ]);

    const cancelled = await ran(['cancel', 'busy-1']);
    expect(cancelled.code).toBe(0);
    expect((await ended(running)).code).toBe(4);
  });

  test('exit code 4 for a cancelled turn; its partial answer is printed, and retry starts it again', async () => {
    const sending = holdfast([
      'send',
      '--new',
      '--conversation',
      'cancel-1',
      script('words 3', 'hang'),
    ]);
    await eventually(async () =>
      (await ran(['tail', '--no-follow', 'cancel-1'])).out.includes('w2'),
    );
    expect((await ran(['cancel', 'cancel-1'])).code).toBe(0);
    const { code, out, err } = await ended(sending);
    expect({ code, out }).toEqual({ code: 4, out: `${words(3)}\n` });
    expect(err).toContain('The turn was cancelled');

    const turnId = JSON.parse((await ran(['tail', '--json', '--no-follow', 'cancel-1'])).out) as {
      payload: { messages: { turnId: string }[] };
    };
    const again = await ran(['retry', 'cancel-1', turnId.payload.messages[0]?.turnId ?? '']);
    expect(again.code).toBe(0);
    await eventually(async () =>
      (await status()).turns.find(
        (turn) => turn.conversationId === 'cancel-1' && turn.attempt === 2,
      ),
    );
    expect((await ran(['cancel', 'cancel-1'])).code).toBe(0);
  });

  test('C2: Ctrl-C stops the waiting and not the turn; tail follows it to its end', async () => {
    const sending = holdfast(['send', script('words 200 every 10')]);
    const conversationId = await conversationOf(sending);
    await streaming(conversationId);
    sending.kill('SIGINT');
    const { code, err } = await ended(sending);
    expect(code).toBe(130);
    expect(err).toContain(`holdfast tail ${conversationId}`);

    const following = holdfast(['tail', conversationId]);
    await eventually(() => following.stdout().includes('— completed'));
    following.kill('SIGINT');
    expect(await following.ended).toBe(0);
    expect(following.stdout()).toContain(words(200));
    expect(ends(await log(conversationId))).toEqual(['chat.done']);
  });

  test('L1: tail --json gives every event from the first on, without a gap', async () => {
    const { err } = await ran([
      'send',
      script('think 3', 'words 20', 'tool build prints 2', 'text "end"'),
    ]);
    const conversationId = /conversation: (\S+)/.exec(err)?.[1] ?? '';
    const lines = await log(conversationId);
    expect(lines.map((line) => line.seq)).toEqual(lines.map((_, index) => index + 1));
    expect(lines[0]?.type).toBe('conversation.created');
    expect(ends(lines)).toEqual(['chat.done']);
    const transcript = (await ran(['tail', '--no-follow', conversationId])).out;
    expect(transcript).toContain(`${words(20)}\n[tool build]\nend\n`);
  });
});

describe('triggers', () => {
  test('none is said in words; a wrong word is exit code 2', async () => {
    expect(await ran(['triggers'])).toEqual({ code: 0, out: 'There is no trigger.\n', err: '' });
    expect((await ran(['triggers', '--json'])).out).toBe('[]\n');
    for (const args of [
      ['one', 'two'],
      ['--limit', '3'],
      ['g1', '--limit', '0'],
      ['g1', '--outcome', 'lost'],
      ['--colour'],
    ]) {
      const { code, out, err } = await ran(['triggers', ...args]);
      expect({ args, code, out }).toEqual({ args, code: 2, out: '' });
      expect(err).toContain('holdfast triggers');
    }
    const unknown = await ran(['triggers', 'nobody']);
    expect([unknown.code, unknown.err]).toEqual([1, expect.stringContaining('(not_found)')]);
  });

  test('each with when it is due next and what went wrong last; its ledger, newest first; tail says who sent', async () => {
    await ran(['send', '--new', '--conversation', 'trig-1', script('text "first"')]);
    await call('POST', '/v1/triggers', {
      triggerId: 'nightly',
      conversationId: 'trig-1',
      title: 'Nightly\u001b[2J report',
      content: script('text "from the trigger"'),
      schedule: { cron: '0 3 * * *', timezone: 'Europe/Berlin' },
    });
    await call('POST', '/v1/triggers', {
      triggerId: 'hourly',
      conversationId: 'trig-1',
      content: 'say hello',
      schedule: { everyMs: 3_600_000 },
      paused: true,
    });
    for (const requestId of ['f1', 'f2', 'f3'])
      await call('POST', '/v1/triggers/nightly/fire', { requestId });
    await eventually(async () => {
      const { items } = (await call('GET', '/v1/triggers/nightly/ledger')) as {
        items: { turnId?: string }[];
      };
      return items.every(({ turnId }) => turnId !== undefined);
    });

    const { code, out, err } = await ran(['triggers']);
    expect([code, err]).toEqual([0, '']);
    const [head, ...lines] = out.trimEnd().split('\n');
    expect(head).toMatch(/^ID +MESSAGE +WHEN +NEXT DUE +LAST$/);
    expect(lines).toEqual([
      expect.stringMatching(/^hourly +"say hello" +every 1 h +paused +nothing yet$/),
      expect.stringMatching(
        /^nightly +Nightly␛\[2J report +cron 0 3 \* \* \* Europe\/Berlin +\d{4}-\d\d-\d\d \S+ in \d+ (s|min|h) +fired \(manual\) \d{4}-/,
      ),
    ]);
    const listed = JSON.parse((await ran(['triggers', '--json'])).out) as { triggerId: string }[];
    expect(listed).toEqual(((await call('GET', '/v1/triggers')) as { items: object[] }).items);

    const rows = await ran(['triggers', 'nightly', '--limit', '2']);
    expect(rows.code).toBe(0);
    expect(rows.out.split('\n')).toEqual([
      expect.stringMatching(/^DUE +OUTCOME +CONVERSATION +WHY$/),
      expect.stringMatching(/^\d{4}-\S+ \S+ +fired \(manual\) +trig-1 +Run by hand/),
      expect.stringMatching(/fired \(manual\)/),
      '[older rows are not shown: --limit]',
      'In all: 3 fired, 0 late, 0 caught-up, 0 skipped, 0 rejected.',
      '',
    ]);
    const json = JSON.parse((await ran(['triggers', '--json', 'nightly'])).out) as {
      requestId: string;
    }[];
    expect(json.map(({ requestId }) => requestId)).toEqual(['f3', 'f2', 'f1']);
    const none = await ran(['triggers', 'nightly', '--outcome', 'skipped']);
    expect([none.code, none.out.split('\n')[0]]).toEqual([
      0,
      'There is no such row in its ledger.',
    ]);

    await eventually(async () => ends(await log('trig-1')).length === 4);
    const told = await ran(['tail', '--from', '1', '--no-follow', 'trig-1']);
    expect(told.out.match(/^\[trigger Nightly.* report, due .*: Run by hand/gm)).toHaveLength(3);
    await call('DELETE', '/v1/triggers/hourly');
    await call('DELETE', '/v1/triggers/nightly');
    expect((await ran(['triggers'])).out).toBe('There is no trigger.\n');
    expect((await ran(['triggers', 'nightly'])).out).toContain('In all: 3 fired');
  });
});

describe('agents', () => {
  const path = '/v1/conversations/boss/agents';

  test('a tree with states and mail, what did not arrive and since when; the same as JSON; changes with --follow', async () => {
    await ran(['send', '--new', '--conversation', 'boss', script('text "at work"')]);
    const alone = await ran(['agents', 'boss']);
    expect([alone.code, alone.err]).toEqual([0, '']);
    expect(alone.out).toMatch(
      /^AGENT +STATE +MAIL +LAST +SAYS\nroot .*idle, completed +- .*at work\n$/,
    );
    const content = script('text "on it"', 'hang');
    const reader = (await call('POST', path, { name: 'Reader', role: 'reads', content })) as {
      conversationId: string;
    };
    const below = `/v1/conversations/${reader.conversationId}/agents`;
    await call('POST', below, { agentId: 'tester', content: script('text "tested"') });
    await call('POST', '/v1/conversations/boss/mailbox', {
      to: 'reader',
      content: 'wait for me',
      messageId: 'waits',
    });
    const tree = await eventually(async () => {
      const { out } = await ran(['agents', 'boss']);
      return /tester +idle, completed/.test(out) && /2 in its queue/.test(out) ? out : null;
    }, 30_000);
    const lines = tree.split('\n');
    expect(lines[1]).toMatch(/^root /);
    expect(lines[2]).toMatch(
      /^└─ reader "Reader" \(reads\) +processing, 2 queued +2 delivered, 1 applied /,
    );
    expect(lines[3]).toMatch(/^ {5}\. 2 in its queue, since \S+ \S+ \(\d+ s\)$/);
    expect(lines[4]).toMatch(/^ {3}└─ tester +idle, completed +1 applied .*tested$/);

    const json = await ran(['agents', '--json', reader.conversationId]);
    expect(JSON.parse(json.out)).toEqual(await call('GET', path));
    const following = holdfast(['agents', '--follow', '--json', 'boss']);
    await eventually(() => following.stdout().includes('"type":"snapshot"'));
    const watching = holdfast(['agents', '--follow', 'boss']);
    await eventually(() => watching.stdout().includes('tester'));

    const cancelled = await ran(['cancel', '--cascade', 'boss']);
    expect(cancelled.code).toBe(0);
    expect(cancelled.out).toMatch(/Nothing runs in this conversation\.\nThe agents below it/);
    await eventually(() => /reader "Reader" \(reads\) {2}idle, cancelled/.test(watching.stdout()));
    await eventually(async () => (await ran(['agents', 'boss'])).out.includes('idle, cancelled'));
    const { agents } = (await call('GET', path)) as { agents: { agentId: string }[] };
    await eventually(() => {
      const told = new Map<string, unknown>();
      for (const line of following.stdout().trim().split('\n')) {
        const { type, payload } = JSON.parse(line) as {
          type: string;
          payload: { agents?: { agentId: string }[]; agent?: { agentId: string } };
        };
        for (const agent of type === 'snapshot' ? (payload.agents ?? []) : [payload.agent])
          told.set(agent?.agentId ?? '', agent);
      }
      expect([...told.values()]).toEqual(agents);
      return true;
    });
    for (const program of [following, watching]) {
      program.kill('SIGINT');
      expect((await ended(program)).code).toBe(0);
    }
  });

  test('what was removed is shown as failed, with whom it was from', async () => {
    const { conversationId } = (await call('GET', path).then((team) =>
      (team as { agents: { agentId: string; conversationId: string }[] }).agents.find(
        ({ agentId }) => agentId === 'reader',
      ),
    )) ?? { conversationId: '' };
    const mailbox = `/v1/conversations/${conversationId}/mailbox`;
    const { items } = (await call('GET', `${mailbox}?state=delivered`)) as {
      items: { messageId: string; requestId: string }[];
    };
    const waits = items.find(({ messageId }) => messageId === 'waits');
    await call('DELETE', `/v1/conversations/${conversationId}/queue/${waits?.requestId}`);
    const { out } = await ran(['agents', 'boss']);
    expect(out).toMatch(/^ +! failed: removed, waits from root, since /m);
  });

  test('an unknown conversation is exit code 1, a wrong word 2', async () => {
    const unknown = await ran(['agents', 'nobody']);
    expect([unknown.code, unknown.out, unknown.err]).toEqual([
      1,
      '',
      expect.stringContaining('(not_found)'),
    ]);
    for (const args of [[], ['one', 'two'], ['--colour', 'one']]) {
      const { code, out, err } = await ran(['agents', ...args]);
      expect({ args, code, out }).toEqual({ args, code: 2, out: '' });
      expect(err).toContain('holdfast agents');
    }
  });
});

describe('faults', () => {
  test('F2: gateway, worker and turn host killed in mid-turn: the waiting send prints the exact answer', async () => {
    const sending = holdfast(['send', script('words 400 every 10')]);
    const conversationId = await conversationOf(sending);
    await streaming(conversationId);
    for (const role of ['gateway', 'turn-host', 'worker']) {
      const before = (await status()).processes.find((record) => record.role === role);
      process.kill(before?.pid ?? 0, 'SIGKILL');
      await eventually(() =>
        readLiveState({ runFolder: join(home, 'run') })?.processes.find(
          (record) => record.role === role && record.pid !== before?.pid,
        ),
      );
    }
    const { code, out } = await ended(sending);
    expect({ code, out }).toEqual({ code: 0, out: `${words(400)}\n` });
    expect(ends(await log(conversationId))).toEqual(['chat.done']);
    const restarts = (await status()).processes.map(({ role, restarts: count }) => [role, count]);
    const expected = { supervisor: 0, temporal: 0, gateway: 1, 'turn-host': 1, worker: 1 };
    expect(Object.fromEntries(restarts)).toEqual(expected);
  });

  test('Temporal killed: it comes back on its port, and sends are accepted again', async () => {
    const before = await status();
    const server = before.processes.find((record) => record.role === 'temporal');
    process.kill(server?.pid ?? 0, 'SIGKILL');
    const { code, out } = await ran(['send', script('words 2')]);
    expect({ code, out }).toEqual({ code: 0, out: `${words(2)}\n` });
    const after = await status();
    expect(after.temporal).toBe(before.temporal);
    expect(after.processes.find((record) => record.role === 'temporal')?.restarts).toBe(1);
  });

  test('stop in mid-turn leaves the turn running; after the next start its text is complete and there once', async () => {
    const sending = holdfast(['send', script('words 600 every 10')]);
    const conversationId = await conversationOf(sending);
    await streaming(conversationId);
    const turn = (await status()).turns.find((each) => each.conversationId === conversationId);
    expect(turn).toMatchObject({ attempt: 1, phase: 'streaming' });
    const { api } = await status();
    const stopped = await ran(['stop']);
    expect(stopped.code).toBe(0);
    expect(stopped.out).toContain(`${turn?.turnId} of ${conversationId}`);
    expect(await supervisor.ended).toBe(0);
    expect(processStartTime(turn?.providerPid ?? 0)).not.toBeNull();
    await expect(fetch(`${api}/healthz`)).rejects.toThrow('fetch failed');

    const nothing = await ran(['status', '--json']);
    expect([nothing.code, nothing.out]).toEqual([3, '']);
    expect(nothing.err).not.toBe('');
    expect((await ran(['stop'])).code).toBe(3);
    const triggers = await ran(['triggers']);
    expect([triggers.code, triggers.out]).toEqual([3, '']);
    expect(triggers.err).toContain('Start it: holdfast start');
    const agents = await ran(['agents', 'boss']);
    expect([agents.code, agents.out]).toEqual([3, '']);
    expect(agents.err).toContain('Start it: holdfast start');
    sending.kill('SIGKILL');

    supervisor = await startUp();
    const lines = await endedLog(conversationId);
    expect(ends(lines)).toEqual(['chat.done']);
    expect(shown(lines)).toBe(words(600));
    const transcript = (await ran(['tail', '--no-follow', conversationId])).out;
    expect(transcript.split(words(600))).toHaveLength(2);
  }, 90_000);

  test('a kill -9 of the supervisor: status still tells, the next start repairs, a turn survives both', async () => {
    const sending = holdfast(['send', script('words 600 every 10')]);
    const conversationId = await conversationOf(sending);
    await streaming(conversationId);
    const before = await status();
    supervisor.kill('SIGKILL');
    await supervisor.ended;
    const orphaned = await ran(['status', '--json']);
    expect(orphaned.code).toBe(0);
    expect((JSON.parse(orphaned.out) as Status).processes.map(({ role }) => role)).not.toContain(
      'supervisor',
    );
    expect(orphaned.err).toContain('holdfast start');

    supervisor = await startUp();
    const after = await status();
    const pids = new Set(before.processes.map(({ pid }) => pid));
    expect(after.processes.filter(({ pid }) => pids.has(pid))).toEqual([]);
    sending.kill('SIGKILL');
    const lines = await endedLog(conversationId);
    expect(ends(lines)).toEqual(['chat.done']);
    expect(shown(lines)).toBe(words(600));
  }, 90_000);

  test('stop --turns cancels what runs, and says that nothing goes on', async () => {
    const sending = holdfast([
      'send',
      '--new',
      '--conversation',
      'stopped',
      script('words 5', 'hang'),
    ]);
    await eventually(async () =>
      (await status()).turns.some(
        (each) => each.conversationId === 'stopped' && each.providerPid !== null,
      ),
    );
    const stopped = await ran(['stop', '--turns']);
    expect({ code: stopped.code, out: stopped.out }).toEqual({
      code: 0,
      out: 'Holdfast is stopped.\n',
    });
    expect(await supervisor.ended).toBe(0);
    expect((await ended(sending)).code).toBe(4);
    supervisor = await startUp();
    expect((await status()).turns).toEqual([]);
    expect(ends(await log('stopped'))).toEqual(['chat.cancelled']);
  }, 90_000);
});

test('no log holds the token or a prompt', async () => {
  const prompt = 'a-prompt-that-is-nobody-elses-business';
  expect((await ran(['send', prompt])).code).toBe(0);
  expect((await ran(['send', script(`fail ${prompt}`)])).code).toBe(1);
  const token = readFileSync(join(home, 'token'), 'utf8').trim();
  const names = readdirSync(join(home, 'logs'));
  expect(names).toContain('turn-host.log');
  for (const name of names) {
    const content = readFileSync(join(home, 'logs', name), 'utf8');
    expect([name, content.includes(token), content.includes(prompt)]).toEqual([name, false, false]);
  }
});

describe('what is typed wrongly', () => {
  test.each([
    [['--help'], 0, /send a message/],
    [['help', 'send'], 0, /--when-busy/],
    [['tail', '--help'], 0, /--no-follow/],
  ])('%j prints help on stdout', async (args, code, out) => {
    const result = await ran(args);
    expect(result.code).toBe(code);
    expect(result.out).toMatch(out);
    expect(result.err).toBe('');
  });

  test.each([
    [[], /start +run Holdfast/],
    [['sned'], /no command "sned"/],
    [['send'], /What is to be sent/],
    [['send', ''], /empty/],
    [['send', 'a', 'b'], /quotes/],
    [['send', '--colour', 'red', 'x'], /--colour/],
    [['send', '--when-busy', 'never', 'x'], /queue, reject, interrupt, steer/],
    [
      ['send', '--conversation', 'c', '--provider', 'scripted', 'x'],
      /--provider is for a new conversation/,
    ],
    [['tail'], /Name one conversation/],
    [['tail', '--from', 'x', 'c'], /--from/],
    [['retry', 'c'], /one of its turns/],
    [['status', 'extra'], /extra/],
  ])('%j is exit code 2 with a reason on stderr', async (args, err) => {
    const result = await ran(args);
    expect(result.code).toBe(2);
    expect(result.out).toBe('');
    expect(result.err).toMatch(err);
  });

  test('an unknown HOLDFAST_ name is exit code 2 and names the closest', async () => {
    const { code, err } = await ran(['status'], { HOLDFAST_PROT: '1' });
    expect(code).toBe(2);
    expect(err).toContain('Did you mean HOLDFAST_PORT?');
  });

  test('nothing was ever started: exit code 3', async () => {
    const elsewhere = { HOLDFAST_HOME: join(home, 'never') };
    for (const args of [['status'], ['stop'], ['send', 'x'], ['tail', 'x'], ['agents', 'x']])
      expect((await ran(args, elsewhere)).code).toBe(3);
  });
});

describe('bin/holdfast.mjs', () => {
  /** Makes the Node that runs it say that it is an old one, so that it starts another. */
  const asOldNode =
    'data:text/javascript,Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.0.0" } })';

  test('under an old Node it runs the command in a child and ends as that does', async () => {
    const program = runProgram({
      program: node,
      args: ['--import', asOldNode, bin, 'nonsense'],
      environment: environment(),
    });
    expect(await program.ended).toBe(2);
    expect(program.stderr()).toContain('no command "nonsense"');
  });

  test('a signal reaches the child, and the end by a signal is passed back', async () => {
    const program = runProgram({
      program: node,
      args: ['--import', asOldNode, bin, 'send', script('hang')],
      environment: environment(),
    });
    const conversationId = await conversationOf(program);
    await eventually(async () =>
      (await status()).turns.some((turn) => turn.conversationId === conversationId),
    );
    program.kill('SIGINT');
    expect(await program.ended).toBe(130);
    const again = runProgram({
      program: node,
      args: ['--import', asOldNode, bin, 'tail', conversationId],
      environment: environment(),
    });
    await eventually(() => again.stdout().includes('#script'));
    again.kill('SIGTERM');
    expect(await again.ended).toBe('SIGTERM');
    await ran(['cancel', conversationId]);
  });
});
