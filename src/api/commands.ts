/**
 * The one way in: what the gateway may ask of the workflows of conversations, tables and triggers. The gateway never writes the
 * store.
 */
import type { MailSignalValue } from '../contracts/agents.ts';
import type { HoldfastError } from '../contracts/errors.ts';
import type {
  ActivateSignalValue,
  CancelSignalValue,
  ConversationInputValue,
  HoldQueueSignalValue,
  NewConversationSignalValue,
  RemoveQueuedSignalValue,
  ResolveApprovalSignalValue,
  RetrySignalValue,
  RollbackSignalValue,
  SendSignalValue,
  TableInputValue,
  UpdateConversationSignalValue,
  UpdateQueuedSignalValue,
  UpdateTableSignalValue,
} from '../contracts/signals.ts';
import type {
  BackfillSignalValue,
  ChangeTriggerSignalValue,
  CreateTriggerSignalValue,
  FireTriggerSignalValue,
  RemoveTriggerSignalValue,
} from '../contracts/triggers.ts';
import type { TemporalLook } from '../domain/why-facts.ts';

/** A signal of protocol.md section 7 with its one argument. */
export type ConversationSignal =
  | { name: 'send'; argument: SendSignalValue }
  | { name: 'cancel'; argument: CancelSignalValue }
  | { name: 'retry'; argument: RetrySignalValue }
  | { name: 'resolveApproval'; argument: ResolveApprovalSignalValue }
  | { name: 'updateQueued'; argument: UpdateQueuedSignalValue }
  | { name: 'removeQueued'; argument: RemoveQueuedSignalValue }
  | { name: 'holdQueue'; argument: HoldQueueSignalValue }
  | { name: 'rollback'; argument: RollbackSignalValue }
  | { name: 'updateConversation'; argument: UpdateConversationSignalValue }
  | { name: 'mail'; argument: MailSignalValue };

/** As {@link ConversationSignal}, of a table. */
export type TableSignal =
  | { name: 'newConversation'; argument: NewConversationSignalValue }
  | { name: 'activate'; argument: ActivateSignalValue }
  | { name: 'updateTable'; argument: UpdateTableSignalValue };

/** As {@link ConversationSignal}, of a trigger. */
export type TriggerSignal =
  | { name: 'create'; argument: CreateTriggerSignalValue }
  | { name: 'change'; argument: ChangeTriggerSignalValue }
  | { name: 'remove'; argument: RemoveTriggerSignalValue }
  | { name: 'fire'; argument: FireTriggerSignalValue }
  | { name: 'backfill'; argument: BackfillSignalValue };

export type NewConversation = NonNullable<ConversationInputValue['create']>;
export type NewTable = NonNullable<TableInputValue['create']>;

/** A Workflow that was asked to make an agent. */
export type Spawning = {
  /**
   * Resolves with the store's refusal, after which nothing was made; null when `abort` came first or nobody can say. Never
   * rejects. While the agent is being made, and ever after, it does not resolve by itself.
   */
  refused(abort: AbortSignal): Promise<HoldfastError | null>;
};

/**
 * Each call resolves when Temporal has made it durable (A3), with or without a worker.
 *
 * Throws: `temporal_unavailable`. Its detail `accepted` is false when nothing was accepted for certain, and
 * "unknown" when the server may have taken it without answering: then the same call may be repeated, since
 * everything behind it is idempotent.
 */
export interface WorkflowCommands {
  /** Starts the conversation's workflow. One that runs already is left as it is. */
  create(command: { conversationId: string; create: NewConversation }): Promise<void>;
  /** Signals the conversation's workflow, and starts it first when Temporal does not know it. */
  signal(command: { conversationId: string; signal: ConversationSignal }): Promise<void>;
  /**
   * Starts the workflow of an agent (`create.agent`), which makes it, and has it look into its mailbox. One that runs already
   * is told to look.
   */
  spawn(command: { conversationId: string; create: NewConversation }): Promise<Spawning>;
  /** Starts the table's workflow. One that runs already is left as it is. */
  createTable(command: { tableId: string; create: NewTable }): Promise<void>;
  /** Signals the table's workflow, and starts it first when Temporal does not know it. */
  signalTable(command: { tableId: string; signal: TableSignal }): Promise<void>;
  /** Signals the Workflow that carries out the trigger's commands, and starts it first when none does just now. */
  signalTrigger(command: { triggerId: string; signal: TriggerSignal }): Promise<void>;
  /** Resolves when the server answers; rejects soon when it does not. */
  check(): Promise<void>;
  /**
   * What Temporal says of the conversation's Workflow, its worker and `host`'s queue. Changes nothing. Rejects soon when the
   * server does not answer; that no worker does is an answer.
   */
  inspect(command: { conversationId: string; host: string | null }): Promise<TemporalLook>;
}
