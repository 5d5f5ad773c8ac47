/** What the tests of custody share: a real store, real spools, real provider processes. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach } from 'vitest';

import type { CustodyEvents, CustodySettings } from '../../src/activities/custody-settings.ts';
import { Custody } from '../../src/activities/custody.ts';
import type { AttemptRef } from '../../src/activities/live-turn.ts';
import type { SteerRequest } from '../../src/activities/steering.ts';
import type { Event, NewEvent } from '../../src/contracts/events.ts';
import { attemptKey, conversationStream } from '../../src/contracts/ids.ts';
import type { Provider } from '../../src/contracts/provider-events.ts';
import {
  isSameProcess,
  markedProcesses,
  signalProcess,
} from '../../src/providers/process/process-table.ts';
import { createProviders } from '../../src/providers/registry.ts';
import { scriptedProvider } from '../../src/providers/scripted/provider.ts';
import { openStore } from '../../src/store/open.ts';
import type { Store } from '../../src/store/port.ts';
import { eventually } from '../support/eventually.ts';

export let home: string;
export let store: Store;
let custodies: Custody[];
let seen: string[];
let turns = 0;

const settings: Omit<CustodySettings, 'spoolRoot'> = {
  host: 'h1',
  environment: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
  cancelGraceMs: 300,
  termGraceMs: 300,
  sessionIdleMs: 60_000,
  sessionLimit: 8,
  sessionSpoolLimitBytes: 64 * 1024 * 1024,
  lineLimitBytes: 1024 * 1024,
  silence: () => ({ quietMs: null, stalledMs: null }),
  room: () => ({ level: 'ample', freeBytes: 1, reserveBytes: 0 }),
  turnLimitMs: 3_600_000,
  mcp: () => null,
  boot: null,
};

/** A home, a store and whatever a test starts, made before each test and gone after it. */
export function setUpCustody(): void {
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'holdfast-custody-'));
    mkdirSync(join(home, 'spools'));
    mkdirSync(join(home, 'work'));
    store = await openStore({ url: `sqlite:${join(home, 'holdfast.db')}` });
    custodies = [];
    seen = [];
  });
  afterEach(async () => {
    for (const custody of custodies) custody.close();
    for (const found of markedProcesses())
      if (seen.some((turnId) => found.mark.startsWith(`${turnId}.`)))
        signalProcess(found, 'SIGKILL');
    await store.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });
}

export function newCustody(
  changed: Partial<CustodySettings> = {},
  parts: {
    store?: Store;
    providers?: ReadonlyMap<string, Provider>;
    events?: CustodyEvents;
  } = {},
): Custody {
  const custody = new Custody({
    store,
    providers: createProviders(),
    ...parts,
    settings: { ...settings, spoolRoot: join(home, 'spools'), ...changed },
    log: () => undefined,
  });
  custodies.push(custody);
  return custody;
}

