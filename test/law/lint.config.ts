import { defineConfig } from 'oxlint';

import { plugins, pureFolders, relaxedFolders, rules } from '../../oxlint.law.ts';

/** The law alone, without the categories, so that a planted file breaks exactly what it names. */
export default defineConfig({
  plugins,
  jsPlugins: ['../../oxlint.law.ts'],
  categories: { correctness: 'off' },
  rules,
  overrides: [...pureFolders, ...relaxedFolders],
  options: { typeAware: true },
});
