/** The scripted provider's program as a real process, spoken to over pipes. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { LineSplitter } from '../../../src/providers/process/line-splitter.ts';
import type { FrameToProgram, LineFromProgram } from '../../../src/providers/scripted/wire.ts';
import { eventually } from '../../support/eventually.ts';

export const PROGRAM = fileURLToPath(
  new URL('../../../src/providers/scripted/program.mjs', import.meta.url),
);

/** A line as it was read: parsed, or its text when it is no JSON. */
export type SeenLine = {
  at: number;
  line: LineFromProgram | null;
  text: string;
  invalidUtf8: boolean;
};

export class RunningProgram {
  readonly child: ChildProcessWithoutNullStreams;
  readonly seen: SeenLine[] = [];
  stderr = '';
  readonly #splitter = new LineSplitter();
  readonly #ended: Promise<number | NodeJS.Signals>;
  #turns = 0;

  constructor({
    args = [],
    environment = {},
    cwd,
  }: { args?: string[]; environment?: Record<string, string>; cwd?: string } = {}) {
    this.child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { PATH: process.env['PATH'], ...environment },
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child.stdout.on('data', (chunk: Buffer) => this.#read(chunk));
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    // a program that is gone does not read what is still sent to it
    this.child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve(signal ?? code ?? -1));
    });
  }

  /** Exit code or signal, once everything it wrote has been read. */
  get ended(): Promise<number | NodeJS.Signals> {
    return this.#ended;
  }

  get lines(): LineFromProgram[] {
    return this.seen.flatMap(({ line }) => (line === null ? [] : [line]));
  }

  #read(chunk: Buffer): void {
    for (const line of this.#splitter.push(chunk)) {
      if (line.kind === 'too-long') throw new Error('a line over the limit');
      const { text, invalidUtf8 } = line;
      this.seen.push({ at: performance.now(), line: parse(text), text, invalidUtf8 });
    }
  }

  send(frame: FrameToProgram): void {
    this.child.stdin.write(`${JSON.stringify(frame)}\n`);
  }

  /** Starts a turn with a script of these steps; answers its id. */
  script(...steps: string[]): string {
    return this.prompt(['#script', ...steps].join('\n'));
  }

  prompt(prompt: string): string {
    this.#turns += 1;
    const id = `t${this.#turns}.1`;
    this.send({ type: 'turn', id, prompt });
    return id;
  }

  async until(found: (line: LineFromProgram) => boolean): Promise<LineFromProgram> {
    let next = 0;
    return await eventually(() => {
      if (this.stderr !== '') throw new Error(this.stderr);
      for (; next < this.seen.length; next += 1) {
        const line = this.seen[next]?.line ?? null;
        if (line !== null && found(line)) return line;
      }
      return null;
    });
  }

  /** Its lines, from after the session line to the end line, both left out. */
  async turn(id: string): Promise<{ lines: LineFromProgram[]; end: LineFromProgram }> {
    const end = await this.until((line) => line.type === 'end' && line.turn === id);
    const { lines } = this;
    const start = lines.findIndex((line) => line.type === 'session' && line.turn === id);
    return { lines: lines.slice(start + 1, lines.indexOf(end)), end };
  }

  async run(...steps: string[]): Promise<{ lines: LineFromProgram[]; end: LineFromProgram }> {
    return await this.turn(this.script(...steps));
  }

  /** Ends the process for certain. */
  [Symbol.dispose](): void {
    this.child.kill('SIGKILL');
  }
}

export function textOf(lines: readonly LineFromProgram[]): string {
  return lines.map((line) => (line.type === 'delta' ? line.text : '')).join('');
}

function parse(text: string): LineFromProgram | null {
  try {
    return JSON.parse(text) as LineFromProgram;
  } catch {
    return null;
  }
}
