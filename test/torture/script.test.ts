/** The expectations against the real program, run by hand: they share no code. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { Random } from './random.ts';
import { expectationOf, randomScript } from './script.ts';
import { readSpool } from './spools.ts';

const program = fileURLToPath(new URL('../../src/providers/scripted/program.mjs', import.meta.url));

/** What the program says to this prompt; what it asks is denied, for nobody is there to answer. */
async function run(prompt: string): Promise<string[]> {
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(`${JSON.stringify({ type: 'turn', id: 't1.1', prompt })}\n`);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  child.on('close', () => resolve());
  await promise;
  return output.split('\n');
}

test('F2: what is expected of a script is what the scripted provider says to it', async () => {
  const random = new Random('expectations');
  // Those that would wait for somebody, or leave something behind, are for the real run.
  const scripts = Array.from({ length: 200 }, () => randomScript(random))
    .filter((script) => !/hang|child|sleep|tool/.test(script))
    .slice(0, 25);
  expect(scripts.length).toBeGreaterThan(20);
  await Promise.all(
    Array.from({ length: 3 }, async (_, worker) => {
      for (let index = worker; index < scripts.length; index += 3) {
        const script = scripts[index] ?? '';
        const output = await run(script);
        const [turn] = readSpool({ spool: 't1.1', conversationId: 'c1', calls: [], output });
        const { text, reasoning, end } = expectationOf(script);
        expect({
          script,
          text: turn?.text,
          reasoning: turn?.reasoning,
          end: turn?.end ?? 'exits',
        }).toEqual({ script, text, reasoning, end });
      }
    }),
  );
});

test('a step without an expectation is an error, not a hole', () => {
  expect(() => expectationOf('#script\ndance')).toThrow('no expectation');
});

test('the same seed makes the same scripts', () => {
  const scripts = (): string[] => {
    const random = new Random('7').fork('x');
    return Array.from({ length: 50 }, () => randomScript(random));
  };
  expect(scripts()).toEqual(scripts());
});
