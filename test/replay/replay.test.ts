import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { bundleWorkflowCode, DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { beforeAll, describe, expect, test } from 'vitest';

import { workflowBundlePath } from '../support/temporal.ts';

const folder = new URL('./histories/', import.meta.url);
const histories = readdirSync(folder).filter((file) => file.endsWith('.json'));

function replay(
  file: string,
  workflowBundle: { codePath: string } | { code: string },
): Promise<void> {
  const history: unknown = JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
  // The double's own queue is in each history; a replay worker needs none of it.
  return Worker.runReplayHistory({ workflowBundle, replayName: file }, history);
}

beforeAll(() => {
  Runtime.install({ logger: new DefaultLogger('ERROR') });
});

describe('R1 recorded histories replay on the present code', () => {
  test('there is one for each path', () => {
    expect(histories.length).toBeGreaterThanOrEqual(16);
  });

  test.each(histories)('%s', async (file) => {
    await replay(file, { codePath: workflowBundlePath() });
  });
});

describe('a workflow that was changed without care', () => {
  let code: string;

  beforeAll(async () => {
    const workflowsPath = fileURLToPath(new URL('./changed-workflow.ts', import.meta.url));
    ({ code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') }));
  });

  test.each(histories)('fails on %s', async (file) => {
    await expect(replay(file, { code })).rejects.toThrow(/[Nn]ondeterminism|determinism/);
  });
});
