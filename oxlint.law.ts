/**
 * The import law of this repository, and two laws like it, as an oxlint plugin.
 *
 * It is a plugin of our own, not patterns of `no-restricted-imports`, because those match what is
 * written and not what is meant: they need another pattern for each depth of folder, and one of them
 * that matches can silence the next. Here a specifier is resolved first and then looked up.
 *
 * test/law holds one planted violation a file, and legal files beside them.
 */
import { dirname, relative, resolve, sep } from 'node:path';

import type { OxlintConfig, OxlintOverride } from 'oxlint';

/**
 * What the files of one folder may import. Paths are relative to `src`, those of the page begin with `web/`; they name a file
 * or a folder with all below it. A package is named as it is imported, with `*` for one path segment. Values include types.
 */
type Allowed = {
  values: readonly string[];
  types?: readonly string[];
  packages?: readonly string[];
  packageTypes?: readonly string[];
};

/**
 * The contract files without TypeBox, the only ones whose values workflow and domain code may load:
 * a schema imported as a value grows the workflow bundle from 1.6 to 3.7 MB.
 */
const plainContracts = ['ids', 'limits', 'errors', 'names', 'provider-events'].map(
  (name) => `contracts/${name}.ts`,
);

/** Pure code of the engine that the page runs too: the folds, and how evidence is put into words. */
const pageDomain = ['fold', 'table-fold', 'why-words'].map((name) => `domain/${name}.ts`);

/** What all of the page that is seen may use: a component sees the engine by its contract, and in no other way. */
const seen = {
  values: ['web/parts', 'web/styles', ...plainContracts],
  types: ['web/client/contract.ts', 'contracts'],
  packages: ['react', '@base-ui/react', '@base-ui/react/*'],
};

/** A file is ruled by its longest match; a folder of `src` or `web` that is not here may import nothing. */
const law: Readonly<Record<string, Allowed>> = {
  ...Object.fromEntries(
    plainContracts.map((file) => [file, { values: plainContracts, types: ['contracts'] }]),
  ),
  contracts: { values: ['contracts'], packages: ['typebox', 'typebox/*'] },
  domain: { values: ['domain', ...plainContracts], types: ['contracts'] },
  workflows: {
    values: ['workflows', 'domain', ...plainContracts],
    types: ['contracts', 'activities'],
    packages: ['@temporalio/workflow'],
  },
  // the scripted provider is a program of its own, and a client of the gateway's MCP server
  providers: {
    values: ['providers', 'contracts'],
    packages: ['@modelcontextprotocol/client', 'node:*'],
  },
  store: { values: ['store', 'contracts', 'domain'], packages: ['node:*'] },
  activities: {
    values: ['activities', 'contracts', 'domain', 'providers', 'store'],
    packages: ['@temporalio/activity', '@temporalio/common', 'node:*'],
  },
  api: {
    values: ['api', 'contracts', 'domain', 'store', 'workflows/definitions.ts'],
    packages: [
      '@modelcontextprotocol/server',
      '@temporalio/client',
      'fastify',
      '@fastify/*',
      'typebox',
      'typebox/*',
      'node:*',
    ],
    packageTypes: ['ws'],
  },
  supervisor: {
    values: ['supervisor', 'config.ts', ...plainContracts, 'providers/process/process-table.ts'],
    packages: ['node:*'],
  },
  cli: {
    values: ['cli', 'supervisor', 'supervisor.ts', 'config.ts', 'contracts', 'providers', 'store'],
    packages: ['@temporalio/client', 'node:*'],
  },
  // React is not among its packages: what the page knows of the engine is to be tested, and to live, without anything drawn
  'web/client': {
    values: ['web/client', ...pageDomain, ...plainContracts],
    types: ['contracts'],
  },
  'web/client/contract.ts': { values: [], types: ['contracts'] },
  'web/parts': { ...seen, types: ['web/client/contract.ts'] },
  'web/conversation': {
    ...seen,
    values: ['web/conversation', ...seen.values],
    packages: [
      ...seen.packages,
      'react-markdown',
      'remark-gfm',
      'virtua',
      'lowlight',
      'highlight.js/lib/languages/*',
    ],
    packageTypes: ['hast'],
  },
  'web/panels': { ...seen, values: ['web/panels', ...seen.values] },
  'web/app': {
    ...seen,
    values: ['web/app', 'web/conversation', 'web/panels', ...seen.values],
  },
  // small, so that it runs early: what draws the page comes after it
  'web/main.ts': { values: ['web/client', 'web/app/place.ts', 'web/draw.tsx', 'web/styles'] },
  'web/draw.tsx': { values: ['web'], types: ['contracts'], packages: ['react-dom/client'] },
  'web/vite.config.ts': { values: [], packages: ['vite', '@vitejs/plugin-react', 'node:*'] },
};

