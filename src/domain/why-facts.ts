/** What `why` is decided upon. Source: docs/why.md. */
import type { Event, PhaseName } from '../contracts/events.ts';
import type { WhyStateName, WhyValue } from '../contracts/http.ts';
import type { ConversationViewValue, TurnViewValue } from '../contracts/view.ts';

/** Of something that was asked, within a bounded time. `says`: why there is no answer. */
export type Asked<T> = { answered: true; value: T } | { answered: false; says: string };

/** A process of this home, as its supervisor wrote it down, and only while it lives. */
export type EngineProcess = {
  role: 'supervisor' | 'temporal' | 'worker' | 'turn-host' | 'gateway';
  pid: number;
  startedAt: string;
  restarts: number;
  /** Since its last pulse; null: it has none. */
  stillForMs: number | null;
};

/** What Temporal says of a conversation, and of who serves it. */
export type TemporalLook = {
  workflow:
    | { is: 'unknown' }
    | { is: 'closed'; status: string }
    | {
        is: 'running';
        /** A Workflow Task that is to be done. `attempt` above 1: it has failed, or its worker went away. */
        task: { since: string; attempt: number; isTaken: boolean } | null;
        /** The Activity of the running turn. */
        turn: {
          since: string;
          attempt: number;
          isTaken: boolean;
          heartbeatAt: string | null;
          failure: string | null;
        } | null;
      };
  /** `silent`: no worker has answered the Query in time. `failing`: its tasks fail. */
  worker:
    | { is: 'not-asked' }
    | { is: 'answers'; inWords: string }
    | { is: 'silent'; says: string }
    | { is: 'failing'; says: string };
  /** When somebody last asked for work of that queue, as far as Temporal remembers; null: nobody, or it did not say. */
  polledAt: { workflows: string | null; turns: string | null };
};

export type WhyFacts = {
  now: string;
  view: ConversationViewValue;
  /** The newest events, without pieces of text; oldest first. */
  recent: readonly Event[];
  /** Whether somebody has begun the running attempt; null: none runs, or it could not be asked. */
  isBegun: boolean | null;
  /** The newest turn; null: there is none. */
  lastTurn: TurnViewValue | null;
  table: Asked<{
    activeConversationId: string | null;
    /** In another conversation of the table. */
    running: {
      conversationId: string;
      title: string;
      turnId: string;
      phase: PhaseName | null;
      startedAt: string | null;
    } | null;
    /** Others that have waited longer, and would come first. */
    before: readonly { conversationId: string; since: string }[];
  }> | null;
  mail: Asked<{
    /** Not taken, and to be taken now. */
    takeable: boolean;
    /** Not taken; when none is takeable they wait for a turn that ends well. */
    untaken: number;
    /** It is a root, and what a start has interrupted in its team is still to be told. */
    isOwedRecovery: boolean;
  }>;
  nextTrigger: { triggerId: string; dueAt: string } | null;
  room: { level: 'ample' | 'low' | 'exhausted'; freeBytes: number; reserveBytes: number };
  /** Null: the gateway is not supervised, or its supervisor has left no word. */
  processes: readonly EngineProcess[] | null;
  temporal: Asked<TemporalLook>;
  /** Temporal's server is a process of this home. */
  embeddedTemporal: boolean;
  /** Address of the Web UI, and the namespace. */
  temporalUi: string | null;
  namespace: string;
};

/** What would happen next, by the store. `needs`: without which it does not; the first that is missing is the answer. */
export type NextStep = {
  state: WhyStateName;
  says: string;
  since: string | null;
  fix: WhyValue['fix'];
  needs: readonly ObstacleName[];
  evidence?: WhyValue['evidence'];
};

/** What may stand in the way of a conversation, from outside. */
export type ObstacleName = 'temporal' | 'worker' | 'workflow' | 'turn-host' | 'disk' | 'supervisor';

export type Obstacle = {
  name: ObstacleName;
  state: WhyStateName;
  says: string;
  since: string | null;
  fix: WhyValue['fix'];
  evidence: WhyValue['evidence'];
};
