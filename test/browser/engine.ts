/** A {@link Stage} for all tests of a file. */
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';

import type { DeviceName } from '../support/browser.ts';
import { temporalBinary } from '../support/temporal.ts';
import { Stage } from './stage.ts';

/** The widths at which everything must work. */
export const DEVICES: readonly DeviceName[] = ['desktop', 'phone'];

/**
 * To be called at the top of a file. A device that saw a fault (test/support/browser.ts) fails the test that it was opened in.
 * `perTest`: each test has an engine that has never been used.
 */
export function sharedStage({
  environment,
  perTest = false,
}: { environment?: Record<string, string>; perTest?: boolean } = {}): Stage {
  const stage = new Stage(environment);
  const start = (): Promise<void> => stage.startEngine(temporalBinary());
  beforeAll(async () => {
    await stage.startBrowser();
    if (!perTest) await start();
  });
  beforeEach(async ({ onTestFailed }) => {
    if (perTest) await start();
    onTestFailed(() => void process.stderr.write(stage.holdfast.logs()));
  });
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(await stage.describeDevices());
    stage.proxy.mend();
    const faults = await stage.closeDevices();
    if (perTest) await stage.stopEngine();
    expectNone(faults);
  });
  afterAll(async () => {
    await stage.stopBrowser();
    if (!perTest) await stage.stopEngine();
  });
  return stage;
}

function expectNone(faults: readonly string[]): void {
  expect(faults).toEqual([]);
}
