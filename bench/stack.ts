/** A whole Holdfast of its own for a measurement: temporary home, free ports, stopped at the end. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { readLiveState, type ProcessRecord, type Role } from '../src/supervisor/state.ts';

const command = fileURLToPath(new URL('../bin/holdfast.mjs', import.meta.url));

type Status = {
  home: string;
  api: string;
  token: string;
  temporal: string;
  namespace: string;
  processes: { role: string; pid: number }[];
};

export type Stack = {
  status: Status;
  token: string;
  /** Calls a route; throws for an answer that is no success. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** What it was started with. */
  environment: Readonly<Record<string, string | undefined>>;
  /** The live process of a role, as the supervisor has written it down. Throws when there is none. */
  processOf(role: Role): ProcessRecord;
  /** Resident memory of a process by its role, in MB. */
  residentMb(role: Role): number;
  stop(): void;
};

/** Starts everything and waits until the gateway answers. `settings`: further `HOLDFAST_*` variables. */
export async function startStack(settings: Readonly<Record<string, string>> = {}): Promise<Stack> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  mkdirSync(join(home, 'work'));
  const environment = {
    ...process.env,
    HOLDFAST_HOME: join(home, 'home'),
    HOLDFAST_PORT: '0',
    HOLDFAST_TEMPORAL_PORT: '0',
    HOLDFAST_TEMPORAL_UI_PORT: '0',
    HOLDFAST_WORKSPACE_ROOTS: join(home, 'work'),
    ...settings,
  };
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [command, ...args], { env: environment, encoding: 'utf8' });
  const supervisor = spawn(process.execPath, [command, 'start'], {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise<never>((_, reject) => {
    supervisor.once('exit', (code) => reject(new Error(`holdfast start ended with ${code}`)));
  });
  const status = await Promise.race([ended, untilReady(() => run('status', '--json'))]);
  const token = readFileSync(status.token, 'utf8').trim();
  const processOf = (role: Role): ProcessRecord => {
    const found = readLiveState({ runFolder: join(status.home, 'run') })?.processes.find(
      (record) => record.role === role,
    );
    if (found === undefined) throw new Error(`there is no ${role} process`);
    return found;
  };
  return {
    status,
    token,
    environment,
    processOf,
    async call<T>(method: string, path: string, body?: unknown): Promise<T> {
      const answer = await fetch(`${status.api}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as T;
    },
    residentMb(role: Role): number {
      const { pid } = processOf(role);
      const text = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+) kB/.exec(text)?.[1]) / 1024;
    },
    stop(): void {
      ended.catch(() => undefined);
      run('stop', '--turns');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function untilReady(
  status: () => { status: number | null; stdout: string },
): Promise<Status> {
  const deadline = performance.now() + 600_000;
  for (;;) {
    const answer = status();
    if (answer.status === 0) {
      const found = JSON.parse(answer.stdout) as Status;
      const roles = found.processes.map(({ role }) => role);
      const complete = ['temporal', 'worker', 'turn-host', 'gateway'].every((role) =>
        roles.includes(role),
      );
      if (complete && (await isReady(found.api))) return found;
    }
    if (performance.now() > deadline) throw new Error('holdfast did not get ready');
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function isReady(api: string): Promise<boolean> {
  try {
    return (await fetch(`${api}/healthz`)).ok;
  } catch {
    return false;
  }
}

/** A conversation with the scripted provider; its id. */
export async function newConversation(stack: Stack): Promise<string> {
  const { conversationId } = await stack.call<{ conversationId: string }>(
    'POST',
    '/v1/conversations',
    {
      provider: 'scripted',
    },
  );
  return conversationId;
}

/** Lets the server finish with what came before: it holds a workflow's lock until the last Workflow Task is on disk. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}
