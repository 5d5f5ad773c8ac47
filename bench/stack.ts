/** A whole Holdfast of its own for a measurement: temporary home, free ports, stopped at the end. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

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
  /** Resident memory of a process by its role, in MB. */
  residentMb(role: string): number;
  stop(): void;
};

/** Starts everything and waits until the gateway answers. */
export async function startStack(): Promise<Stack> {
  const home = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  mkdirSync(join(home, 'work'));
  const environment = {
    ...process.env,
    HOLDFAST_HOME: join(home, 'home'),
    HOLDFAST_PORT: '0',
    HOLDFAST_TEMPORAL_PORT: '0',
    HOLDFAST_TEMPORAL_UI_PORT: '0',
    HOLDFAST_WORKSPACE_ROOTS: join(home, 'work'),
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
  return {
    status,
    token,
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
    residentMb(role: string): number {
      const pid = status.processes.find((process) => process.role === role)?.pid;
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