/** The one file of `src` that may read the environment. */
const environmentReader = 'config.ts';

/** As much of an ESTree node as the rules below look at. */
type Node = {
  type: string;
  parent?: Node | null;
  name?: string;
  value?: unknown;
  computed?: boolean;
  importKind?: string;
  exportKind?: string;
  source?: Node | null;
  argument?: Node;
  literal?: Node;
  object?: Node;
  property?: Node;
  id?: Node | null;
  init?: Node | null;
  key?: Node;
  properties?: Node[];
  callee?: Node;
  arguments?: Node[];
  quasis?: { value: { cooked: string | null } }[];
  expressions?: Node[];
};
type Context = {
  filename: string;
  cwd: string;
  report: (problem: { node: Node; message: string }) => void;
};
type Rule = { create: (context: Context) => Record<string, (node: Node) => void> };

/** A path as the law names it: relative to `src`, or beginning with `web/`, or with `../` when it lies elsewhere. */
function placeOf(path: string, { cwd }: Context): string {
  const inWeb = relative(resolve(cwd, 'web'), path).split(sep).join('/');
  if (!inWeb.startsWith('../')) return `web/${inWeb}`;
  return relative(resolve(cwd, 'src'), path).split(sep).join('/');
}

/** The place of the linted file, or null when no law is made for where it lies. */
function placeInSource(context: Context): string | null {
  const place = placeOf(context.filename, context);
  return place.startsWith('../') ? null : place;
}

/** A place as people call it. */
const called = (place: string): string => (place.startsWith('web/') ? place : `src/${place}`);

const covers = (entry: string, path: string) => path === entry || path.startsWith(`${entry}/`);

function coversPackage(entry: string, specifier: string): boolean {
  if (!entry.endsWith('*')) return entry === specifier;
  const stem = entry.slice(0, -1);
  // `node:*` takes sub-paths (node:fs/promises); a package's own inside is nobody's business
  return (
    specifier.startsWith(stem) && (stem === 'node:' || !specifier.slice(stem.length).includes('/'))
  );
}

function rowOf(place: string): [string, Allowed] | undefined {
  return Object.entries(law)
    .filter(([entry]) => covers(entry, place))
    .toSorted(([a], [b]) => b.length - a.length)[0];
}

/** The text of a string literal, or of a template without expressions; undefined for anything computed. */
function textOf(node: Node | null | undefined): string | undefined {
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value;
  if (node?.type === 'TSLiteralType') return textOf(node.literal);
  if (node?.type === 'TemplateLiteral' && node.expressions?.length === 0) {
    return node.quasis?.[0]?.value.cooked ?? undefined;
  }
  return undefined;
}

