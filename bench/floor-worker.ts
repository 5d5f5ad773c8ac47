/** The floor's workflow worker (bench/floor/workflow-worker.ts), in a process of its own as the product's is. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Resolves when it polls, with how to end it. `folder`: for its bundle. */
export async function startFloorWorker({
  address,
  taskQueue,
  folder,
}: {
  address: string;
  taskQueue: string;
  folder: string;
}): Promise<() => void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: here('./floor/workflow.ts'),
    logger: new DefaultLogger('WARN'),
  });
  const bundle = join(folder, 'floor.js');
  writeFileSync(bundle, code);
  const child = spawn(
    process.execPath,
    [here('./floor/workflow-worker.ts'), address, taskQueue, bundle],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await new Promise((resolve) => child.stdout.once('data', resolve));
  return () => void child.kill();
}
