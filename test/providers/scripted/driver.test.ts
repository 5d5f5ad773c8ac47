import * as fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import type { ProviderReport } from '../../../src/contracts/provider-events.ts';
import { ScriptedDriver } from '../../../src/providers/scripted/driver.ts';
import { scriptedProvider } from '../../../src/providers/scripted/provider.ts';
import type { FrameToProgram, LineFromProgram } from '../../../src/providers/scripted/wire.ts';
import { PROGRAM, RunningProgram } from './running-program.ts';

const spec = {
  workspacePath: '/srv/demo/work',
  model: null,
  resumeSessionId: null,
  newSessionId: 'a-session',
};

/** Every step that leaves a process able to go on, in one turn. */
const EVERYTHING = [
  '#script',
  'think 2',
  'words 3',
  'retry',
  'text "and more"',
  'tool build prints 2',
  'ask deploy',
  'garbage',
  'usage 10 20 0.5',
  'say turns',
  'usage 1 2 0',
].join('\n');

/** A driver with a running turn. */
function running(): { driver: ScriptedDriver; read: (line: LineFromProgram) => ProviderReport[] } {
  const driver = new ScriptedDriver();
  driver.begin({ attemptKey: 't1.1', content: 'hello' });
  return { driver, read: (line) => driver.line(JSON.stringify(line)) };
}

const end: LineFromProgram = { type: 'end', turn: 't1.1', outcome: 'completed' };
const approval: LineFromProgram = {
  type: 'approval',
  approvalId: 'a1',
  toolCallId: 'tool-1',
  title: 'Run x',
  input: { a: 1 },
  options: ['allow', 'deny'],
};