const imports: Rule = {
  create(context) {
    const place = placeInSource(context);
    if (place === null || !place.includes('/')) return {};
    const row = rowOf(place);
    if (row === undefined) {
      return {
        Program: (node) => {
          const message = `${called(dirname(place))} is not in the import law: add a row to oxlint.law.ts`;
          context.report({ node, message });
        },
      };
    }
    const [subject, { values, types = [], packages = [], packageTypes = [] }] = row;

    const check = (node: Node, source: Node | null | undefined, typeOnly: boolean) => {
      const specifier = textOf(source);
      if (specifier === undefined) {
        context.report({
          node,
          message: 'a computed import cannot be held against the import law',
        });
        return;
      }
      const local = specifier.startsWith('.');
      const target = local
        ? placeOf(resolve(dirname(context.filename), specifier), context)
        : specifier;
      const permits = local ? covers : coversPackage;
      if ((local ? values : packages).some((entry) => permits(entry, target))) return;
      const typesPermit = (local ? types : packageTypes).some((entry) => permits(entry, target));
      if (typesPermit && typeOnly) return;
      const may = [...values, ...packages].join(', ');
      const mayTypes = [...types, ...packageTypes].join(', ');
      context.report({
        node,
        message: typesPermit
          ? `${called(subject)} may import only types from ${target}: write \`import type\``
          : `${called(subject)} may not import ${target}; only ${may || 'nothing'}${mayTypes && `, and types of ${mayTypes}`}`,
      });
    };
    return {
      // `import { type X }` still loads the module at run time, so only `import type` counts as a type
      ImportDeclaration: (node) => check(node, node.source, node.importKind === 'type'),
      ExportAllDeclaration: (node) => check(node, node.source, node.exportKind === 'type'),
      ExportNamedDeclaration: (node) => {
        if (node.source) check(node, node.source, node.exportKind === 'type');
      },
      ImportExpression: (node) => check(node, node.source, false),
      TSImportType: (node) => check(node, node.source ?? node.argument, true),
    };
  },
};

const isGlobal = (node: Node | null | undefined, ...names: string[]) =>
  node?.type === 'Identifier' && names.includes(node.name ?? '');

/** The name a member expression or a pattern's property reads; undefined when it is computed. */
function keyOf(key: Node | undefined, computed: boolean | undefined): string | undefined {
  return computed ? textOf(key) : (key?.name ?? textOf(key));
}

const isProcess = (node: Node | null | undefined) =>
  isGlobal(node, 'process') ||
  (node?.type === 'MemberExpression' &&
    isGlobal(node.object, 'globalThis', 'global') &&
    keyOf(node.property, node.computed) === 'process');

const environment: Rule = {
  create(context) {
    const place = placeInSource(context);
    if (place === null || place === environmentReader) return {};
    const report = (node: Node, what: string) =>
      context.report({
        node,
        message: `${what}: only src/${environmentReader} reads the environment`,
      });
    return {
      MemberExpression: (node) => {
        if (!isProcess(node.object)) return;
        const key = keyOf(node.property, node.computed);
        if (key === undefined || key === 'env') report(node, `process.${key ?? '[computed]'}`);
      },
      VariableDeclarator: (node) => {
        if (!isProcess(node.init) || node.id?.type !== 'ObjectPattern') return;
        for (const property of node.id.properties ?? []) {
          const key =
            property.type === 'RestElement' ? undefined : keyOf(property.key, property.computed);
          if (key === undefined || key === 'env') report(property, `{ ${key ?? '...'} } = process`);
        }
      },
      ImportDeclaration: (node) => {
        const specifier = textOf(node.source);
        if (specifier === 'node:process' || specifier === 'process') {
          report(node, 'write the global `process`, an imported one hides its environment');
        }
      },
    };
  },
};

const clock: Rule = {
  create(context) {
    const message = 'pure code is told the time, it does not read a clock';
    return {
      NewExpression: (node) => {
        if (isGlobal(node.callee, 'Date') && node.arguments?.length === 0)
          context.report({ node, message });
      },
      CallExpression: (node) => {
        if (isGlobal(node.callee, 'Date')) context.report({ node, message });
      },
    };
  },
};

/** The plugin, as oxlint loads it: `law/imports`, `law/environment`, `law/clock`. */
export default { meta: { name: 'law' }, rules: { imports, environment, clock } };

