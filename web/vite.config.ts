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

/** Nor is any SVG made of markdown: what its attributes are called is 14 KB of source. */
const withoutSvgNames: Plugin = {
  name: 'without-svg-names',
  load: (id) =>
    id.endsWith('/property-information/lib/svg.js')
      ? `export { html as svg } from './html.js';`
      : null,
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

/** What begins the page imports what draws it; named by the document, both are on their way at once. */
const withDrawingAhead: Plugin = {
  name: 'with-drawing-ahead',
  transformIndexHtml: {
    order: 'post',
    handler(_html, { bundle = {} }) {
      const chunks = Object.values(bundle).filter((file) => file.type === 'chunk');
      const beginning = chunks.find(({ isEntry }) => isEntry);
      const known = new Set([beginning?.fileName, ...(beginning?.imports ?? [])]);
      const names = chunks
        .filter(({ facadeModuleId }) => facadeModuleId?.endsWith('/web/draw.tsx'))
        .flatMap(({ fileName, imports }) => [fileName, ...imports]);
      return names
        .filter((name) => !known.has(name))
        .map((name) => ({
          tag: 'link',
          attrs: { rel: 'modulepreload', crossorigin: true, href: `/${name}` },
          injectTo: 'head' as const,
        }));
    },
  },
};

/**
 * Most functions of these files are called before the first paint. Told so, a browser compiles them where it reads them, beside the
 * main thread, which else would compile each at its first call. Source: V8, explicit compile hints.
 */
const compiledAhead: Plugin = {
  name: 'compiled-ahead',
  enforce: 'post',
  generateBundle: {
    order: 'post',
    handler(_options, bundle) {
      for (const file of Object.values(bundle))
        if (file.type === 'chunk' && NEEDED_AT_FIRST.has(file.name))
          file.code = `//# allFunctionsCalledOnLoad\n${file.code}`;
    },
  },
};
const NEEDED_AT_FIRST: ReadonlySet<string> = new Set(['index', 'draw', 'react', 'markdown']);

export default defineConfig({
  root: folder('.'),
  base: '/',
  // it would read .env files, which nothing else here does
  envDir: false,
  plugins: [
    react(),
    withoutMarkdownWriter,
    withoutSvgNames,
    withoutNamedSteps,
    withDrawingAhead,
    compiledAhead,
  ],
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
    rolldownOptions: {
      output: {
        codeSplitting: {
          // read by threads of their own, all at once
          groups: [
            { name: 'react', test: /\/node_modules\/(react|react-dom|scheduler)\// },
            {
              name: 'markdown',
              test: /\/node_modules\/(react-markdown|remark-|micromark|mdast-|hast-|unist-|unified|vfile|property-information)/,
            },
          ],
        },
      },
    },
    // in KB, uncompressed: what counts is held by the bench, compressed
    chunkSizeWarningLimit: 1_000,
  },
});
