/** What came before a worker was there is taken in the order in which it came. */
import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { conversationWorkflowOptions, tableWorkflowOptions } from '../../src/contracts/names.ts';
import { eventually } from '../support/eventually.ts';
import { temporalAddress, workflowBundlePath } from '../support/temporal.ts';
import { type Harness, startHarness } from './harness.ts';

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ address: temporalAddress(), bundlePath: workflowBundlePath() });
});
afterAll(() => harness.stop());

