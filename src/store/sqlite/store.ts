/**
 * The SQLite engine of the store: one file, one connection in each process, any number of processes.
 * What it promises is in ../port.ts.
 */
import { HoldfastError } from '../../contracts/errors.ts';
import type { NewEvent } from '../../contracts/events.ts';
import type { Store } from '../port.ts';
import type { StoreLog } from '../store-log.ts';
import { CommitAnnouncer } from './commit-signal.ts';
import { Commits } from './commits.ts';
import { compactStep } from './compact.ts';
import { openConnection, type Connection } from './connection.ts';
import { storageError } from './database-errors.ts';
import { GiveWay } from './give-way.ts';
import * as ledger from './ledger.ts';
import * as lists from './lists.ts';
import * as mail from './mail.ts';
import * as reads from './read.ts';
import * as tables from './tables.ts';
import * as team from './team.ts';
import { Transcriber } from './transcribe.ts';
import * as triggers from './triggers.ts';
import * as turns from './turns.ts';
import { BUSY_DEADLINE_MS, whenFree } from './when-free.ts';
import { Writer } from './writer.ts';

export type OpenSqliteStoreRequest = {
  /** Absolute. Made, with its folder, when it is not there; `-wal`, `-shm`, `-commits` and `-waiting` lie beside it. */
  path: string;
  /** A store that cannot append; it still creates and migrates the database. */
  readOnly?: boolean;
  /** Milliseconds since 1970; the machine's clock unless given. */
  clock?: () => number;
  log?: StoreLog;
  /** The database may not grow beyond this: the next append then throws `storage_full`. */
  sizeLimitBytes?: number;
  /** How long an operation waits for the writes of other processes before it throws `internal`. */
  busyDeadlineMs?: number;
};

/** Throws: `internal` for a database that is newer than this code or not Holdfast's; `storage_full`. */
export async function openSqliteStore({
  path,
  readOnly = false,
  clock = Date.now,
  log = () => {},
  sizeLimitBytes,
  busyDeadlineMs: deadlineMs = BUSY_DEADLINE_MS,
}: OpenSqliteStoreRequest): Promise<Store> {
  const connection = await openConnection({
    path,
    readOnly,
    deadlineMs,
    ...(sizeLimitBytes === undefined ? {} : { sizeLimitBytes }),
  });
  const commits = new Commits({ connection, path: commitsPath(path), log });
  const writing = readOnly ? null : openWriting({ connection, commits, clock, deadlineMs });
  return createStore({ connection, commits, writing, clock, deadlineMs });
}

type Writing = { transcriber: Transcriber; writer: Writer; close(): void };

/** For the writer's groups: writes whose size is not known before; they go nearly alone. */
const COPY_EVENTS = 1_000;
const COMPACT_EVENTS = 1_000;

/** A row of a ledger has many indexes. Measured: 34 to 47 µs, an event of a flood 6 µs. */
const ROW_EVENTS = 6;

/** As how many events it counts for the writer's groups. */
function weightOf(events: readonly NewEvent[]): number {
  let rows = 0;
  for (const { type, payload } of events)
    if (type === 'trigger.decided') rows += payload.fires.length;
  return events.length + rows * ROW_EVENTS;
}

function commitsPath(path: string): string {
  return `${path}-commits`;
}

function openWriting({
  connection,
  commits,
  clock,
  deadlineMs,
}: {
  connection: Connection;
  commits: Commits;
  clock: () => number;
  deadlineMs: number;
}): Writing {
  const announcer = new CommitAnnouncer(commitsPath(connection.path));
  const giveWay = new GiveWay({ path: `${connection.path}-waiting` });
  const writer = new Writer({
    connection,
    giveWay,
    deadlineMs,
    onCommit: () => {
      announcer.announce();
      commits.wake();
    },
  });
  return {
    transcriber: new Transcriber({ connection, clock }),
    writer,
    close: () => {
      announcer.close();
      giveWay.close();
    },
  };
}

