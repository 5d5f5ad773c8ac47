/** `holdfast doctor`: what this machine and this installation need, looked at without changing anything. */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

import { Connection } from '@temporalio/client';

import type { Config, Environment } from '../config.ts';
import { createProviders, describeProviders } from '../providers/registry.ts';
import { existingFolder, watchRoom } from '../store/disk-room.ts';
import { openStore } from '../store/open.ts';
import { readToken } from '../supervisor/home.ts';
import { isPortFree } from '../supervisor/ports.ts';
import type { SupervisorState } from '../supervisor/state.ts';
import { ApiClient } from './api-client.ts';
import { type CommandContext, EXIT, runningState } from './command.ts';
import { harmless } from './terminal-text.ts';

export const doctorUsage = `holdfast doctor
  Checks versions, ports, disk, home, store, providers and Temporal. Changes nothing. Exit code 1 when something fails.
`;

type Verdict = 'ok' | 'warn' | 'fail';
/** One line of the report. A warning or failure says what to do. */
type Finding = { verdict: Verdict; what: string; says: string };
type Facts = { config: Config; environment: Environment; state: SupervisorState | null };
type Check = (facts: Facts) => Finding[] | Promise<Finding[]>;

const NODE_MAJOR = 24;
const DISK_WARN_BYTES = 2 * 1024 * 1024 * 1024;
/** Each process, each followed log and each spool that is read takes one. */
const INOTIFY_INSTANCES = 64;
const INOTIFY_WATCHES = 1_024;
const ANSWER_WITHIN_MS = 3_000;

const CHECKS: readonly Check[] = [
  checkNode,
  checkSystem,
  checkHome,
  checkDisk,
  checkStore,
  checkWorkspaceRoots,
  checkPorts,
  checkTemporalProgram,
  checkTemporal,
  checkGateway,
  checkProviders,
];

export async function doctor(context: CommandContext): Promise<number> {
  parseArgs({ args: context.args, options: {} });
  const { config, environment, out } = context;
  const facts = { config, environment, state: runningState(config) };
  let failures = 0;
  const reports = CHECKS.map(async (check) => {
    try {
      return await check(facts);
    } catch (error) {
      const says = error instanceof Error ? error.message : String(error);
      return [
        { verdict: 'fail', what: check.name.replace('check', '').toLowerCase(), says } as const,
      ];
    }
  });
  for (const report of reports) {
    for (const { verdict, what, says } of await report) {
      if (verdict === 'fail') failures += 1;
      out.write(harmless(`${verdict.padEnd(4)}  ${what.padEnd(16)} ${says}\n`));
    }
  }
  out.write(failures === 0 ? 'Nothing is in the way.\n' : `${failures} things to mend.\n`);
  return failures === 0 ? EXIT.ok : EXIT.failed;
}

function checkNode(): Finding[] {
  const enough = Number(process.versions.node.split('.')[0]) >= NODE_MAJOR;
  return [
    {
      verdict: enough ? 'ok' : 'fail',
      what: 'node',
      says: `${process.version}${enough ? '' : `; version ${NODE_MAJOR} is needed, npm ci brings it`}`,
    },
  ];
}

function checkSystem(): Finding[] {
  const findings: Finding[] = [
    existsSync('/proc/self/stat')
      ? { verdict: 'ok', what: '/proc', says: 'processes can be told from each other' }
      : {
          verdict: 'fail',
          what: '/proc',
          says: 'is missing: Holdfast runs on Linux, with /proc mounted',
        },
  ];
  const limits = [
    ['max_user_instances', INOTIFY_INSTANCES],
    ['max_user_watches', INOTIFY_WATCHES],
  ] as const;
  for (const [name, wanted] of limits) {
    const value = readNumber(`/proc/sys/fs/inotify/${name}`);
    if (value === null) continue;
    findings.push({
      verdict: value >= wanted ? 'ok' : 'warn',
      what: 'inotify',
      says: `${name} is ${value}${value >= wanted ? '' : `; raise it: sysctl fs.inotify.${name}=${wanted}`}`,
    });
  }
  return findings;
}

