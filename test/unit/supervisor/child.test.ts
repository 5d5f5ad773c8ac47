/** What a child has that only a new start heals. Its deaths, its silence and its log: test/e2e/cli/supervisor.test.ts, survival.test.ts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { isSameProcess } from '../../../src/providers/process/process-table.ts';
import { Child } from '../../../src/supervisor/child.ts';
import { eventually } from '../../support/eventually.ts';

test('4 a child with an ailment is killed and started again, also where it may stand still for ever; a new one is looked at anew', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-child-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const said: string[] = [];
  let felt = 0;
  let closed = 0;
  let ailment: string | null = null;
  const child = new Child({
    spec: {
      role: 'temporal',
      program: process.execPath,
      args: ['-e', 'console.log("ready"); setInterval(() => {}, 1000)'],
      environment: {},
      cwd: folder,
      saysReady: (line) => line === 'ready',
      pulse: {
        feel: () => {
          felt += 1;
          const isFirst = felt === 1;
          return {
            lastMs: () => null,
            ailment: () => (isFirst ? ailment : null),
            close: () => void (closed += 1),
          };
        },
        limitMs: 0,
      },
    },
    log: { file: join(folder, 'log'), limitBytes: 1_000_000 },
    events: {
      onChange: () => undefined,
      say: (line) => void said.push(line),
      onHopeless: () => undefined,
    },
  });
  onTestFinished(() => child.stop({ graceMs: 0 }));
  child.start();
  await child.ready;
  const first = child.record;
  if (first === null) throw new Error('it runs');
  ailment = 'has a cold';
  const second = await eventually(
    () => child.record !== null && child.record.pid !== first.pid && child.record,
  );
  expect(isSameProcess(first)).toBe(false);
  expect(said.slice(0, 2)).toEqual([
    'temporal has a cold; it is killed.',
    'temporal was ended by SIGKILL; starting it again now.',
  ]);
  expect([felt, closed, second.restarts]).toEqual([2, 1, 1]);
});
