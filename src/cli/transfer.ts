/**
 * `holdfast export` and `holdfast import`: a conversation as JSON lines.
 *
 * The first line says what it is; every other one is an event of the log, as it was stored. They read and write the store
 * itself, so they work whether or not Holdfast runs.
 */
import { createReadStream, realpathSync } from 'node:fs';
import { relative } from 'node:path';
import { parseArgs } from 'node:util';

import { isHoldfastError } from '../contracts/errors.ts';
import { isEvent } from '../contracts/event-check.ts';
import type { Event } from '../contracts/events.ts';
import { conversationStream, isId } from '../contracts/ids.ts';
import { LineSplitter, type SplitLine } from '../providers/process/line-splitter.ts';
import { openStore } from '../store/open.ts';
import type { Store } from '../store/port.ts';
import { isRecord } from './api-client.ts';
import { CommandError, type CommandContext, EXIT, UsageError } from './command.ts';

export const exportUsage = `holdfast export ID
  Writes a conversation to stdout as JSON lines: what it is, then every event of its log.
  Of older turns the messages are there and not the single deltas (HOLDFAST_REPLAY_WINDOW_MS).
`;

export const importUsage = `holdfast import [--as ID] FILE
  Makes a conversation of what \`holdfast export\` wrote; FILE may be - for stdin. It stands alone, and what was
  running when it was exported is marked as interrupted.

  --as ID   under this id instead of its own
`;

const KIND = 'holdfast.conversation';
const VERSION = 1;
/** Events of one read. */
const PAGE = 1_000;
/** Longest line: the largest text of a provider's line, each character of it escaped. */
const LINE_LIMIT_BYTES = 256 * 1024 * 1024;

export async function exportConversation({ args, config, out }: CommandContext): Promise<number> {
  const { positionals } = parseArgs({ args, allowPositionals: true, options: {} });
  const [conversationId, ...others] = positionals;
  if (conversationId === undefined || others.length > 0 || !isId(conversationId))
    throw new UsageError('Name one conversation.');
  const store = await openStore({ url: config.store.url, readOnly: true });
  try {
    const conversation = await store.summary(conversationId);
    if (conversation === null)
      throw new CommandError(`There is no conversation ${conversationId} in ${config.home}.`);
    const head = { type: KIND, version: VERSION, exportedAt: new Date().toISOString() };
    out.write(`${JSON.stringify({ ...head, conversation })}\n`);
    await writeEvents(store, conversationId, (line) => out.write(line));
    return EXIT.ok;
  } finally {
    await store.close();
  }
}

/** Up to where the log ended when it was begun with. */
async function writeEvents(
  store: Store,
  conversationId: string,
  write: (line: string) => void,
): Promise<void> {
  const stream = conversationStream(conversationId);
  const end = await store.lastSeq(stream);
  for (let after = 0; after < end;) {
    const { items } = await store.events(stream, after, PAGE);
    const last = items.at(-1);
    if (last === undefined) return;
    for (const { seq, json } of items) if (seq <= end) write(`${json}\n`);
    after = last.seq;
  }
}

export async function importConversation({
  args,
  config,
  out,
  err,
}: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { as: { type: 'string' } },
  });
  const [file, ...others] = positionals;
  if (file === undefined || others.length > 0) throw new UsageError('Name one file, or -.');
  if (values.as !== undefined && !isId(values.as))
    throw new UsageError('--as takes an id: letters, digits, "_" and "-", at most 64.');
  const { conversationId, events } = await readExport(file);
  const store = await openStore({ url: config.store.url });
  try {
    const id = values.as ?? conversationId;
    const [created, ...rest] = events;
    if (created?.type !== 'conversation.created') throw new CommandError('It creates nothing.');
    const workspacePath = allowedWorkspace(
      created.payload.workspacePath,
      config.turns.workspaceRoots,
    );
    if (workspacePath !== created.payload.workspacePath)
      err.write(
        `Its workspace ${created.payload.workspacePath} is not one of this home's (HOLDFAST_WORKSPACE_ROOTS); it gets ${workspacePath}.\n`,
      );
    const placed = { ...created, payload: { ...created.payload, workspacePath } };
    await store.importConversation({ conversationId: id, events: [placed, ...rest] });
    out.write(`${id}\n`);
    return EXIT.ok;
  } catch (error) {
    if (isHoldfastError(error)) throw new CommandError(error.message);
    throw error;
  } finally {
    await store.close();
  }
}

/** The folder itself when it lies in a workspace root, by real paths; else the first root. */
function allowedWorkspace(folder: string, roots: readonly string[]): string {
  const real = realFolder(folder);
  const inside = roots.some((root) => {
    const from = realFolder(root);
    return real !== null && from !== null && !relative(from, real).startsWith('..');
  });
  return real !== null && inside ? real : (roots[0] ?? folder);
}

function realFolder(folder: string): string | null {
  try {
    return realpathSync(folder);
  } catch {
    return null;
  }
}

/** Throws {@link CommandError} with the number of the line that is wrong. Nothing is written before all of it was read. */
async function readExport(file: string): Promise<{ conversationId: string; events: Event[] }> {
  const input = file === '-' ? process.stdin : createReadStream(file);
  const events: Event[] = [];
  let conversationId: string | null = null;
  let number = 0;
  const wrong = (what: string): CommandError =>
    new CommandError(`${file === '-' ? 'stdin' : file}, line ${number}: ${what}`);
  try {
    for await (const line of linesOf(input)) {
      number += 1;
      if (line.kind === 'too-long') throw wrong('is too long');
      if (line.invalidUtf8) throw wrong('is not UTF-8');
      if (line.text.trim() === '') continue;
      const value = parse(line.text);
      if (value === null) throw wrong('is not a JSON object');
      if (conversationId === null) {
        conversationId = idOf(value);
        if (conversationId === null)
          throw wrong(`is not the beginning of an export ("type":"${KIND}","version":${VERSION})`);
        continue;
      }
      if (!isEvent(value)) throw wrong('is not an event of this version');
      const before = events.at(-1)?.seq ?? 0;
      if (value.seq <= before) throw wrong(`has seq ${value.seq} after ${before}`);
      events.push(value);
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
  if (conversationId === null) throw new CommandError(`${file} is empty.`);
  if (events[0]?.type !== 'conversation.created')
    throw new CommandError('The export does not begin with the creation of a conversation.');
  return { conversationId, events };
}

/** The last one may lack its newline. */
async function* linesOf(input: AsyncIterable<unknown>): AsyncGenerator<SplitLine> {
  const splitter = new LineSplitter({ limitBytes: LINE_LIMIT_BYTES });
  for await (const chunk of input) if (Buffer.isBuffer(chunk)) yield* splitter.push(chunk);
  yield* splitter.push(Buffer.from('\n'));
}

function parse(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

function idOf({ type, version, conversation }: Record<string, unknown>): string | null {
  if (type !== KIND || version !== VERSION || !isRecord(conversation)) return null;
  const { conversationId } = conversation;
  return isId(conversationId) ? conversationId : null;
}
