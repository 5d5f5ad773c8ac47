/**
 * The supervisor: runs Temporal, the workflow worker, the turn host and the gateway, and starts again whichever dies.
 *
 *  1 One for a home (supervisor/lock.ts).
 *  2 It may be killed at any time. Its children go on without it, turns in any case; the next start ends those children
 *    by their recorded identity before it starts its own, so no two of a kind run on one home.
 *  3 Ports are chosen once and kept for its life: a client finds the gateway again where it was.
 *  4 Nothing waits for what it does not need: the gateway serves reads while Temporal still starts.
 *  5 It stops children, never turns (`holdfast stop --turns` does, before).
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Config, Environment } from './config.ts';
import { identify } from './providers/process/process-table.ts';
import { readRecoveryTemplate } from './recovery-template.ts';
import { apiAddress } from './supervisor/address.ts';
import { childSpecs, type ChosenPorts } from './supervisor/child-specs.ts';
import { Child } from './supervisor/child.ts';
import { evict } from './supervisor/evict.ts';
import { HomeError, makeFolders, makeIdentity } from './supervisor/home.ts';
import { takeLock } from './supervisor/lock.ts';
import { rotateLog } from './supervisor/log-file.ts';
import { chooseFreePort, isPortFree } from './supervisor/ports.ts';
import {
  type ProcessRecord,
  readLiveState,
  readState,
  removeState,
  type SupervisorState,
  writeState,
} from './supervisor/state.ts';

/** TERM → KILL when stopping. A turn host needs no longer: its turns are in their spools. */
const STOP_GRACE_MS = 5_000;
/** How soon the state is written again that could not be. */
const STATE_AGAIN_MS = 1_000;
/** A terminal's Ctrl-C reaches us, and again through npm or bin/holdfast.mjs; only a later one means "hurry". */
const SAME_SIGNAL_MS = 500;
/** After this, those who are not ready are named. */
const SLOW_START_MS = 15_000;

export type SupervisorOptions = {
  config: Config;
  /** Handed on, in part, to the children. */
  environment: Environment;
  /** Shows a line to the person who started it. */
  show: (line: string) => void;
  /** What to show once everything is ready. */
  welcome: (facts: { state: SupervisorState; startMs: number }) => Promise<string[]>;
  /** The children; tests bring their own. */
  specs?: typeof childSpecs;
};

/** The start cannot go on; the message says what to do. */
class StartError extends Error {
  override readonly name = 'StartError';
}

/** Runs until it is told to stop (SIGINT, SIGTERM, SIGHUP). Answers with the exit code. */
export async function runSupervisor(options: SupervisorOptions): Promise<number> {
  const { config, show } = options;
  const startedAt = new Date().toISOString();
  const stopSignals = listenForStop();
  const self = identify(process.pid);
  try {
    if (self === null) throw new StartError('Holdfast runs on Linux: it needs /proc.');
    // Said now: a turn host that met it later would do without, and nobody would know.
    const recovery = readRecoveryTemplate(config.agents.recoveryPrompt);
    if ('problem' in recovery) throw new StartError(recovery.problem);
    makeFolders(config);
    const lock = takeLock({ folder: config.paths.run });
    if ('heldBy' in lock) throw new StartError(alreadyRunning(config, lock.heldBy.pid));
    try {
      const own: ProcessRecord = { role: 'supervisor', ...self, startedAt, restarts: 0 };
      return await supervise({ ...options, stopSignals, own });
    } finally {
      lock.held.release();
    }
  } catch (error) {
    if (!(error instanceof HomeError) && !(error instanceof StartError)) throw error;
    show(error.message);
    return 1;
  }
}

