import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';

import { HoldfastError } from '../contracts/errors.ts';

/**
 * The real path of the folder an agent is to work in: `requested`, or the first root when null.
 *
 * Compared by real path, so that neither `..` nor a symbolic link leads out of the roots.
 *
 * Throws: `workspace_not_allowed` when it does not exist, is no folder, or lies outside the roots.
 */
export async function resolveWorkspace({
  requested,
  roots,
}: {
  requested: string | null;
  roots: readonly string[];
}): Promise<string> {
  const path = requested ?? roots[0];
  if (path === undefined || !isAbsolute(path)) throw new HoldfastError('workspace_not_allowed');
  const real = await realFolder(path);
  const realRoots = await Promise.all(roots.map(realFolder));
  const inside = realRoots.some((root) => root !== null && real !== null && contains(root, real));
  // One answer for what is missing and for what is outside: no one is told which files exist elsewhere.
  if (real === null || !inside) throw new HoldfastError('workspace_not_allowed');
  return real;
}

async function realFolder(path: string): Promise<string | null> {
  try {
    const real = await realpath(path);
    return (await stat(real)).isDirectory() ? real : null;
  } catch {
    return null;
  }
}

function contains(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}
