/**
 * Builds the page into dist/web: the files as Vite makes them, and beside each one that shrinks its `.br` and `.gz`.
 *
 *  1 dist/web is a link to `web-<hash>`, the hash of all it was made from: a stale one is recognised by its name, and one that
 *    is there is whole, because it was moved into place so.
 *  2 The link is replaced by a rename: a reader that resolves it once reads one build, and two builders at once make the same.
 *  3 The build before stays until the next one, for who had just resolved the link.
 */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

const root = fileURLToPath(new URL('..', import.meta.url));

/** All that the page may import beside packages, and so all that it can be made of; see oxlint.law.ts. */
const sources = ['web', 'src/contracts', 'src/domain'];
/** The lock names the version of every package, those that packages bring along too. */
const otherInputs = ['package-lock.json', 'tsconfig.json'];

/** Below this a compressed answer saves no packet. */
const COMPRESS_FROM_BYTES = 1_024;
/** An unfinished build that is older was left by a builder that was killed. */
const ABANDONED_AFTER_MS = 10 * 60_000;

/** Builds the page whose sources are in `folder` into `outFolder`, which is empty. */
export type PageBuilder = (place: { folder: string; outFolder: string }) => Promise<void>;

/** In a process of its own: what is built depends on NODE_ENV, which belongs to whoever runs us (a test runner has its own). */
const viteBuilder: PageBuilder = async ({ folder, outFolder }) => {
  const vite = join(folder, 'node_modules/vite/bin/vite.js');
  const config = join(folder, 'web/vite.config.ts');
  const args = ['build', join(folder, 'web'), '--config', config, '--outDir', outFolder];
  try {
    await promisify(execFile)(process.execPath, [vite, ...args, '--logLevel', 'warn'], {
      cwd: folder,
      env: { ...process.env, NODE_ENV: 'production', NO_COLOR: '1' },
    });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw said === '' ? error : new Error(said, { cause: error });
  }
};

/** There is no page in this folder to build. */
export class NoPageError extends Error {
  override readonly name = 'NoPageError';
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

async function unlessMissing<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

async function hashSources(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const add = (name: string, content: Buffer): void => {
    hash.update(`${name}\0${content.length}\0`).update(content);
  };
  for (const source of sources) {
    const entries = await unlessMissing(
      readdir(join(folder, source), { recursive: true, withFileTypes: true }),
    );
    const files = (entries ?? [])
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted();
    for (const file of files) {
      // null: gone since it was listed, as an editor's copy is
      const content = await unlessMissing(readFile(file));
      if (content !== null) add(file.slice(folder.length), content);
    }
  }
  for (const name of otherInputs) {
    const content = await unlessMissing(readFile(join(folder, name)));
    if (content !== null) add(name, content);
  }
  add('bundle-page.ts', await readFile(fileURLToPath(import.meta.url)));
  return hash.digest('hex').slice(0, 32);
}

const compressors = [
  [
    '.br',
    (content: Buffer) =>
      promisify(brotliCompress)(content, {
        params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
      }),
  ],
  ['.gz', (content: Buffer) => promisify(gzip)(content, { level: 9 })],
] as const;

async function compress(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  await Promise.all(
    files.map(async (entry) => {
      const file = join(entry.parentPath, entry.name);
      const content = await readFile(file);
      if (content.length < COMPRESS_FROM_BYTES) return;
      for (const [ending, squeeze] of compressors) {
        const small = await squeeze(content);
        if (small.length < content.length) await writeFile(`${file}${ending}`, small);
      }
    }),
  );
}

/** Points dist/web to a build. A folder that lies there instead is of another's making, Vite's own say, and goes. */
async function pointTo(link: string, name: string): Promise<void> {
  const unfinished = join(dirname(link), `.web-${randomUUID()}`);
  await symlink(name, unfinished);
  try {
    const there = await unlessMissing(lstat(link));
    if (there?.isDirectory() === true) await rm(link, { recursive: true, force: true });
    await rename(unfinished, link);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** Removes what no reader can be at: builds other than those named, and unfinished ones of builders that are gone. */
async function sweep(folder: string, kept: readonly (string | null)[]): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const isOld = async (): Promise<boolean> => {
      const facts = await unlessMissing(lstat(path));
      return facts !== null && Date.now() - facts.mtimeMs > ABANDONED_AFTER_MS;
    };
    const isOther = /^web-[0-9a-f]{32}$/.test(name) && !kept.includes(name);
    if (isOther || (name.startsWith('.web-') && (await isOld())))
      await rm(path, { recursive: true, force: true });
  }
}

/**
 * Makes sure that dist/web is the page of the present sources, and says where it is and whether it had to be built.
 *
 * Throws: {@link NoPageError}; what the builder throws. An older page is left as it is.
 */
export async function ensurePage({
  folder = root,
  build = viteBuilder,
}: { folder?: string; build?: PageBuilder } = {}): Promise<{ path: string; built: boolean }> {
  const path = join(folder, 'dist/web');
  const dist = dirname(path);
  if ((await unlessMissing(stat(join(folder, 'web/index.html')))) === null)
    throw new NoPageError('web/index.html is not there');

  const before = await readlink(path).catch(() => null);
  const isThere = async (name: string): Promise<boolean> =>
    (await unlessMissing(stat(join(dist, name)))) !== null;
  let name = `web-${await hashSources(folder)}`;
  if (before === name && (await isThere(name))) return { path, built: false };

  let built = false;
  while (!(await isThere(name))) {
    const unfinished = join(dist, `.web-${randomUUID()}`);
    await mkdir(unfinished, { recursive: true });
    try {
      await build({ folder, outFolder: unfinished });
      const nameNow = `web-${await hashSources(folder)}`;
      if (nameNow === name) {
        await compress(unfinished);
        await rename(unfinished, join(dist, name)).catch(async (error: unknown) => {
          // another builder was quicker, with the same
          if (!(await isThere(name))) throw error;
        });
        built = true;
      }
      // a source was saved meanwhile: what came out has no name
      name = nameNow;
    } finally {
      await rm(unfinished, { recursive: true, force: true });
    }
  }
  await pointTo(path, name);
  await sweep(dist, [name, before]);
  return { path, built };
}
