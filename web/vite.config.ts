/** How the page is built; scripts/bundle-page.ts says where to, and when. */
import { fileURLToPath } from 'node:url';

import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** remark-gfm brings along how to write markdown: 8 KB, compressed, of which the page, which reads it, never calls any. */
const withoutMarkdownWriter: Plugin = {
  name: 'without-markdown-writer',
  enforce: 'pre',
  resolveId: (id) => (id === 'mdast-util-to-markdown' ? '\0no-markdown-writer' : null),
  load: (id) => (id === '\0no-markdown-writer' ? 'export const defaultHandlers = {};' : null),
};

/** The walk through a tree gives its function another name at each node, for stack traces: a fifth of what a long paragraph costs. */
const withoutNamedSteps: Plugin = {
  name: 'without-named-steps',
  transform(code, id) {
    if (!id.endsWith('/unist-util-visit-parents/lib/index.js')) return null;
    const shorter = code.replace(/^ *Object\.defineProperty\(visit, 'name', \{[^]*?\n *\}\)$/m, '');
    if (shorter === code)
      this.error('it names its steps no more, or in another way: adapt or remove this');
    return { code: shorter, map: null };
  },
};

export default defineConfig({
  root: folder('.'),
  base: '/',
  // it would read .env files, which nothing else here does
  envDir: false,
  plugins: [react(), withoutMarkdownWriter, withoutNamedSteps],
  resolve: {
    alias: {
      // its version for browsers asks `innerHTML`, which the policy forbids
      'decode-named-character-reference': folder('conversation/character-references.ts'),
    },
  },
  // its own cache, not one beside packages that somebody may have mounted read-only
  cacheDir: folder('../node_modules/.cache/vite'),
  build: {
    outDir: folder('../dist/web'),
    emptyOutDir: true,
    // what the sources use without a polyfill
    target: 'es2024',
    sourcemap: false,
    // the policy allows neither an inline script nor a data: address
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    // in KB, uncompressed: what counts is held by the bench, compressed
    chunkSizeWarningLimit: 1_000,
  },
});
