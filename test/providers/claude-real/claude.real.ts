import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { ProviderReport } from '../../../src/contracts/provider-events.ts';
import { eventually } from '../../support/eventually.ts';
import { ClaudeSession } from './claude-session.ts';
import type { Answer } from './model-api.ts';

type Options = NonNullable<Parameters<typeof ClaudeSession.start>[0]>;

async function start(script: Answer[], options: Options = {}): Promise<ClaudeSession> {
  const session = await ClaudeSession.start(options);
  onTestFinished(async () => await session.end());
  session.api.script.push(...script);
  return session;
}

const words = (count: number): string =>
  Array.from({ length: count }, (_, index) => `word${index} `).join('');

const says = (text: string, everyMs = 0): Answer => ({
  type: 'message',
  everyMs,
  parts: [{ type: 'text', text }],
});

const runs = (command: string, more: Record<string, unknown> = {}): Answer => ({
  type: 'message',
  parts: [{ type: 'tool', name: 'Bash', input: { command, description: 'scripted', ...more } }],
});

/** What a client would be shown of the answer: deltas, less what was taken back. */
function shown(reports: ProviderReport[]): string {
  const segments = new Map<string, string>();
  for (const report of reports) {
    if (report.type === 'delta')
      segments.set(report.segment, (segments.get(report.segment) ?? '') + report.text);
    if (report.type === 'segment.end') segments.set(report.segment, report.text);
    if (report.type === 'segment.discard') segments.delete(report.segment);
  }
  return [...segments.values()].join('');
}

const end = (reports: ProviderReport[]): ProviderReport | undefined => reports.at(-1);

function commandLines(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    });
}

