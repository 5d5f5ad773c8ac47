/** Numbers: the invariants of src/config.ts. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';

import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import {
  type Config,
  ConfigError,
  hostNameFrom,
  loadConfig,
  silenceLimitMs,
  TEMPORAL_VARIABLES,
  VARIABLES,
} from '../../src/config.ts';
import { isId } from '../../src/contracts/ids.ts';

/** Everything a variable may hold, control characters and other scripts included; no NUL, which none can. */
const anyText = fc
  .array(fc.integer({ min: 1, max: 0x24_ff }), { maxLength: 40 })
  .map((codes) => String.fromCodePoint(...codes));

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'holdfast-config-'));
});
afterEach(() => {
  rmSync(home, { recursive: true, force: true });
});

function load(environment: Record<string, string> = {}): Config {
  return loadConfig({ HOME: home, ...environment });
}

function problems(environment: Record<string, string>): readonly string[] {
  try {
    load(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('defaults', () => {
  test('are those of protocol.md section 1', () => {
    const config = load();
    expect(config.home).toBe(join(home, '.local/state/holdfast'));
    expect(config.api).toMatchObject({
      host: '127.0.0.1',
      port: 4610,
      bodyLimitBytes: 16 * 1024 * 1024,
      frameLimitBytes: 16 * 1024 * 1024,
    });
    expect(config.temporal).toMatchObject({
      embedded: true,
      port: 7233,
      uiPort: 8233,
      namespace: 'default',
      connection: { address: '127.0.0.1:7233' },
      uiUrl: 'http://127.0.0.1:8233',
    });
    expect(config.store.url).toBe(`sqlite:${config.home}/holdfast.db`);
    expect(config.turns.workspaceRoots).toEqual([home]);
    expect(config.turns).toMatchObject({ cancelGraceMs: 2_000, termGraceMs: 3_000 });
    expect(config.paths.token).toBe(join(config.home, 'token'));
    expect(config.paths.agentKey).toBe(join(config.home, 'agent-key'));
    expect(config.agents).toEqual({ budgetUsd: null, recoveryPrompt: null });
  });

  test.each([
    ['/var/lib/state', '/var/lib/state/holdfast'],
    // The XDG specification has a relative path ignored.
    ['relative/state', '.local/state/holdfast'],
    ['', '.local/state/holdfast'],
  ])('XDG_STATE_HOME=%j gives the home %s', (stateHome, expected) => {
    expect(load({ XDG_STATE_HOME: stateHome }).home).toBe(
      join(expected.startsWith('/') ? '' : home, expected),
    );
  });

  test('3: an empty value counts as unset', () => {
    const empty = Object.fromEntries(Object.keys(VARIABLES).map((name) => [name, '']));
    expect(load({ ...empty, TEMPORAL_ADDRESS: '' })).toEqual(load());
  });

  test('4: loading makes nothing', () => {
    load({ HOLDFAST_HOME: join(home, 'new') });
    expect(existsSync(join(home, 'new'))).toBe(false);
    expect(readdirSync(home)).toEqual([]);
  });
});

describe('unknown names', () => {
  test.each([
    ['HOLDFAST_PROT', 'HOLDFAST_PORT'],
    ['HOLDFAST_HOM', 'HOLDFAST_HOME'],
    ['HOLDFAST_QUIET_AFTR_MS', 'HOLDFAST_QUIET_AFTER_MS'],
    ['HOLDFAST_WORKSPACE_ROOT', 'HOLDFAST_WORKSPACE_ROOTS'],
    ['HOLDFAST_TEMPORAL_UIPORT', 'HOLDFAST_TEMPORAL_UI_PORT'],
  ])('2: %s is an error that names %s', (name, closest) => {
    expect(problems({ [name]: '1' })).toEqual([
      `${name} is not a name Holdfast knows. Did you mean ${closest}?`,
    ]);
  });

  test('2: also with an empty value; not the process mark, and not names of others', () => {
    expect(problems({ HOLDFAST_XYZ: '' })).toHaveLength(1);
    expect(problems({ HOLDFAST_TURN: 't1.1', HOLDFASTING: '1', TEMPORAL_CLI_THING: 'x' })).toEqual(
      [],
    );
  });

  test('3: all errors are told at once', () => {
    const found = problems({
      HOLDFAST_A: '1',
      HOLDFAST_PORT: 'x',
      HOLDFAST_BODY_LIMIT_BYTES: '-1',
    });
    expect(found).toHaveLength(3);
  });
});

describe('bad values', () => {
  test.each([
    ['HOLDFAST_HOME', 'relative/home', 'an absolute path'],
    ['HOLDFAST_PORT', '65536', 'a port from 0 to 65535'],
    ['HOLDFAST_PORT', '-1', 'a port from 0 to 65535'],
    ['HOLDFAST_PORT', '80 ', 'a port from 0 to 65535'],
    ['HOLDFAST_PORT', '1e3', 'a port from 0 to 65535'],
    ['HOLDFAST_TEMPORAL_UI_PORT', 'on', 'a port from 0 to 65535, or off'],
    ['HOLDFAST_TEMPORAL_LOG_LEVEL', 'loud', 'debug, info, warn, error or never'],
    ['HOLDFAST_TEMPORAL_UI_URL', 'ftp://x', 'http:// or https://'],
    ['HOLDFAST_ALLOW_REMOTE', 'yes', 'true or false'],
    ['HOLDFAST_ALLOWED_HOSTS', 'http://a', 'names or addresses'],
    ['HOLDFAST_ALLOWED_ORIGINS', 'a.example', 'origins such as'],
    ['HOLDFAST_ALLOWED_ORIGINS', 'https://a.example/', 'origins such as'],
    ['HOLDFAST_STORE', 'postgres://host/db', 'PostgreSQL is planned'],
    ['HOLDFAST_STORE', 'sqlite:relative.db', 'sqlite:/absolute/path'],
    ['HOLDFAST_HOST_NAME', 'a b', 'letters, digits'],
    ['HOLDFAST_HOST_NAME', 'x'.repeat(65), 'at most 64'],
    ['HOLDFAST_WORKSPACE_ROOTS', '/a:b', 'absolute paths'],
    ['HOLDFAST_WORKSPACE_ROOTS', '/a::/b', 'absolute paths'],
    ['HOLDFAST_BODY_LIMIT_BYTES', '16MiB', 'bytes from'],
    ['HOLDFAST_BODY_LIMIT_BYTES', '1000', 'bytes from'],
    ['HOLDFAST_CANCEL_GRACE_MS', '0', 'milliseconds from 1'],
    // Above it a timer of Node fires at once.
    ['HOLDFAST_SESSION_IDLE_MS', '2147483648', 'milliseconds from 1'],
    ['HOLDFAST_SESSION_LIMIT', '0', 'a whole number from 1'],
    ['HOLDFAST_QUIET_AFTER_MS', 'tool-running=5', '<phase>=<ms>'],
    ['HOLDFAST_QUIET_AFTER_MS', '5,thinking/claude=5', '<provider>/<phase>'],
    ['HOLDFAST_QUIET_AFTER_MS', '5,claude/nothing=5', '<provider>/<phase>'],
    ['HOLDFAST_QUIET_AFTER_MS', '5,', '<phase>=<ms>'],
    ['HOLDFAST_AGENT_BUDGET_USD', '-1', 'US dollars'],
    ['HOLDFAST_AGENT_BUDGET_USD', '1,50', 'US dollars'],
    ['HOLDFAST_AGENT_BUDGET_USD', '$5', 'US dollars'],
    ['HOLDFAST_AGENT_BUDGET_USD', '1e3', 'US dollars'],
    ['HOLDFAST_AGENT_BUDGET_USD', '1000001', 'at most 1000000'],
    ['HOLDFAST_RECOVERY_PROMPT', 'on', 'off, or an absolute path'],
    ['HOLDFAST_RECOVERY_PROMPT', 'prompt.md', 'off, or an absolute path'],
    ['TEMPORAL_ADDRESS', 'https://x:7233', 'host:port'],
    ['TEMPORAL_ADDRESS', 'localhost', 'host:port'],
  ])('%s=%j: says the name, the value and what is expected', (name, value, expected) => {
    const [problem, ...more] = problems({ [name]: value });
    expect(more).toEqual([]);
    expect(problem).toContain(`${name}=${JSON.stringify(value)}: expected `);
    expect(problem).toContain(expected);
  });

  test('a secret is not repeated', () => {
    const found = problems({
      TEMPORAL_ADDRESS: 'a:1',
      TEMPORAL_TLS: 'perhaps',
      TEMPORAL_TLS_CLIENT_KEY_DATA: 'the-secret-key',
    });
    expect(found).toHaveLength(2);
    expect(found.join()).not.toContain('the-secret-key');
  });

  test('limits that contradict each other are an error', () => {
    expect(
      problems({
        HOLDFAST_SOCKET_HIGH_WATER_BYTES: '1000000',
        HOLDFAST_SOCKET_HARD_CAP_BYTES: '10000',
      }),
    ).toEqual([expect.stringContaining('HOLDFAST_SOCKET_HARD_CAP_BYTES')]);
    expect(
      problems({ HOLDFAST_TEMPORAL_PORT: '9000', HOLDFAST_TEMPORAL_UI_PORT: '9000' }),
    ).toHaveLength(1);
    expect(problems({ HOLDFAST_TEMPORAL_PORT: '0', HOLDFAST_TEMPORAL_UI_PORT: '0' })).toEqual([]);
  });

  test('any text for any name is read or refused by a ConfigError, never anything else', () => {
    const names = [...Object.keys(VARIABLES), ...Object.keys(TEMPORAL_VARIABLES)];
    fc.assert(
      fc.property(fc.constantFrom(...names), anyText, (name, value) => {
        problems({ [name]: value });
      }),
    );
  });
});

test.each([
  ['0', 0],
  ['25', 25],
  ['2.50', 2.5],
  ['0.001', 0.001],
  ['1000000', 1_000_000],
])('a budget of %s dollars', (text, usd) => {
  expect(load({ HOLDFAST_AGENT_BUDGET_USD: text }).agents.budgetUsd).toBe(usd);
});

test.each(['off', '/etc/holdfast/recovery.md'])('a recovery prompt %s', (text) => {
  expect(load({ HOLDFAST_RECOVERY_PROMPT: text }).agents.recoveryPrompt).toBe(text);
});

describe('HOLDFAST_HOST', () => {
  test.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('%s is loopback', (host) => {
    expect(load({ HOLDFAST_HOST: host }).api.host).toBe(host);
  });

  test.each(['0.0.0.0', '::', '192.168.1.5', 'example.com', '127.0.0.1.example.com'])(
    '%s is refused, unless HOLDFAST_ALLOW_REMOTE is true',
    (host) => {
      expect(problems({ HOLDFAST_HOST: host })).toEqual([
        expect.stringContaining('HOLDFAST_ALLOW_REMOTE=true'),
      ]);
      expect(load({ HOLDFAST_HOST: host, HOLDFAST_ALLOW_REMOTE: 'true' }).api.host).toBe(host);
    },
  );
});

describe('Temporal', () => {
  const external = { TEMPORAL_ADDRESS: 'temporal.example:7233' };

  test('TEMPORAL_ADDRESS: that server is used, and none is started', () => {
    const { temporal } = load({ ...external, TEMPORAL_NAMESPACE: 'prod' });
    expect(temporal).toMatchObject({
      embedded: false,
      namespace: 'prod',
      connection: { address: 'temporal.example:7233' },
      uiUrl: null,
    });
    expect(temporal.connection).not.toHaveProperty('tls');
  });

  test('an API key switches TLS on, and headers are read', () => {
    const { connection } = load({
      ...external,
      TEMPORAL_API_KEY: 'key',
      TEMPORAL_GRPC_META_X_TENANT: 'blue',
    }).temporal;
    expect(connection).toEqual({
      address: 'temporal.example:7233',
      apiKey: 'key',
      tls: true,
      metadata: { 'x-tenant': 'blue' },
    });
    expect(
      load({ ...external, TEMPORAL_API_KEY: 'key', TEMPORAL_TLS: 'false' }).temporal.connection,
    ).not.toHaveProperty('tls');
  });

  test('certificates come from files or as text', () => {
    const file = join(home, 'cert.pem');
    writeFileSync(file, 'CERT');
    const { connection } = load({
      ...external,
      TEMPORAL_TLS_CLIENT_CERT_PATH: file,
      TEMPORAL_TLS_CLIENT_KEY_DATA: 'KEY',
      TEMPORAL_TLS_SERVER_CA_CERT_DATA: 'CA',
      TEMPORAL_TLS_SERVER_NAME: 'name.example',
    }).temporal;
    expect(connection.tls).toEqual({
      serverNameOverride: 'name.example',
      serverRootCACertificate: Buffer.from('CA'),
      clientCertPair: { crt: Buffer.from('CERT'), key: Buffer.from('KEY') },
    });
  });

  test('a certificate without its key, and a file that is not there, are errors', () => {
    expect(problems({ ...external, TEMPORAL_TLS_CLIENT_CERT_DATA: 'CERT' })).toHaveLength(1);
    expect(
      problems({ ...external, TEMPORAL_TLS_SERVER_CA_CERT_PATH: join(home, 'none.pem') }),
    ).toEqual([expect.stringContaining('ENOENT')]);
  });

  test('without TEMPORAL_ADDRESS the embedded server is not spoken to with anybody’s key', () => {
    expect(load({ TEMPORAL_API_KEY: 'key', TEMPORAL_TLS: 'true' }).temporal.connection).toEqual({
      address: '127.0.0.1:7233',
    });
  });

  test.each(['TEMPORAL_PROFILE', 'TEMPORAL_CONFIG_FILE', 'TEMPORAL_TLS_DISABLE_HOST_VERIFICATION'])(
    '%s, whose meaning cannot be kept, is an error',
    (name) => {
      expect(problems({ ...external, [name]: 'true' })).toEqual([
        expect.stringContaining(`${name}: `),
      ]);
    },
  );

  test('another namespace than the embedded server’s own is an error', () => {
    expect(problems({ TEMPORAL_NAMESPACE: 'mine' })).toEqual([
      expect.stringContaining('TEMPORAL_ADDRESS'),
    ]);
  });

  test('no Web UI', () => {
    expect(load({ HOLDFAST_TEMPORAL_UI_PORT: 'off' }).temporal).toMatchObject({
      uiPort: null,
      uiUrl: null,
    });
  });
});

describe('the name of the host', () => {
  test('is the one that was written, not the machine’s present one', () => {
    expect(load({ HOLDFAST_HOME: home }).turns.hostName).toBe(hostNameFrom(hostname()));
    writeFileSync(join(home, 'host-name'), 'first-name\n');
    expect(load({ HOLDFAST_HOME: home }).turns.hostName).toBe('first-name');
    expect(load({ HOLDFAST_HOME: home, HOLDFAST_HOST_NAME: 'set' }).turns.hostName).toBe('set');
  });

  test('a file that holds no name is as good as none', () => {
    writeFileSync(join(home, 'host-name'), 'not a name!\n');
    expect(load({ HOLDFAST_HOME: home }).turns.hostName).toBe(hostNameFrom(hostname()));
  });

  test.each([
    ['vm', 'vm'],
    ['Build Box 7.example.com', 'Build-Box-7-example-com'],
    ['-._x', 'x'],
    ['...', 'host'],
    ['', 'host'],
    ['é'.repeat(100), 'host'],
    ['a'.repeat(100), 'a'.repeat(64)],
  ])('%j becomes %j', (machineName, expected) => {
    expect(hostNameFrom(machineName)).toBe(expected);
  });

  test('any machine name becomes an id', () => {
    fc.assert(fc.property(anyText, (name) => isId(hostNameFrom(name))));
  });
});

describe('silence limits', () => {
  const limits = quietLimits(
    '100,tool-running=200,claude=300,claude/tool-running=400,acp:gemini=500',
  );
  function quietLimits(text: string) {
    return loadConfig({ HOME: '/h', HOLDFAST_QUIET_AFTER_MS: text }).turns.quietAfter;
  }

  test.each([
    ['scripted', 'waiting-for-model', 100],
    ['scripted', 'tool-running', 200],
    ['claude', 'waiting-for-model', 300],
    ['claude', 'tool-running', 400],
    ['acp:gemini', 'streaming', 500],
    // The provider is named more closely than the phase.
    ['acp:gemini', 'tool-running', 500],
    // A person may think as long as they like.
    ['claude', 'waiting-for-approval', null],
  ] as const)('%s while %s: %s', (provider, phase, expected) => {
    expect(silenceLimitMs(limits, { provider, phase })).toBe(expected);
  });

  test('waiting for a person has a limit only when a rule names that phase', () => {
    const named = quietLimits('100,waiting-for-approval=700,codex/waiting-for-approval=800');
    const phase = 'waiting-for-approval';
    expect(silenceLimitMs(named, { provider: 'claude', phase })).toBe(700);
    expect(silenceLimitMs(named, { provider: 'codex', phase })).toBe(800);
  });

  test('of two rules for the same the last counts', () => {
    expect(
      silenceLimitMs(quietLimits('1,claude=2,claude=3'), {
        provider: 'claude',
        phase: 'streaming',
      }),
    ).toBe(3);
  });
});