/** Naming any replaces oxlint's own choice, so this is the whole list. */
export const plugins: NonNullable<OxlintConfig['plugins']> = [
  'typescript',
  'import',
  'unicorn',
  'oxc',
  'promise',
  'node',
  'vitest',
];

/** The rules above and everything else that test/law proves; shared by oxlint.config.ts and test/law/lint.config.ts. */
export const rules: NonNullable<OxlintConfig['rules']> = {
  'law/imports': 'error',
  'law/environment': 'error',
  'import/no-cycle': ['error', { ignoreTypes: false }],
  // tsc, vitest and the bundler all accept './x.js' for an x.ts; Node does not
  'import/extensions': [
    'error',
    'ignorePackages',
    { ts: 'always', tsx: 'always', js: 'never', checkTypeImports: true },
  ],
  'import/no-dynamic-require': ['error', { esmodule: true }],
  'typescript/consistent-type-imports': 'error',
  'typescript/no-import-type-side-effects': 'error',
  'typescript/no-require-imports': 'error',
  'typescript/no-floating-promises': 'error',
  'typescript/no-misused-promises': 'error',
  'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  'typescript/no-deprecated': 'error',
  'typescript/no-explicit-any': 'error',
  'typescript/no-non-null-assertion': 'error',
  'typescript/no-unsafe-argument': 'error',
  'typescript/no-unsafe-assignment': 'error',
  'typescript/no-unsafe-call': 'error',
  'typescript/no-unsafe-member-access': 'error',
  'typescript/no-unsafe-return': 'error',
  'typescript/only-throw-error': 'error',
  // knows nothing of exhaustive switches; tsc's noImplicitReturns does
  'typescript/consistent-return': 'off',
  // sees neither what happens during an await nor in a callback
  'no-unmodified-loop-condition': 'off',
  // for a promise that is an end in itself there is nothing to return; no-floating-promises looks after the rest
  'promise/always-return': 'off',
  // these two judge by names: a `done` is not a callback here, and Fastify, unlike Express, awaits its handlers
  'promise/no-callback-in-promise': 'off',
  'oxc/no-async-endpoint-handlers': 'off',
  // `fc.string()` is how fast-check is meant to be used
  'import/no-named-as-default-member': 'off',
  // a helper stands best next to its only use
  'unicorn/consistent-function-scoping': 'off',
};

const hostGlobals = [
  'process',
  'Buffer',
  'fetch',
  'performance',
  'crypto',
  'require',
  'globalThis',
  'global',
];
const timers = ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask'];

/** The stricter rules of the folders that must stay deterministic. */
export const pureFolders: OxlintOverride[] = [
  {
    // a workflow's timers, Date and Math.random are the SDK's deterministic ones
    files: ['src/workflows/**'],
    rules: { 'no-restricted-globals': ['error', ...hostGlobals] },
  },
  {
    // here they would be the real ones
    files: ['src/{contracts,domain}/**'],
    rules: {
      'law/clock': 'error',
      'no-restricted-globals': ['error', ...hostGlobals, ...timers],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now' },
        { object: 'Math', property: 'random' },
      ],
    },
  },
];

/** What is drawn: the rules of React, and those of who cannot see it. */
export const pageFolders: OxlintOverride[] = [
  {
    files: ['web/**'],
    plugins: [...plugins, 'react', 'jsx-a11y'],
    rules: {
      'react/rules-of-hooks': 'error',
      'react/exhaustive-deps': 'error',
      // of the old transform; the page is built with the one that imports by itself
      'react/react-in-jsx-scope': 'off',
      // a style is imported for what it does
      'import/no-unassigned-import': ['error', { allow: ['**/*.css'] }],
    },
  },
];

/** Tests, benches and scripts may cut corners that the product may not; a promise is never left alone, even there. */
export const relaxedFolders: OxlintOverride[] = [
  {
    files: ['test/**', 'bench/**', 'scripts/**'],
    rules: {
      'typescript/no-non-null-assertion': 'off',
      'typescript/no-unsafe-type-assertion': 'off',
      'vitest/expect-expect': 'off',
    },
  },
];
