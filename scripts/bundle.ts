/**
 * Bundles the workflows ahead of time into dist/workflows.js: a worker that bundles at its start takes a second and
 * a hundred megabytes more.
 *
 * The bundle carries the hash of all it was made from, so a stale one is recognised by content: a checkout,
 * a copied folder or a touched file cannot deceive it. It is one file, moved into place whole: a reader
 * and two builders at once are safe.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** All a workflow may import, and so all that the bundle can be made of; see oxlint.law.ts. */
const sourceFolders = ['src/workflows', 'src/domain', 'src/contracts'];

/** What makes the bundle's other half: packages whose version changes what comes out. */
const packages = ['@temporalio/worker', '@temporalio/workflow', '@swc/core'];

/** Turns the workflows that `entry` exports into the code of one script. */
export type Bundler = (entry: string) => Promise<string>;

const sdkBundler: Bundler = async (entry) => {
  // loaded only when needed: it takes longer than everything else here
  const { bundleWorkflowCode, DefaultLogger } = await import('@temporalio/worker');
  const { code } = await bundleWorkflowCode({
    workflowsPath: entry,
    logger: new DefaultLogger('WARN'),
  });
  return code;
};

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}

async function hashSources(folder: string): Promise<string> {
  const hash = createHash('sha256');
  for (const sourceFolder of sourceFolders) {
    const names = await readdir(join(folder, sourceFolder), { recursive: true }).catch(() => []);
    for (const name of names.filter((each) => each.endsWith('.ts')).toSorted()) {
      const text = await readFile(join(folder, sourceFolder, name), 'utf8');
      hash.update(`${sourceFolder}/${name}\0${text.length}\0${text}`);
    }
  }
  for (const name of packages) {
    const manifest = await readIfThere(join(folder, 'node_modules', name, 'package.json'));
    const { version } = JSON.parse(manifest ?? '{}') as { version?: string };
    hash.update(`${name}@${version}\0`);
  }
  hash.update((await readIfThere(fileURLToPath(import.meta.url))) ?? '');
  return hash.digest('hex');
}

/** Puts `line` where the SDK leaves it alone: it takes everything after the source map's mark for the map. */
function withStamp(code: string, line: string): string {
  const map = code.lastIndexOf('\n//# sourceMappingURL=');
  return map < 0 ? `${code}\n${line}\n` : `${code.slice(0, map)}\n${line}${code.slice(map)}`;
}

/**
 * Makes sure that dist/workflows.js is the bundle of the present sources, and says where it is and whether it had to be built.
 *
 * Throws: what the bundler throws; an older bundle is left as it is.
 */
export async function ensureWorkflowBundle({
  folder = root,
  bundle = sdkBundler,
}: { folder?: string; bundle?: Bundler } = {}): Promise<{ path: string; built: boolean }> {
  const path = join(folder, 'dist/workflows.js');
  const stamp = `// holdfast: bundled from sources sha256 ${await hashSources(folder)}`;
  if ((await readIfThere(path))?.includes(`\n${stamp}\n`)) return { path, built: false };

  const code = await bundle(join(folder, 'src/workflows/index.ts'));
  const unfinished = `${path}.${process.pid}`;
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(unfinished, withStamp(code, stamp));
    await rename(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  return { path, built: true };
}

if (import.meta.main) {
  if ((await readIfThere(join(root, 'src/workflows/index.ts'))) === null) {
    process.stderr.write('holdfast: there are no workflows to bundle\n');
  } else {
    const { built } = await ensureWorkflowBundle();
    if (built) process.stderr.write('holdfast: workflows bundled\n');
  }
}
