/**
 * Makes a checkout ready to run: dependencies as the lock file says, then the workflow bundle and the page.
 *
 * `npm start` and `npm test` run it first. It is the one program here that an old system Node runs,
 * with nothing installed, so it has no dependencies and no TypeScript.
 *
 * 1. Nothing to do costs a tenth of a second and touches nothing.
 * 2. Two at once: one installs, the other waits. The lock of a dead one is taken over, never that of a live one.
 * 3. `npm start` is content with an installation made by `--omit=dev`; everything else needs the whole.
 */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** @typedef {{ integrity?: string, version?: string, dev?: boolean, optional?: boolean, devOptional?: boolean }} Package */

const root = fileURLToPath(new URL('..', import.meta.url));
const node = join(root, 'node_modules/.bin/node');
const lockFolder = join(root, '.ensure.lock');
const needsDev = process.env['npm_lifecycle_event'] !== 'prestart';

/** @param {string} file @returns {Record<string, Package>} */
function packages(file) {
  if (!existsSync(join(root, file))) return {};
  const content = /** @type {{ packages?: Record<string, Package> }} */ (
    JSON.parse(readFileSync(join(root, file), 'utf8'))
  );
  return content.packages ?? {};
}

/** Why an installation is due, in words; null when it is not. */
function whyStale() {
  // npm writes this file last, so an installation that was interrupted does not have it
  const installed = packages('node_modules/.package-lock.json');
  if (Object.keys(installed).length === 0) return 'nothing is installed';
  for (const [path, wanted] of Object.entries(packages('package-lock.json'))) {
    if (path === '') continue;
    const found = installed[path];
    const mayBeMissing = wanted.optional || (!needsDev && (wanted.dev || wanted.devOptional));
    if (!found && !mayBeMissing) return `${path} is missing`;
    if (found && (found.integrity !== wanted.integrity || found.version !== wanted.version)) {
      return `${path} is another version`;
    }
  }
  return null;
}

/**
 * Names a process so that its number, given out again, is not taken for it.
 * @param {number} pid
 */
function identityOf(pid) {
  let startedAt = '';
  try {
    // field 22; the command name before it may hold spaces and brackets
    startedAt = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? '';
  } catch {
    // no /proc on this system: the number alone has to do
  }
  return `${pid}-${startedAt}`;
}

/** @param {string} identity */
function isAlive(identity) {
  const pid = Number(identity.split('-')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPERM') return false;
  }
  return identityOf(pid) === identity;
}

/**
 * Who is in the lock: the process that took it, alive as long as it or the npm it started is. A killed owner's npm goes on.
 * @returns {{ name: string, alive: boolean }[]}
 */
function owners() {
  try {
    return readdirSync(lockFolder).map((name) => {
      const installer = readFileSync(join(lockFolder, name), 'utf8');
      return { name, alive: isAlive(name) || isAlive(installer) };
    });
  } catch {
    // it was released while we looked
    return [];
  }
}

const self = identityOf(process.pid);
const prepared = `${lockFolder}.${self}`;

/**
 * Waits until the lock is ours. The lock is a folder that holds a file named after its owner, and comes into being by a
 * rename, whole. A stale one is emptied by removing the very name that was seen dead, which cannot hit a new owner;
 * a rename onto an emptied folder succeeds, and for one of us only.
 */
async function acquire() {
  mkdirSync(prepared, { recursive: true });
  writeFileSync(join(prepared, self), '');
  for (let waits = 0; ; waits++) {
    try {
      renameSync(prepared, lockFolder);
      return;
    } catch (error) {
      const { code } = /** @type {NodeJS.ErrnoException} */ (error);
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    }
    const [owner] = owners();
    if (owner?.alive) {
      if (waits === 0) say(`waiting for the installation of process ${owner.name.split('-')[0]}`);
      await sleep(200);
    } else if (owner) {
      rmSync(join(lockFolder, owner.name), { force: true });
    }
  }
}

/** Does nothing when the lock is not ours. */
function release() {
  rmSync(prepared, { recursive: true, force: true });
  rmSync(join(lockFolder, self), { force: true });
  try {
    rmdirSync(lockFolder);
  } catch {
    // another owner has moved in, or there was none
  }
}
process.on('exit', release);

/** @param {string} text */
function say(text) {
  process.stderr.write(`holdfast: ${text}\n`);
}

/** The child that a signal to us must end too. @type {import('node:child_process').ChildProcess | undefined} */
let child;
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
  process.on(signal, () => {
    if (child === undefined) process.exit(1);
    child.kill(signal);
  });
}

/**
 * Runs a command in the checkout to its end, with our own terminal.
 * @param {string} command @param {string[]} args @param {(pid: number) => void} [started]
 * @returns {Promise<boolean>} whether it ended well
 */
async function run(command, args, started) {
  const running = spawn(command, args, { cwd: root, stdio: 'inherit' });
  child = running;
  /** @type {Promise<boolean>} */
  const ended = new Promise((resolve) => {
    running.on('error', (error) => {
      say(`${command}: ${error.message}`);
      resolve(false);
    });
    running.on('exit', (code) => resolve(code === 0));
  });
  if (running.pid !== undefined) started?.(running.pid);
  const well = await ended;
  child = undefined;
  return well;
}

/** @returns {Promise<boolean>} whether the dependencies are there */
async function install() {
  await acquire();
  try {
    const reason = whyStale();
    if (reason === null) return true;
    say(`${reason}: npm ci`);
    const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
    // NODE_ENV=production or an omit in someone's npm configuration would leave the tests without their runner
    if (needsDev) args.push('--include=dev');
    const npm = process.env['npm_execpath'];
    const [command, first] = npm ? [process.execPath, [npm]] : ['npm', []];
    const well = await run(command, [...first, ...args], (pid) => {
      writeFileSync(join(lockFolder, self), identityOf(pid));
    });
    if (!well) {
      say('npm ci failed; its own words are above');
      return false;
    }
    const left = whyStale();
    if (left !== null) say(`npm ci ended well, and still ${left}`);
    return left === null;
  } finally {
    release();
  }
}

/** @returns {Promise<boolean>} */
async function ensure() {
  // while another one installs, what lies in node_modules says nothing
  if ((whyStale() !== null || owners().some(({ alive }) => alive)) && !(await install()))
    return false;
  if (!existsSync(node)) {
    say(
      'Node 24 is missing: it comes as the package `node`, by its install script, and npm is set to run none',
    );
    say('run: npm rebuild node --ignore-scripts=false');
    return false;
  }
  return run(node, ['scripts/build.ts', '--page-optional']);
}

process.exitCode = (await ensure()) ? 0 : 1;
