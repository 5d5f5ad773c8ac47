/**
 * The home folder: made at the first start, private to its owner.
 *
 *  1 Folders 0700, token 0600; what is looser is tightened, but only in a folder that is ours: a folder of somebody
 *    else's things (`HOLDFAST_HOME=/tmp`) is refused untouched.
 *  2 The token and the host's name are made once and never changed.
 */
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';

import type { Config } from '../config.ts';

/** The home cannot be used; the message says what to do. */
export class HomeError extends Error {
  override readonly name = 'HomeError';
}

/** Makes the folders. Two starters may be here at once. Throws: {@link HomeError}. */
export function makeFolders(config: Config): void {
  const { home, paths } = config;
  orHomeError(home, () => {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const { mode } = statSync(home);
    if ((mode & 0o077) !== 0) {
      if (!existsSync(paths.token) && readdirSync(home).length > 0)
        throw new HomeError(
          `HOLDFAST_HOME=${home} holds other things and can be read by others. Name a folder of its own, or make it private: chmod 700 ${home}`,
        );
      chmodSync(home, 0o700);
    }
    for (const folder of [paths.spools, paths.run, paths.logs, paths.cache])
      mkdirSync(folder, { recursive: true, mode: 0o700 });
  });
}

/**
 * Makes the token and writes down the host's name. Only for the holder of the home's lock: of two writers the second
 * would replace a token that is in use. Throws: {@link HomeError}.
 */
export function makeIdentity(config: Config): void {
  const { home, paths } = config;
  orHomeError(home, () => {
    writeOnce(paths.token, randomBytes(32).toString('base64url'));
    chmodSync(paths.token, 0o600);
    writeOnce(paths.hostName, config.turns.hostName);
  });
}

function orHomeError(home: string, make: () => void): void {
  try {
    make();
  } catch (error) {
    if (error instanceof HomeError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new HomeError(`HOLDFAST_HOME=${home} cannot be used: ${why}`, { cause: error });
  }
}

/** The API's token; null when there is none yet. */
export function readToken(config: Pick<Config, 'paths'>): string | null {
  try {
    const token = readFileSync(config.paths.token, 'utf8').trim();
    return token === '' ? null : token;
  } catch {
    return null;
  }
}

/** Puts the file there whole or not at all, and leaves one with content alone. */
function writeOnce(file: string, content: string): void {
  if (existsSync(file) && statSync(file).size > 0) return;
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, `${content}\n`, { mode: 0o600 });
  renameSync(unfinished, file);
}