function createStore({
  connection,
  commits,
  writing,
  clock,
  deadlineMs,
}: {
  connection: Connection;
  commits: Commits;
  writing: Writing | null;
  clock: () => number;
  deadlineMs: number;
}): Store {
  let closing: Promise<void> | null = null;

  /** Runs a write in a shared transaction. */
  const write = async <T>(run: (transcriber: Transcriber) => T, eventCount: number): Promise<T> => {
    if (writing === null)
      throw new HoldfastError('internal', 'This store was opened to read only.');
    const { transcriber, writer } = writing;
    return writer.write({ run: () => run(transcriber), events: eventCount });
  };
  const compact: Store['compact'] = async ({ endedBefore, limit }) => {
    let rows = 0;
    for (let more = true; more && rows < limit;) {
      const left = limit - rows;
      // As many rows as it takes: it shares its transaction with little else.
      const step = await write(
        () => compactStep(connection, { endedBefore, limit: left }),
        Math.min(left, COMPACT_EVENTS),
      );
      rows += step.rows;
      more = step.more;
    }
    return rows;
  };
  /** Runs a read now, or as soon as the database can be read. */
  const ask = async <T>(action: () => T): Promise<T> => {
    const read = (): T => {
      if (closing !== null) throw new HoldfastError('shutting_down');
      return action();
    };
    try {
      return await whenFree({ action: read, what: 'reading', deadlineMs });
    } catch (error) {
      throw storageError(error, connection.path);
    }
  };
  const close = async (): Promise<void> => {
    await writing?.writer.close();
    commits.close();
    writing?.close();
    connection.close();
  };

  return {
    append: (request) => write((to) => to.append(request), weightOf(request.events)),
    claim: (request) => write((to) => to.claim(request), 1),
    saveProviderSession: (fence, conversationId, sessionId, generation) =>
      write((to) => to.saveProviderSession(fence, conversationId, sessionId, generation), 1),

    fork: (request) => write((to) => to.fork(request), COPY_EVENTS),
    importConversation: (request) =>
      write((to) => to.importConversation(request), request.events.length),
    compact,
    forgetDelivery: (id, decidedBefore) => write((to) => to.forgetDelivery(id, decidedBefore), 1),
    markDelivered: (id, requestIds) => write((to) => to.markDelivered(id, requestIds), 1),

    conversation: (id) => ask(() => reads.conversation(connection, id)),
    workflowState: (id) => ask(() => reads.workflowState(connection, id)),
    unsettled: (after, limit) => ask(() => reads.unsettled(connection, after, limit)),
    snapshot: (id, limit) => ask(() => reads.snapshot(connection, id, limit)),
    messages: (id, before, limit) => ask(() => reads.messages(connection, id, before, limit)),
    message: (id, messageId) => ask(() => reads.message(connection, id, messageId)),
    history: (id, turnId, limitBytes) =>
      ask(() => reads.history(connection, id, turnId, limitBytes)),

    summary: (id) => ask(() => lists.summary(connection, id)),
    conversations: (request) => ask(() => lists.conversations(connection, request)),
    table: (id) => ask(() => tables.table(connection, id)),
    tables: (cursor, limit) => ask(() => tables.tables(connection, cursor, limit)),
    tableState: (id) => ask(() => tables.tableState(connection, id)),
    waitingTables: (after, limit) => ask(() => tables.waitingTables(connection, after, limit)),
    tableView: (id, limit) => ask(() => tables.tableView(connection, id, limit)),
    tableWithActive: (id, limit, messageLimit) =>
      ask(() => tables.tableWithActive(connection, id, limit, messageLimit)),

    turns: (id, cursor, limit) => ask(() => turns.turns(connection, id, cursor, limit)),
    turn: (id, turnId) => ask(() => turns.oneTurn(connection, id, turnId)),
    attempt: (turnId, attempt) => ask(() => turns.oneAttempt(connection, turnId, attempt)),
    latestAttempt: (turnId) => ask(() => turns.latestAttempt(connection, turnId)),
    unclaimedAttempt: (id, host) => ask(() => turns.unclaimedAttempt(connection, id, host)),
    runningAttempts: (host) => ask(() => turns.runningAttempts(connection, host)),
    request: (id, requestId) => ask(() => turns.request(connection, id, requestId)),
    answerText: (turnId, attempt) => ask(() => turns.answerText(connection, turnId, attempt)),
    approval: (id, approvalId) => ask(() => turns.approval(connection, id, approvalId)),

    trigger: (id) => ask(() => triggers.trigger(connection, id)),
    triggers: (request) => ask(() => triggers.triggers(connection, request)),
    triggerCount: () => ask(() => triggers.triggerCount(connection)),
    overdueTriggers: (request) => ask(() => triggers.overdueTriggers(connection, request)),
    ledger: (request) => ask(() => ledger.ledger(connection, request)),
    ledgerSummary: (id) => ask(() => ledger.ledgerSummary(connection, id)),
    ledgerRow: (id, requestId) => ask(() => ledger.ledgerRow(connection, id, requestId)),
    ranBetween: (id, from, to) => ask(() => ledger.ranBetween(connection, id, from, to)),
    undelivered: (id, limit) => ask(() => ledger.undelivered(connection, id, limit)),

    agent: (id) => ask(() => team.agent(connection, id)),
    memberByAgentId: (rootId, agentId) =>
      ask(() => team.memberByAgentId(connection, rootId, agentId)),
    children: (id) => ask(() => team.children(connection, id)),
    team: (rootId) => ask(() => team.team(connection, rootId)),
    owedRecoveries: (host) => ask(() => team.owedRecoveries(connection, host, clock)),
    mail: (request) => ask(() => mail.mail(connection, request)),
    mailRow: (row) => ask(() => mail.mailRow(connection, row)),
    takeableMail: (request) => ask(() => mail.takeableMail(connection, request, clock)),
    mailTexts: (id, requestIds) => ask(() => mail.mailTexts(connection, id, requestIds)),
    untakenMail: (id, limit) => ask(() => mail.untakenMail(connection, id, limit)),
    withUntakenMail: (request) => ask(() => mail.withUntakenMail(connection, request, clock)),

    events: (stream, after, limit) =>
      ask(() => reads.eventsAfter(connection, stream, after, limit)),
    lastSeq: (stream) => ask(() => reads.newestSeq(connection, stream)),
    replayFloor: (stream) => ask(() => reads.replayFloor(connection, stream)),

    watch: (listener) => commits.watch(listener),
    close: () => (closing ??= close()),
  };
}
