/**
 * The schema, as versioned migrations. A migration that was released is never edited; a new one is added.
 *
 * Free text goes through exact-text.ts on its way in and out; columns that hold JSON do not need it.
 */
import { fillLists } from './fill-lists.ts';
import type { Migration } from './migrate.ts';

/** `MIGRATIONS[n]` leads from version n to n + 1. */
export const MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE streams (
    stream INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    replay_floor INTEGER NOT NULL DEFAULT 0 -- a gapless replay is possible after this seq
  ) STRICT;

  -- event: 1, 2, 3 ... over all streams; writers are serialised, so it is the order of commits.
  -- A stream's newest seq is the largest here: a counter beside it would be one more page in every commit. So whatever
  -- deletes events must leave the newest of each stream.
  CREATE TABLE events (
    event INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL, -- of streams; not REFERENCES, which would look it up for every delta
    seq INTEGER NOT NULL,
    type TEXT NOT NULL,
    epoch INTEGER, -- of the custody that wrote it; null: not written under a fence
    json TEXT NOT NULL -- the delivered text
  ) STRICT;
  CREATE UNIQUE INDEX events_by_seq ON events (stream, seq);
  -- All but the pieces whose whole content comes later: a snapshot of a long turn skips the others.
  CREATE INDEX events_lasting ON events (stream, seq) WHERE type NOT IN ('chat.delta', 'tool.output');

  -- For people. Generated columns would say the same, but cost every insert 0.35 µs each.
  CREATE VIEW log AS SELECT e.event, s.name AS stream, e.seq, e.type, json ->> '$.turnId' AS turn_id,
    json ->> '$.attempt' AS attempt, json ->> '$.requestId' AS request_id, e.epoch, json ->> '$.at' AS at, e.json
    FROM events e JOIN streams s USING (stream);

  -- Append keys. An append without events has first_seq = last_seq + 1.
  CREATE TABLE appends (
    stream INTEGER NOT NULL REFERENCES streams,
    key TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    PRIMARY KEY (stream, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    stream INTEGER NOT NULL UNIQUE REFERENCES streams,
    table_id TEXT,
    title TEXT NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0 CHECK (archived IN (0, 1)),
    provider TEXT NOT NULL,
    model TEXT,
    workspace_path TEXT NOT NULL,
    host TEXT,
    provider_session_id TEXT,
    state TEXT NOT NULL DEFAULT 'idle' CHECK (state IN ('idle', 'processing', 'cancelled')),
    epoch INTEGER NOT NULL DEFAULT 0,
    queue TEXT NOT NULL DEFAULT '[]', -- JSON
    usage TEXT NOT NULL, -- JSON
    created_at TEXT NOT NULL
  ) STRICT;

  CREATE TABLE attempts (
    turn_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    conversation_id TEXT NOT NULL REFERENCES conversations,
    table_id TEXT,
    request_id TEXT,
    provider TEXT NOT NULL,
    model TEXT,
    started_seq INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    outcome TEXT CHECK (outcome IN ('completed', 'failed', 'cancelled', 'interrupted')),
    cause TEXT,
    usage TEXT, -- JSON
    usage_before TEXT NOT NULL, -- JSON: the conversation's when the attempt started
    cancel_by TEXT,
    epoch INTEGER NOT NULL DEFAULT 0,
    host TEXT,
    spool TEXT,
    spool_from INTEGER,
    spool_offset INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (turn_id, attempt)
  ) STRICT;
  CREATE UNIQUE INDEX attempts_by_start ON attempts (conversation_id, started_seq);
  -- S1, and one running turn for each conversation.
  CREATE UNIQUE INDEX attempts_running ON attempts (conversation_id) WHERE outcome IS NULL;
  CREATE UNIQUE INDEX attempts_running_of_table ON attempts (table_id) WHERE outcome IS NULL AND table_id IS NOT NULL;

  CREATE TABLE messages (
    message INTEGER PRIMARY KEY,
    conversation_id TEXT NOT NULL REFERENCES conversations,
    message_id TEXT NOT NULL,
    seq INTEGER NOT NULL, -- of the event that made it
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    turn_id TEXT,
    attempt INTEGER,
    tool_call_id TEXT,
    tool_name TEXT,
    tool_input TEXT, -- JSON
    tool_status TEXT,
    status TEXT NOT NULL,
    at TEXT NOT NULL,
    content TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX messages_by_id ON messages (conversation_id, message_id);
  CREATE UNIQUE INDEX messages_by_seq ON messages (conversation_id, seq);
  CREATE INDEX messages_by_turn ON messages (turn_id, attempt, tool_call_id, seq);
  CREATE INDEX messages_open ON messages (conversation_id, seq) WHERE status = 'open';

  CREATE TABLE approvals (
    conversation_id TEXT NOT NULL REFERENCES conversations,
    approval_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    decision TEXT CHECK (decision IN ('allow', 'deny', 'withdrawn')),
    decided_by TEXT,
    PRIMARY KEY (conversation_id, approval_id)
  ) STRICT, WITHOUT ROWID;

  CREATE INDEX approvals_open ON approvals (turn_id, attempt) WHERE decision IS NULL;

  CREATE TABLE requests (
    conversation_id TEXT NOT NULL REFERENCES conversations,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('send', 'retry')),
    status TEXT NOT NULL CHECK (status IN ('started', 'queued', 'rejected')),
    turn_id TEXT,
    attempt INTEGER NOT NULL,
    position INTEGER,
    code TEXT,
    content_hash TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (conversation_id, request_id)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE INDEX conversations_unsettled ON conversations (conversation_id) WHERE state <> 'idle' OR queue <> '[]';
  `,
  {
    sql: `
  CREATE TABLE tables (
    table_id TEXT PRIMARY KEY,
    stream INTEGER NOT NULL UNIQUE REFERENCES streams,
    title TEXT NOT NULL,
    workspace_path TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT,
    active_conversation_id TEXT, -- holds the slot
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX tables_by_age ON tables (created_at, table_id);

  ALTER TABLE conversations ADD COLUMN held INTEGER NOT NULL DEFAULT 0 CHECK (held IN (0, 1));
  ALTER TABLE conversations ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE conversations ADD COLUMN head_at TEXT; -- since when the first row of the queue waits that is not held
  ALTER TABLE conversations ADD COLUMN waiting_at TEXT; -- the same, while it waits for its table's slot
  ALTER TABLE conversations ADD COLUMN session_generation INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE conversations ADD COLUMN forked_from TEXT; -- JSON
  -- What a list shows, as it was told last (listing.ts).
  ALTER TABLE conversations ADD COLUMN approvals INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE conversations ADD COLUMN last_at TEXT NOT NULL DEFAULT '';
  ALTER TABLE conversations ADD COLUMN last_line TEXT NOT NULL DEFAULT '';
  ALTER TABLE conversations ADD COLUMN message_count INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE conversations ADD COLUMN turn_count INTEGER NOT NULL DEFAULT 0;
  -- Messages up to that seq; only those after it are counted.
  ALTER TABLE conversations ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE conversations ADD COLUMN counted_seq INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX conversations_by_time ON conversations (table_id, archived, last_at, conversation_id) WHERE table_id IS NOT NULL;
  CREATE INDEX conversations_waiting ON conversations (table_id, waiting_at, conversation_id) WHERE waiting_at IS NOT NULL;
  DROP INDEX conversations_unsettled;
  CREATE INDEX conversations_unsettled ON conversations (conversation_id)
    WHERE state <> 'idle' OR (table_id IS NULL AND head_at IS NOT NULL AND held = 0);

  ALTER TABLE messages ADD COLUMN cut INTEGER NOT NULL DEFAULT 0 CHECK (cut IN (0, 1));
  CREATE INDEX messages_shown ON messages (conversation_id, seq)
    WHERE kind = 'text' AND role IN ('user', 'assistant') AND status IN ('complete', 'partial') AND cut = 0;

  -- The running attempt that took the message in.
  ALTER TABLE requests ADD COLUMN steered_turn TEXT;
  ALTER TABLE requests ADD COLUMN steered_attempt INTEGER;

  -- Of its deltas: last: it is the conversation's last; due: they may be folded away in time; kept: nothing else says the same.
  ALTER TABLE attempts ADD COLUMN pieces TEXT NOT NULL DEFAULT 'last' CHECK (pieces IN ('last', 'due', 'folded', 'kept'));
  CREATE INDEX attempts_due ON attempts (ended_at) WHERE pieces = 'due';

  -- Contentless: the texts are in the other tables (search.ts).
  CREATE VIRTUAL TABLE search USING fts5(text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
  `,
    fill: fillLists,
  },
  `
  CREATE TABLE triggers (
    trigger_id TEXT PRIMARY KEY,
    stream INTEGER NOT NULL UNIQUE REFERENCES streams,
    table_id TEXT, -- where it sends to: this
    conversation_id TEXT, -- or this
    rule TEXT NOT NULL, -- the present one of trigger_rules
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    decided_until TEXT NOT NULL, -- every due time up to and with it has its row in the ledger
    next_due_at TEXT,
    removed_at TEXT,
    -- Rows of the ledger by outcome. A ledger is never shortened: counting would cost a gateway seconds in time.
    fired INTEGER NOT NULL DEFAULT 0,
    late INTEGER NOT NULL DEFAULT 0,
    caught_up INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    CHECK (removed_at IS NULL OR next_due_at IS NULL)
  ) STRICT;
  CREATE INDEX triggers_by_age ON triggers (created_at, trigger_id) WHERE removed_at IS NULL;
  CREATE INDEX triggers_of_table ON triggers (table_id, created_at, trigger_id)
    WHERE removed_at IS NULL AND table_id IS NOT NULL;
  CREATE INDEX triggers_of_conversation ON triggers (conversation_id, created_at, trigger_id)
    WHERE removed_at IS NULL AND conversation_id IS NOT NULL;
  CREATE INDEX triggers_due ON triggers (next_due_at, trigger_id) WHERE next_due_at IS NOT NULL;

  -- Apart from triggers: a definition may be half a megabyte, and those rows are written with every decision.
  CREATE TABLE trigger_rules (
    stream INTEGER NOT NULL REFERENCES triggers (stream),
    rule TEXT NOT NULL,
    definition TEXT NOT NULL, -- JSON
    PRIMARY KEY (stream, rule)
  ) STRICT;

  CREATE TABLE ledger (
    row INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL, -- of triggers
    due_at TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('due', 'manual', 'backfill')),
    decided_at TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('fired', 'late', 'caught-up', 'skipped', 'rejected')),
    reason TEXT,
    words TEXT NOT NULL,
    rule TEXT NOT NULL,
    request_id TEXT,
    conversation_id TEXT,
    when_busy TEXT CHECK (when_busy IN ('queue', 'reject', 'interrupt')),
    turn_id TEXT,
    settled INTEGER NOT NULL CHECK (settled IN (0, 1)), -- 0: its receipt is awaited
    delivered INTEGER NOT NULL CHECK (delivered IN (0, 1)), -- 0: it is still to be sent
    FOREIGN KEY (stream, rule) REFERENCES trigger_rules
  ) STRICT;
  -- D1.
  CREATE UNIQUE INDEX ledger_due ON ledger (stream, due_at) WHERE cause <> 'manual';
  CREATE UNIQUE INDEX ledger_manual ON ledger (stream, request_id) WHERE cause = 'manual' AND request_id IS NOT NULL;
  CREATE INDEX ledger_by_request ON ledger (stream, request_id) WHERE request_id IS NOT NULL;
  CREATE INDEX ledger_by_time ON ledger (stream, due_at);
  CREATE INDEX ledger_by_outcome ON ledger (stream, outcome, due_at);
  CREATE INDEX ledger_trouble ON ledger (stream, due_at)
    WHERE outcome IN ('late', 'rejected') OR (outcome = 'skipped' AND reason IS NOT 'paused');
  CREATE INDEX ledger_unsettled ON ledger (request_id) WHERE settled = 0;
  CREATE INDEX ledger_undelivered ON ledger (stream, decided_at, due_at) WHERE delivered = 0;
  `,
  `
  -- Of a team: its root, of the root itself too; null: it stands alone.
  ALTER TABLE conversations ADD COLUMN root_id TEXT;
  ALTER TABLE messages ADD COLUMN mail TEXT; -- JSON: the mail that it is

  -- Members of teams, the root among them (depth 0) from its first child on; in the order in which they came, so that a parent
  -- is before its children.
  CREATE TABLE agents (
    member INTEGER PRIMARY KEY,
    conversation_id TEXT NOT NULL UNIQUE REFERENCES conversations,
    root_id TEXT NOT NULL,
    parent_id TEXT,
    agent_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    depth INTEGER NOT NULL,
    told INTEGER NOT NULL DEFAULT 0, -- seq, in the team's stream, of what was told of it last
    -- Rows of its mailbox by state. A mailbox is never shortened: counting would cost every turn of a long life.
    accepted INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    applied INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    CHECK ((depth = 0) = (parent_id IS NULL))
  ) STRICT;
  CREATE UNIQUE INDEX agents_by_id ON agents (root_id, agent_id);
  CREATE INDEX agents_of_team ON agents (root_id);
  CREATE INDEX agents_by_parent ON agents (parent_id) WHERE parent_id IS NOT NULL;

  CREATE TABLE mail (
    row INTEGER PRIMARY KEY, -- in the order of acceptance
    receiver TEXT NOT NULL REFERENCES conversations,
    sender TEXT NOT NULL, -- a conversation; empty: Holdfast itself
    message_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('task', 'message', 'result', 'error', 'recovery')),
    state TEXT NOT NULL DEFAULT 'accepted' CHECK (state IN ('accepted', 'delivered', 'applied', 'failed', 'expired')),
    reason TEXT,
    outcome TEXT CHECK (outcome IN ('completed', 'failed', 'cancelled', 'interrupted')),
    when_busy TEXT NOT NULL CHECK (when_busy IN ('queue', 'steer')),
    waits INTEGER NOT NULL CHECK (waits IN (0, 1)),
    covered_by INTEGER REFERENCES mail, -- it goes along with that row
    boot TEXT,
    sending INTEGER NOT NULL DEFAULT 1, -- how often it was sent
    request_id TEXT NOT NULL, -- follows from sender, message and sending
    turn_id TEXT,
    accepted_at TEXT NOT NULL,
    delivered_at TEXT,
    applied_at TEXT,
    expires_at TEXT,
    content TEXT NOT NULL
  ) STRICT;
  -- M1.
  CREATE UNIQUE INDEX mail_once ON mail (receiver, sender, message_id);
  CREATE UNIQUE INDEX mail_by_request ON mail (receiver, request_id);
  CREATE INDEX mail_received ON mail (receiver, row);
  CREATE INDEX mail_received_by_state ON mail (receiver, state, row);
  CREATE INDEX mail_sent ON mail (sender, row) WHERE sender <> '';
  CREATE INDEX mail_sent_by_state ON mail (sender, state, row) WHERE sender <> '';
  CREATE INDEX mail_untaken ON mail (receiver, accepted_at, boot)
    WHERE state = 'accepted' AND covered_by IS NULL AND waits = 0;
  CREATE INDEX mail_covered ON mail (covered_by) WHERE covered_by IS NOT NULL;
  CREATE INDEX mail_tasks ON mail (receiver) WHERE kind = 'task';

  -- M2: what a boot has interrupted, until the root is told.
  CREATE TABLE owed_recoveries (
    owed INTEGER PRIMARY KEY, -- in the order of the ends
    root_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    turn_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    boot TEXT NOT NULL,
    cause TEXT NOT NULL,
    host TEXT NOT NULL, -- where it ran; empty: nobody knows
    at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX owed_recoveries_of_root ON owed_recoveries (root_id, host);
  CREATE INDEX owed_recoveries_of_host ON owed_recoveries (host);
  `,
];
