/** Limits and default clocks. A limit says where its number comes from. No TypeBox here. */

/** Largest HTTP body. Source: protocol.md section 1 (`HOLDFAST_BODY_LIMIT_BYTES`). */
export const BODY_LIMIT_BYTES = 16 * 1024 * 1024;
/** Largest WebSocket frame a client may send. Source: protocol.md section 1 (`HOLDFAST_FRAME_LIMIT_BYTES`). */
export const FRAME_LIMIT_BYTES = 16 * 1024 * 1024;
/** Largest prompt, in UTF-8 bytes. A Temporal payload ends at 2 MiB and a history at 50 MiB; half a MiB leaves a hundred such sends a run. */
export const PROMPT_LIMIT_BYTES = 512 * 1024;
/** The same as JSON text, in which a control character takes six bytes: a Temporal payload ends at 2 MiB. */
export const PROMPT_LIMIT_JSON_BYTES = 1024 * 1024;
/** Largest title, in characters. */
export const TITLE_LIMIT_CHARS = 200;
/** Deepest nesting of a JSON body: none of our shapes needs more than 5. */
export const JSON_DEPTH_LIMIT = 32;
/** Most sends that may wait in one conversation (W2). */
export const QUEUE_LIMIT = 64;
/** Conversations in one table's snapshot. */
export const TABLE_PAGE = 100;
/** Longest last line that a list shows, in characters. */
export const LAST_LINE_CHARS = 200;
/** Longest title that is made from a first message, in characters. */
export const MADE_TITLE_CHARS = 80;
/** How much of a message can be found by search: a text is taken apart in the transaction that closes it. */
export const SEARCH_TEXT_CHARS = 256 * 1024;
/** Longest search query, in characters. */
export const SEARCH_QUERY_CHARS = 512;
/** How long the pieces (deltas) of turns that have ended are kept, beside those of the last one. */
export const REPLAY_WINDOW_MS = 3_600_000;
/** Most of a conversation's history that is given as text to a provider's new session. */
export const HISTORY_TEXT_BYTES = 128 * 1024;
/** Most bytes of prompts that may wait in one conversation: `queue.changed` carries them all. */
export const QUEUE_LIMIT_BYTES = 1024 * 1024;
/** Requests the workflow remembers by itself; older ones are answered by the store. Carried over Continue-As-New. */
export const RECENT_REQUESTS = 256;
/** Messages in one snapshot or page. */
export const MESSAGE_PAGE = 200;
/** Most items of any list. Source: protocol.md section 2. */
export const LIST_LIMIT = 200;
/** Longest provider line that is parsed; a longer one becomes a `notice`. Claude lines of over 1 MB are real. Source: provider-facts.md section 4. */
export const PROVIDER_LINE_LIMIT_BYTES = 32 * 1024 * 1024;
/** Protocol cancel → TERM. Source: design.md section 5. */
export const CANCEL_GRACE_MS = 2_000;
/** TERM → KILL. Source: design.md section 5. */
export const TERM_GRACE_MS = 3_000;
/** A warm session with no turn is ended after this. */
export const SESSION_IDLE_MS = 300_000;
/** Provider processes a turn host keeps; an idle one makes room. 0.2-0.7 GB each. Source: provider-facts.md section 1. */
export const SESSION_LIMIT = 24;
/** A session whose spool has grown past this gets no further turn: rebuilding a driver reads the spool from byte 0. */
export const SESSION_SPOOL_LIMIT_BYTES = 64 * 1024 * 1024;
/** How long the gateway waits for a receipt before it answers 202, which is true: the Signal is durable. */
export const RECEIPT_WAIT_MS = 5_000;
/** Server ping; two misses close the socket. Source: protocol.md section 3. */
export const PING_INTERVAL_MS = 15_000;
/** Unsent bytes of one socket above which only its cursor is kept and the rest is read from the log later. */
export const SOCKET_HIGH_WATER_BYTES = 1024 * 1024;
/** Unsent bytes of one socket above which it is closed with 4008. */
export const SOCKET_HARD_CAP_BYTES = 64 * 1024 * 1024;
/** Host heartbeat period. Source: design.md section 6. */
export const HEARTBEAT_MS = 1_000;
/** Temporal gives a turn's activity to the next process after this much silence of the host. */
export const HEARTBEAT_TIMEOUT_MS = 3_000;
/** Longest turn, by the turn host's own clock. */
export const TURN_LIMIT_MS = 24 * 3_600_000;
/** Longest activity of a turn, by Temporal's clock: so long that a wall clock set wrong by days ends no turn. */
export const TURN_ACTIVITY_LIMIT_MS = 30 * 24 * 3_600_000;
/**
 * A conversation continues as new, when idle, past this many history events (some 16 turns). Temporal suggests it at 4,096; but after the death
 * of a worker every conversation in use is replayed at once on one thread, at about a millisecond an event, and a Workflow
 * Task that takes longer than its timeout (10 s) is given out again: with long histories that never ends. Found by torture:
 * with 600, thirty cold conversations that go on at one moment needed two minutes.
 */
