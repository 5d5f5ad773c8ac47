/**
 * Configuration: the one reader of the environment, and the one table of its names.
 *
 * Invariants:
 *  1 Every name that may be set is a row of {@link VARIABLES} (or of {@link TEMPORAL_VARIABLES}, which are Temporal's
 *    own); docs/configuration.md is tested against both.
 *  2 A `HOLDFAST_*` name that is not in the table is an error, never ignored: a limit that was mistyped is not a limit.
 *    The process mark `HOLDFAST_TURN` apart: a command may be run by an agent, inside a turn.
 *  3 An empty value counts as unset. Every other value is parsed in full or is an error with the name, the value and
 *    what was expected; all errors are reported together.
 *  4 Loading writes nothing and starts nothing.
 */
import { readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { dirname, isAbsolute, join, normalize } from 'node:path';

import type { PhaseName } from './contracts/events.ts';
import { isId } from './contracts/ids.ts';
import {
  BODY_LIMIT_BYTES,
  CANCEL_GRACE_MS,
  FRAME_LIMIT_BYTES,
  PING_INTERVAL_MS,
  PROVIDER_LINE_LIMIT_BYTES,
  REPLAY_WINDOW_MS,
  RECEIPT_WAIT_MS,
  SESSION_IDLE_MS,
  SESSION_LIMIT,
  SESSION_SPOOL_LIMIT_BYTES,
  SOCKET_HARD_CAP_BYTES,
  SOCKET_HIGH_WATER_BYTES,
  TERM_GRACE_MS,
  TRIGGER_GRACE_MS,
} from './contracts/limits.ts';
import { PROCESS_MARK } from './contracts/names.ts';

/** Environment variables, as `process.env` holds them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment is not usable; `problems` holds one sentence for each thing that is wrong. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** What the Temporal clients and workers of this project connect with; fits `Connection` and `NativeConnection`. */
export type TemporalConnection = {
  address: string;
  tls?:
    | boolean
    | {
        serverNameOverride?: string;
        serverRootCACertificate?: Buffer;
        clientCertPair?: { crt: Buffer; key: Buffer };
      };
  apiKey?: string;
  metadata?: Record<string, string>;
};

/** A silence limit: one number, and others for a provider, a phase, or both. See {@link silenceLimitMs}. */
export type SilenceLimits = {
  ms: number;
  rules: readonly { provider: string | null; phase: PhaseName | null; ms: number }[];
};

/** Everything that can be set, with defaults filled in. */
export type Config = {
  /** Data of this installation; made (0700) by `holdfast start`. */
  home: string;
  paths: {
    /** The API's token, 0600. */
    token: string;
    /** The key of the agents' tokens, 0600. */
    agentKey: string;
    /** Where the gateway listens, written by it. */
    gatewayAddress: string;
    /** One folder for each provider process. */
    spools: string;
    /** State of the running supervisor. */
    run: string;
    logs: string;
    /** May be deleted at any time. */
    cache: string;
    /** The name of this host, written once. */
    hostName: string;
    /** Database of the embedded Temporal server. */
    temporalDatabase: string;
  };
  api: {
    host: string;
    /** 0: any free one. Inside `holdfast start` the children are given the chosen one. */
    port: number;
    /** Values of the Host header that are served beside the loopback names. */
    allowedHosts: readonly string[];
    /** Values of the Origin header that are served beside the API's own. */
    allowedOrigins: readonly string[];
    bodyLimitBytes: number;
    frameLimitBytes: number;
    receiptWaitMs: number;
    pingIntervalMs: number;
    socketHighWaterBytes: number;
    socketHardCapBytes: number;
  };
  temporal: {
    /** Whether `holdfast start` starts a server: TEMPORAL_ADDRESS is not set. */
    embedded: boolean;
    connection: TemporalConnection;
    namespace: string;
    /** Address of the Web UI; null when nobody said it. */
    uiUrl: string | null;
    /** Ports of the embedded server; 0: any free one. `uiPort` null: no Web UI. */
    port: number;
    uiPort: number | null;
    /** The `temporal` program; null: temporal-dev.sh finds, downloads or builds it. */
    program: string | null;
    logLevel: string;
    /** Growth of the embedded server's write-ahead log above which it is replaced; 0: any. */
    walLimitBytes: number;
  };
  store: {
    /** For `openStore`. */
    url: string;
    /** How long pieces of ended turns are kept for clients that resume. */
    replayWindowMs: number;
  };
  /** For `watchRoom`: the folders that grow, and what is kept free of their disks; null: the default. */
  disk: { folders: readonly string[]; reserveBytes: number | null };
  turns: {
    /** Name of this turn host, stable across restarts; its Task Queue is `turns.<hostName>`. */
    hostName: string;
    /** Absolute and normalised, not resolved: who checks a workspace compares real paths. */
    workspaceRoots: readonly string[];
    /** JSON file of further ACP agents. */
    providersFile: string | null;
    cancelGraceMs: number;
    termGraceMs: number;
    sessionIdleMs: number;
    sessionLimit: number;
    sessionSpoolLimitBytes: number;
    providerLineLimitBytes: number;
    /** Soft limit of the silence clock: a `chat.quiet` event. */
    quietAfter: SilenceLimits;
    /** Hard limit of the silence clock: the turn is ended as interrupted. */
    stalledAfter: SilenceLimits;
  };
  triggers: {
    /** A fire that is decided so soon after its due time is in time; an absence of the engine that is shorter is none. */
    graceMs: number;
  };
  agents: {
    /** What a team may spend in all, in US dollars; null: no limit. */
    budgetUsd: number | null;
    /** The path of the recovery prompt's template; null: the built-in one. `off`: no recovery prompt is made. */
    recoveryPrompt: string | null;
  };
  /** One of our processes whose event loop has not turned for so long is killed and started again; 0: never. */
  wedgedAfterMs: number;
  logs: {
    /** A log file is rotated above this; one older file is kept beside it. */
    limitBytes: number;
  };
};

/** One row of the table. `parse` answers undefined for what it cannot read in full. */
type Variable<T> = {
  /** What is used when it is not set. */
  fallback: T;
  /** The default as it would be written; null where there is none, and `unset` says what happens. */
  written: string | null;
  unset: string;
  /** Completes "expected …". */
  expects: string;
  about: string;
  parse: (text: string) => T | undefined;
};
type Parser<T> = Pick<Variable<T>, 'expects' | 'parse'>;

function withDefault<T>(parser: Parser<T>, written: string, about: string): Variable<T> {
  const fallback = parser.parse(written);
  if (fallback === undefined) throw new Error(`the default ${written} is not ${parser.expects}`);
  return { ...parser, fallback, written, unset: '', about };
}

function optional<T>(parser: Parser<T>, unset: string, about: string): Variable<T | null> {
  return { ...parser, fallback: null, written: null, unset, about };
}

function integer(name: string, range: { min: number; max: number }): Parser<number> {
  return {
    expects: `${name} from ${range.min} to ${range.max}`,
    parse: (text) => {
      if (!/^[0-9]{1,15}$/.test(text)) return undefined;
      const value = Number(text);
      return value >= range.min && value <= range.max ? value : undefined;
    },
  };
}

/** Above this a timer of Node fires at once. */
const TIMER_MAX_MS = 2_147_483_647;
const port = integer('a port', { min: 0, max: 65_535 });
const portOrOff: Parser<number | null> = {
  expects: `${port.expects}, or off`,
  parse: (value) => (value === 'off' ? null : port.parse(value)),
};
const logLevel: Parser<string> = {
  expects: 'debug, info, warn, error or never',
  parse: (value) =>
    ['debug', 'info', 'warn', 'error', 'never'].includes(value) ? value : undefined,
};
const count = integer('a whole number', { min: 1, max: 10_000 });
const milliseconds = integer('milliseconds', { min: 1, max: TIMER_MAX_MS });
const millisecondsOrNever = integer('milliseconds', { min: 0, max: TIMER_MAX_MS });
/** At most ten years: a window, not a timer. */
const windowMs = integer('milliseconds', { min: 0, max: 10 * 366 * 86_400_000 });
/** The lower bound leaves room for the largest prompt and its frame's other fields. */
const messageBytes = integer('bytes', { min: 1024 * 1024, max: 256 * 1024 * 1024 });
const bytes = integer('bytes', { min: 4_096, max: 1024 * 1024 * 1024 * 1024 });
const bytesOrNone = integer('bytes', { min: 0, max: 1024 * 1024 * 1024 * 1024 });
/** Up to 16 MB it keeps when all is well (temporal-dev.sh). */
const walBytes: Parser<number> = {
  expects: '0, or bytes from 16777216 to 1099511627776',
  parse: (value) => {
    const parsed = bytesOrNone.parse(value);
    return parsed === undefined || (parsed > 0 && parsed < 16 * 1024 * 1024) ? undefined : parsed;
  },
};

/** Tenths of a cent are the least that is told apart. */
const dollars: Parser<number> = {
  expects: 'US dollars, such as 25 or 2.50, at most 1000000',
  parse: (value) =>
    /^[0-9]{1,7}(\.[0-9]{1,3})?$/.test(value) && Number(value) <= 1_000_000
      ? Number(value)
      : undefined,
};

const text: Parser<string> = { expects: 'a text', parse: (value) => value };
const flag: Parser<boolean> = {
  expects: 'true or false',
  parse: (value) => ({ true: true, false: false })[value],
};
const path: Parser<string> = {
  expects: 'an absolute path',
  parse: (value) =>
    isAbsolute(value) && !value.includes('\0')
      ? normalize(value).replace(/(?<=.)\/+$/, '')
      : undefined,
};
const pathOrOff: Parser<string> = {
  expects: `off, or ${path.expects}`,
  parse: (value) => (value === 'off' ? value : path.parse(value)),
};
const paths: Parser<string[]> = {
  expects: 'absolute paths with a colon between them',
  parse: (value) => {
    const parsed = value.split(':').map((item) => path.parse(item));
    const known = parsed.filter((item) => item !== undefined);
    return known.length === parsed.length ? known : undefined;
  },
};
const id: Parser<string> = {
  expects: 'letters, digits, "_" and "-", at most 64, beginning with a letter or digit',
  parse: (value) => (isId(value) ? value : undefined),
};
const hostNames: Parser<string[]> = {
  expects: 'names or addresses, each with an optional port, with commas between them',
  parse: (value) => {
    const items = value.split(',').map((item) => item.trim().toLowerCase());
    return items.every((item) => /^(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?$/.test(item))
      ? items
      : undefined;
  },
};
const origins: Parser<string[]> = {
  expects: 'origins such as https://chat.example.com, with commas between them',
  parse: (value) => {
    const items = value.split(',').map((item) => item.trim());
    return items.every((item) => URL.canParse(item) && new URL(item).origin === item)
      ? items
      : undefined;
  },
};
const webAddress: Parser<string> = {
  expects: 'an address beginning with http:// or https://',
  parse: (value) =>
    /^https?:\/\//.test(value) && URL.canParse(value) ? value.replace(/\/+$/, '') : undefined,
};
const bindAddress: Parser<string> = {
  expects: 'an IP address or a host name, without a port',
  parse: (value) => (/^([0-9A-Fa-f:]+|[A-Za-z0-9.-]+)$/.test(value) ? value : undefined),
};
/** The database file; null: the default one. */
const storeAddress: Parser<string | null> = {
  expects:
    'sqlite: or sqlite:/absolute/path/of/a/file (PostgreSQL is planned and not in this version)',
  parse: (value) => {
    if (!value.startsWith('sqlite:')) return undefined;
    const file = value.slice('sqlite:'.length);
    return file === '' ? null : path.parse(file);
  },
};
const serverAddress: Parser<string> = {
  expects: 'host:port',
  parse: (value) => (/^(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):[0-9]{1,5}$/.test(value) ? value : undefined),
};

const phases: readonly string[] = [
  'waiting-for-model',
  'streaming',
  'tool-running',
  'waiting-for-approval',
  'cancelling',
] satisfies PhaseName[];

function isPhase(value: string | undefined): value is PhaseName {
  return value !== undefined && phases.includes(value);
}

/** `120000`, or `120000,tool-running=900000,claude=300000,claude/streaming=60000`. */
const silence: Parser<SilenceLimits> = {
  expects:
    'milliseconds, then optionally ",<phase>=<ms>", ",<provider>=<ms>" or ",<provider>/<phase>=<ms>"',
  parse: (value) => {
    const [first, ...others] = value.split(',').map((item) => item.trim());
    const ms = milliseconds.parse(first ?? '');
    if (ms === undefined) return undefined;
    const rules = [];
    for (const other of others) {
      const [, subject, number] = /^([^=]+)=([0-9]+)$/.exec(other) ?? [];
      const ruleMs = milliseconds.parse(number ?? '');
      const rule = subject === undefined ? undefined : silenceSubject(subject);
      if (ruleMs === undefined || rule === undefined) return undefined;
      rules.push({ ...rule, ms: ruleMs });
    }
    return { ms, rules };
  },
};

function silenceSubject(
  subject: string,
): { provider: string | null; phase: PhaseName | null } | undefined {
  if (isPhase(subject)) return { provider: null, phase: subject };
  const [provider, phase, ...rest] = subject.split('/');
  // The form of a provider id: `claude`, `acp:gemini`.
  if (provider === undefined || !/^[a-z][a-z0-9-]*(:[A-Za-z0-9._-]+)?$/.test(provider))
    return undefined;
  if (phase === undefined) return { provider, phase: null };
  return isPhase(phase) && rest.length === 0 ? { provider, phase } : undefined;
}

/**
 * The limit of one provider in one phase: the rule for both, else for the provider, else for the phase, else the
 * plain number. A person may think as long as they like: `waiting-for-approval` has a limit only by a rule that names it.
 */
export function silenceLimitMs(
  limits: SilenceLimits,
  subject: { provider: string; phase: PhaseName },
): number | null {
  const rule = (provider: string | null, phase: PhaseName | null) =>
    limits.rules.findLast((item) => item.provider === provider && item.phase === phase)?.ms;
  const named = rule(subject.provider, subject.phase);
  const ofPhase = rule(null, subject.phase);
  if (subject.phase === 'waiting-for-approval') return named ?? ofPhase ?? null;
  return named ?? rule(subject.provider, null) ?? ofPhase ?? limits.ms;
}

/** Every `HOLDFAST_*` name, in the order of the documentation. Source: protocol.md section 1. */
export const VARIABLES = {
  HOLDFAST_HOME: optional(
    path,
    '`$XDG_STATE_HOME/holdfast`, else `~/.local/state/holdfast`',
    'Data: token, database, spools, logs. Made with mode 0700.',
  ),
  HOLDFAST_HOST: withDefault(
    bindAddress,
    '127.0.0.1',
    'Address the API listens on. Anything but a loopback address also needs `HOLDFAST_ALLOW_REMOTE=true`.',
  ),
  HOLDFAST_PORT: withDefault(
    port,
    '4610',
    'Port of the API. 0: any free one, chosen once and kept until `holdfast stop`.',
  ),
  HOLDFAST_ALLOW_REMOTE: withDefault(
    flag,
    'false',
    'Allows `HOLDFAST_HOST` to be reachable from other machines. The API runs programs as you: whoever has the token has your account, and the connection is not encrypted.',
  ),
  HOLDFAST_ALLOWED_HOSTS: optional(
    hostNames,
    'loopback names only',
    'Further values of the `Host` header to serve, with commas between them; a proxy or a remote client needs it.',
  ),
  HOLDFAST_ALLOWED_ORIGINS: optional(
    origins,
    "the API's own origin only",
    'Further web origins that may call the API, with commas between them.',
  ),
  HOLDFAST_TEMPORAL_PORT: withDefault(
    port,
    '7233',
    'Port of the embedded Temporal server. 0: any free one.',
  ),
  HOLDFAST_TEMPORAL_UI_PORT: withDefault(
    portOrOff,
    '8233',
    'Port of the embedded Temporal Web UI. 0: any free one; `off`: no Web UI.',
  ),
  HOLDFAST_TEMPORAL_LOG_LEVEL: withDefault(
    logLevel,
    'warn',
    'What the embedded server logs: `debug`, `info`, `warn`, `error` or `never`.',
  ),
  HOLDFAST_TEMPORAL_WAL_LIMIT_BYTES: withDefault(
    walBytes,
    String(256 * 1024 * 1024),
    'The embedded server is replaced when its `temporal.db-wal`, usually 4 MB, has grown by so much since it was started, or by more than the disk has left. At least 16777216; 0: never.',
  ),
  HOLDFAST_TEMPORAL_BIN: optional(
    path,
    'found, downloaded or built by `temporal-dev.sh`',
    'The `temporal` program for the embedded server.',
  ),
  HOLDFAST_TEMPORAL_UI_URL: optional(
    webAddress,
    "the embedded server's, else unknown",
    'Address of the Temporal Web UI, to be shown in answers and in `holdfast status`.',
  ),
  HOLDFAST_STORE: withDefault(
    storeAddress,
    'sqlite:',
    'Where the log and the transcript are. `sqlite:` alone is `holdfast.db` in `HOLDFAST_HOME`.',
  ),
  HOLDFAST_DISK_RESERVE_BYTES: optional(
    bytesOrNone,
    '67108864 (64 MiB), or a twentieth of a smaller disk',
    'Kept free on the disks of `HOLDFAST_HOME` and the store. With less, new work is refused (`storage_full`); with less than a quarter of it, running turns are stopped. 0: nothing is kept free.',
  ),
  HOLDFAST_REPLAY_WINDOW_MS: withDefault(
    windowMs,
    String(REPLAY_WINDOW_MS),
    'How long the pieces (deltas, tool output) of ended turns are kept for clients that resume, beside those of the last turn. After that only the messages remain, and an older cursor gets a snapshot. 0: not at all.',
  ),
  HOLDFAST_TRIGGER_GRACE_MS: withDefault(
    milliseconds,
    String(TRIGGER_GRACE_MS),
    'Decided so soon after its due time, a fire of a trigger is in time. When the engine was away for longer, what was due meanwhile was missed, and the trigger’s policy decides.',
  ),
  HOLDFAST_AGENT_BUDGET_USD: optional(
    dollars,
    'none',
    'What the agents of one team, its root included, may spend in all before no further agent can be made in it (`budget_exceeded`). As far as the providers tell their costs.',
  ),
  HOLDFAST_RECOVERY_PROMPT: optional(
    pathOrOff,
    'the built-in text',
    'What the root of a team is told after a start at which turns of the team were found interrupted: `off`, or a file with the text, in which `{{when}}`, `{{interrupted}}`, `{{team}}` and `{{undelivered}}` are filled in.',
  ),
  HOLDFAST_HOST_NAME: optional(
    id,
    'the file `host-name` in `HOLDFAST_HOME`, written once from the host name',
    'Name of this turn host. Conversations are pinned to it: it must not change, and no two hosts of one Temporal namespace may share it.',
  ),
  HOLDFAST_WORKSPACE_ROOTS: optional(
    paths,
    'your home directory',
    'Folders, with colons between them, in which agents may work. The first is the default workspace.',
  ),
  HOLDFAST_PROVIDERS: optional(
    path,
    'none',
    'JSON file of further ACP agents. This version reads none.',
  ),
  HOLDFAST_BODY_LIMIT_BYTES: withDefault(
    messageBytes,
    String(BODY_LIMIT_BYTES),
    'Largest HTTP body.',
  ),
  HOLDFAST_FRAME_LIMIT_BYTES: withDefault(
    messageBytes,
    String(FRAME_LIMIT_BYTES),
    'Largest WebSocket frame of a client.',
  ),
  HOLDFAST_RECEIPT_WAIT_MS: withDefault(
    milliseconds,
    String(RECEIPT_WAIT_MS),
    'How long a send waits for its receipt before it is answered 202 (accepted, fate not known yet).',
  ),
  HOLDFAST_PING_INTERVAL_MS: withDefault(
    milliseconds,
    String(PING_INTERVAL_MS),
    'WebSocket ping; two misses close the socket.',
  ),
  HOLDFAST_SOCKET_HIGH_WATER_BYTES: withDefault(
    bytes,
    String(SOCKET_HIGH_WATER_BYTES),
    'Unsent bytes of one socket above which it is refilled from the log instead of memory.',
  ),
  HOLDFAST_SOCKET_HARD_CAP_BYTES: withDefault(
    bytes,
    String(SOCKET_HARD_CAP_BYTES),
    'Unsent bytes of one socket above which it is closed with 4008. Not below the high water.',
  ),
  HOLDFAST_CANCEL_GRACE_MS: withDefault(
    milliseconds,
    String(CANCEL_GRACE_MS),
    "How long a provider may take to obey its protocol's cancel before it gets TERM.",
  ),
  HOLDFAST_TERM_GRACE_MS: withDefault(
    milliseconds,
    String(TERM_GRACE_MS),
    'How long it may take to obey TERM before it gets KILL.',
  ),
  HOLDFAST_QUIET_AFTER_MS: withDefault(
    silence,
    '120000,tool-running=600000,waiting-for-approval=600000',
    'Soft limit of the silence clock: the time since the provider’s last event after which `chat.quiet` is recorded. See below.',
  ),
  HOLDFAST_STALLED_AFTER_MS: withDefault(
    silence,
    '1200000,tool-running=7200000',
    'Hard limit of the silence clock: the provider is stopped and the turn ends `interrupted` (`stalled`). See below.',
  ),
  HOLDFAST_SESSION_IDLE_MS: withDefault(
    milliseconds,
    String(SESSION_IDLE_MS),
    'A provider process without a turn is ended after this.',
  ),
  HOLDFAST_SESSION_LIMIT: withDefault(
    count,
    String(SESSION_LIMIT),
    'Provider processes kept at once; an idle one makes room. Each takes 0.2 to 0.7 GB.',
  ),
  HOLDFAST_SESSION_SPOOL_LIMIT_BYTES: withDefault(
    bytes,
    String(SESSION_SPOOL_LIMIT_BYTES),
    'A provider process whose output file has grown past this gets no further turn.',
  ),
  HOLDFAST_PROVIDER_LINE_LIMIT_BYTES: withDefault(
    bytes,
    String(PROVIDER_LINE_LIMIT_BYTES),
    'Longest line of a provider that is read; a longer one becomes a `notice`.',
  ),
  HOLDFAST_WEDGED_AFTER_MS: withDefault(
    millisecondsOrNever,
    '30000',
    'A process of Holdfast that has stood still for so long (gateway, worker, turn host) is killed and started again; the embedded Temporal server when it has not answered for twice as long. 0: never, but for a Temporal server that has what only a new start heals.',
  ),
  HOLDFAST_LOG_LIMIT_BYTES: withDefault(
    bytes,
    String(10 * 1024 * 1024),
    'Size at which a log file in `HOLDFAST_HOME/logs` is rotated; one older file is kept.',
  ),
} satisfies Record<string, Variable<unknown>>;

/** Temporal's own standard names that are read. They count only with `TEMPORAL_ADDRESS`. */
export const TEMPORAL_VARIABLES = {
  TEMPORAL_ADDRESS: optional(
    serverAddress,
    'a server is started',
    'The Temporal server to use; none is started then.',
  ),
  TEMPORAL_NAMESPACE: withDefault(text, 'default', 'Its namespace; it must exist.'),
  TEMPORAL_API_KEY: optional(text, 'none', 'API key; switches TLS on.'),
  TEMPORAL_TLS: optional(
    {
      expects: 'true, false, 1 or 0',
      parse: (value) => ({ true: true, '1': true, false: false, '0': false })[value],
    },
    'on with an API key or any other `TEMPORAL_TLS_*`',
    'TLS with the system’s certificate authorities.',
  ),
  TEMPORAL_TLS_CLIENT_CERT_PATH: optional(path, 'none', 'Client certificate (PEM), a file.'),
  TEMPORAL_TLS_CLIENT_CERT_DATA: optional(text, 'none', 'Client certificate (PEM), the text.'),
  TEMPORAL_TLS_CLIENT_KEY_PATH: optional(path, 'none', 'Its key (PEM), a file.'),
  TEMPORAL_TLS_CLIENT_KEY_DATA: optional(text, 'none', 'Its key (PEM), the text.'),
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: optional(path, 'none', 'Certificate authority (PEM), a file.'),
  TEMPORAL_TLS_SERVER_CA_CERT_DATA: optional(
    text,
    'none',
    'Certificate authority (PEM), the text.',
  ),
  TEMPORAL_TLS_SERVER_NAME: optional(text, 'none', 'Name expected in the server’s certificate.'),
} satisfies Record<string, Variable<unknown>>;

/** Standard names whose meaning could not be kept; ignoring them would connect to the wrong place, or wrongly. */
const REFUSED_TEMPORAL_VARIABLES: Readonly<Record<string, string>> = {
  TEMPORAL_PROFILE: 'profiles are not read; set TEMPORAL_ADDRESS and the other TEMPORAL_* names',
  TEMPORAL_CONFIG_FILE:
    'the configuration file is not read; set TEMPORAL_ADDRESS and the other TEMPORAL_* names',
  TEMPORAL_TLS_DISABLE_HOST_VERIFICATION:
    'the TypeScript SDK cannot switch verification off; name the authority with TEMPORAL_TLS_SERVER_CA_CERT_PATH',
};

/** `TEMPORAL_GRPC_META_X_Y=v` sends the header `x-y: v`. */
const TEMPORAL_METADATA_PREFIX = 'TEMPORAL_GRPC_META_';

const V = { ...VARIABLES, ...TEMPORAL_VARIABLES };
const nameOf = new Map<unknown, string>(Object.entries(V).map(([name, row]) => [row, name]));
type Read = <T>(variable: Variable<T>) => T;
type ReadPem = (file: Variable<string | null>, content: Variable<string | null>) => Buffer | null;

/** Values that must not be repeated in an error message. */
const secretNames = /API_KEY|_DATA$/;

/**
 * This process's environment. For those who hand it on, to a child or a provider; settings come from {@link loadConfig}.
 */
export function ownEnvironment(): Environment {
  return process.env;
}

/**
 * Reads the configuration. Throws: {@link ConfigError} with everything that is wrong.
 *
 * The only file it reads beside PEM files is `<home>/host-name`.
 */
export function loadConfig(environment: Environment = process.env): Config {
  const problems: string[] = [];
  const set = (name: string): string | undefined => {
    const value = environment[name];
    return value === '' ? undefined : value;
  };

  for (const name of Object.keys(environment)) {
    if (!name.startsWith('HOLDFAST_') || name === PROCESS_MARK || Object.hasOwn(VARIABLES, name))
      continue;
    problems.push(`${name} is not a name Holdfast knows. Did you mean ${closestName(name)}?`);
  }
  for (const [name, why] of Object.entries(REFUSED_TEMPORAL_VARIABLES)) {
    if (set(name) !== undefined) problems.push(`${name}: ${why}.`);
  }

  /** A wrong value is noted and its default stands in, until all have been read and {@link ConfigError} is thrown. */
  const read: Read = (variable) => {
    const name = nameOf.get(variable) ?? '';
    const given = set(name);
    if (given === undefined) return variable.fallback;
    const value = variable.parse(given);
    if (value !== undefined) return value;
    const shown = secretNames.test(name) ? '' : `=${JSON.stringify(given)}`;
    problems.push(`${name}${shown}: expected ${variable.expects}.`);
    return variable.fallback;
  };
  const pem: ReadPem = (file, content) => {
    const source = read(file);
    const given = read(content);
    if (given !== null) return Buffer.from(given);
    if (source === null) return null;
    try {
      return readFileSync(source);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      problems.push(`${nameOf.get(file)}="${source}": ${why}.`);
      return null;
    }
  };

  const userHome = set('HOME') ?? homedir();
  const stateHome = set('XDG_STATE_HOME');
  const home =
    read(V.HOLDFAST_HOME) ??
    // The XDG specification: a relative path there is to be ignored.
    join(
      stateHome !== undefined && isAbsolute(stateHome)
        ? stateHome
        : join(userHome, '.local', 'state'),
      'holdfast',
    );
  const configPaths: Config['paths'] = {
    token: join(home, 'token'),
    agentKey: join(home, 'agent-key'),
    gatewayAddress: join(home, 'run', 'gateway-address'),
    spools: join(home, 'spools'),
    run: join(home, 'run'),
    logs: join(home, 'logs'),
    cache: join(home, 'cache'),
    hostName: join(home, 'host-name'),
    temporalDatabase: join(home, 'temporal.db'),
  };

  const host = read(V.HOLDFAST_HOST);
  const allowRemote = read(V.HOLDFAST_ALLOW_REMOTE);
  if (!allowRemote && !isLoopback(host))
    problems.push(
      `HOLDFAST_HOST="${host}": expected a loopback address. To serve other machines, which lets whoever has the token run programs as you, set HOLDFAST_ALLOW_REMOTE=true as well.`,
    );

  const address = read(V.TEMPORAL_ADDRESS);
  const temporalPort = read(V.HOLDFAST_TEMPORAL_PORT);
  const uiPort = read(V.HOLDFAST_TEMPORAL_UI_PORT);
  if (temporalPort === uiPort && temporalPort !== 0 && address === null)
    problems.push(
      `HOLDFAST_TEMPORAL_UI_PORT="${uiPort}": expected another port than HOLDFAST_TEMPORAL_PORT.`,
    );

  const namespace = read(V.TEMPORAL_NAMESPACE);
  if (address === null && namespace !== 'default')
    problems.push(
      `TEMPORAL_NAMESPACE="${namespace}": the embedded server has only the namespace "default"; name your server with TEMPORAL_ADDRESS.`,
    );

  const storeFile = read(V.HOLDFAST_STORE) ?? join(home, 'holdfast.db');

  const socketHighWaterBytes = read(V.HOLDFAST_SOCKET_HIGH_WATER_BYTES);
  const socketHardCapBytes = read(V.HOLDFAST_SOCKET_HARD_CAP_BYTES);
  if (socketHardCapBytes < socketHighWaterBytes)
    problems.push(
      `HOLDFAST_SOCKET_HARD_CAP_BYTES="${socketHardCapBytes}": expected at least HOLDFAST_SOCKET_HIGH_WATER_BYTES (${socketHighWaterBytes}).`,
    );

  const config: Config = {
    home,
    paths: configPaths,
    api: {
      host,
      port: read(V.HOLDFAST_PORT),
      allowedHosts: read(V.HOLDFAST_ALLOWED_HOSTS) ?? [],
      allowedOrigins: read(V.HOLDFAST_ALLOWED_ORIGINS) ?? [],
      bodyLimitBytes: read(V.HOLDFAST_BODY_LIMIT_BYTES),
      frameLimitBytes: read(V.HOLDFAST_FRAME_LIMIT_BYTES),
      receiptWaitMs: read(V.HOLDFAST_RECEIPT_WAIT_MS),
      pingIntervalMs: read(V.HOLDFAST_PING_INTERVAL_MS),
      socketHighWaterBytes,
      socketHardCapBytes,
    },
    temporal: {
      embedded: address === null,
      connection:
        address === null
          ? { address: `127.0.0.1:${temporalPort}` }
          : externalConnection({ address, read, pem, environment, problems }),
      namespace,
      uiUrl:
        read(V.HOLDFAST_TEMPORAL_UI_URL) ??
        (address === null && uiPort !== 0 && uiPort !== null ? `http://127.0.0.1:${uiPort}` : null),
      port: temporalPort,
      uiPort,
      program: read(V.HOLDFAST_TEMPORAL_BIN),
      logLevel: read(V.HOLDFAST_TEMPORAL_LOG_LEVEL),
      walLimitBytes: read(V.HOLDFAST_TEMPORAL_WAL_LIMIT_BYTES),
    },
    store: { url: `sqlite:${storeFile}`, replayWindowMs: read(V.HOLDFAST_REPLAY_WINDOW_MS) },
    disk: {
      folders: [home, configPaths.spools, dirname(storeFile)],
      reserveBytes: read(V.HOLDFAST_DISK_RESERVE_BYTES),
    },
    turns: {
      hostName: read(V.HOLDFAST_HOST_NAME) ?? storedHostName(configPaths.hostName),
      workspaceRoots: read(V.HOLDFAST_WORKSPACE_ROOTS) ?? [userHome],
      providersFile: read(V.HOLDFAST_PROVIDERS),
      cancelGraceMs: read(V.HOLDFAST_CANCEL_GRACE_MS),
      termGraceMs: read(V.HOLDFAST_TERM_GRACE_MS),
      sessionIdleMs: read(V.HOLDFAST_SESSION_IDLE_MS),
      sessionLimit: read(V.HOLDFAST_SESSION_LIMIT),
      sessionSpoolLimitBytes: read(V.HOLDFAST_SESSION_SPOOL_LIMIT_BYTES),
      providerLineLimitBytes: read(V.HOLDFAST_PROVIDER_LINE_LIMIT_BYTES),
      quietAfter: read(V.HOLDFAST_QUIET_AFTER_MS),
      stalledAfter: read(V.HOLDFAST_STALLED_AFTER_MS),
    },
    triggers: { graceMs: read(V.HOLDFAST_TRIGGER_GRACE_MS) },
    agents: {
      budgetUsd: read(V.HOLDFAST_AGENT_BUDGET_USD),
      recoveryPrompt: read(V.HOLDFAST_RECOVERY_PROMPT),
    },
    wedgedAfterMs: read(V.HOLDFAST_WEDGED_AFTER_MS),
    logs: { limitBytes: read(V.HOLDFAST_LOG_LIMIT_BYTES) },
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function externalConnection({
  address,
  read,
  pem,
  environment,
  problems,
}: {
  address: string;
  read: Read;
  pem: ReadPem;
  environment: Environment;
  problems: string[];
}): TemporalConnection {
  const apiKey = read(V.TEMPORAL_API_KEY);
  const serverName = read(V.TEMPORAL_TLS_SERVER_NAME);
  const authority = pem(V.TEMPORAL_TLS_SERVER_CA_CERT_PATH, V.TEMPORAL_TLS_SERVER_CA_CERT_DATA);
  const certificate = pem(V.TEMPORAL_TLS_CLIENT_CERT_PATH, V.TEMPORAL_TLS_CLIENT_CERT_DATA);
  const key = pem(V.TEMPORAL_TLS_CLIENT_KEY_PATH, V.TEMPORAL_TLS_CLIENT_KEY_DATA);
  if ((certificate === null) !== (key === null))
    problems.push('TEMPORAL_TLS_CLIENT_CERT_* and TEMPORAL_TLS_CLIENT_KEY_* go together.');
  const details = {
    ...(serverName === null ? {} : { serverNameOverride: serverName }),
    ...(authority === null ? {} : { serverRootCACertificate: authority }),
    ...(certificate === null || key === null ? {} : { clientCertPair: { crt: certificate, key } }),
  };
  const switched = read(V.TEMPORAL_TLS);
  const useTls = switched ?? (apiKey !== null || Object.keys(details).length > 0);
  const metadata = Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      name.startsWith(TEMPORAL_METADATA_PREFIX) && value !== undefined && value !== ''
        ? [
            [
              name.slice(TEMPORAL_METADATA_PREFIX.length).toLowerCase().replaceAll('_', '-'),
              value,
            ] as const,
          ]
        : [],
    ),
  );
  return {
    address,
    ...(useTls ? { tls: Object.keys(details).length === 0 ? true : details } : {}),
    ...(apiKey === null ? {} : { apiKey }),
    ...(Object.keys(metadata).length === 0 ? {} : { metadata }),
  };
}

/** Whether `host` names this machine's loopback interface. */
function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || /^127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$/.test(host)
  );
}

/** The name written at the first start; before it, the one that will be written. */
function storedHostName(file: string): string {
  try {
    const stored = readFileSync(file, 'utf8').trim();
    if (isId(stored)) return stored;
  } catch {
    // Not written yet, or not readable: whoever starts a host will find out when it writes there.
  }
  return hostNameFrom(hostname());
}

/** A machine's name as an id: other characters become "-". */
export function hostNameFrom(machineName: string): string {
  const name = machineName
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  return isId(name) ? name : 'host';
}

/** The known name with the fewest edits to `name`. */
function closestName(name: string): string {
  let best: { name: string; distance: number } = { name: 'HOLDFAST_HOME', distance: Infinity };
  for (const known of Object.keys(VARIABLES)) {
    const distance = editDistance(name, known);
    if (distance < best.distance) best = { name: known, distance };
  }
  return best.name;
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i += 1) {
    const row = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      row.push(
        Math.min(
          (row[j] ?? 0) + 1,
          (previous[j + 1] ?? 0) + 1,
          (previous[j] ?? 0) + (a[i] === b[j] ? 0 : 1),
        ),
      );
    }
    previous = row;
  }
  return previous.at(-1) ?? 0;
}
