/** Vitest's global setup of the tests in a browser: the page of the present sources, a browser, and the program of Temporal's server. */
import type { TestProject } from 'vitest/node';

import { ensurePage } from '../../scripts/bundle-page.ts';
import { findChromium } from './chromium.ts';
import { findTemporalBinary } from './temporal-server.ts';

export default async function setup(project: TestProject): Promise<void> {
  await ensurePage();
  await findChromium();
  project.provide('temporalBinary', await findTemporalBinary());
}
