import { defineConfig } from 'oxlint';

import { pageFolders, plugins, pureFolders, relaxedFolders, rules } from './oxlint.law.ts';

export default defineConfig({
  plugins,
  jsPlugins: ['./oxlint.law.ts'],
  categories: { correctness: 'error', suspicious: 'error' },
  rules,
  overrides: [...pureFolders, ...pageFolders, ...relaxedFolders],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: 'error' },
  ignorePatterns: [
    'dist',
    'coverage',
    'reports',
    '.stryker-tmp',
    'test/law/src',
    'test/law/test',
    'test/law/web',
  ],
});
