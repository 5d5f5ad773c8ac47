/**
 * The commands, carried to Temporal.
 *
 * Invariants:
 *  A3 a call resolves only after the server has answered that it took it.
 *  T1 "nothing was accepted" is said only when no attempt of the call can have reached the server; one lost
 *     answer makes the whole call's fate unknown, whatever the later attempts say.
 *  T2 a call ends within {@link CALL_PATIENCE_MS}, also when the server hangs.
 */
import { setTimeout as pause } from 'node:timers/promises';

import {
  ApplicationFailure,
  Connection,
  WorkflowClient,
  type ConnectionOptions,
} from '@temporalio/client';

import { HoldfastError, isErrorCode } from '../contracts/errors.ts';
import {
  conversationWorkflowOptions,
  SEARCH_ATTRIBUTE,
  SIGNAL,
  tableWorkflowOptions,
  TRIGGER_SIGNAL,
  triggerWorkflowOptions,
  WORKFLOW_TYPE,
} from '../contracts/names.ts';
import type { ConversationInputValue, TableInputValue } from '../contracts/signals.ts';
import type { TriggerInputValue } from '../contracts/triggers.ts';
import type { TemporalLook } from '../domain/why-facts.ts';
import type {
  ConversationSignal,
  NewConversation,
  NewTable,
  Spawning,
  TableSignal,
  TriggerSignal,
  WorkflowCommands,
} from './commands.ts';
import { inspectConversation } from './temporal-inspection.ts';

/** The longest a command may take. A healthy server answers a signal in 2 to 5 ms (design.md section 3). */
const CALL_PATIENCE_MS = 5_000;
/** How long a server that refuses connections is tried again: a restart of the embedded one takes about a second. */
const CONNECT_PATIENCE_MS = 2_000;
const CHECK_PATIENCE_MS = 2_000;
const RETRY_MS = 50;
const RETRY_MAX_MS = 500;

/** Outcome of a failed attempt, as far as the client can know it. */
type Fate =
  /** It never left this process, or the server said that it took nothing. Another attempt may succeed. */
  | 'not-accepted'
  /** It may have been taken; only the answer is missing. */
  | 'unknown'
  /** The server will not take it, today or later. */
  | 'refused';

export type CommandObserver = (call: {
  call: 'start' | 'signal';
  fate: 'accepted' | Fate;
  durationMs: number;
}) => void;

/**
 * A connection that is made at the first call, and made again soon after the server is back.
 * gRPC's own back-off grows to two minutes; here a command would fail all that time (W1).
 */
export function lazyTemporalConnection(options: ConnectionOptions): Connection {
  return Connection.lazy({
    ...options,
    // The SDK's own retries would hide whether an earlier attempt was lost after it had been sent (T1).
    interceptors: [],
    channelArgs: {
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.min_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 1_000,
      ...options.channelArgs,
    },
  });
}

/** Commands over a connection of {@link lazyTemporalConnection}. The connection stays the caller's to close. */
export function createTemporalCommands(options: TemporalCommandOptions): WorkflowCommands {
  return new TemporalCommands(options);
}

export type TemporalCommandOptions = {
  connection: Connection;
  namespace: string;
  observe: CommandObserver;
  callPatienceMs?: number;
  connectPatienceMs?: number;
};

class TemporalCommands implements WorkflowCommands {
  readonly #connection: Connection;
  readonly #client: WorkflowClient;
  readonly #namespace: string;
  readonly #observe: CommandObserver;
  readonly #callPatienceMs: number;
  readonly #connectPatienceMs: number;

  constructor({
    connection,
    namespace,
    observe,
    callPatienceMs = CALL_PATIENCE_MS,
    connectPatienceMs = CONNECT_PATIENCE_MS,
  }: TemporalCommandOptions) {
    this.#connection = connection;
    this.#namespace = namespace;
    this.#client = new WorkflowClient({ connection, namespace });
    this.#observe = observe;
    this.#callPatienceMs = callPatienceMs;
    this.#connectPatienceMs = connectPatienceMs;
  }