export const HISTORY_EVENTS_LIMIT = 250;
/** The same for runs that a worker began before that: what it had decided must replay. */
export const HISTORY_EVENTS_LIMIT_BEFORE = 600;
/** Past so many events it does so in mid-turn too: what comes to a busy conversation (mail, edits of its queue) is not bounded by turns. */
export const HISTORY_EVENTS_LIMIT_IN_TURN = 1_000;
/** Past this a conversation continues as new in mid-turn too: a history ends at 50 MiB, and one Signal may bring a MiB. */
export const HISTORY_LIMIT_BYTES = 8 * 1024 * 1024;
/** The same for a fire that no other one of its trigger has followed. */
export const TRIGGER_LATEST_MS = 600_000;
/** Shortest interval of a trigger; Temporal's Schedules know whole seconds. */
export const TRIGGER_INTERVAL_MS = 1_000;
/** An interval is a multiple of this: Temporal is then told at most ten intervals for it. */
export const TRIGGER_INTERVAL_STEP_MS = 100;
/** Decided so soon after its due time, a fire is in time. Source: protocol.md section 5. */
export const TRIGGER_GRACE_MS = 10_000;
/** Later than the grace but not than this, with the engine there all the while, a fire is `late`; after that it was missed. */
export const TRIGGER_LATE_MS = 60_000;
/** How many a `run-all` without a limit runs. */
export const RUN_ALL_DEFAULT = 10;
/** The most that a `run-all` may ask for, and a backfill; and that a `window` runs. */
export const RUN_ALL_LIMIT = 1_000;
/** Due times of a backfill that does not say. */
export const BACKFILL_DEFAULT = 100;
/** Due times are counted up to this, to say how many were refused. */
export const COUNT_LIMIT = 100_000_000;
/** Of a `window` that does not say. */
export const MISSED_WINDOW_MS = 3_600_000;
/** The longest `window`: a year, so that what is due once a year can have one. */
export const MISSED_WINDOW_LIMIT_MS = 366 * 86_400_000;
/** Longest jitter. */
export const JITTER_LIMIT_MS = 3_600_000;
/** Triggers that are not removed. */
export const TRIGGER_LIMIT = 10_000;
/** Decisions in one event: some 150 KB. */
export const DECISIONS_AT_ONCE = 500;
/** Temporal's Schedule makes up for what it missed of the last so much; each is only a look, and what is older is found by any look. */
export const CATCHUP_WINDOW_MS = 600_000;
/** Deepest agent: the root's children have depth 1. */
export const AGENT_DEPTH_LIMIT = 8;
/** Children of one agent. */
export const AGENT_BREADTH_LIMIT = 256;
/** Agents of one team, without its root. */
export const AGENT_LIMIT = 1_024;
/** Of the answer that a child's end tells its parent: its end. The whole is in the child's transcript. */
export const MAIL_END_BYTES = 64 * 1024;
/** Mail that is not taken into the receiver's queue for so long has expired, unless its sender said otherwise. */
export const MAIL_EXPIRY_MS = 24 * 3_600_000;
/** The longest that a sender may say. */
export const MAIL_EXPIRY_LIMIT_MS = 30 * 24 * 3_600_000;
/** Rows of mail that may wait in one conversation's queue; the rest of its queue is for people. */
export const MAIL_QUEUE_LIMIT = QUEUE_LIMIT / 2;
/** Most bytes of them, and of mail that one turn is given. */
export const MAIL_QUEUE_LIMIT_BYTES = PROMPT_LIMIT_BYTES - 64 * 1024;
/** So long a root's mailbox waits for what a boot's host has to tell of it; then any host may, and its rows are taken. */
export const RECOVERY_OWED_MS = 300_000;
/** Rows of a mailbox that nobody has taken; more is refused. Ends of its own children come on top: they are bounded by themselves. */
export const MAILBOX_LIMIT = 1_024;
/** Mail that was accepted so long ago and not taken: its receiver is told again to look. */
export const MAIL_UNTAKEN_MS = 2_000;