function checkHome({ config }: Facts): Finding[] {
  const what = 'home';
  const { home, paths } = config;
  if (!existsSync(home)) {
    const parent = existingFolder(home);
    return canWrite(parent)
      ? [{ verdict: 'ok', what, says: `${home} will be made at the first start` }]
      : [
          {
            verdict: 'fail',
            what,
            says: `${home} cannot be made: ${parent} is not writable; set HOLDFAST_HOME`,
          },
        ];
  }
  if (!canWrite(home)) return [{ verdict: 'fail', what, says: `${home} is not writable` }];
  const findings: Finding[] = [looseness({ what, path: home, allowed: 0o700 })];
  if (existsSync(paths.token))
    findings.push(looseness({ what: 'token', path: paths.token, allowed: 0o600 }));
  return findings;
}

function looseness({
  what,
  path,
  allowed,
}: {
  what: string;
  path: string;
  allowed: number;
}): Finding {
  const mode = statSync(path).mode & 0o777;
  return (mode & ~allowed) === 0
    ? { verdict: 'ok', what, says: `${path} is private` }
    : {
        verdict: 'fail',
        what,
        says: `${path} can be read by others (mode ${mode.toString(8)}): chmod ${allowed.toString(8)} ${path}`,
      };
}

function checkDisk({ config }: Facts): Finding[] {
  const { level, freeBytes, reserveBytes } = watchRoom(config.disk)();
  const says = `${(freeBytes / 1024 ** 3).toFixed(1)} GB free for ${config.home}`;
  if (level !== 'ample') {
    const reserve = `${Math.ceil(reserveBytes / 1024 ** 2)} MB`;
    return [
      {
        verdict: 'fail',
        what: 'disk',
        says: `${says}: with less than ${reserve} (HOLDFAST_DISK_RESERVE_BYTES) nothing new is accepted; make room`,
      },
    ];
  }
  return [{ verdict: freeBytes < DISK_WARN_BYTES ? 'warn' : 'ok', what: 'disk', says }];
}

async function checkStore({ config }: Facts): Promise<Finding[]> {
  const what = 'store';
  const file = config.store.url.replace(/^sqlite:/, '');
  if (!existsSync(file))
    return [{ verdict: 'ok', what, says: `${file} will be made at the first start` }];
  const store = await openStore({ url: config.store.url, readOnly: true });
  try {
    const running = await store.runningAttempts(null);
    return [{ verdict: 'ok', what, says: `${file} opens; ${running.length} turns run` }];
  } finally {
    await store.close();
  }
}

function checkWorkspaceRoots({ config }: Facts): Finding[] {
  return config.turns.workspaceRoots.map((root) => {
    const isFolder = statSync(root, { throwIfNoEntry: false })?.isDirectory() === true;
    return {
      verdict: isFolder ? 'ok' : 'fail',
      what: 'workspace root',
      says: isFolder ? root : `${root} is not a folder; see HOLDFAST_WORKSPACE_ROOTS`,
    };
  });
}

async function checkPorts({ config, state }: Facts): Promise<Finding[]> {
  if (state !== null)
    return [
      {
        verdict: 'ok',
        what: 'ports',
        says: `in use by Holdfast itself: ${state.api}, Temporal ${state.temporal}`,
      },
    ];
  const { temporal, api } = config;
  const wanted = [
    { name: 'HOLDFAST_PORT', host: api.host, port: api.port },
    ...(temporal.embedded
      ? [
          { name: 'HOLDFAST_TEMPORAL_PORT', host: '127.0.0.1', port: temporal.port },
          { name: 'HOLDFAST_TEMPORAL_UI_PORT', host: '127.0.0.1', port: temporal.uiPort ?? 0 },
        ]
      : []),
  ].filter(({ port }) => port !== 0);
  return Promise.all(
    wanted.map(async ({ name, host, port }) =>
      (await isPortFree({ host, port }))
        ? { verdict: 'ok', what: 'port', says: `${host}:${port} is free` }
        : {
            verdict: 'fail',
            what: 'port',
            says: `${host}:${port} is in use by another program; set ${name}`,
          },
    ),
  );
}

