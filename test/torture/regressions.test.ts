/** The smallest programs behind what torture runs have found. */
import { Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { startTemporal, type TemporalServer } from '../support/temporal-server.ts';
import { temporalBinary, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, idle, ran, startHarness } from '../workflows/harness.ts';

let server: TemporalServer;
let harness: Harness;
const claim = { asked: false, granted: Promise.withResolvers<void>() };

beforeAll(async () => {
  // Of its own: claims go to a queue that all share, and here one must wait.
  server = await startTemporal({ binary: temporalBinary() });
  harness = await startHarness({
    address: server.address,
    bundlePath: workflowBundlePath(),
    async claimHost(host) {
      claim.asked = true;
      await claim.granted.promise;
      return { host };
    },
  });
});
afterAll(async () => {
  await harness.stop();
  await server.stop();
});

/**
 * Seed 1 (kill of the worker): the record of a host and that of a send ran as two local activities at once. In which
 * order they ended was not in the history, so after the kill the workflow did not replay, and the conversation was stuck.
 */
test('R1: a history in which a host is found while sends are being recorded replays', async () => {
  const { double, handle } = await harness.start('host-and-sends', { unpinned: true });
  const refusals = new Map([
    ['request:r1', 3],
    ['request:r2', 1],
    ['request:r3', 1],
  ]);
  const recordDecision = double.recordDecision.bind(double);
  const asked: string[] = [];
  double.recordDecision = (request) => {
    asked.push(request.key);
    const left = refusals.get(request.key) ?? 0;
    refusals.set(request.key, left - 1);
    // Its retry comes 50 ms later, twice as long after the next one.
    if (left > 0) throw new Error('the store is busy');
    return recordDecision(request);
  };
  await eventually(() => claim.asked);
  await handle.signal('send', { requestId: 'r1', content: 'r1' });
  await eventually(() => asked.includes('request:r1'));
  // While the workflow is occupied with r1, its next task is filled: three sends, and the host.
  for (const requestId of ['r2', 'r3', 'r4'])
    await handle.signal('send', { requestId, content: requestId });
  claim.granted.resolve();
  for (let count = 1; count <= 4; count += 1) double.end(await ran(double, count));
  await idle(handle);

  const history = await handle.fetchHistory();
  const workflowBundle = { codePath: workflowBundlePath() };
  await expect(Worker.runReplayHistory({ workflowBundle }, history)).resolves.toBeUndefined();
});
