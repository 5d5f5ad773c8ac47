/** WebSocket frames. Source: protocol.md section 3. */
import { Type, type Static } from 'typebox';

import { Decision, Id } from './events.ts';
import { HoldQueueBody, UpdateQueuedBody } from './http.ts';
import { WhenBusy } from './signals.ts';

const closed = { additionalProperties: false };
const Cursor = Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()]));

/** type → schema of a client's frame. */
export const CLIENT_FRAMES = {
  hello: Type.Object(
    {
      type: Type.Literal('hello'),
      requestId: Type.Optional(Id),
      payload: Type.Optional(
        Type.Object(
          {
            lastSeq: Cursor,
            conversationId: Type.Optional(Id),
            tableId: Type.Optional(Id),
            client: Type.Optional(Type.String({ maxLength: 256 })),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
  'chat.subscribe': Type.Object(
    {
      type: Type.Literal('chat.subscribe'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({ lastSeq: Cursor }, closed)),
    },
    closed,
  ),
  'chat.unsubscribe': Type.Object(
    {
      type: Type.Literal('chat.unsubscribe'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
  'chat.send': Type.Object(
    {
      type: Type.Literal('chat.send'),
      conversationId: Id,
      requestId: Id,
      payload: Type.Object(
        {
          content: Type.String({ minLength: 1 }),
          whenBusy: Type.Optional(WhenBusy),
          replaces: Type.Optional(Id),
        },
        closed,
      ),
    },
    closed,
  ),
  'chat.cancel': Type.Object(
    {
      type: Type.Literal('chat.cancel'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      turnId: Type.Optional(Id),
      payload: Type.Optional(
        Type.Object(
          {
            turnId: Type.Optional(Id),
            holdQueue: Type.Optional(Type.Boolean()),
            cascade: Type.Optional(Type.Boolean()),
          },
          closed,
        ),
      ),
    },
    closed,
  ),
  /** A hint: have the provider's process ready. Nothing is promised. */
  'chat.warm': Type.Object(
    {
      type: Type.Literal('chat.warm'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
  /** `requestId` is the queued message's. */
  'queue.update': Type.Object(
    {
      type: Type.Literal('queue.update'),
      conversationId: Id,
      requestId: Id,
      payload: UpdateQueuedBody,
    },
    closed,
  ),
  'queue.remove': Type.Object(
    {
      type: Type.Literal('queue.remove'),
      conversationId: Id,
      requestId: Id,
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
  'queue.hold': Type.Object(
    {
      type: Type.Literal('queue.hold'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: HoldQueueBody,
    },
    closed,
  ),
  /** `active`: the table's active conversation too, each time another becomes it. */
  'table.subscribe': Type.Object(
    {
      type: Type.Literal('table.subscribe'),
      tableId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(
        Type.Object({ lastSeq: Cursor, active: Type.Optional(Type.Boolean()) }, closed),
      ),
    },
    closed,
  ),
  'table.unsubscribe': Type.Object(
    {
      type: Type.Literal('table.unsubscribe'),
      tableId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
  /** The team of that conversation, whichever member it is. What comes of it carries the team's `rootId`. */
  'agents.subscribe': Type.Object(
    {
      type: Type.Literal('agents.subscribe'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({ lastSeq: Cursor }, closed)),
    },
    closed,
  ),
  'agents.unsubscribe': Type.Object(
    {
      type: Type.Literal('agents.unsubscribe'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
  'chat.retry': Type.Object(
    {
      type: Type.Literal('chat.retry'),
      conversationId: Id,
      requestId: Id,
      turnId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({ turnId: Type.Optional(Id) }, closed)),
    },
    closed,
  ),
  'approval.resolve': Type.Object(
    {
      type: Type.Literal('approval.resolve'),
      conversationId: Id,
      requestId: Type.Optional(Id),
      payload: Type.Object(
        {
          approvalId: Id,
          decision: Decision,
          always: Type.Optional(Type.Boolean()),
          message: Type.Optional(Type.String({ maxLength: 4_000 })),
        },
        closed,
      ),
    },
    closed,
  ),
  ping: Type.Object(
    {
      type: Type.Literal('ping'),
      requestId: Type.Optional(Id),
      payload: Type.Optional(Type.Object({}, closed)),
    },
    closed,
  ),
} as const;

export type ClientFrameType = keyof typeof CLIENT_FRAMES;
export type ClientFrame = {
  [T in ClientFrameType]: Static<(typeof CLIENT_FRAMES)[T]>;
}[ClientFrameType];

/** Frames of the server that are not events of a log (those carry `seq`). */
export const SERVER_FRAMES = {
  hello: Type.Object({
    protocol: Type.Literal('holdfast.v1'),
    serverTime: Type.String(),
    limits: Type.Record(Type.String(), Type.Number()),
  }),
  snapshot: Type.Unknown({
    description:
      'ConversationView; TableView in a frame with a tableId; TeamView in one with a rootId',
  }),
  reset: Type.Object({ reason: Type.String() }),
  'caught-up': Type.Object({ seq: Type.Integer({ minimum: 0 }) }),
  'chat.accepted': Type.Object({}),
  ok: Type.Object({}),
  error: Type.Object({ code: Type.String(), message: Type.String() }),
  pong: Type.Object({ serverTime: Type.String() }),
  goodbye: Type.Object({ reason: Type.String() }),
} as const;

export type ServerFrameType = keyof typeof SERVER_FRAMES;
/** One frame of the server that is no event. */
export type ServerFrame = {
  type: ServerFrameType;
  conversationId?: string;
  tableId?: string;
  rootId?: string;
  requestId?: string;
  turnId?: string;
  payload?: unknown;
};
