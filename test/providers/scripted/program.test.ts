import { execFile, spawn } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it, onTestFinished } from 'vitest';

import type { LineFromProgram } from '../../../src/providers/scripted/wire.ts';
import { eventually } from '../../support/eventually.ts';
import { PROGRAM, RunningProgram, textOf } from './running-program.ts';

function start(options?: ConstructorParameters<typeof RunningProgram>[0]): RunningProgram {
  const program = new RunningProgram(options);
  onTestFinished(() => program[Symbol.dispose]());
  return program;
}

function temporaryFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'scripted-')));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const MALFORMED = [
  'bogus',
  'Words 3',
  'words',
  'words x',
  'words -1',
  'words 3 every',
  'words 3 every x',
  'words 3 each 4',
  'words 3 every 4 every 5',
  'words 3 4',
  'text',
  'text hello',
  'text "open',
  'text "a" "b"',
  'think',
  'tool',
  'tool x prints',
  'tool x prints 1.5',
  'tool x does 3',
  'ask',
  'ask a b',
  'garbage 3',
  'usage 1 2',
  'usage 1 2 x',
  'exit',
  'exit 256',
  'exit now',
  'hang 3',
  'hang twice',
  'hang once more',
  'sleep',
  'sleep 99999999999',
  'ignore-cancel please',
  'child 2',
  'retry 2',
  'flood',
  'flood much',
  'say',
  'say hello',
  'say env',
  'say env A B',
  'say cwd now',
  'say history now',
  'no-steer please',
  'spawn',
  'spawn b',
  'spawn "b"',
  'spawn b words',
  'tell b',
  'tell b "a" "b"',
  'inbox 3',
  'team b',
];

const completed = { type: 'end', outcome: 'completed' };

/** Processes whose environment holds this mark, ended ones left out. */
function marked(mark: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark);
      } catch {
        return false;
      }
    });
}

