import { defineConfig } from 'vitest/config';

/** What `npm run mutate` runs against each mutant: the domain's own tests, and none that starts a process. */
export default defineConfig({ test: { include: ['test/domain/**/*.test.ts'] } });