  async create({
    conversationId,
    create,
  }: {
    conversationId: string;
    create: NewConversation;
  }): Promise<void> {
    await this.#durably('start', () =>
      this.#client.start(WORKFLOW_TYPE.conversation, creationOptions({ conversationId, create })),
    );
  }

  async spawn(command: { conversationId: string; create: NewConversation }): Promise<Spawning> {
    const { workflowId, signaledRunId } = await this.#durably('signal', () =>
      this.#client.signalWithStart(WORKFLOW_TYPE.conversation, {
        ...creationOptions(command),
        signal: SIGNAL.mail,
        signalArgs: [{}],
      }),
    );
    return {
      refused: async (abort) => {
        // This very run: another request may have had better luck with the next one.
        const run = this.#client.getHandle(workflowId, signaledRunId, { followRuns: false });
        try {
          await this.#connection.withAbortSignal(abort, () => run.result());
          return null;
        } catch (error) {
          return refusalIn(error);
        }
      },
    };
  }

  async signal({
    conversationId,
    signal,
  }: {
    conversationId: string;
    signal: ConversationSignal;
  }): Promise<void> {
    const input: ConversationInputValue = { conversationId };
    await this.#durably('signal', () =>
      this.#client.signalWithStart(WORKFLOW_TYPE.conversation, {
        ...conversationWorkflowOptions(conversationId),
        args: [input],
        signal: signal.name,
        signalArgs: [signal.argument],
      }),
    );
  }

  async createTable({ tableId, create }: { tableId: string; create: NewTable }): Promise<void> {
    const input: TableInputValue = { tableId, create };
    await this.#durably('start', () =>
      this.#client.start(WORKFLOW_TYPE.table, {
        ...tableWorkflowOptions(tableId),
        args: [input],
        staticSummary: `table ${tableId}`,
        typedSearchAttributes: [
          { key: { name: SEARCH_ATTRIBUTE.table, type: 'KEYWORD' }, value: tableId },
        ],
      }),
    );
  }

  async signalTable({ tableId, signal }: { tableId: string; signal: TableSignal }): Promise<void> {
    const input: TableInputValue = { tableId };
    await this.#durably('signal', () =>
      this.#client.signalWithStart(WORKFLOW_TYPE.table, {
        ...tableWorkflowOptions(tableId),
        args: [input],
        signal: signal.name,
        signalArgs: [signal.argument],
      }),
    );
  }

  async signalTrigger({
    triggerId,
    signal,
  }: {
    triggerId: string;
    signal: TriggerSignal;
  }): Promise<void> {
    const input: TriggerInputValue = { triggerId };
    await this.#durably('signal', () =>
      this.#client.signalWithStart(WORKFLOW_TYPE.trigger, {
        ...triggerWorkflowOptions(triggerId),
        args: [input],
        signal: TRIGGER_SIGNAL[signal.name],
        signalArgs: [signal.argument],
      }),
    );
  }

  async check(): Promise<void> {
    await this.#connection.withDeadline(deadlineIn(CHECK_PATIENCE_MS), () =>
      this.#connection.workflowService.getSystemInfo({}),
    );
  }

  inspect(command: { conversationId: string; host: string | null }): Promise<TemporalLook> {
    const [connection, client, namespace] = [this.#connection, this.#client, this.#namespace];
    return inspectConversation({ connection, client, namespace, ...command });
  }

  /** Repeats `attempt` until the server has taken it or patience ends. */
  async #durably<T>(call: 'start' | 'signal', attempt: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const giveUpAt = startedAt + this.#callPatienceMs;
    let mayHaveArrived = false;
    for (let delayMs = RETRY_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)) {
      const attemptedAt = performance.now();
      const report = (fate: 'accepted' | Fate): void =>
        this.#observe({ call, fate, durationMs: performance.now() - attemptedAt });
      try {
        const taken = await this.#connection.withDeadline(
          deadlineIn(giveUpAt - attemptedAt),
          attempt,
        );
        report('accepted');
        return taken;
      } catch (error) {
        const fate = fateOf(error);
        report(fate);
        if (fate === 'refused') throw refused(error, mayHaveArrived);
        if (fate === 'unknown') mayHaveArrived = true;
        const patienceEndsAt = mayHaveArrived ? giveUpAt : startedAt + this.#connectPatienceMs;
        if (performance.now() + delayMs >= patienceEndsAt) throw unavailable(error, mayHaveArrived);
        await pause(delayMs);
      }
    }
  }
}