async function checkTemporalProgram({ config, environment }: Facts): Promise<Finding[]> {
  const what = 'temporal program';
  if (!config.temporal.embedded)
    return [{ verdict: 'ok', what, says: 'not needed: TEMPORAL_ADDRESS is set' }];
  const program = findTemporal({ config, environment });
  if (program === null)
    return [
      {
        verdict: 'warn',
        what,
        says: 'not found; holdfast start downloads it, or builds it with go in about 1.5 minutes. Or install it (https://docs.temporal.io/cli) and name it in HOLDFAST_TEMPORAL_BIN',
      },
    ];
  try {
    const { stdout } = await promisify(execFile)(program, ['--version'], {
      timeout: ANSWER_WITHIN_MS * 3,
    });
    return [{ verdict: 'ok', what, says: `${program}: ${stdout.trim()}` }];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [{ verdict: 'fail', what, says: `${program} does not run: ${why.trim()}` }];
  }
}

/** Where temporal-dev.sh looks before it downloads or builds: that takes minutes, and nobody asked for it here. */
function findTemporal({
  config,
  environment,
}: {
  config: Config;
  environment: Environment;
}): string | null {
  if (config.temporal.program !== null) return config.temporal.program;
  const cache = join(
    environment['XDG_CACHE_HOME'] ?? join(environment['HOME'] ?? '/', '.cache'),
    'holdfast',
  );
  const cached = existsSync(cache)
    ? readdirSync(cache)
        .filter((name) => /^temporal-v[0-9.]+-[0-9]+$/.test(name))
        .map((name) => join(cache, name))
    : [];
  const onPath = (environment['PATH'] ?? '').split(':').map((folder) => join(folder, 'temporal'));
  return [...onPath, ...cached].find((path) => isProgram(path)) ?? null;
}

async function checkTemporal({ config, state }: Facts): Promise<Finding[]> {
  const what = 'Temporal';
  if (config.temporal.embedded && state === null)
    return [{ verdict: 'ok', what, says: 'is started by holdfast start' }];
  const { namespace } = config.temporal;
  const options =
    config.temporal.embedded && state !== null
      ? { address: state.temporal }
      : config.temporal.connection;
  try {
    const connection = await Connection.connect({ ...options, connectTimeout: ANSWER_WITHIN_MS });
    try {
      await connection.withDeadline(Date.now() + ANSWER_WITHIN_MS, () =>
        connection.workflowService.describeNamespace({ namespace }),
      );
    } finally {
      await connection.close();
    }
    return [{ verdict: 'ok', what, says: `${options.address} answers, namespace ${namespace}` }];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [{ verdict: 'fail', what, says: `${options.address}, namespace ${namespace}: ${why}` }];
  }
}

async function checkGateway({ config, state }: Facts): Promise<Finding[]> {
  const what = 'Holdfast';
  if (state === null) return [{ verdict: 'ok', what, says: 'is not running' }];
  if (!state.processes.some((record) => record.role === 'supervisor'))
    return [
      { verdict: 'warn', what, says: 'the supervisor was killed; holdfast start repairs that' },
    ];
  const client = new ApiClient({ address: state.api, token: readToken(config) ?? '' });
  await client.call({
    method: 'GET',
    path: '/v1/providers',
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  return [{ verdict: 'ok', what, says: `runs: ${state.api}` }];
}

async function checkProviders({ environment }: Facts): Promise<Finding[]> {
  const items = await describeProviders({ providers: createProviders(), environment });
  const findings = items.map(({ providerId, found, version, problem }): Finding => {
    const says = [
      version ?? (found ? 'found' : 'not found'),
      ...(problem === null ? [] : [problem]),
    ].join('; ');
    return { verdict: found && problem === null ? 'ok' : 'warn', what: providerId, says };
  });
  return findings;
}

function canWrite(folder: string): boolean {
  return permits(folder, constants.W_OK | constants.X_OK);
}

function isProgram(path: string): boolean {
  return (
    statSync(path, { throwIfNoEntry: false })?.isFile() === true && permits(path, constants.X_OK)
  );
}

function permits(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function readNumber(file: string): number | null {
  try {
    return Number(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}
