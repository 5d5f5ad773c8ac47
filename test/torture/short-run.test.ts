/**
 * A short torture run with few conversations, as part of `npm test`. The seed is fixed, chance is not: what a fault
 * meets depends on the machine. `npm run torture` is the long one.
 */
import { expect, test } from 'vitest';

import { violationText } from './report.ts';
import { torture } from './torture.ts';

test(
  'A1-A3 L1-L5 F1-F2 S1-S2 T1 H1 D1-D2 M1-M2 T2 C1-C2 P1-P3 W1-W2 R1 Q1-Q2 hold after half a minute of random faults',
  { timeout: 480_000 },
  async ({ signal }) => {
    const said: string[] = [];
    const { verdict, faults, folder } = await torture({
      seed: 'short run',
      minutes: 0.5,
      conversations: 2,
      tables: 2,
      triggers: 3,
      agents: 1,
      pauseMs: { least: 400, most: 1_600 },
      environment: process.env,
      say: (line) => said.push(line),
      signal,
    });
    if (verdict.violations.length > 0)
      process.stderr.write(
        `${said.join('\n')}\n${violationText(verdict)}\nkept in ${folder ?? 'no folder'}\n`,
      );
    expect(verdict.violations.map(({ invariant, what }) => `${invariant}: ${what}`)).toEqual([]);
    expect(faults.length).toBeGreaterThan(5);
    expect(new Set(faults.map(({ role }) => role)).size).toBeGreaterThan(2);
    for (const invariant of [
      'A1',
      'L1',
      'L3',
      'L4',
      'F2',
      'S1',
      'S2',
      'T1',
      'D1',
      'D2',
      'M1',
      'T2',
      'R1',
    ] as const)
      expect(verdict.checked.get(invariant)).toBeGreaterThan(0);
  },
);