describe('steps', () => {
  it('words: one delta each', async () => {
    const { lines, end } = await start().run('words 3');
    expect(lines).toEqual([
      { type: 'delta', block: 'b1', text: 'w0 ' },
      { type: 'delta', block: 'b1', text: 'w1 ' },
      { type: 'delta', block: 'b1', text: 'w2 ' },
      { type: 'block.end', block: 'b1', kind: 'text', text: 'w0 w1 w2 ' },
    ]);
    expect(end).toEqual({ type: 'end', turn: 't1.1', outcome: 'completed' });
  });

  it('every: paced from the start, so that no delay adds up', async () => {
    const { lines } = await start().run('stamps 200 every 5');
    const stamps = textOf(lines).trim().split(' ').map(Number);
    const late = stamps.map((stamp, index) => stamp - (stamps[0] ?? 0) - index * 5);
    // pauses that are each up to a millisecond late would have added up to 100 or more by then; a busy machine
    // makes some of the last ones late, hardly all of them
    expect(Math.min(...late.slice(150))).toBeLessThan(20);
    expect(Math.min(...late)).toBeGreaterThan(-2);
  });

  it('words every: each leaves at its time, not with the next', async () => {
    const program = start();
    program.script('words 2 every 60000');
    expect(await program.until((line) => line.type === 'delta')).toMatchObject({ text: 'w0 ' });
  });

  it('text: one delta with the escapes of JSON', async () => {
    const { lines } = await start().run(
      String.raw`text "a\tb\n\"c\" é \u20ac \ud83d\ude00"`,
      'text ""',
    );
    expect(lines[0]).toEqual({ type: 'delta', block: 'b1', text: 'a\tb\n"c" é € 😀' });
    expect(lines[1]).toEqual({ type: 'delta', block: 'b1', text: '' });
  });

  it('think: reasoning in a block of its own, closed before text', async () => {
    const { lines } = await start().run('think 2 every 1', 'words 1', 'think 1');
    expect(lines.map((line) => ('block' in line ? `${line.type} ${line.block}` : ''))).toEqual([
      'think b1',
      'think b1',
      'block.end b1',
      'delta b2',
      'block.end b2',
      'think b3',
      'block.end b3',
    ]);
    expect(lines[2]).toMatchObject({ kind: 'reasoning', text: 't0 t1 ' });
  });

  it('text that goes on is one block', async () => {
    const { lines } = await start().run('words 1', 'sleep 1', 'text "and more"');
    expect(lines.at(-1)).toEqual({
      type: 'block.end',
      block: 'b1',
      kind: 'text',
      text: 'w0 and more',
    });
  });

  it('tool: start, its lines, its end, with the text before it closed', async () => {
    const program = start();
    const { lines, end } = await program.run('words 1', 'tool build for 60 prints 2', 'tool ls');
    expect(lines.slice(1)).toEqual([
      { type: 'block.end', block: 'b1', kind: 'text', text: 'w0 ' },
      { type: 'tool.start', toolCallId: 'tool-1', name: 'build', input: { forMs: 60, prints: 2 } },
      { type: 'tool.output', toolCallId: 'tool-1', text: 'build line 1\n' },
      { type: 'tool.output', toolCallId: 'tool-1', text: 'build line 2\n' },
      {
        type: 'tool.end',
        toolCallId: 'tool-1',
        status: 'ok',
        output: 'build line 1\nbuild line 2\n',
      },
      { type: 'tool.start', toolCallId: 'tool-2', name: 'ls', input: { forMs: 0, prints: 0 } },
      { type: 'tool.end', toolCallId: 'tool-2', status: 'ok', output: '' },
    ]);
    expect(end).toMatchObject(completed);
    const at = (type: string): number =>
      program.seen.find(({ line }) => line?.type === type)?.at ?? 0;
    expect(at('tool.end') - at('tool.start')).toBeGreaterThan(50);
  });

  it.each([
    ['prints 1 for 1', { forMs: 1, prints: 1 }],
    ['prints 3', { forMs: 0, prints: 3 }],
    ['for 2', { forMs: 2, prints: 0 }],
  ])('tool: %s', async (options, input) => {
    const { lines } = await start().run(`tool t ${options}`);
    expect(lines[0]).toMatchObject({ input });
    expect(lines.filter(({ type }) => type === 'tool.output')).toHaveLength(input.prints);
  });

  it('ask: runs the tool when it is allowed, and only then', async () => {
    const program = start();
    const id = program.script('ask deploy', 'words 1');
    const asked = await program.until(({ type }) => type === 'approval');
    if (asked.type !== 'approval') throw new Error('no approval');
    expect(asked).toMatchObject({ toolCallId: 'tool-1', title: 'Run deploy' });
    expect(asked.approvalId).toMatch(/^[0-9a-f-]{36}$/);
    program.send({ type: 'answer', approvalId: 'another', decision: 'allow' });
    program.send({ type: 'answer', approvalId: asked.approvalId, decision: 'allow' });
    const { lines } = await program.turn(id);
    expect(lines.map(({ type }) => type)).toEqual([
      'tool.start',
      'approval',
      'tool.output',
      'tool.end',
      'delta',
      'block.end',
    ]);
    expect(lines[3]).toMatchObject({ status: 'ok', output: 'deploy line 1\n' });
  });

  it('ask: a denial is told with the words of the user, and the turn goes on', async () => {
    const program = start();
    const id = program.script('ask deploy', 'words 1');
    const asked = await program.until(({ type }) => type === 'approval');
    const approvalId = asked.type === 'approval' ? asked.approvalId : '';
    program.send({ type: 'answer', approvalId, decision: 'deny', message: 'not on a Friday' });
    const { lines, end } = await program.turn(id);
    expect(lines[2]).toMatchObject({
      type: 'tool.end',
      status: 'denied',
      output: 'not on a Friday',
    });
    expect(lines.filter(({ type }) => type === 'tool.output')).toEqual([]);
    expect(end).toMatchObject(completed);
  });

  it('garbage: a line that is not JSON, then bytes that are not UTF-8', async () => {
    const program = start();
    await program.run('words 1', 'garbage', 'words 1');
    const bad = program.seen.filter(({ line }) => line === null);
    expect(bad.map(({ text, invalidUtf8 }) => [text, invalidUtf8])).toEqual([
      ['this line is not JSON', false],
      ['\uFFFD\uFFFD\uFFFD\uFFFD(', true],
    ]);
    expect(textOf(program.lines)).toBe('w0 w0 ');
  });

  it('usage: reported as it is said', async () => {
    const { lines } = await start().run('usage 10 20 0.125', 'usage 1 2 0');
    expect(lines).toEqual([
      { type: 'usage', usage: { inputTokens: 10, outputTokens: 20, costUsd: 0.125 } },
      { type: 'usage', usage: { inputTokens: 1, outputTokens: 2, costUsd: 0 } },
    ]);
  });

  it.each([0, 3, 255])(
    'exit %i: at once, with everything before it and no terminal line',
    async (code) => {
      const program = start();
      program.script('words 50', `exit ${code}`, 'words 1');
      expect(await program.ended).toBe(code);
      expect(program.lines.map(({ type }) => type)).toEqual([
        'session',
        ...Array.from({ length: 50 }, () => 'delta'),
      ]);
    },
  );

  it('sleep: silent that long', async () => {
    const program = start();
    await program.run('words 1', 'sleep 120', 'words 1');
    const at = program.seen.filter(({ line }) => line?.type === 'delta').map((seen) => seen.at);
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(110);
  });

  it('hang once: silent for ever in every turn, and nothing in a process that resumes its session', async () => {
    const first = start({ args: ['--session-id', 'a-session'] });
    for (const turn of [1, 2]) {
      const id = first.script('words 1', 'hang once', 'words 2');
      await eventually(() => first.lines.filter(({ type }) => type === 'delta').length === turn);
      first.send({ type: 'cancel', id });
      const { lines, end } = await first.turn(id);
      expect(textOf(lines)).toBe('w0 ');
      expect(end).toMatchObject({ outcome: 'cancelled' });
    }
    const resumed = start({ args: ['--resume', 'a-session'] });
    const { lines, end } = await resumed.run('words 1', 'hang once', 'words 2');
    expect(textOf(lines)).toBe('w0 w0 w1 ');
    expect(end).toMatchObject(completed);
  });

  it('child: leaves a process of its own session that carries the mark and outlives it', async () => {
    const mark = `HOLDFAST_TURN=child-test-${process.pid}.1`;
    const [name = '', value = ''] = mark.split('=');
    const program = start({ environment: { [name]: value } });
    onTestFinished(() => {
      for (const pid of marked(mark)) process.kill(pid, 'SIGKILL');
    });
    await program.run('child');
    const own = program.child.pid ?? 0;
    // between its fork and its exec the child has no name of its own yet
    const child = await eventually(() =>
      marked(mark).find(
        (pid) => pid !== own && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n',
      ),
    );
    const [, , , session] =
      readFileSync(`/proc/${child}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    expect(Number(session)).toBe(child);
    program.child.stdin.end();
    // `close`, not only `exit`: it must not hold our stdout
    expect(await program.ended).toBe(0);
    expect(marked(mark)).toEqual([child]);
  });

  it('retry: takes the open text back and starts it again, in another block', async () => {
    const { lines } = await start().run('words 2', 'text "x"', 'retry', 'words 1', 'retry');
    expect(lines).toEqual([
      { type: 'delta', block: 'b1', text: 'w0 ' },
      { type: 'delta', block: 'b1', text: 'w1 ' },
      { type: 'delta', block: 'b1', text: 'x' },
      { type: 'retry', block: 'b1', attempt: 1, delayMs: 0, status: 'scripted' },
      { type: 'delta', block: 'b2', text: 'w0 ' },
      { type: 'delta', block: 'b2', text: 'w1 ' },
      { type: 'delta', block: 'b2', text: 'x' },
      { type: 'delta', block: 'b2', text: 'w0 ' },
      { type: 'retry', block: 'b2', attempt: 2, delayMs: 0, status: 'scripted' },
      { type: 'delta', block: 'b3', text: 'w0 ' },
      { type: 'delta', block: 'b3', text: 'w1 ' },
      { type: 'delta', block: 'b3', text: 'x' },
      { type: 'delta', block: 'b3', text: 'w0 ' },
      { type: 'block.end', block: 'b3', kind: 'text', text: 'w0 w1 xw0 ' },
    ]);
  });

  it('retry: with no open text there is nothing to take back', async () => {
    const { lines } = await start().run('tool ls', 'retry');
    expect(lines.at(-1)).toEqual({ type: 'retry', attempt: 1, delayMs: 0, status: 'scripted' });
  });

  it('6: flood: exactly so much text, numbered, a delta a line, in bounded memory', async () => {
    const program = start();
    const { lines, end } = await program.run('flood 8');
    const deltas = lines.flatMap((line) => (line.type === 'delta' ? [line.text] : []));
    expect(deltas.join('')).toHaveLength(8 * 1024 * 1024);
    expect(deltas.every((text, index) => Number(text.slice(0, 8)) === index)).toBe(true);
    expect(lines).toHaveLength(deltas.length);
    expect(end).toMatchObject(completed);
    const status = readFileSync(`/proc/${program.child.pid}/status`, 'utf8');
    expect(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1])).toBeLessThan(160 * 1024);
  });

  it('flood: part of a MB is exact too, and waits for a slow reader', async () => {
    const program = start();
    const id = program.script('flood 0.5', 'flood 0.00001');
    program.child.stdout.pause();
    // as much as the pipe takes is out, the rest of it waits
    await eventually(() => {
      const io = readFileSync(`/proc/${program.child.pid}/io`, 'utf8');
      return Number(/wchar: (\d+)/.exec(io)?.[1]) > 64 * 1024;
    });
    program.child.stdout.resume();
    const { lines } = await program.turn(id);
    expect(textOf(lines)).toHaveLength(524_288 + 10);
  });

  it('fail: ends with a provider error in these words', async () => {
    const { lines, end } = await start().run('words 1', 'fail the model  is on fire', 'words 9');
    expect(textOf(lines)).toBe('w0 ');
    expect(end).toEqual({
      type: 'end',
      turn: 't1.1',
      outcome: 'failed',
      code: 'provider_error',
      message: 'the model  is on fire',
    });
  });

  it('say: where it is, which session, which turn of the process', async () => {
    const cwd = temporaryFolder();
    const program = start({ cwd, args: ['--session-id', 'a-session'] });
    expect(textOf((await program.run('say cwd')).lines)).toBe(cwd);
    expect(textOf((await program.run('say session')).lines)).toBe('a-session');
    expect(textOf((await program.run('say turns')).lines)).toBe('3');
  });

  it('say env: whether it is set, never what it is', async () => {
    const program = start({ environment: { A_SECRET: 'hunter2' } });
    const { lines } = await program.run(
      'say env A_SECRET',
      'say env NOT_THERE',
      'say env constructor',
    );
    expect(textOf(lines)).toBe('setunsetunset');
  });

  it('stamps: each delta is the moment of its writing', async () => {
    const before = Date.now() - 1;
    const { lines } = await start().run('stamps 3 every 10');
    const stamps = textOf(lines).trim().split(' ').map(Number);
    expect(stamps).toHaveLength(3);
    expect(stamps).toEqual(stamps.toSorted((a, b) => a - b));
    expect(stamps[0]).toBeGreaterThan(before);
    expect(stamps[2]).toBeLessThan(Date.now() + 1);
    expect(lines.at(-1)).toMatchObject({ type: 'block.end', text: textOf(lines) });
  });

  it('empty lines, comments and CRLF are nothing', async () => {
    const program = start();
    const id = program.prompt('#script\r\n\r\n  # a comment\r\n  words 1  \r\n\r\n');
    const { lines, end } = await program.turn(id);
    expect(textOf(lines)).toBe('w0 ');
    expect(end).toMatchObject(completed);
  });

  it('a script of nothing completes', async () => {
    const { lines, end } = await start().run();
    expect(lines).toEqual([]);
    expect(end).toMatchObject(completed);
  });

  it('a malformed step fails the turn with its line, before anything runs', async () => {
    const program = start();
    for (const step of MALFORMED) {
      const { lines, end } = await program.run('words 1', '# fine', step, 'words 1');
      expect({ step, lines, end }).toMatchObject({
        step,
        lines: [],
        end: {
          outcome: 'failed',
          code: 'script_error',
          message: expect.stringContaining(`line 4: "${step}"`) as unknown,
        },
      });
    }
  });
});

describe('any other prompt', () => {
  it('is answered in a few streamed sentences that name the way to a script', async () => {
    const program = start();
    const { lines, end } = await program.turn(program.prompt('  Hello there\nand more'));
    const text = textOf(lines);
    expect(text).toContain('scripted provider');
    expect(text).toContain('“Hello there”');
    expect(text).toContain('#script');
    expect(lines.filter(({ type }) => type === 'delta').length).toBeGreaterThan(40);
    expect(lines.some(({ type }) => type === 'usage')).toBe(true);
    expect(end).toMatchObject(completed);
  });

  it('of 512 KiB is read whole, over however many reads', async () => {
    const program = start();
    const prompt = 'é'.repeat(256 * 1024);
    const { lines } = await program.turn(program.prompt(prompt));
    expect(textOf(lines)).toContain(`${prompt.length} characters`);
  });
});

describe('cancel', () => {
  it.each([
    ['hang', ['hang'], 'session'],
    ['sleep', ['sleep 60000'], 'session'],
    ['words every', ['words 9 every 60000'], 'delta'],
    ['think every', ['think 9 every 60000'], 'think'],
    ['tool for', ['tool t for 60000'], 'tool.start'],
    ['ask', ['ask t'], 'approval'],
    ['flood', ['flood 100000'], 'delta'],
    ['words without a pause', ['words 999999999'], 'delta'],
    ['tool output without a pause', ['tool t prints 999999999'], 'tool.output'],
  ])('4: stops %s at once, and the session lives on', async (_name, steps, seen) => {
    const program = start();
    const id = program.script(...steps, 'words 1');
    await program.until(({ type }) => type === seen);
    program.send({ type: 'cancel', id });
    const { end } = await program.turn(id);
    expect(end).toEqual({ type: 'end', turn: id, outcome: 'cancelled' });
    expect((await program.run('say turns')).end).toMatchObject(completed);
  });

  it('4: ends what is open: the approval is gone, the tool has its end', async () => {
    const program = start();
    const id = program.script('ask t');
    await program.until(({ type }) => type === 'approval');
    program.send({ type: 'cancel' });
    const { lines } = await program.turn(id);
    expect(lines.slice(-2)).toMatchObject([
      { type: 'approval.gone', reason: 'cancelled' },
      { type: 'tool.end', status: 'denied' },
    ]);

    const second = program.script('tool t for 60000 prints 100000');
    await program.until((line) => line.type === 'tool.start' && line.toolCallId === 'tool-2');
    program.send({ type: 'cancel', id: second });
    expect((await program.turn(second)).lines.at(-1)).toMatchObject({ status: 'error' });
  });

  it('4: between two steps, and together with its turn in one write', async () => {
    const program = start();
    const steps = Array.from({ length: 2_000 }, () => 'sleep 1');
    const frames = [
      { type: 'turn', id: 'one', prompt: ['#script', ...steps].join('\n') },
      { type: 'cancel', id: 'one' },
      { type: 'turn', id: 'two', prompt: '#script\nwords 1' },
    ];
    program.child.stdin.write(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(''));
    expect((await program.turn('one')).end).toMatchObject({ outcome: 'cancelled' });
    expect((await program.turn('two')).end).toMatchObject(completed);
  });

  it('of a turn that waits, it is not begun; of another turn, or of none, nothing', async () => {
    const program = start();
    program.send({ type: 'cancel' });
    program.send({ type: 'cancel', id: 'nobody' });
    const first = program.script('sleep 80');
    const second = program.script('words 1');
    program.send({ type: 'cancel', id: second });
    program.send({ type: 'cancel', id: 'nobody' });
    expect((await program.turn(first)).end).toMatchObject(completed);
    const { lines, end } = await program.turn(second);
    expect(lines).toEqual([]);
    expect(end).toMatchObject({ outcome: 'cancelled' });
    program.send({ type: 'cancel', id: second });
    expect((await program.run('words 1')).end).toMatchObject(completed);
  });

  it('ignore-cancel: neither the cancel nor TERM ends it, KILL does', async () => {
    const program = start();
    const id = program.script('ignore-cancel', 'words 1', 'sleep 150', 'words 1');
    await program.until(({ type }) => type === 'delta');
    program.send({ type: 'cancel', id });
    program.child.kill('SIGTERM');
    const { lines, end } = await program.turn(id);
    expect(textOf(lines)).toBe('w0 w0 ');
    expect(end).toMatchObject(completed);
    // from now on: the next turn as well
    const next = program.script('words 1', 'hang');
    await eventually(() => program.lines.filter(({ type }) => type === 'delta').length === 3);
    program.send({ type: 'cancel', id: next });
    program.child.kill('SIGTERM');
    program.child.kill('SIGKILL');
    expect(await program.ended).toBe('SIGKILL');
  });

  it('TERM without it ends the process, with no terminal line', async () => {
    const program = start();
    program.script('words 1', 'hang');
    await program.until(({ type }) => type === 'delta');
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe('SIGTERM');
    expect(program.lines.map(({ type }) => type)).toEqual(['session', 'delta']);
  });

  it('TERM before the first turn ends it too', async () => {
    const program = start();
    await eventually(() => readFileSync(`/proc/${program.child.pid}/wchan`, 'utf8') !== '');
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe('SIGTERM');
  });
});

describe('what was said before', () => {
  it('say history: as it was given, `none` without; the script is none the less a script', async () => {
    const program = start();
    const prompt = '#script\nsay history';
    program.send({ type: 'turn', id: 'a', prompt, history: 'User: é\n"quoted"' });
    expect(textOf((await program.turn('a')).lines)).toBe('User: é\n"quoted"');
    program.send({ type: 'turn', id: 'b', prompt });
    expect(textOf((await program.turn('b')).lines)).toBe('none');
  });

  it('6: say history repeats no more of it than of any text', async () => {
    const program = start();
    const history = 'x'.repeat(100_000);
    program.send({ type: 'turn', id: 'a', prompt: '#script\nsay history', history });
    expect(textOf((await program.turn('a')).lines)).toBe('x'.repeat(65_536));
  });
});

describe('a message for the running turn', () => {
  const steered = { type: 'steered', id: 'r2' };
  const offer = (program: RunningProgram, turn: string, id = 'r2', content = 'and this'): void =>
    program.send({ type: 'steer', turn, id, content });
  const answer = (program: RunningProgram, asked: LineFromProgram): void => {
    const approvalId = asked.type === 'approval' ? asked.approvalId : '';
    program.send({ type: 'answer', approvalId, decision: 'deny' });
  };
  const shape = (lines: readonly { type: string }[]): string =>
    lines.map(({ type }) => type).join(' ');

  it('7: between two words: the block ends, it is taken and quoted, and the words go on', async () => {
    const program = start();
    const id = program.script('words 40 every 25');
    await program.until((line) => line.type === 'delta' && line.text === 'w1 ');
    offer(program, id, 'r2', '  and this\nin two lines ');
    const { lines, end } = await program.turn(id);
    expect(end).toMatchObject(completed);
    const at = lines.findIndex(({ type }) => type === 'steered');
    expect(lines[at]).toEqual(steered);
    expect(lines[at - 1]).toMatchObject({ type: 'block.end', block: 'b1' });
    expect(lines[at + 1]).toEqual({ type: 'delta', block: 'b2', text: 'steered: and this\n' });
    const words = Array.from({ length: 40 }, (_, index) => `w${index} `).join('');
    expect(textOf(lines).replace('steered: and this\n', '')).toBe(words);
    expect(lines.at(-1)).toMatchObject({
      type: 'block.end',
      block: 'b2',
      text: expect.stringMatching(/^steered: and this\nw\d+ .*w39 $/s) as string,
    });
  });

  it.each([
    ['a sleep', 'sleep 700', 'session'],
    ['a tool', 'tool build for 700 prints 1', 'tool.start'],
  ])('7: in %s, the last step: taken after it', async (_what, step, seen) => {
    const program = start();
    const id = program.script(step);
    await program.until(({ type }) => type === seen);
    offer(program, id);
    const { lines, end } = await program.turn(id);
    expect(end).toMatchObject(completed);
    expect(shape(lines.slice(-3))).toBe('steered delta block.end');
  });

  it('7: while it asks: taken when that has been answered', async () => {
    const program = start();
    const id = program.script('ask deploy');
    const asked = await program.until(({ type }) => type === 'approval');
    offer(program, id);
    answer(program, asked);
    const { lines } = await program.turn(id);
    expect(shape(lines)).toBe('tool.start approval tool.end steered delta block.end');
  });

  it('7: in the order of their frames, and the same id once', async () => {
    const program = start();
    const id = program.script('ask gate', 'words 1');
    const asked = await program.until(({ type }) => type === 'approval');
    for (const each of ['r2', 'r3', 'r2', 'r3']) offer(program, id, each, each);
    answer(program, asked);
    const { lines } = await program.turn(id);
    expect(lines.flatMap((line) => (line.type === 'steered' ? [line.id] : []))).toEqual([
      'r2',
      'r3',
    ]);
    expect(textOf(lines)).toBe('steered: r2\nsteered: r3\nw0 ');
  });

  it('7: never: at a hang, after no-steer, after a cancel, or for another turn', async () => {
    const program = start();
    const hang = program.script('words 1', 'hang');
    await program.until(({ type }) => type === 'delta');
    offer(program, hang);
    offer(program, 'another');
    program.send({ type: 'cancel', id: hang });
    const after = program.script('no-steer', 'ask gate', 'words 1');
    const asked = await program.until(({ type }) => type === 'approval');
    offer(program, after);
    answer(program, asked);
    expect(textOf((await program.turn(after)).lines)).toBe('w0 ');
    const last = program.script('ask gate', 'words 1');
    const askedLast = await program.until((line) => line.type === 'approval' && line !== asked);
    offer(program, after, 'r3');
    answer(program, askedLast);
    expect(textOf((await program.turn(last)).lines)).toBe('w0 ');
    expect(program.lines.filter(({ type }) => type === 'steered')).toEqual([]);
  });

  it('a retry repeats what was streamed after it, and not what was before', async () => {
    const program = start();
    const id = program.script('words 30 every 25', 'retry');
    await program.until(({ type }) => type === 'delta');
    offer(program, id);
    const { lines } = await program.turn(id);
    const texts = lines.flatMap((line) => (line.type === 'delta' ? [line.text] : []));
    const quote = texts.indexOf('steered: and this\n');
    const repeated = texts.slice(quote, 31);
    expect(texts).toEqual([...texts.slice(0, quote), ...repeated, ...repeated]);
    expect(quote).toBeGreaterThan(0);
  });
});

describe('the process', () => {
  it('1, 3: several turns, sent at once, run one after another on one session', async () => {
    const program = start({ args: ['--session-id', 's1', '--model', 'm1'] });
    const ids = [
      program.script('words 2 every 5'),
      program.script('words 1'),
      program.script('say turns'),
    ];
    await program.turn(ids[2] ?? '');
    const shape = program.lines.flatMap((line) =>
      line.type === 'session' || line.type === 'end' ? [`${line.type} ${line.turn}`] : [],
    );
    expect(shape).toEqual(ids.flatMap((id) => [`session ${id}`, `end ${id}`]));
    expect(program.lines[0]).toEqual({
      type: 'session',
      turn: ids[0],
      sessionId: 's1',
      model: 'm1',
    });
  });

  it('continues a session that is named', async () => {
    const program = start({ args: ['--resume', 'an-earlier-one'] });
    const id = program.script('say session');
    expect(textOf((await program.turn(id)).lines)).toBe('an-earlier-one');
    expect(program.lines[0]).toMatchObject({ sessionId: 'an-earlier-one' });
  });

  it('a frame in pieces, cut inside a character, is one frame', async () => {
    const program = start();
    const bytes = Buffer.from(
      `${JSON.stringify({ type: 'turn', id: 't', prompt: '#script\ntext "é€😀"' })}\n`,
    );
    for (const byte of bytes) {
      program.child.stdin.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(textOf((await program.turn('t')).lines)).toBe('é€😀');
  });

  it.each([
    'not JSON',
    '[]',
    'null',
    '{}',
    '{"type":"turn"}',
    '{"type":"turn","id":1,"prompt":"x"}',
    '{"type":"steer","id":"r2","content":"x"}',
  ])('says that it cannot read %s, and goes on', async (frame) => {
    const program = start();
    program.child.stdin.write(`${frame}\n\n`);
    await program.until((line) => line.type === 'notice' && line.code === 'bad_frame');
    expect((await program.run('words 1')).end).toMatchObject(completed);
  });

  it('5: the end of stdin ends it with 0, after the turns that were sent', async () => {
    const program = start();
    program.script('words 3 every 30');
    program.script('words 1');
    program.child.stdin.end();
    expect(await program.ended).toBe(0);
    expect(textOf(program.lines)).toBe('w0 w1 w2 w0 ');
    expect(program.lines.at(-1)).toMatchObject(completed);
  });

  it('5: with nothing sent it ends at once', async () => {
    const program = start();
    program.child.stdin.end();
    expect(await program.ended).toBe(0);
    expect(program.seen).toEqual([]);
  });

  it('5: an approval nobody is left to answer is withdrawn, and its tool does not run', async () => {
    for (const early of [true, false]) {
      const program = start();
      program.script(early ? 'sleep 50' : 'sleep 0', 'ask deploy', 'words 1');
      if (!early) await program.until(({ type }) => type === 'approval');
      program.child.stdin.end();
      expect(await program.ended).toBe(0);
      expect(program.lines.slice(-6).map(({ type }) => type)).toEqual([
        'approval',
        'approval.gone',
        'tool.end',
        'delta',
        'block.end',
        'end',
      ]);
    }
  });

  it('5: it never ends a turn: a hang hangs on', async () => {
    const program = start();
    program.script('words 1', 'hang');
    program.child.stdin.end();
    await program.until(({ type }) => type === 'delta');
    const state = await eventually(() => {
      const [, rest = ''] = readFileSync(`/proc/${program.child.pid}/stat`, 'utf8').split(') ');
      return rest.startsWith('S') && rest;
    });
    expect(state).toMatch(/^S/);
    expect(program.child.exitCode).toBeNull();
  });

  it('by hand: echo into it, read from it, and its exit code is 0', async () => {
    const run = promisify(execFile);
    const frame = JSON.stringify({ type: 'turn', id: 't1', prompt: '#script\nwords 2' });
    // no newline at the end, as `printf` leaves it
    const { stdout } = await run('sh', [
      '-c',
      'printf %s "$1" | "$2" "$3"',
      'sh',
      frame,
      process.execPath,
      PROGRAM,
    ]);
    expect(stdout.trimEnd().split('\n')).toHaveLength(5);
    expect(stdout).toContain('{"type":"end","turn":"t1","outcome":"completed"}');
  });

  it('a reader that goes away ends it', async () => {
    const run = promisify(execFile);
    const frame = JSON.stringify({ type: 'turn', id: 't1', prompt: '#script\nflood 1000' });
    const { stdout } = await run('sh', [
      '-c',
      '"$2" "$3" <<EOF | head -n 1\n$1\nEOF\n',
      'sh',
      frame,
      process.execPath,
      PROGRAM,
    ]);
    expect(stdout).toContain('"session"');
  });

  it('as the engine runs it: stdin a FIFO that never ends, stdout a file', async () => {
    const folder = temporaryFolder();
    await promisify(execFile)('mkfifo', [join(folder, 'in')]);
    const shell = spawn(
      'sh',
      ['-c', 'exec "$0" "$1" <>"$2/in" >>"$2/out" 2>"$2/err"', process.execPath, PROGRAM, folder],
      { stdio: 'ignore', detached: true },
    );
    onTestFinished(() => {
      shell.kill('SIGKILL');
    });
    const out = (): string => readFileSync(join(folder, 'out'), 'utf8');
    const send = (frame: unknown): void => {
      const fifo = openSync(join(folder, 'in'), 'w');
      writeSync(fifo, `${JSON.stringify(frame)}\n`);
      closeSync(fifo);
    };
    send({ type: 'turn', id: 'a', prompt: '#script\nwords 2\nflood 1' });
    await eventually(() => out().includes('"end","turn":"a"'));
    send({ type: 'turn', id: 'b', prompt: '#script\nhang' });
    await eventually(() => out().includes('"session","turn":"b"'));
    send({ type: 'cancel', id: 'b' });
    await eventually(() => out().includes('{"type":"end","turn":"b","outcome":"cancelled"}\n'));
    expect(out().split('\n')).toHaveLength(2 + 32_768 + 4 + 1);
    expect(shell.exitCode).toBeNull();
    expect(readFileSync(join(folder, 'err'), 'utf8')).toBe('');
  });
});
