/**
 * The one way in: what the gateway may ask of a conversation's workflow. The gateway never writes the store.
 */
import type {
  CancelSignalValue,
  ConversationInputValue,
  ResolveApprovalSignalValue,
  RetrySignalValue,
  SendSignalValue,
} from '../contracts/signals.ts';

/** A signal of protocol.md section 7 with its one argument. */
export type ConversationSignal =
  | { name: 'send'; argument: SendSignalValue }
  | { name: 'cancel'; argument: CancelSignalValue }
  | { name: 'retry'; argument: RetrySignalValue }
  | { name: 'resolveApproval'; argument: ResolveApprovalSignalValue };

export type NewConversation = NonNullable<ConversationInputValue['create']>;

/**
 * Each call resolves when Temporal has made it durable (A3), with or without a worker.
 *
 * Throws: `temporal_unavailable`. Its detail `accepted` is false when nothing was accepted for certain, and
 * "unknown" when the server may have taken it without answering: then the same call may be repeated, since
 * everything behind it is idempotent.
 */
export interface ConversationCommands {
  /** Starts the conversation's workflow. One that runs already is left as it is. */
  create(command: { conversationId: string; create: NewConversation }): Promise<void>;
  /** Signals the workflow, and starts it first when Temporal does not know it. */
  signal(command: { conversationId: string; signal: ConversationSignal }): Promise<void>;
  /** Resolves when the server answers; rejects soon when it does not. */
  check(): Promise<void>;
}
