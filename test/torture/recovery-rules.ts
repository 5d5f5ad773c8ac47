/**
 * M2: what a boot of the turn host has interrupted of a team is told to its root, once.
 *
 *  1 Every end that says a boot, of a member of a team, is followed by a row of kind `recovery` in the root's mailbox.
 *  2 Such a row is of the newest boot of the ends that no row before it had told; there is none without such an end, and none
 *    twice of one boot. It names every member that it tells of.
 *  3 It covers the rows of just those ends that are of tasks of the root's children, and were made by a boot that has interrupted the
 *    root, too.
 */
import type { Event } from '../../src/contracts/events.ts';
import { attemptKey } from '../../src/contracts/ids.ts';
import type { Court, Place } from './court.ts';
import { at } from './court.ts';
import { taskTurnOf } from './mail-rules.ts';
import {
  agentIdOf,
  type Member,
  ordersOf,
  type Row,
  rowKey,
  rowPlace,
  type Team,
} from './team-log.ts';

/** An end that says its boot. */
type Interrupted = {
  member: Member;
  event: Extract<Event, { type: 'chat.interrupted' }>;
  boot: string;
  order: number;
};

function interruptedOf(team: Team): Interrupted[] {
  const found = [...team.members.values()].flatMap((member) => {
    const orders = ordersOf(member.known);
    return member.known.events.flatMap((event) => {
      const boot = event.type === 'chat.interrupted' ? event.payload.boot : undefined;
      return event.type !== 'chat.interrupted' || boot === undefined
        ? []
        : [{ member, event, boot, order: orders.get(event.seq) ?? Infinity }];
    });
  });
  // One that had no child then was no team.
  const since = Math.min(
    ...[...team.members.values()]
      .filter(({ link }) => link !== null)
      .map(({ known }) => known.evidence.epochs[0]?.order ?? Infinity),
  );
  return found.filter(({ order }) => order > since).toSorted((a, b) => a.order - b.order);
}

export function checkRecovery(court: Court, teams: readonly Team[]): void {
  for (const team of teams) checkTeam(court, team);
}

function checkTeam(court: Court, team: Team): void {
  const interrupted = interruptedOf(team);
  const root = team.members.get(team.rootId);
  const told = [...(root?.mailbox.rows.values() ?? [])].filter(({ kind }) => kind === 'recovery');
  for (const { known, mailbox } of team.members.values()) {
    if (known.evidence.conversationId === team.rootId) continue;
    const wrong = [...mailbox.rows.values()].find(({ kind }) => kind === 'recovery');
    court.expect('M2', wrong === undefined, () => ({
      what: `${known.evidence.conversationId} is no root, and was sent a recovery`,
      ...at(known, [wrong?.seq ?? 0]),
    }));
  }
  const boots = new Set<string>();
  let since = 0;
  for (const row of told) {
    const from = since;
    const tells = interrupted.filter(({ order }) => from < order && order < row.order);
    since = row.order;
    const place = (): Place => (root === undefined ? { excerpt: [] } : rowPlace(root.mailbox, row));
    court.expect('M2', tells.length > 0, () => ({
      what: `team ${team.rootId} was sent the recovery ${row.messageId}, and nothing of it was interrupted since the one before`,
      ...place(),
    }));
    court.expect('M2', row.boot !== null && !boots.has(row.boot), () => ({
      what: `team ${team.rootId} was sent two recoveries of boot ${row.boot}`,
      ...place(),
    }));
    boots.add(row.boot ?? '');
    const newest = tells.at(-1);
    if (newest === undefined) continue;
    court.expect(
      'M2',
      row.boot === newest.boot && row.messageId === `recovery-${newest.boot}` && row.from === null,
      () => ({
        what: `team ${team.rootId} was sent ${row.messageId} of boot ${row.boot}; the newest that has interrupted something of it is ${newest.boot}`,
        ...place(),
      }),
    );
    for (const { member } of tells)
      if (member.link !== null)
        court.expect('M2', row.content.includes(agentIdOf(member)), () => ({
          what: `the recovery ${row.messageId} of team ${team.rootId} says nothing of ${agentIdOf(member)}, which was interrupted`,
          ...place(),
        }));
    checkCovered(court, team, row, tells, place);
  }
  for (const { member, event, boot, order } of interrupted)
    court.expect('M2', order < since, () => ({
      what: `attempt ${attemptKey(event.turnId ?? '', event.attempt ?? 1)} of ${agentIdOf(member)} was interrupted by boot ${boot}, and its root was never told`,
      ...at(member.known, [event.seq], event.turnId),
    }));
}

function checkCovered(
  court: Court,
  team: Team,
  row: Row,
  tells: readonly Interrupted[],
  place: () => Place,
): void {
  const boots = new Set(tells.filter(({ member }) => member.link === null).map((end) => end.boot));
  const wanted = tells
    .filter(
      ({ member, event, boot }) =>
        boots.has(boot) &&
        member.link?.parentId === team.rootId &&
        event.turnId === taskTurnOf(member),
    )
    .map(({ member, event }) =>
      rowKey(member.known.evidence.conversationId, `end-${event.turnId}-${event.attempt ?? 1}`),
    );
  const got = row.covers.map(({ from, messageId }) => rowKey(from, messageId));
  court.expect('M2', got.toSorted().join() === wanted.toSorted().join(), () => ({
    what: `the recovery ${row.messageId} of team ${team.rootId} covers [${got.join(', ')}]; the root was interrupted by ${boots.size} boots, so that is [${wanted.join(', ')}]`,
    ...place(),
  }));
}