describe('a real Claude Code', () => {
  it('answers: session first, deltas, the whole text, usage of this turn', async () => {
    const session = await start([says('Hello there, you.')]);
    session.begin('a prompt with "quotes"\nand lines');
    const reports = await session.turn(1);
    expect(reports[0]).toMatchObject({ type: 'session' });
    expect(reports.filter(({ type }) => type === 'delta').length).toBe(3);
    expect(shown(reports)).toBe('Hello there, you.');
    expect(end(reports)).toMatchObject({
      end: { outcome: 'completed' },
      usage: { inputTokens: 100, outputTokens: 3 },
    });
    expect(JSON.stringify(session.api.requests[0]?.messages)).toContain(
      String.raw`a prompt with \"quotes\"\nand lines`,
    );
  });

  it('takes a second turn on the same process, with usage of its own', async () => {
    const session = await start([says('one'), says('two and more')]);
    session.begin('first');
    const first = await session.turn(1);
    session.begin('second');
    const second = await session.turn(2);
    expect([shown(first), shown(second)]).toEqual(['one', 'two and more']);
    expect(second[0]).toEqual(first[0]);
    expect(end(second)).toMatchObject({ usage: { inputTokens: 100, outputTokens: 3 } });
  });

  it('is interrupted in mid-answer, keeps what it said, and takes the next turn', async () => {
    const session = await start([says(words(500), 20), says('next')]);
    session.begin('go');
    await session.until((report) => report.type === 'delta' && report.text === 'word5 ');
    session.cancel();
    const reports = await session.turn(1);
    expect(end(reports)).toMatchObject({ end: { outcome: 'cancelled' } });
    expect(shown(reports)).toMatch(/^word0 .*word5 /);
    expect(reports.some(({ type }) => type === 'segment.discard')).toBe(false);
    session.begin('again');
    expect(shown(await session.turn(2))).toBe('next');
  });

  it('is interrupted while it thinks', async () => {
    const thinks: Answer = {
      type: 'message',
      everyMs: 20,
      parts: [{ type: 'thinking', text: words(500) }],
    };
    const session = await start([thinks]);
    session.begin('go');
    await session.until((report) => report.type === 'delta' && report.text === 'word3 ');
    session.cancel();
    const reports = await session.turn(1);
    expect(end(reports)).toMatchObject({ end: { outcome: 'cancelled' } });
    expect(shown(reports)).toMatch(/^word0 /);
  });

  it('is interrupted before it has started on the message, and never starts on it', async () => {
    const session = await start([says('second')]);
    session.begin('first');
    session.cancel();
    expect(await session.turn(1)).toEqual([{ type: 'end', end: { outcome: 'cancelled' } }]);
    session.begin('go on');
    expect(shown(await session.turn(2))).toBe('second');
    expect(session.api.requests).toHaveLength(1);
  });

  it('is interrupted in a tool, whose processes it ends', async () => {
    const session = await start([runs('tail -f /dev/null -s 7531 & tail -f /dev/null -s 7531')]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    await eventually(() =>
      commandLines().some((line) => line.startsWith('tail -f /dev/null -s 7531')),
    );
    session.cancel();
    const reports = await session.turn(1);
    expect(end(reports)).toMatchObject({ end: { outcome: 'cancelled' } });
    expect(reports.some((report) => report.type === 'tool.end' && report.status === 'error')).toBe(
      true,
    );
    await eventually(
      () => !commandLines().some((line) => line.startsWith('tail -f /dev/null -s 7531')),
    );
  });

  it('asks, and runs what is allowed', async () => {
    const session = await start([runs('touch allowed-file'), says('made it')]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    expect(asked).toMatchObject({
      title: 'Bash: scripted',
      input: { command: 'touch allowed-file' },
    });
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    const reports = await session.turn(1);
    expect(reports.map(({ type }) => type).filter((type) => type.startsWith('tool'))).toEqual([
      'tool.start',
      'tool.end',
    ]);
    expect(reports.find(({ type }) => type === 'tool.end')).toMatchObject({ status: 'ok' });
    expect(existsSync(join(session.workspace, 'allowed-file'))).toBe(true);
    expect(shown(reports)).toBe('made it');
  });

  it('asks, and does not run what is denied', async () => {
    const session = await start([runs('touch denied-file'), says('then not')]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'deny', 'not today');
    const reports = await session.turn(1);
    expect(reports.find(({ type }) => type === 'tool.end')).toMatchObject({
      status: 'denied',
      output: 'not today',
    });
    expect(existsSync(join(session.workspace, 'denied-file'))).toBe(false);
    expect(end(reports)).toMatchObject({ end: { outcome: 'completed' } });
  });

  it('is interrupted while it asks: the approval is gone', async () => {
    const session = await start([runs('touch never')]);
    session.begin('go');
    await session.until(({ type }) => type === 'approval');
    session.cancel();
    const reports = await session.turn(1);
    expect(reports.filter(({ type }) => type === 'approval.gone')).toHaveLength(1);
    expect(end(reports)).toMatchObject({ end: { outcome: 'cancelled' } });
    expect(existsSync(join(session.workspace, 'never'))).toBe(false);
  });

  const overloaded: Answer = { type: 'error', status: 529, error: 'overloaded_error' };

  it('retries an overloaded model, and says so', async () => {
    const session = await start([overloaded, says('at last')]);
    session.begin('go');
    const reports = await session.turn(1);
    expect(reports.find(({ type }) => type === 'retrying')).toMatchObject({
      attempt: 1,
      status: '529 overloaded',
    });
    expect(shown(reports)).toBe('at last');
    expect(end(reports)).toMatchObject({ end: { outcome: 'completed' } });
  });

  it.each<[string, Answer, string]>([
    ['overloaded', overloaded, 'overload'],
    ['unauthorized', { type: 'error', status: 401, error: 'authentication_error' }, 'auth'],
    ['rate limited', { type: 'error', status: 429, error: 'rate_limit_error' }, 'rate'],
    ['refused', { type: 'error', status: 400, error: 'invalid_request_error' }, 'request'],
    ['broken', { type: 'error', status: 500, error: 'api_error' }, 'provider_error'],
  ])('fails when the model stays %s', async (_what, answer, code) => {
    const session = await start(
      Array.from({ length: 9 }, () => answer),
      { environment: { CLAUDE_CODE_MAX_RETRIES: '1' } },
    );
    session.begin('go');
    const reports = await session.turn(1);
    expect(end(reports)).toMatchObject({ end: { outcome: 'failed', code } });
    expect(shown(reports)).toBe('');
  });

  it('fails when the model cannot be reached', async () => {
    const session = await start([], { environment: { CLAUDE_CODE_MAX_RETRIES: '1' } });
    await session.api.close();
    session.begin('go');
    expect(end(await session.turn(1))).toMatchObject({
      end: { outcome: 'failed', code: 'network' },
    });
  });

  it('shows an answer once that was cut off and asked for again', async () => {
    const session = await start([{ type: 'cut', text: words(5) }, says(`${words(5)}end`)]);
    session.begin('go');
    const reports = await session.turn(1);
    expect(reports.filter(({ type }) => type === 'segment.discard')).toHaveLength(1);
    expect(shown(reports)).toBe(`${words(5)}end`);
  });

  it('shows an answer once that came whole after two cuts', async () => {
    const cut: Answer = { type: 'cut', text: words(5) };
    const session = await start([cut, cut, says('whole')], {
      environment: { CLAUDE_CODE_MAX_RETRIES: '1' },
    });
    session.begin('go');
    const reports = await session.turn(1);
    expect(reports.filter(({ type }) => type === 'segment.discard')).toHaveLength(2);
    expect(shown(reports)).toBe('whole');
  });

  it('continues a session in another process, and says when there is none to continue', async () => {
    const first = await ClaudeSession.start();
    first.api.script.push(says('I will remember.'));
    const key = first.begin('remember the word heliotrope');
    const [opened] = await first.turn(1);
    await first.end({ keep: true });
    const sessionId = opened?.type === 'session' ? opened.sessionId : '';

    const second = await start([says('heliotrope')], {
      home: first.home,
      resumeSessionId: sessionId,
    });
    second.begin('which word?');
    const reports = await second.turn(1);
    expect(reports[0]).toMatchObject({ type: 'session', sessionId });
    const asked = JSON.stringify(second.api.requests[0]?.messages);
    expect(asked).toContain('remember the word heliotrope');
    expect(asked).toContain('I will remember.');

    // a message it has had, in whatever process, it does not take again
    second.begin('remember the word heliotrope', { attemptKey: key });
    expect(end(await second.turn(2))).toMatchObject({ end: { outcome: 'failed' } });
    expect(second.api.requests).toHaveLength(1);

    const missing = await start([], { resumeSessionId: crypto.randomUUID() });
    missing.begin('which word?');
    expect(await missing.turn(1)).toMatchObject([
      { type: 'end', end: { outcome: 'failed', code: 'session_missing' } },
    ]);
  });

  it('takes messages in mid-turn at the end of a tool, in order and each once, within one turn', async () => {
    const session = await start([
      runs('timeout 2 tail -f /dev/null; echo done'),
      says('all of it'),
    ]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    // as written again by a host that does not know whether it was
    session.steer('r2', 'and heliotrope', 3);
    session.steer('r3', 'and marigold');
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    const reports = await session.turn(1);
    expect(reports.map(({ type }) => type)).toEqual([
      'session',
      'tool.start',
      'approval',
      'tool.end',
      'steered',
      'steered',
      'delta',
      'delta',
      'delta',
      'segment.end',
      'end',
    ]);
    expect(end(reports)).toMatchObject({ end: { outcome: 'completed' } });
    const heard = JSON.stringify(session.api.requests[1]?.messages);
    expect(heard.split('heliotrope')).toHaveLength(2);
    expect(heard.split('marigold')).toHaveLength(2);
    session.api.script.push(says('next'));
    session.begin('again');
    expect(shown(await session.turn(2))).toBe('next');
    expect(session.api.requests).toHaveLength(3);
  });

  it('goes on with a message that came while it wrote its last answer: one turn, one end', async () => {
    const session = await start([says(words(30), 20), says('and the other')]);
    session.begin('go');
    await session.until((report) => report.type === 'delta' && report.text === 'word3 ');
    session.steer('r2', 'the other too');
    const reports = await session.turn(1);
    expect(shown(reports)).toBe(`${words(30)}and the other`);
    expect(reports.filter(({ type }) => type === 'steered')).toEqual([
      { type: 'steered', id: 'r2' },
    ]);
    expect(end(reports)).toMatchObject({
      end: { outcome: 'completed' },
      usage: { inputTokens: 200, outputTokens: 33 },
    });
    session.api.script.push(says('next'));
    session.begin('again');
    expect(shown(await session.turn(2))).toBe('next');
  });

  it('drops a message that it had not taken when the turn is cancelled', async () => {
    const session = await start([runs('timeout 20 tail -f /dev/null'), says('next')]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    session.steer('r2', 'heliotrope');
    await eventually(() => session.output().split('"queued"').length === 3);
    session.cancel();
    const reports = await session.turn(1);
    expect(reports.some(({ type }) => type === 'steered')).toBe(false);
    expect(end(reports)).toMatchObject({ end: { outcome: 'cancelled' } });
    session.begin('again');
    expect(shown(await session.turn(2))).toBe('next');
    expect(JSON.stringify(session.api.requests)).not.toContain('heliotrope');
  });

  it('forgets a message that it had not taken when it is ended, also in the next process', async () => {
    const first = await ClaudeSession.start();
    first.api.script.push(runs('timeout 20 tail -f /dev/null'));
    first.begin('go');
    const asked = await first.until(({ type }) => type === 'approval');
    first.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    first.steer('r2', 'heliotrope');
    await eventually(() => first.output().split('"queued"').length === 3);
    const opened = first.reports.find(({ type }) => type === 'session');
    await first.end({ keep: true });
    const second = await start([says('next')], {
      home: first.home,
      resumeSessionId: opened?.type === 'session' ? opened.sessionId : '',
    });
    second.begin('again');
    expect(shown(await second.turn(1))).toBe('next');
    expect(JSON.stringify(second.api.requests)).not.toContain('heliotrope');
  });

  it.each(['which word?', '/cost'])(
    'is told what was said before, also with the prompt %s',
    async (prompt) => {
      const session = await start([]);
      session.begin(prompt, { history: 'The user said heliotrope.' });
      expect(end(await session.turn(1))).toMatchObject({ end: { outcome: 'completed' } });
      session.begin('and now?');
      await session.turn(2);
      const heard = JSON.stringify(session.api.requests.at(-1)?.messages);
      expect(heard.split('The user said heliotrope.')).toHaveLength(2);
    },
  );

  it('a turn it takes by itself is not taken for ours', async () => {
    const session = await start([
      // what it does in the background ends by itself, a moment after the turn
      runs('timeout 1 tail -f /dev/null; echo done', { run_in_background: true }),
      says('Started it.'),
      says(`BY ITSELF ${words(30)}`, 50),
      says('the second answer'),
    ]);
    session.begin('go');
    const asked = await session.until(({ type }) => type === 'approval');
    session.answer(asked.type === 'approval' ? asked.approvalId : '', 'allow');
    expect(shown(await session.turn(1))).toBe('Started it.');
    await eventually(() => session.output().includes('"BY "'));
    session.begin('second');
    const reports = await session.turn(2);
    expect(shown(reports)).toBe('the second answer');
    expect(end(reports)).toMatchObject({ end: { outcome: 'completed' } });
  });
});
