/**
 * The tokens with which agents reach `/mcp`: `hfa_<conversationId>.<MAC>`.
 *
 *  1 A token is a MAC of its conversation's id under a key in the home folder: nothing is stored for it, any process of that
 *    home makes it and judges it, and it is the same after a restart. It opens nothing but `/mcp`, as that conversation.
 *  2 The key (0600) is made once, by whoever needs it first: of several that make one at the same moment one wins, and all use that.
 *  3 A token is compared in constant time, and is never logged.
 *
 * Whether its conversation is still there is for whoever serves it to say.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, linkSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';

import { isId } from './contracts/ids.ts';

const PREFIX = 'hfa_';
const KEY_BYTES = 32;

/** Makes the tokens of one home, and judges them. */
export class AgentTokens {
  readonly #keyFile: string;
  #key: Buffer | null = null;

  /** The key is read, or made, when it is first needed. */
  constructor({ keyFile }: { keyFile: string }) {
    this.#keyFile = keyFile;
  }

  /** The token of that conversation. Throws: when the key can be neither read nor made. */
  tokenOf(conversationId: string): string {
    return `${PREFIX}${conversationId}.${this.#macOf(conversationId)}`;
  }

  /** The conversation whose token this is; null: it is none. Throws: as {@link tokenOf}. */
  conversationOf(token: string): string | null {
    if (!token.startsWith(PREFIX)) return null;
    const [conversationId = '', mac = '', ...more] = token.slice(PREFIX.length).split('.');
    if (more.length > 0 || !isId(conversationId)) return null;
    const expected = Buffer.from(this.#macOf(conversationId));
    const given = Buffer.from(mac);
    return given.length === expected.length && timingSafeEqual(given, expected)
      ? conversationId
      : null;
  }

  #macOf(conversationId: string): string {
    this.#key ??= readKey(this.#keyFile) ?? makeKey(this.#keyFile);
    return createHmac('sha256', this.#key).update(conversationId, 'utf8').digest('base64url');
  }
}

function readKey(file: string): Buffer | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
    // A copy of a home may have been made without its modes.
    if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
  const key = Buffer.from(text.trim(), 'base64url');
  // A short key would be a weak one: rather none.
  if (key.length !== KEY_BYTES)
    throw new Error(`${file} holds no key; remove it while nothing runs, and a new one is made`);
  return key;
}

/** Puts a whole file there, or finds that somebody has. */
function makeKey(file: string): Buffer {
  const unfinished = `${file}.${process.pid}.${randomBytes(6).toString('hex')}`;
  writeFileSync(unfinished, `${randomBytes(KEY_BYTES).toString('base64url')}\n`, { mode: 0o600 });
  try {
    // A link, unlike a rename, does not replace the key of somebody who was quicker and uses it already.
    linkSync(unfinished, file);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(unfinished, { force: true });
  }
  const key = readKey(file);
  if (key === null) throw new Error(`${file} was removed as soon as it was made`);
  return key;
}
