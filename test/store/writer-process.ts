/** Another process that writes to a store (test/fixtures/store-writer.ts), and what it was answered. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

import type { WriterAnswer, WriterTask } from '../fixtures/store-writer.ts';

const writerProgram = new URL('../fixtures/store-writer.ts', import.meta.url).pathname;

export type Writer = {
  child: ChildProcess;
  ready: Promise<void>;
  ended: Promise<void>;
  answers: WriterAnswer[];
};

export function spawnWriter(url: string, task: WriterTask): Writer {
  const child = spawn(process.execPath, [writerProgram, url, JSON.stringify(task)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const answers: WriterAnswer[] = [];
  const ready = Promise.withResolvers<void>();
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (line === 'ready') ready.resolve();
    // The last line of a killed writer may be cut off: nobody was answered by it.
    else if (line.endsWith('}')) answers.push(JSON.parse(line) as WriterAnswer);
  });
  const ended = new Promise<void>((resolve, reject) => {
    lines.on('close', resolve);
    child.on('exit', (code, signal) => {
      if (code !== 0 && signal !== 'SIGKILL')
        reject(new Error(`the writer ended with ${code ?? signal}`));
      ready.reject(new Error('the writer ended before it was ready'));
    });
  });
  ready.promise.catch(() => {});
  ended.catch(() => {});
  return { child, ready: ready.promise, ended, answers };
}