/** How the workflow of a conversation is started that is to be made by it. */
function creationOptions({
  conversationId,
  create,
}: {
  conversationId: string;
  create: NewConversation;
}) {
  const input: ConversationInputValue = { conversationId, create };
  const { provider, tableId } = create;
  return {
    ...conversationWorkflowOptions(conversationId),
    args: [input],
    staticSummary: `conversation ${conversationId} with ${provider}`,
    typedSearchAttributes: [
      { key: { name: SEARCH_ATTRIBUTE.state, type: 'KEYWORD' as const }, value: 'idle' },
      { key: { name: SEARCH_ATTRIBUTE.provider, type: 'KEYWORD' as const }, value: provider },
      ...(tableId === null
        ? []
        : [{ key: { name: SEARCH_ATTRIBUTE.table, type: 'KEYWORD' as const }, value: tableId }]),
    ],
  };
}

/** The refusal for which a run has failed; null: it was none, or the run has not ended. */
function refusalIn(error: unknown): HoldfastError | null {
  for (let at = error, depth = 0; depth < 4; depth += 1) {
    if (!(at instanceof Error)) return null;
    if (at instanceof ApplicationFailure) {
      const { type, message, details } = at;
      if (!isErrorCode(type)) return null;
      const [detail] = details ?? [];
      const known = typeof detail === 'object' && detail !== null ? detail : {};
      return new HoldfastError(type, message, { ...known });
    }
    at = at.cause;
  }
  return null;
}

/** gRPC takes a moment of the wall clock; everything else here is measured on one that nobody sets. */
function deadlineIn(ms: number): number {
  return Date.now() + ms;
}

function unavailable(cause: unknown, mayHaveArrived: boolean): HoldfastError {
  const error = mayHaveArrived
    ? new HoldfastError(
        'temporal_unavailable',
        'The Temporal server did not answer; whether this was accepted is not known. Repeat it with the same id: it is done once.',
        { accepted: 'unknown' },
      )
    : new HoldfastError('temporal_unavailable', undefined, { accepted: false });
  error.cause = cause;
  return error;
}

/** Something an operator has to put right; to the client it is the same as a server that is not there. */
function refused(cause: unknown, mayHaveArrived: boolean): Error {
  if (isAccessProblem(cause)) return unavailable(cause, mayHaveArrived);
  return new Error('Temporal refused a command', { cause });
}

/** The gRPC status behind an error of the SDK, which wraps it. */
function grpcStatus(error: unknown): { code: number; details: string } | null {
  for (let at = error, depth = 0; depth < 4; depth += 1) {
    if (typeof at !== 'object' || at === null) return null;
    if ('code' in at && typeof at.code === 'number' && 'details' in at)
      return { code: at.code, details: typeof at.details === 'string' ? at.details : '' };
    at = 'cause' in at ? at.cause : null;
  }
  return null;
}

/** The numbers of gRPC's status codes that are told apart here. */
const GRPC = {
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

function isAccessProblem(error: unknown): boolean {
  const status = grpcStatus(error);
  // The SDK turns NOT_FOUND into errors of its own, without the status.
  if (status === null) return error instanceof Error && error.name.endsWith('NotFoundError');
  const codes: number[] = [GRPC.NOT_FOUND, GRPC.PERMISSION_DENIED, GRPC.UNAUTHENTICATED];
  return codes.includes(status.code);
}

/** What is known of a failed attempt. Anything not recognised is `unknown`: that never lies. */
export function fateOf(error: unknown): Fate {
  const status = grpcStatus(error);
  if (status === null) return isAccessProblem(error) ? 'refused' : 'unknown';
  switch (status.code) {
    case GRPC.RESOURCE_EXHAUSTED:
      return 'not-accepted';
    case GRPC.UNAVAILABLE:
      return /^(No connection established|Name resolution failed)/.test(status.details)
        ? 'not-accepted'
        : 'unknown';
    case GRPC.DEADLINE_EXCEEDED:
      // grpc-js names the peer once the call has been given to a connection, and what it waited for before.
      return /waiting for (LB pick|name resolution)/i.test(status.details) &&
        !status.details.includes('remote_addr=')
        ? 'not-accepted'
        : 'unknown';
    case GRPC.INVALID_ARGUMENT:
    case GRPC.NOT_FOUND:
    case GRPC.ALREADY_EXISTS:
    case GRPC.PERMISSION_DENIED:
    case GRPC.FAILED_PRECONDITION:
    case GRPC.OUT_OF_RANGE:
    case GRPC.UNIMPLEMENTED:
    case GRPC.UNAUTHENTICATED:
      return 'refused';
    default:
      return 'unknown';
  }
}