describe('scripted driver', () => {
  it('drives the real program through all it can do', async () => {
    const program = new RunningProgram({ args: ['--session-id', 'a-session', '--model', 'm'] });
    onTestFinished(() => program[Symbol.dispose]());
    const driver = new ScriptedDriver();
    const reports: ProviderReport[] = [];
    let fed = 0;
    const send = (frames: string[]): void => {
      for (const frame of frames) program.send(JSON.parse(frame) as FrameToProgram);
    };
    const feed = (): void => {
      for (; fed < program.seen.length; fed += 1)
        reports.push(...driver.line(program.seen[fed]?.text ?? ''));
    };
    send(driver.begin({ attemptKey: 't1.1', content: EVERYTHING }));
    await program.until(({ type }) => type === 'approval');
    feed();
    const asked = reports.find(({ type }) => type === 'approval');
    send(driver.answer(asked?.type === 'approval' ? asked.approvalId : '', 'allow', null));
    await program.until(({ type }) => type === 'end');
    feed();
    send(driver.begin({ attemptKey: 't2.1', content: '#script\nwords 1\nhang' }));
    await program.until((line) => line.type === 'delta' && line.block === 'b5');
    send(driver.cancel());
    await program.until((line) => line.type === 'end' && line.turn === 't2.1');
    feed();

    expect(reports).toEqual([
      { type: 'session', sessionId: 'a-session', model: 'm' },
      { type: 'delta', kind: 'reasoning', segment: 'b1', text: 't0 ' },
      { type: 'delta', kind: 'reasoning', segment: 'b1', text: 't1 ' },
      { type: 'segment.end', kind: 'reasoning', segment: 'b1', text: 't0 t1 ' },
      { type: 'delta', kind: 'text', segment: 'b2', text: 'w0 ' },
      { type: 'delta', kind: 'text', segment: 'b2', text: 'w1 ' },
      { type: 'delta', kind: 'text', segment: 'b2', text: 'w2 ' },
      { type: 'retrying', attempt: 1, delayMs: 0, status: 'scripted' },
      { type: 'segment.discard', segment: 'b2', reason: 'retry' },
      { type: 'delta', kind: 'text', segment: 'b3', text: 'w0 ' },
      { type: 'delta', kind: 'text', segment: 'b3', text: 'w1 ' },
      { type: 'delta', kind: 'text', segment: 'b3', text: 'w2 ' },
      { type: 'delta', kind: 'text', segment: 'b3', text: 'and more' },
      { type: 'segment.end', kind: 'text', segment: 'b3', text: 'w0 w1 w2 and more' },
      {
        type: 'tool.start',
        toolCallId: 'tool-1',
        name: 'build',
        input: { forMs: 0, prints: 2 },
      },
      { type: 'tool.output', toolCallId: 'tool-1', text: 'build line 1\n' },
      { type: 'tool.output', toolCallId: 'tool-1', text: 'build line 2\n' },
      {
        type: 'tool.end',
        toolCallId: 'tool-1',
        status: 'ok',
        output: 'build line 1\nbuild line 2\n',
      },
      {
        type: 'tool.start',
        toolCallId: 'tool-2',
        name: 'deploy',
        input: { forMs: 0, prints: 1 },
      },
      { ...asked, title: 'Run deploy', toolCallId: 'tool-2', options: ['allow', 'deny'] },
      { type: 'tool.output', toolCallId: 'tool-2', text: 'deploy line 1\n' },
      { type: 'tool.end', toolCallId: 'tool-2', status: 'ok', output: 'deploy line 1\n' },
      expect.objectContaining({ type: 'notice', code: 'unreadable_output' }),
      expect.objectContaining({ type: 'notice', code: 'unreadable_output' }),
      { type: 'usage', usage: { inputTokens: 10, outputTokens: 20, costUsd: 0.5 } },
      { type: 'delta', kind: 'text', segment: 'b4', text: '1' },
      { type: 'usage', usage: { inputTokens: 1, outputTokens: 2, costUsd: 0 } },
      { type: 'segment.end', kind: 'text', segment: 'b4', text: '1' },
      { type: 'end', end: { outcome: 'completed' } },
      { type: 'session', sessionId: 'a-session', model: 'm' },
      { type: 'delta', kind: 'text', segment: 'b5', text: 'w0 ' },
      { type: 'end', end: { outcome: 'cancelled' } },
    ]);

    // 1: the same calls and lines again
    const again = new ScriptedDriver();
    const lines = program.seen.map(({ text }) => text);
    const half = lines.findIndex((line) => line.includes('"turn":"t2.1"'));
    again.begin({ attemptKey: 't1.1', content: EVERYTHING });
    const replayed = lines.slice(0, half).flatMap((line) => again.line(line));
    again.begin({ attemptKey: 't2.1', content: '#script\nwords 1\nhang' });
    expect([...replayed, ...lines.slice(half).flatMap((line) => again.line(line))]).toEqual(
      reports,
    );
  });

  it('cancels the running turn by its id, and nothing when none runs', () => {
    expect(new ScriptedDriver().cancel()).toEqual([]);
    const { driver, read } = running();
    expect(driver.cancel()).toEqual(['{"type":"cancel","id":"t1.1"}']);
    read(end);
    expect(driver.cancel()).toEqual([]);
  });

  it('answers an approval once, and only while it is open', () => {
    const { driver, read } = running();
    expect(driver.answer('a1', 'allow', null)).toEqual([]);
    read(approval);
    expect(driver.answer('a1', 'deny', 'no')).toEqual([
      '{"type":"answer","approvalId":"a1","decision":"deny","message":"no"}',
    ]);
    expect(driver.answer('a1', 'allow', null)).toEqual([]);
    read(approval);
    expect(read({ type: 'approval.gone', approvalId: 'a1', reason: 'cancelled' })).toEqual([
      { type: 'approval.gone', approvalId: 'a1', reason: 'cancelled' },
    ]);
    expect(read({ type: 'approval.gone', approvalId: 'a1', reason: 'cancelled' })).toEqual([]);
    read(approval);
    read(end);
    expect(driver.answer('a1', 'allow', null)).toEqual([]);
  });

  it('hands over what was said before beside the prompt, which stays a script', () => {
    const driver = new ScriptedDriver();
    expect(driver.begin({ attemptKey: 't1.1', content: '#script', history: 'before' })).toEqual([
      '{"type":"turn","id":"t1.1","prompt":"#script","history":"before"}',
    ]);
  });

  it('offers a message to the running turn, and reports once that it was taken', () => {
    expect(new ScriptedDriver().steer({ id: 'r2', content: 'x' })).toEqual([]);
    const { driver, read } = running();
    expect(read({ type: 'steered', id: 'r2' })).toEqual([]);
    expect(driver.steer({ id: 'r2', content: 'x' })).toEqual([
      '{"type":"steer","turn":"t1.1","id":"r2","content":"x"}',
    ]);
    expect(read({ type: 'steered', id: 'r3' })).toEqual([]);
    expect(read({ type: 'steered', id: 'r2' })).toEqual([{ type: 'steered', id: 'r2' }]);
    expect(read({ type: 'steered', id: 'r2' })).toEqual([]);
    driver.steer({ id: 'r4', content: 'x' });
    read(end);
    expect(driver.steer({ id: 'r5', content: 'x' })).toEqual([]);
    driver.begin({ attemptKey: 't2.1', content: 'next' });
    expect(read({ type: 'steered', id: 'r4' })).toEqual([]);
  });

  it('reports why a turn failed', () => {
    const { read } = running();
    const failed: LineFromProgram = {
      ...end,
      outcome: 'failed',
      code: 'script_error',
      message: 'line 2',
    };
    expect(read(failed)).toEqual([
      { type: 'end', end: { outcome: 'failed', code: 'script_error', message: 'line 2' } },
    ]);
  });

  it('2: reports nothing outside a turn, and takes no other turn’s end', () => {
    const delta: LineFromProgram = { type: 'delta', block: 'b1', text: 'x' };
    const idle = new ScriptedDriver();
    expect(idle.line(JSON.stringify(delta))).toEqual([]);
    expect(idle.line('not JSON')).toEqual([]);
    const { read } = running();
    expect(read({ ...end, turn: 'another' })).toEqual([]);
    expect(read(end)).toHaveLength(1);
    expect(read(end)).toEqual([]);
    expect(read(delta)).toEqual([]);
  });

  it('3: takes anything, reports at most one end, and never an empty approval or tool', () => {
    const field = fc.constantFrom(
      'type',
      'block',
      'text',
      'toolCallId',
      'approvalId',
      'usage',
      'turn',
      'outcome',
    );
    const kinds =
      'session delta think block.end tool.start tool.output tool.end approval approval.gone';
    const known = fc.constantFrom(
      ...kinds.split(' '),
      ...'retry usage notice end t1.1 completed'.split(' '),
    );
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .dictionary(field, fc.oneof({ weight: 3, arbitrary: known }, fc.jsonValue()))
        .map((o) => JSON.stringify(o)),
    );
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const { driver } = running();
        const reports = lines.flatMap((text) => driver.line(text));
        expect(reports.filter(({ type }) => type === 'end').length).toBeLessThanOrEqual(1);
        for (const report of reports) {
          expect('toolCallId' in report && typeof report.toolCallId !== 'string').toBe(false);
          expect('approvalId' in report && typeof report.approvalId !== 'string').toBe(false);
        }
      }),
    );
  });
});

describe('scripted provider', () => {
  it('is always found, and runs by the Node that runs us', async () => {
    expect(await scriptedProvider.lookup({})).toEqual({
      found: true,
      program: process.execPath,
      version: '1.3.0',
      problem: null,
    });
  });

  it('starts a new session or continues one, never with the prompt as an argument', () => {
    expect(scriptedProvider.command('/bin/node', spec)).toEqual({
      program: '/bin/node',
      args: [PROGRAM, '--session-id', 'a-session'],
      environment: {},
    });
    expect(
      scriptedProvider.command('/bin/node', { ...spec, model: 'm', resumeSessionId: 'earlier' })
        .args,
    ).toEqual([PROGRAM, '--resume', 'earlier', '--model', 'm']);
    expect(scriptedProvider.createDriver(spec)).toBeInstanceOf(ScriptedDriver);
  });
});
