/** The scripted program without Holdfast: started by hand and spoken to by pipes. The floor of what is said to a provider. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

import type {
  ProviderCommand,
  ProviderReport,
  SessionSpec,
} from '../src/contracts/provider-events.ts';
import { scriptedProvider } from '../src/providers/scripted/provider.ts';

/** How the scripted program is started without Holdfast. */
export async function scriptedCommand(
  folder: string,
): Promise<ProviderCommand & { spec: SessionSpec }> {
  const spec = {
    workspacePath: folder,
    model: null,
    resumeSessionId: null,
    newSessionId: randomUUID(),
  };
  const lookup = await scriptedProvider.lookup(process.env);
  if (!lookup.found) throw new Error(lookup.problem);
  return { ...scriptedProvider.command(lookup.program, spec), spec };
}

export type BareProgram = {
  begin(content: string): void;
  cancel(): void;
  /** Resolves when the next report of this type is seen here, with that moment. To be called before what causes it. */
  next(type: ProviderReport['type']): Promise<number>;
  stop(): void;
};

export async function startBareProgram(folder: string): Promise<BareProgram> {
  const { program, args, environment, spec } = await scriptedCommand(folder);
  const driver = scriptedProvider.createDriver(spec);
  const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...environment } });
  const waiting = new Map<ProviderReport['type'], (at: number) => void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const at = performance.now();
    for (const { type } of driver.line(line)) {
      waiting.get(type)?.(at);
      waiting.delete(type);
    }
  });
  const write = (frames: readonly string[]): void => {
    child.stdin.write(frames.map((frame) => `${frame}\n`).join(''));
  };
  return {
    begin: (content) => write(driver.begin({ attemptKey: `hand-${randomUUID()}.1`, content })),
    cancel: () => write(driver.cancel()),
    next: (type) => new Promise((resolve) => waiting.set(type, resolve)),
    stop: () => void child.kill(),
  };
}
