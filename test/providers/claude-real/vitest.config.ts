import { defineConfig } from 'vitest/config';

/** `npm run test:real`: what needs a real `claude` on PATH, and so is no part of `npm test`. It reaches nothing but loopback. */
export default defineConfig({
  test: {
    name: 'real',
    include: ['test/providers/claude-real/*.real.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
