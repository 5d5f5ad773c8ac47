import { availableParallelism } from 'node:os';

import { defineConfig } from 'vitest/config';

import { useScratch } from './test/support/scratch.ts';

useScratch();

/** The tests that need a Temporal server. */
const slow = ['test/{workflows,integration,e2e}/**/*.test.ts', 'test/torture/regressions.test.ts'];
const torture = 'test/torture/short-run.test.ts';
const replay = 'test/replay/**/*.test.ts';
/** The tests of the page, in a real browser against the real engine. `npm test` takes the first of these, `npm run test:page` all. */
const browser = 'test/browser/**/*.test.ts';
const firstOfBrowser =
  'test/browser/{first-message,mid-turn,cancel,approval,hostile,token}.test.ts';

/** Files that have an engine each, at once: most of what they do is wait. */
const engines = Math.max(2, availableParallelism() - 1);

export default defineConfig({
  test: {
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      // entries and workflows run in other processes and threads, where nobody counts
      exclude: ['src/*.ts', 'src/workflows/**'],
      reporter: ['text', 'json-summary', 'html'],
    },
    projects: [
      {
        extends: true,
        // whatever is not elsewhere, so that no test is in no project
        test: {
          name: 'fast',
          include: ['test/**/*.test.ts'],
          exclude: [...slow, torture, replay, browser],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'replay',
          include: [replay],
          testTimeout: 120_000,
          globalSetup: ['test/support/bundle-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'slow',
          include: slow,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          maxWorkers: engines,
          globalSetup: ['test/support/bundle-setup.ts', 'test/support/temporal-setup.ts'],
          // after the others, which would take the processor from its servers
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: 'torture',
          include: [torture],
          globalSetup: ['test/support/bundle-setup.ts'],
          // alone: it judges how soon everything has healed
          sequence: { groupOrder: 3 },
        },
      },
      {
        extends: true,
        test: {
          name: 'browser',
          include: [process.env['HOLDFAST_TEST_WHOLE_PAGE'] === '1' ? browser : firstOfBrowser],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // an engine and a browser each
          maxWorkers: 2,
          globalSetup: ['test/support/bundle-setup.ts', 'test/support/page-setup.ts'],
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