async function supervise({
  config,
  environment,
  show,
  welcome,
  specs = childSpecs,
  stopSignals,
  own,
}: SupervisorOptions & { stopSignals: StopSignals; own: ProcessRecord }): Promise<number> {
  const startMs = performance.now();
  const runFolder = config.paths.run;
  makeIdentity(config);
  const say = sayTo({ file: join(config.paths.logs, 'supervisor.log'), config, show });

  const leftOver = readState({ runFolder })?.processes ?? [];
  for (const record of await evict({ processes: leftOver, graceMs: STOP_GRACE_MS }))
    say(
      `Ended ${record.role} (process ${record.pid}), left over from a supervisor that was killed.`,
    );

  const ports = await choosePorts(config);
  const state: SupervisorState = {
    phase: 'starting',
    api: apiAddress({ host: config.api.host, port: ports.api }),
    temporal:
      ports.temporal === null
        ? config.temporal.connection.address
        : `127.0.0.1:${ports.temporal.port}`,
    namespace: config.temporal.namespace,
    temporalUi: temporalUi({ config, ports }),
    processes: [own],
  };
  const children: Child[] = [];
  let owed: NodeJS.Timeout | undefined;
  const writeDown = (): void => {
    clearTimeout(owed);
    state.processes = [own, ...children.map((child) => child.record).filter((it) => it !== null)];
    try {
      writeState({ runFolder, state });
    } catch (error) {
      // A full disk must not end the supervisor; until it has room, others see what was true before.
      if (owed === undefined) say(`The state file cannot be written: ${String(error)}`);
      owed = setTimeout(writeDown, STATE_AGAIN_MS).unref();
      return;
    }
    owed = undefined;
  };
  const hopeless = Promise.withResolvers<'hopeless'>();
  for (const spec of specs({ config, environment, ports }))
    children.push(
      new Child({
        spec,
        log: { file: join(config.paths.logs, `${spec.role}.log`), ...config.logs },
        events: { onChange: writeDown, say, onHopeless: () => hopeless.resolve('hopeless') },
      }),
    );
  writeDown();

  const slow = setTimeout(() => {
    for (const child of children.filter((it) => !it.isReady))
      say(`${child.spec.role} is not ready yet; its log: ${child.logFile}`);
  }, SLOW_START_MS);
  let exitCode = 0;
  try {
    for (const child of children) child.start();
    const allReady = Promise.all(children.map((child) => child.ready)).then(() => 'ready' as const);
    const first = await Promise.race([allReady, stopSignals.asked, hopeless.promise]);
    clearTimeout(slow);
    if (first === 'ready') {
      state.phase = 'ready';
      writeDown();
      const greeting = welcome({ state, startMs: performance.now() - startMs });
      // A signal is obeyed also while the gateway is slow to say which providers there are.
      const lines = await Promise.race([greeting, stopSignals.asked.then(() => [])]);
      for (const line of lines) show(line);
      await stopSignals.asked;
    }
    if (first === 'hopeless') exitCode = 1;
  } finally {
    clearTimeout(slow);
    state.phase = 'stopping';
    writeDown();
    await stopAll({ children, stopSignals, say });
    clearTimeout(owed);
    removeState({ runFolder });
  }
  return exitCode;
}

/** The gateway first, so that clients are told; Temporal last, so that the others can say goodbye to it. */
async function stopAll({
  children,
  stopSignals,
  say,
}: {
  children: readonly Child[];
  stopSignals: StopSignals;
  say: (line: string) => void;
}): Promise<void> {
  say('Stopping. Running turns go on and are taken over at the next start.');
  stopSignals.onAgain(() => {
    say('Stopping at once.');
    for (const child of children) child.hurry();
  });
  const order = [['gateway'], ['worker', 'turn-host'], ['temporal']];
  for (const roles of order)
    await Promise.all(
      children
        .filter((child) => roles.includes(child.spec.role))
        .map((child) => child.stop({ graceMs: STOP_GRACE_MS })),
    );
  say('Stopped.');
}

async function choosePorts(config: Config): Promise<ChosenPorts> {
  const taken: number[] = [];
  const choose = async (name: string, host: string, port: number): Promise<number> => {
    if (port !== 0 && (taken.includes(port) || !(await isPortFree({ host, port }))))
      throw new StartError(
        `Port ${port} of ${host} is in use or not allowed. Set ${name} to another one, or to 0 for any free one.`,
      );
    const chosen = port === 0 ? await chooseFreePort({ host, taken }) : port;
    taken.push(chosen);
    return chosen;
  };
  const { embedded, port, uiPort } = config.temporal;
  const api = await choose('HOLDFAST_PORT', config.api.host, config.api.port);
  if (!embedded) return { api, temporal: null };
  return {
    api,
    temporal: {
      port: await choose('HOLDFAST_TEMPORAL_PORT', '127.0.0.1', port),
      uiPort:
        uiPort === null ? null : await choose('HOLDFAST_TEMPORAL_UI_PORT', '127.0.0.1', uiPort),
    },
  };
}

function temporalUi({ config, ports }: { config: Config; ports: ChosenPorts }): string | null {
  if (ports.temporal === null) return config.temporal.uiUrl;
  return ports.temporal.uiPort === null ? null : `http://127.0.0.1:${ports.temporal.uiPort}`;
}

function alreadyRunning(config: Config, pid: number): string {
  const state = readLiveState({ runFolder: config.paths.run });
  return state === null
    ? `Holdfast is just being started for ${config.home}, by process ${pid}.`
    : `Holdfast is already running for ${config.home}, as process ${pid}: ${state.api}`;
}

/** To the person and to the supervisor's own log, with the time there. */
function sayTo({
  file,
  config,
  show,
}: {
  file: string;
  config: Config;
  show: (line: string) => void;
}): (line: string) => void {
  return (line) => {
    show(line);
    try {
      rotateLog({ file, ...config.logs });
      appendFileSync(file, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 });
    } catch {
      // A full disk must not end the supervisor.
    }
  };
}

type StopSignals = {
  /** Settles at the first signal. */
  asked: Promise<NodeJS.Signals>;
  /** What to do at a later one. */
  onAgain: (listener: () => void) => void;
};

/** For the rest of the process's life: a repeated signal that comes late must not end it before it has cleaned up. */
function listenForStop(): StopSignals {
  const { promise: asked, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let firstMs: number | null = null;
  let again: (() => void) | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      const nowMs = performance.now();
      if (firstMs === null) {
        firstMs = nowMs;
        resolve(signal);
      } else if (nowMs - firstMs > SAME_SIGNAL_MS) again?.();
    });
  }
  return {
    asked,
    onAgain: (listener) => {
      again = listener;
    },
  };
}
