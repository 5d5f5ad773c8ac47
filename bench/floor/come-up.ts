/** The floor of every recovery: how long a process of ours takes from its spawn to its own first act, by the supervisor's very command. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { loadConfig } from '../../src/config.ts';
import { childSpecs } from '../../src/supervisor/child-specs.ts';
import type { ChildSpec } from '../../src/supervisor/child.ts';
import type { Stack } from '../stack.ts';

/** Nobody is there: what is measured must never work beside the stack. */
const NO_TEMPORAL = { port: 1, uiPort: null };
const FLOOR_HOST = 'come-up-floor';
/** It takes seconds at the very most. */
const UP_WITHIN_MS = 60_000;

/** Spawn → the turn host records its custody, which is the first thing that it does. In a home of its own. */
export async function turnHostComesUp(stack: Stack): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-bench-host-'));
  const run = join(home, 'run');
  mkdirSync(run, { mode: 0o700 });
  const watcher = watch(run);
  try {
    const spec = specOf(stack, 'turn-host', {
      HOLDFAST_HOME: home,
      HOLDFAST_HOST_NAME: FLOOR_HOST,
    });
    return await comesUp(stack, spec, (up) => {
      watcher.on('change', (_event, file) => {
        if (file === `turn-host.${FLOOR_HOST}.json`) up();
      });
    });
  } finally {
    watcher.close();
    rmSync(home, { recursive: true, force: true });
  }
}

/** Spawn → a gateway says that it listens: a second one beside the stack's, which holds no fact. */
export async function gatewayComesUp(stack: Stack): Promise<number> {
  const spec = specOf(stack, 'gateway', {});
  return comesUp(stack, spec, (up, output) => {
    output.on('data', (data: Buffer) => {
      if (String(data).split('\n').some(spec.saysReady)) up();
    });
  });
}

function specOf(
  stack: Stack,
  role: 'turn-host' | 'gateway',
  settings: Readonly<Record<string, string>>,
): ChildSpec {
  const environment = { ...stack.environment, ...settings };
  const config = loadConfig(environment);
  const ports = { api: 0, temporal: NO_TEMPORAL };
  const spec = childSpecs({ config, environment, ports }).find((each) => each.role === role);
  if (spec === undefined) throw new Error(`there is no ${role}`);
  return spec;
}

async function comesUp(
  stack: Stack,
  { program, args, environment }: ChildSpec,
  listen: (up: () => void, output: NodeJS.ReadableStream) => void,
): Promise<number> {
  const from = performance.now();
  const child = spawn(program, args, {
    cwd: stack.status.home,
    // The stack's own compile cache, as it is: the process that replaces a killed one finds that too.
    env: { ...environment, NODE_COMPILE_CACHE: join(stack.status.home, 'cache/node') },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const gone = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`it ended with ${code} before it was up`)));
  });
  gone.catch(() => undefined);
  const late = setTimeout(() => child.kill('SIGKILL'), UP_WITHIN_MS);
  try {
    const up = new Promise<number>((resolve) => {
      listen(() => resolve(performance.now()), child.stdout);
    });
    return (await Promise.race([up, gone])) - from;
  } finally {
    clearTimeout(late);
    child.kill('SIGKILL');
    await gone.catch(() => undefined);
  }
}
