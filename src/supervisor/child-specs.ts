/** What `holdfast start` runs: the four processes, and what each of them is told. */
import { execFile } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import type { Config, Environment } from '../config.ts';
import { PROCESS_MARK } from '../contracts/names.ts';
import type { ChildSpec } from './child.ts';
import { beatsIn, pulseFile } from './pulse.ts';
import { askTemporal } from './temporal-pulse.ts';

/** Ports as chosen for this supervisor's life. `temporal` is null when an external server is used. */
export type ChosenPorts = { api: number; temporal: { port: number; uiPort: number | null } | null };

const packageRoot = fileURLToPath(new URL('../../', import.meta.url));

/** What any program needs to run and to reach the outside. */
const COMMON = new Set(
  [
    'PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR',
    'HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy',
    'SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS',
  ].flatMap((names) => names.split(' ')),
);
const COMMON_PATTERN = /^(LC|XDG)_/;
/** Building it with go is one way to get the Temporal server. */
const GO_PATTERN = /^(C?GO[A-Z0-9_]*|CC)$/;
/** Would act on our own Node programs, or belongs to the npm or the turn that we happen to run under. */
const NEVER = new Set([PROCESS_MARK, 'NODE_OPTIONS', 'NODE_CHANNEL_FD', 'NODE_UNIQUE_ID']);

/** Of temporal-dev.sh: bad configuration, no CLI can be had, the database is in use. It has said which, and what to do. */
const TEMPORAL_HOPELESS = [64, 69, 75];

/** Times as long as ours: it has to answer a question, which takes a while on a machine that has no time. */
const TEMPORAL_PATIENCE = 2;

/**
 * V8's young generation, of which it otherwise takes 16 MB and more. Measured, resident after the start without and with
 * it: gateway 131 → 117 MB, turn host 127 → 120, worker 190 → 173; a flood of 30 MB is no slower (4.7 → 4.4 s) and
 * leaves the gateway with 360 instead of 436 MB.
 */
const LEAN: readonly string[] = ['--max-semi-space-size=4'];

/** The processes of `config`, in the order in which they are shown. */
export function childSpecs({
  config,
  environment,
  ports,
}: {
  config: Config;
  environment: Environment;
  ports: ChosenPorts;
}): ChildSpec[] {
  const common = pick(environment, (name) => COMMON.has(name) || COMMON_PATTERN.test(name));
  const settings = {
    ...pick(environment, (name) => name.startsWith('HOLDFAST_')),
    HOLDFAST_HOME: config.home,
    HOLDFAST_PORT: String(ports.api),
    HOLDFAST_HOST_NAME: config.turns.hostName,
  };
  const temporal =
    ports.temporal === null
      ? pick(environment, (name) => name.startsWith('TEMPORAL_'))
      : {
          TEMPORAL_ADDRESS: `127.0.0.1:${ports.temporal.port}`,
          TEMPORAL_NAMESPACE: config.temporal.namespace,
          ...(ports.temporal.uiPort === null
            ? {}
            : { HOLDFAST_TEMPORAL_UI_URL: `http://127.0.0.1:${ports.temporal.uiPort}` }),
        };
  const node = {
    NODE_COMPILE_CACHE: compileCache(config),
    // glibc gives every thread an arena of its own; the SDK's native threads make that 20-30 MB of resident memory for nothing.
    MALLOC_ARENA_MAX: '2',
  };
  const entry = (
    role: 'worker' | 'turn-host' | 'gateway',
    base: Readonly<Record<string, string>>,
    rest: Partial<ChildSpec> = {},
  ): ChildSpec => ({
    role,
    program: process.execPath,
    args: [...LEAN, `${packageRoot}src/${role}.ts`],
    environment: { ...base, ...settings, ...temporal, ...node },
    cwd: config.home,
    saysReady: (line) => isReadyLine({ line, role }),
    pulse: {
      feel: () => beatsIn(pulseFile({ config, role })),
      limitMs: config.wedgedAfterMs,
    },
    ...rest,
  });
  // A provider sees an allowlisted part of the turn host's environment, so that has to be the user's whole.
  const whole = pick(
    environment,
    (name) => !name.startsWith('HOLDFAST_') && !name.startsWith('TEMPORAL_'),
  );

  const specs = [
    entry('gateway', common),
    entry('turn-host', whole),
    entry('worker', common, { prepare: () => bundleWorkflows(common) }),
  ];
  if (ports.temporal !== null) {
    const server = {
      address: `127.0.0.1:${ports.temporal.port}`,
      namespace: config.temporal.namespace,
    };
    specs.unshift({
      role: 'temporal',
      program: `${packageRoot}temporal-dev.sh`,
      args: [],
      environment: {
        ...common,
        ...pick(environment, (name) => GO_PATTERN.test(name)),
        ...settings,
        HOLDFAST_TEMPORAL_PORT: String(ports.temporal.port),
        HOLDFAST_TEMPORAL_UI_PORT: String(ports.temporal.uiPort ?? 'off'),
      },
      cwd: config.home,
      saysReady: (line) => /^temporal ready address=\S+ ui=\S+ pid=[0-9]+$/.test(line),
      relay: (line) => line.startsWith('temporal-dev: '),
      hopelessExitCodes: TEMPORAL_HOPELESS,
      pulse: {
        feel: () =>
          askTemporal({
            server,
            wal: {
              file: `${config.paths.temporalDatabase}-wal`,
              limitBytes: config.temporal.walLimitBytes,
            },
          }),
        limitMs: TEMPORAL_PATIENCE * config.wedgedAfterMs,
      },
    });
  }
  return specs;
}

/** Whether it is `{"ready":true,"role":"<role>",…}`, the one line by which our own processes say that they serve. */
export function isReadyLine({ line, role }: { line: string; role: string }): boolean {
  if (!line.startsWith('{') || !line.includes('"ready"')) return false;
  try {
    const value: unknown = JSON.parse(line);
    return (
      typeof value === 'object' &&
      value !== null &&
      'ready' in value &&
      value.ready === true &&
      'role' in value &&
      value.role === role
    );
  } catch {
    return false;
  }
}

/** Makes sure that dist/workflows.js is of the present sources; a worker that bundles by itself takes longer and more memory. */
async function bundleWorkflows(environment: Readonly<Record<string, string>>): Promise<void> {
  await promisify(execFile)(process.execPath, [`${packageRoot}scripts/bundle.ts`], {
    cwd: packageRoot,
    env: environment,
  });
}

/** Beside the code that it is of, as that of the command is: a new home starts as fast as an old one. In the home where nobody may write there. */
function compileCache({ paths }: Pick<Config, 'paths'>): string {
  const shared = `${packageRoot}node_modules/.cache/holdfast`;
  try {
    mkdirSync(shared, { recursive: true });
    accessSync(shared, constants.W_OK);
    return shared;
  } catch {
    return `${paths.cache}/node`;
  }
}

function pick(environment: Environment, wanted: (name: string) => boolean): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value !== undefined && wanted(name) && !NEVER.has(name)) picked[name] = value;
  }
  return picked;
}
