/** What each process is told, and what it is not. */
import { statSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { loadConfig } from '../../../src/config.ts';
import { childSpecs, isReadyLine } from '../../../src/supervisor/child-specs.ts';

const ports = { api: 4711, temporal: { port: 7001, uiPort: 8001 } };

function specs(
  environment: Record<string, string>,
  chosen: Parameters<typeof childSpecs>[0]['ports'] = ports,
) {
  const all = { HOME: '/h', PATH: '/bin', ...environment };
  const found = childSpecs({ config: loadConfig(all), environment: all, ports: chosen });
  return Object.fromEntries(found.map((spec) => [spec.role, spec]));
}

describe('environments', () => {
  test('the chosen ports are told as settings, and every setting is handed on', () => {
    const found = specs({ HOLDFAST_PORT: '0', HOLDFAST_CANCEL_GRACE_MS: '77' });
    for (const role of ['gateway', 'worker', 'turn-host'])
      expect(found[role]?.environment).toMatchObject({
        HOLDFAST_PORT: '4711',
        HOLDFAST_CANCEL_GRACE_MS: '77',
        TEMPORAL_ADDRESS: '127.0.0.1:7001',
        HOLDFAST_TEMPORAL_UI_URL: 'http://127.0.0.1:8001',
      });
    expect(found['temporal']?.environment).toMatchObject({
      HOLDFAST_TEMPORAL_PORT: '7001',
      HOLDFAST_TEMPORAL_UI_PORT: '8001',
    });
  });

  test('what is compiled is kept beside the code: a process of a new home does not begin from nothing', () => {
    const caches = ['/one', '/two'].map(
      (HOLDFAST_HOME) =>
        specs({ HOLDFAST_HOME })['gateway']?.environment['NODE_COMPILE_CACHE'] ?? '',
    );
    expect(caches[0]).toMatch(/node_modules\/\.cache\/holdfast$/);
    expect(caches[1]).toBe(caches[0]);
    expect(statSync(caches[0] ?? '').isDirectory()).toBe(true);
  });

  test('what is told can be read by the process that is told', () => {
    for (const { environment } of Object.values(specs({ HOLDFAST_TEMPORAL_UI_PORT: '0' })))
      expect(() => loadConfig(environment)).not.toThrow();
  });

  test('the turn host gets the user’s whole environment, for the providers; the others do not', () => {
    const found = specs({ ANTHROPIC_API_KEY: 'secret', LC_ALL: 'C' });
    expect(found['turn-host']?.environment['ANTHROPIC_API_KEY']).toBe('secret');
    for (const role of ['gateway', 'worker', 'temporal']) {
      expect(found[role]?.environment['ANTHROPIC_API_KEY']).toBeUndefined();
      expect(found[role]?.environment).toMatchObject({ PATH: '/bin', HOME: '/h', LC_ALL: 'C' });
    }
  });

  test('nobody inherits the mark of a turn: the sweep of that turn would kill it', () => {
    for (const { environment } of Object.values(
      specs({ HOLDFAST_TURN: 't1.1', NODE_OPTIONS: '--inspect' }),
    )) {
      expect(environment).not.toHaveProperty('HOLDFAST_TURN');
      expect(environment).not.toHaveProperty('NODE_OPTIONS');
    }
  });

  test('the embedded server is not reached with somebody’s Temporal settings; an external one is', () => {
    const embedded = specs({ TEMPORAL_API_KEY: 'key' });
    for (const { environment } of Object.values(embedded))
      expect(environment).not.toHaveProperty('TEMPORAL_API_KEY');
    const external = specs(
      { TEMPORAL_ADDRESS: 'x.example:7233', TEMPORAL_API_KEY: 'key', TEMPORAL_NAMESPACE: 'prod' },
      { api: 1, temporal: null },
    );
    expect(Object.keys(external).toSorted()).toEqual(['gateway', 'turn-host', 'worker']);
    expect(external['worker']?.environment).toMatchObject({
      TEMPORAL_ADDRESS: 'x.example:7233',
      TEMPORAL_API_KEY: 'key',
      TEMPORAL_NAMESPACE: 'prod',
    });
  });

  test('without a Web UI nobody is told of one', () => {
    const found = specs({}, { api: 1, temporal: { port: 7001, uiPort: null } });
    expect(found['temporal']?.environment['HOLDFAST_TEMPORAL_UI_PORT']).toBe('off');
    expect(found['gateway']?.environment).not.toHaveProperty('HOLDFAST_TEMPORAL_UI_URL');
  });
});

describe('the line that says ready', () => {
  test.each([
    ['{"ready":true,"role":"worker","pid":5}', true],
    ['{"role":"worker","ready":true}', true],
    ['{"ready":true,"role":"gateway"}', false],
    ['{"ready":false,"role":"worker"}', false],
    ['{"ready":true,"role":"worker"', false],
    ['{"level":30,"msg":"{\\"ready\\":true,\\"role\\":\\"worker\\"}"}', false],
    ['ready', false],
    ['null', false],
  ])('%s of the worker: %s', (line, expected) => {
    expect(isReadyLine({ line, role: 'worker' })).toBe(expected);
  });

  test.each([
    ['temporal ready address=127.0.0.1:7001 ui=http://127.0.0.1:8001 pid=12', true],
    ['temporal ready address=127.0.0.1:7001 ui=off pid=12', true],
    ['temporal-dev: temporal ready address=127.0.0.1:7001 ui=off pid=12', false],
    ['temporal ready', false],
  ])('%s of Temporal: %s', (line, expected) => {
    expect(specs({})['temporal']?.saysReady(line)).toBe(expected);
  });
});
