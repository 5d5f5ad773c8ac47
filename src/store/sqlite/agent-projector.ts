/**
 * Who is whose child, what the tree shows of a member, and what a boot owes a root: rows that follow from a conversation's
 * events, in the transaction of their append.
 *
 * Invariants:
 *  1 T2 What the tree shows of a member is told as a whole, in its team's stream, and `told` says where: the team's view is always
 *    the fold of its stream.
 *  2 Members are in the order in which they came: a parent is before its children.
 *  3 M2 What is owed for a boot is owed once: not again when the root was told of that boot.
 */
import type { AgentLinkValue, NewEvent } from '../../contracts/events.ts';
import { ROOT_AGENT_ID, type TeamStanding } from '../agent-basis.ts';
import { toStoredText } from '../exact-text.ts';
import type { OwedRecovery } from '../port.ts';
import type { Connection } from './connection.ts';
import { HOLDFAST } from './mail-projector.ts';
import { all, one, run } from './query.ts';
import { integer, text, textOrNull } from './rows.ts';
import { countMail, memberView } from './team.ts';

/** An end that names its boot. */
type Interrupted = Omit<OwedRecovery['interrupted'][number], 'conversationId'>;

export class AgentProjector {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  standing({ agentId, rootId, parentId }: AgentLinkValue): TeamStanding {
    const parent = one(
      this.#connection,
      `SELECT c.root_id, a.depth FROM conversations c LEFT JOIN agents a USING (conversation_id) WHERE c.conversation_id = ?`,
      parentId,
    );
    const taken = one(
      this.#connection,
      'SELECT 1 FROM agents WHERE root_id = ? AND agent_id = ?',
      rootId,
      agentId,
    );
    // Limits bound these counts.
    const children = 'SELECT count(*) AS count FROM agents WHERE parent_id = ?';
    const members = 'SELECT count(*) AS count FROM agents WHERE root_id = ?';
    return {
      parent:
        parent === undefined
          ? null
          : {
              rootId: textOrNull(parent, 'root_id') ?? parentId,
              depth: parent['depth'] === null ? 0 : integer(parent, 'depth'),
            },
      isTaken: taken !== undefined,
      children: this.#number(children, parentId),
      agents: Math.max(0, this.#number(members, rootId) - 1),
    };
  }

  /** Whether the team is new: its root has become one. */
  link(conversationId: string, link: AgentLinkValue): boolean {
    const { rootId } = link;
    const isNew =
      this.#run(
        'UPDATE conversations SET root_id = ?1 WHERE conversation_id = ?1 AND root_id IS NULL',
        rootId,
      ) > 0;
    if (isNew) this.#insertRoot(rootId);
    this.#run(
      'UPDATE conversations SET root_id = ? WHERE conversation_id = ?',
      rootId,
      conversationId,
    );
    this.#run(
      `INSERT INTO agents (conversation_id, root_id, parent_id, agent_id, name, role, depth) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      conversationId,
      rootId,
      link.parentId,
      link.agentId,
      toStoredText(link.name),
      toStoredText(link.role),
      link.depth,
    );
    return isNew;
  }

  #insertRoot(rootId: string): void {
    const { accepted, delivered, applied, failed, expired } = countMail(this.#connection, rootId);
    this.#run(
      `INSERT INTO agents (conversation_id, root_id, agent_id, name, role, depth, accepted, delivered, applied, failed, expired)
       VALUES (?1, ?1, ?2, '', '', 0, ?3, ?4, ?5, ?6, ?7)`,
      rootId,
      ROOT_AGENT_ID,
      accepted,
      delivered,
      applied,
      failed,
      expired,
    );
  }

  /** Null: it stands alone. */
  rootOf(conversationId: string): string | null {
    const row = one(
      this.#connection,
      'SELECT root_id FROM conversations WHERE conversation_id = ?',
      conversationId,
    );
    return row === undefined ? null : textOrNull(row, 'root_id');
  }

  /** The event that tells what the tree shows of a member now. */
  changed(conversationId: string): NewEvent {
    const agent = memberView(this.#connection, conversationId);
    if (agent === null) throw new TypeError(`${conversationId} is a member without a row`);
    return { type: 'agent.changed', payload: { agent } };
  }

  /** It was told at that seq of the team's stream. */
  setTold(conversationId: string, seq: number): void {
    this.#run('UPDATE agents SET told = ? WHERE conversation_id = ?', seq, conversationId);
  }

  /** The parent, when that turn is the child's task's; else null. */
  parentOfTask(conversationId: string, turnId: string): string | null {
    const row = one(
      this.#connection,
      // Left to itself, the database looks among all that was applied.
      `SELECT a.parent_id FROM mail m INDEXED BY mail_tasks CROSS JOIN agents a ON a.conversation_id = m.receiver
       WHERE m.receiver = ? AND m.kind = 'task' AND m.sender = a.parent_id AND m.turn_id = ?`,
      conversationId,
      turnId,
    );
    return row === undefined ? null : textOrNull(row, 'parent_id');
  }

  /** A messageId that this sender has not used for something else: ends are said once, and senders choose their own ids. */
  freeMessageId(receiver: string, sender: string, wanted: string): string {
    let messageId = wanted;
    for (let n = 2; this.#isUsed(receiver, sender, messageId); n += 1) messageId = `${wanted}-${n}`;
    return messageId;
  }

  owe(rootId: string, conversationId: string, interrupted: Interrupted): void {
    const { turnId, attempt, boot, cause, at } = interrupted;
    const told = one(
      this.#connection,
      "SELECT 1 FROM mail WHERE receiver = ? AND sender = ? AND kind = 'recovery' AND boot = ? LIMIT 1",
      rootId,
      HOLDFAST,
      boot,
    );
    if (told !== undefined) return;
    this.#run(
      `INSERT INTO owed_recoveries (root_id, conversation_id, turn_id, attempt, boot, cause, host, at)
       SELECT ?, ?, ?, ?, ?, ?, coalesce(a.host, c.host, ''), ? FROM attempts a JOIN conversations c USING (conversation_id)
       WHERE a.turn_id = ? AND a.attempt = ?`,
      rootId,
      conversationId,
      turnId,
      attempt,
      boot,
      toStoredText(cause),
      at,
      turnId,
      attempt,
    );
  }

  /** The root is told: of all that the hosts of that boot had run, or of everything when it is not known whose boot it is. */
  settle(rootId: string, boot: string | null): void {
    const hosts = all(
      this.#connection,
      'SELECT DISTINCT host FROM owed_recoveries WHERE root_id = ? AND boot = ?',
      rootId,
      boot,
    ).map((row) => text(row, 'host'));
    if (hosts.length === 0) this.#run('DELETE FROM owed_recoveries WHERE root_id = ?', rootId);
    for (const host of hosts)
      this.#run(
        'DELETE FROM owed_recoveries WHERE root_id = ? AND host = ?',
        rootId,
        toStoredText(host),
      );
  }

  #isUsed(receiver: string, sender: string, messageId: string): boolean {
    const row = one(
      this.#connection,
      'SELECT 1 FROM mail WHERE receiver = ? AND sender = ? AND message_id = ?',
      receiver,
      sender,
      messageId,
    );
    return row !== undefined;
  }

  #number(sql: string, ...values: string[]): number {
    const row = one(this.#connection, sql, ...values);
    return row === undefined ? 0 : integer(row, 'count');
  }

  #run(sql: string, ...values: (string | number | null)[]): number {
    return run(this.#connection, sql, ...values);
  }
}
