/** Vitest's global setup of every project that runs workflows: they run from the bundle that the product runs from. */
import type { TestProject } from 'vitest/node';

import { ensureWorkflowBundle } from '../../scripts/bundle.ts';

export default async function setup(project: TestProject): Promise<void> {
  const { path } = await ensureWorkflowBundle();
  project.provide('workflowBundlePath', path);
}
