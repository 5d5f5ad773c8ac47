/**
 * A real Temporal server for tests, started through temporal-dev.sh as the product starts it.
 *
 * 1. Each has its own data folder and free ports, so any number may run beside each other.
 * 2. None outlives its tests: when the test runner goes, however it goes, its servers go.
 * 3. One that does not come up, or goes down unasked, is a failure that shows the server's own log.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The script that is the product's own way to its server. */
export const temporalDevScript = fileURLToPath(new URL('../../temporal-dev.sh', import.meta.url));

/** A machine that has never run it builds the CLI: 1.5 to 3 minutes on 4 cores, longer on 2. */
const findBinaryTimeoutMs = 15 * 60_000;
/** It is ready after half a second on an idle machine. */
const readyTimeoutMs = 60_000;
/** It ends within 2 s of a SIGTERM. */
const stopTimeoutMs = 15_000;

/** A running server. */
export type TemporalServer = {
  /** host:port of its gRPC service. */
  address: string;
  /** Address of its Web UI, or `off`. */
  ui: string;
  pid: number;
  /** The end of its log. */
  readLog: () => string;
  /** Whether it has ended, asked or unasked. */
  hasEnded: () => boolean;
  /** Ends it, with SIGTERM unless told otherwise; resolves with its exit code, null when a signal ended it. */
  stop: (signal?: NodeJS.Signals) => Promise<number | null>;
};

/**
 * Finds, downloads or builds the `temporal` CLI, showing what it does meanwhile; resolves with its path.
 *
 * Throws: when there is no way to have one. No test may be skipped for that.
 */
export async function findTemporalBinary(): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { timeout: findBinaryTimeoutMs };
  const finding = execFile(temporalDevScript, ['bin'], options, (error, stdout) => {
    if (error) reject(new Error('temporal-dev.sh bin failed; it says why above', { cause: error }));
    else resolve(stdout.trim());
  });
  finding.stderr?.pipe(process.stderr, { end: false });
  return promise;
}

/** The namespace of a test file's own, on a server that files share. */
export const namespaceOf = (testFile: string): string => basename(testFile, '.test.ts');

/**
 * Starts a server and resolves when it is ready: search attributes registered, retention raised.
 *
 * `home` keeps its data for another start; without it there is a folder that goes with the server.
 *
 * Throws: when the server does not come up, with what it logged.
 */
export async function startTemporal({
  binary,
  home,
  environment = {},
  dynamicConfig = {},
  namespaces = [],
}: {
  binary: string;
  home?: string;
  environment?: Record<string, string>;
  /** The server's own settings, each value as JSON. */
  dynamicConfig?: Record<string, string>;
  /** Made beside `default`, with the same search attributes. */
  namespaces?: readonly string[];
}): Promise<TemporalServer> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-temporal-'));
  const logFile = join(folder, 'temporal.log');
  const log = openSync(logFile, 'a');
  const flags = Object.entries(dynamicConfig).flatMap(([name, value]) => [
    '--dynamic-config-value',
    `${name}=${value}`,
  ]);
  flags.push(...namespaces.flatMap((name) => ['--namespace', name]));
  const server = spawn(temporalDevScript, ['start', ...flags], {
    stdio: ['ignore', 'pipe', log],
    // a Ctrl-C is for the test runner, which then ends the server in its own time
    detached: true,
    env: {
      ...process.env,
      HOLDFAST_TEMPORAL_BIN: binary,
      HOLDFAST_HOME: home ?? folder,
      HOLDFAST_TEMPORAL_PORT: '0',
      HOLDFAST_TEMPORAL_UI_PORT: 'off',
      ...environment,
    },
  });
  closeSync(log);
  const readLog = () => readFileSync(logFile, 'utf8').slice(-8_000);
  const { pid } = server;
  if (pid === undefined) throw new Error(`${temporalDevScript} cannot be run`);

  // Reads until the pipe ends, which it does with us; then the server's turn has come.
  const guardArguments = ['-c', `read -r _; kill -TERM ${pid}`];
  const guard = spawn('/bin/sh', guardArguments, {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const exited = once(server, 'exit').then(([code]: (number | null)[]) => {
    guard.kill('SIGKILL');
    return code ?? null;
  });

  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    server.kill(signal);
    const impatience = setTimeout(() => server.kill('SIGKILL'), stopTimeoutMs);
    const code = await exited;
    clearTimeout(impatience);
    rmSync(folder, { recursive: true, force: true });
    return code;
  };

  const { promise: ready, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  server.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (said.endsWith('\n')) resolve(said);
  });
  const late = setTimeout(() => reject(new Error('not ready in time')), readyTimeoutMs);
  const gone = exited.then((code) => reject(new Error(`it ended with ${code}`)));
  try {
    const line = await ready;
    const found = /^temporal ready address=(\S+) ui=(\S+) pid=(\d+)\n$/.exec(line);
    const [, address, ui, saidPid] = found ?? [];
    if (address === undefined || ui === undefined || Number(saidPid) !== pid) {
      throw new Error(`process ${pid} said: ${line}`);
    }
    const hasEnded = () => server.exitCode !== null || server.signalCode !== null;
    return { address, ui, pid, readLog, hasEnded, stop };
  } catch (error) {
    const words = readLog();
    await stop('SIGKILL');
    await gone;
    throw new Error(`the Temporal server did not come up:\n${words}`, { cause: error });
  } finally {
    clearTimeout(late);
  }
}
