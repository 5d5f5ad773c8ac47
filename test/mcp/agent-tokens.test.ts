/** Numbers: the invariants of src/agent-tokens.ts. */
import { execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import * as fc from 'fast-check';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

import { AgentTokens } from '../../src/agent-tokens.ts';
import { eventually } from '../support/eventually.ts';

const MODULE = fileURLToPath(new URL('../../src/agent-tokens.ts', import.meta.url));

/** Keys that are made side by side: at some of them, several processes meet. */
const HOMES = 300;

let keyFile: string;
let tokens: AgentTokens;
beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-tokens-'));
  keyFile = join(folder, 'agent-key');
  tokens = new AgentTokens({ keyFile });
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
});

const anyId = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/);

describe('1: a token is of one conversation', () => {
  test('whatever its id, and the same after a restart', () => {
    fc.assert(
      fc.property(anyId, (conversationId) => {
        const token = tokens.tokenOf(conversationId);
        expect(token).toMatch(/^hfa_[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$/);
        const restarted = new AgentTokens({ keyFile });
        expect(restarted.tokenOf(conversationId)).toBe(token);
        expect(restarted.conversationOf(token)).toBe(conversationId);
      }),
    );
  });

  test('it is the HMAC-SHA256 of the id under the key', () => {
    const token = tokens.tokenOf('c1');
    const key = Buffer.from(readFileSync(keyFile, 'utf8').trim(), 'base64url');
    expect(key).toHaveLength(32);
    expect(token).toBe(`hfa_c1.${createHmac('sha256', key).update('c1').digest('base64url')}`);
  });

  test('no other text is one: each character counts, and what is around it', () => {
    const token = tokens.tokenOf('c1');
    for (let index = 0; index < token.length; index += 1) {
      const other = token[index] === 'x' ? 'y' : 'x';
      const changed = token.slice(0, index) + other + token.slice(index + 1);
      expect({ changed, is: tokens.conversationOf(changed) }).toEqual({ changed, is: null });
    }
    const mac = token.slice('hfa_c1.'.length);
    for (const wrong of [
      '',
      'hfa_',
      'hfa_c1',
      'hfa_c1.',
      mac,
      `c1.${mac}`,
      `hfa_.${mac}`,
      `hfa_c2.${mac}`,
      `HFA_c1.${mac}`,
      `hfa_c1.${mac}.`,
      `hfa_c1.${mac}=`,
      `hfa_c1..${mac}`,
      `hfa_../c1.${mac}`,
      ` ${token}`,
      `${token} `,
      `${token}\n`,
      token.slice(0, -1),
      `${token}A`,
    ])
      expect({ wrong, is: tokens.conversationOf(wrong) }).toEqual({ wrong, is: null });
  });

  test('another home has another key, and takes none of these', () => {
    const other = new AgentTokens({ keyFile: `${keyFile}-2` });
    expect(other.conversationOf(tokens.tokenOf('c1'))).toBeNull();
  });
});

describe('2: the key', () => {
  test('is made when it is first needed, for its owner alone, and nothing is left beside it', () => {
    const folder = join(keyFile, '..');
    expect(readdirSync(folder)).toEqual([]);
    tokens.tokenOf('c1');
    expect(readdirSync(folder)).toEqual(['agent-key']);
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  });

  test('is made private again when its mode was lost', () => {
    const token = tokens.tokenOf('c1');
    chmodSync(keyFile, 0o644);
    expect(new AgentTokens({ keyFile }).conversationOf(token)).toBe('c1');
    expect(statSync(keyFile).mode & 0o777).toBe(0o600);
  });

  test.each(['', 'short', 'x'.repeat(200)])('%j is none, and not replaced', (content) => {
    writeFileSync(keyFile, content, { mode: 0o600 });
    expect(() => tokens.tokenOf('c1')).toThrow(/holds no key/);
    expect(readFileSync(keyFile, 'utf8')).toBe(content);
  });

  test('of many processes that make it at the same moment, all use the same', async () => {
    const go = join(keyFile, '..', 'go');
    const script = `import { existsSync } from 'node:fs';
      import { AgentTokens } from ${JSON.stringify(MODULE)};
      process.stdout.write('ready ');
      while (!existsSync(${JSON.stringify(go)}));
      const made = Array.from({ length: ${HOMES} }, (_, n) =>
        new AgentTokens({ keyFile: ${JSON.stringify(keyFile)} + n }).tokenOf('c1'));
      process.stdout.write(made.join());`;
    const makers = Array.from({ length: 8 }, () => {
      const maker = execFile(process.execPath, ['--input-type=module', '--eval', script]);
      const said: string[] = [];
      maker.stdout?.on('data', (chunk: Buffer | string) => said.push(String(chunk)));
      const ended = new Promise((resolve) => maker.once('close', resolve));
      return { said, ended };
    });
    await eventually(() => makers.every(({ said }) => said.join('').startsWith('ready')), 25_000);
    writeFileSync(go, '');
    await Promise.all(makers.map(({ ended }) => ended));
    const made = makers.map(({ said }) => said.join('').split(' ')[1]);
    const kept = Array.from({ length: HOMES }, (_, n) =>
      new AgentTokens({ keyFile: `${keyFile}${n}` }).tokenOf('c1'),
    );
    expect(new Set(made)).toEqual(new Set([kept.join(',')]));
    // beside the keys, `go`
    expect(readdirSync(join(keyFile, '..'))).toHaveLength(HOMES + 1);
  });
});