/** A store with some of its methods replaced. */
export function withMethods(replaced: Partial<Store>, of: Store = store): Store {
  return new Proxy(of, {
    get(target, name, receiver): unknown {
      if (name in replaced) return Reflect.get(replaced, name);
      const value: unknown = Reflect.get(target, name, receiver);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The store, with its `append` replaced: what a disk that fails does to it. */
export function withAppend(append: Store['append']): Store {
  return withMethods({ append });
}

/** The scripted provider, and how often it was asked for its command. */
export function countingProvider(): { launched: number; providers: Map<string, Provider> } {
  const counted = {
    launched: 0,
    providers: new Map<string, Provider>([
      [
        'scripted',
        {
          ...scriptedProvider,
          command: (...given) => {
            counted.launched += 1;
            return scriptedProvider.command(...given);
          },
        },
      ],
    ]),
  };
  return counted;
}

/** What the workflow records when somebody cancels. */
export async function recordCancel({ conversationId, turnId, attempt }: AttemptRef): Promise<void> {
  await store.append({
    stream: conversationStream(conversationId),
    key: `cancel:${turnId}.${attempt}`,
    events: [
      { type: 'chat.cancelling', turnId, attempt, payload: { step: 'requested', by: 'ann' } },
    ],
  });
}

/** What a custody records of an answer to an approval, before it hands it over. */
export async function recordAllowed(ref: AttemptRef, approvalId: string): Promise<void> {
  const { conversationId, turnId, attempt } = ref;
  const at = new Date().toISOString();
  await store.append({
    stream: conversationStream(conversationId),
    events: [
      {
        type: 'approval.resolved',
        turnId,
        attempt,
        payload: { approvalId, decision: 'allow', by: 'ann', at },
      },
    ],
  });
}

/** The text of all deltas, in order. */
export function deltasOf(events: readonly Event[]): string {
  return events
    .flatMap((event) => (event.type === 'chat.delta' ? [event.payload.text] : []))
    .join('');
}

/** What the workflow records when a send starts a turn. `requestId`: of mail that it is. */
export async function accept(
  content: string,
  changed: {
    workspacePath?: string;
    provider?: string;
    conversationId?: string;
    requestId?: string;
  } = {},
): Promise<AttemptRef> {
  const { conversationId = 'c1' } = changed;
  const stream = conversationStream(conversationId);
  turns += 1;
  const { requestId = `r${turns}` } = changed;
  const turnId = `turn${process.pid}n${turns}`;
  seen.push(turnId);
  const provider = changed.provider ?? 'scripted';
  await store.append({
    stream,
    key: 'created',
    events: [
      {
        type: 'conversation.created',
        conversationId,
        payload: {
          tableId: null,
          title: '',
          provider,
          model: null,
          workspacePath: changed.workspacePath ?? join(home, 'work'),
        },
      },
    ],
  });
  await store.append({
    stream,
    key: `request:${requestId}`,
    events: [
      {
        type: 'message.created',
        turnId,
        requestId,
        payload: { messageId: `m${turns}`, role: 'user', content },
      },
      started(turnId, 1),
      { type: 'conversation.state', payload: { state: 'processing' } },
    ],
  });
  return { conversationId, turnId, attempt: 1 };

  function started(turn: string, attempt: number): NewEvent {
    return {
      type: 'chat.started',
      turnId: turn,
      attempt,
      requestId,
      payload: { attempt, provider, model: null },
    };
  }
}

/** What the workflow records when a message comes that is to steer the running turn: it waits. Answers what custody is then given. */
export async function queueForSteering(ref: AttemptRef, content: string): Promise<SteerRequest> {
  turns += 1;
  const requestId = `r${turns}`;
  const turnId = `turn${process.pid}n${turns}`;
  seen.push(turnId);
  const queue = [{ requestId, turnId, content, position: 0, attempt: 1, steer: true }];
  await store.append({
    stream: conversationStream(ref.conversationId),
    key: `request:${requestId}`,
    events: [
      { type: 'chat.queued', turnId, requestId, payload: { position: 0 } },
      { type: 'queue.changed', payload: { queue } },
    ],
    request: {
      requestId,
      kind: 'send',
      status: 'queued',
      turnId,
      attempt: 1,
      position: 0,
      contentHash: content,
    },
  });
  return { ...ref, requestId, content };
}

export async function log(ref: AttemptRef): Promise<Event[]> {
  const { items } = await store.events(conversationStream(ref.conversationId), 0, 100_000);
  return items.map(({ json }) => JSON.parse(json) as Event);
}

export async function typesOf(ref: AttemptRef): Promise<string[]> {
  return (await log(ref)).filter((event) => event.turnId === ref.turnId).map(({ type }) => type);
}

export async function has(ref: AttemptRef, type: string): Promise<boolean> {
  return (await typesOf(ref)).includes(type);
}

export function words(count: number): string {
  return Array.from({ length: count }, (_, n) => `w${n} `).join('');
}

const processesUnder = ({ turnId }: AttemptRef): ReturnType<typeof markedProcesses> =>
  markedProcesses().filter(({ mark }) => mark === `${turnId}.1`);

export function under(ref: AttemptRef): number[] {
  return processesUnder(ref).map(({ pid }) => pid);
}

/** As a power cut does: its process and the wrapper at once. One that is killed shows no mark a moment before it is gone. */
export async function killAtOnce(ref: AttemptRef): Promise<void> {
  const found = processesUnder(ref);
  for (const each of found) signalProcess(each, 'SIGKILL');
  await eventually(() => !found.some(isSameProcess));
}

/** A file of the spool that the attempt's provider began with it. */
export function spoolFile({ turnId, attempt }: AttemptRef, name: string): string {
  return join(home, 'spools', attemptKey(turnId, attempt), name);
}

export function spoolText(ref: AttemptRef, name: string): string {
  return readFileSync(spoolFile(ref, name), 'utf8');
}

/** Once its provider has written more than it had: whoever adopts it now has something to record. */
export async function saysMore(ref: AttemptRef): Promise<void> {
  const before = spoolText(ref, 'out.jsonl').length;
  await eventually(() => spoolText(ref, 'out.jsonl').length > before);
}
