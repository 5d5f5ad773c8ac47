/**
 * A turn host and its providers die together, and are started again: the root of each team is told once of what was interrupted,
 * and its agents go on when they are written to. Numbers: design.md section 12.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, onTestFinished, test } from 'vitest';

import type { MailRowValue } from '../../../src/contracts/agents.ts';
import { isSameProcess, signalProcess } from '../../../src/providers/process/process-table.ts';
import { textOf } from '../../support/chat-clients.ts';
import { eventually } from '../../support/eventually.ts';
import { Holdfast } from '../../support/holdfast.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { expectWholeTeam, TeamUnderTest } from './agents.ts';
import { script } from './conversations.ts';
import { RECOVERED_WITHIN_MS } from './faults.ts';
import { sharedHoldfast } from './shared-holdfast.ts';

const TIMEOUT_MS = 4 * RECOVERED_WITHIN_MS;
const HANG = script('words 3', 'hang');

const recoveries = (rows: readonly MailRowValue[]): MailRowValue[] =>
  rows.filter(({ kind }) => kind === 'recovery');

/** The boots that the interrupted ends of a team name, newest last. */
async function bootsOf(team: TeamUnderTest): Promise<(string | undefined)[]> {
  const ends: { at: string; boot: string | undefined }[] = [];
  for (const conversationId of await team.members())
    for (const event of await team.log(conversationId))
      if (event.type === 'chat.interrupted') ends.push({ at: event.at, boot: event.payload.boot });
  const boots = ends.toSorted((a, b) => (a.at < b.at ? -1 : 1)).map(({ boot }) => boot);
  return [...new Set(boots)];
}

/** Everything that was accepted is applied. */
const allApplied = (rows: readonly MailRowValue[]): boolean =>
  rows.every(({ state }) => state === 'applied');

describe('with a recovery prompt', () => {
  const holdfast = sharedHoldfast();

  test(
    'M2 root, child and grandchild are interrupted: one prompt tells all of it, the child’s end is applied with it, and agents go on',
    { timeout: TIMEOUT_MS },
    async () => {
      const team = await TeamUnderTest.create(holdfast);
      const a = await team.spawn('a', script('say session', 'text " "', 'words 3', 'hang'));
      const b = await team.spawn('b', HANG, { parentId: a });
      const done = await team.spawn('done', script('text "early"'));
      await team.mailOnce(team.rootId, ([row]) => row?.state === 'applied');
      await team.send(team.rootId, HANG);
      for (const each of [team.rootId, a, b]) await team.says(each, 'w2 ');
      const session = textOf(await team.view(a)).split(' ')[0] ?? '';
      await team.tell(b, 'done', 'are you there?');
      await team.mailOnce(done, (rows) => rows.length === 2 && allApplied(rows));
      await team.viewOnce(done, ({ state }) => state === 'idle');

      await team.crash();
      const rows = await team.mailOnce(
        team.rootId,
        (all) => recoveries(all).length > 0 && allApplied(all),
      );
      const [recovery, ...more] = recoveries(rows);
      expect(more).toEqual([]);
      const [boot] = await bootsOf(team);
      expect(await bootsOf(team)).toEqual([boot]);
      expect(recovery).toMatchObject({ messageId: `recovery-${boot}`, from: null });
      expect(recovery?.content.split('\n')).toEqual(
        expect.arrayContaining([
          '- your own turn: provider_died',
          '- a: provider_died',
          '- b: provider_died',
          '- b, below a: interrupted',
          '- done: idle, its last turn was completed',
        ]),
      );
      const told = rows.find((row) => row.fromConversationId === a);
      expect(told).toMatchObject({
        kind: 'error',
        outcome: 'interrupted',
        state: 'applied',
        coveredBy: recovery?.messageId,
        turnId: recovery?.turnId,
      });
      // The grandchild's end is its own parent's to hear, by itself.
      const ofA = await team.mailOnce(a, (all) => all.length === 2 && allApplied(all));
      expect(ofA[1]).toMatchObject({ kind: 'error', fromConversationId: b });
      expect(ofA[1]?.coveredBy).toBeUndefined();
      await expectWholeTeam(team);
      expect((await team.prompts()).filter((prompt) => prompt.includes('your own turn'))).toEqual([
        `[Holdfast mail] After an interruption:\n${recovery?.content ?? ''}`,
      ]);

      await team.tell(team.rootId, 'a', script('text "on in "', 'say session'));
      await team.says(a, `on in ${session}`);
      await team.tell(a, 'b', script('text "me too"'));
      await team.says(b, 'me too');
      await expectWholeTeam(team);
      expect(recoveries(await team.mailbox())).toHaveLength(1);
    },
  );

  test(
    'M2 the root was idle: it is told, and its child’s end is given to it by itself',
    { timeout: TIMEOUT_MS },
    async () => {
      const team = await TeamUnderTest.create(holdfast);
      const alone = await TeamUnderTest.create(holdfast);
      const a = await team.spawn('a', HANG);
      await alone.send(alone.rootId, HANG);
      for (const [each, id] of [
        [team, a],
        [alone, alone.rootId],
      ] as const)
        await each.says(id, 'w2 ');
      const host = await holdfast.process('turn-host');
      const victims = [...(await team.providers()), ...(await alone.providers())];
      await team.whileStopped('supervisor', async () => {
        signalProcess(host, 'SIGKILL');
        await eventually(() => !isSameProcess(host));
        for (const each of victims) signalProcess(each, 'SIGKILL');
        await eventually(() => victims.every((each) => !isSameProcess(each)));
      });
      const rows = await team.mailOnce(team.rootId, (all) => all.length === 2 && allApplied(all));
      expect(rows.map(({ kind }) => kind).toSorted()).toEqual(['error', 'recovery']);
      expect(rows.map(({ coveredBy }) => coveredBy)).toEqual([undefined, undefined]);
      await expectWholeTeam(team);
      // A conversation that stands alone is interrupted, and told nothing.
      await alone.viewOnce(alone.rootId, ({ state }) => state === 'idle');
      expect(await alone.mailbox()).toEqual([]);
      expect((await alone.member('root')).outcome).toBe('interrupted');
    },
  );

  test(
    'M2 the provider alone dies: an end like any other, and no prompt',
    { timeout: TIMEOUT_MS },
    async () => {
      const team = await TeamUnderTest.create(holdfast);
      const a = await team.spawn('a', HANG);
      await team.says(a, 'w2 ');
      await team.kill('provider');
      const rows = await team.mailOnce(team.rootId, (all) => all.length === 1 && allApplied(all));
      expect(rows).toMatchObject([{ kind: 'error', outcome: 'interrupted' }]);
      expect(await bootsOf(team)).toEqual([undefined]);
      // The root's turn with that mail too: cut short, it would be told of.
      await team.atRest();
      await team.kill('turn-host');
      await team.tell(team.rootId, 'a', 'go on');
      await team.mailOnce(a, (all) => all.length === 2 && allApplied(all));
      await expectWholeTeam(team);
      expect(recoveries(await team.mailbox())).toEqual([]);
    },
  );

  test(
    'M2 twice, and each time the turn host dies again and again while it starts: one prompt for each boot that ended something, nothing told twice',
    { timeout: 2 * TIMEOUT_MS },
    async () => {
      const team = await TeamUnderTest.create(holdfast);
      const agents = ['a', 'b', 'c', 'd'];
      const ids: string[] = [];
      for (const agentId of agents) ids.push(await team.spawn(agentId, HANG));
      await team.send(team.rootId, HANG);
      for (let time = 1; time <= 2; time += 1) {
        for (const each of [team.rootId, ...ids])
          await team.viewOnce(
            each,
            (view) =>
              view.state === 'processing' && Object.values(view.overlays).includes('w0 w1 w2 '),
          );
        await team.crash();
        for (let kills = 0; kills < 3; kills += 1) await team.kill('turn-host');
        await team.mailOnce(
          team.rootId,
          (all) => recoveries(all).length >= time && allApplied(all),
        );
        await team.atRest();
        if (time === 2) break;
        for (const agentId of agents) await team.tell(team.rootId, agentId, HANG);
        await team.send(team.rootId, HANG);
      }
      await expectWholeTeam(team);
      const rows = recoveries(await team.mailbox());
      const boots = (await bootsOf(team)).map((boot) => `recovery-${boot}`);
      expect(boots).toEqual(expect.arrayContaining(rows.map(({ messageId }) => messageId)));
      expect(new Set(rows.map(({ messageId }) => messageId)).size).toBe(rows.length);
      // Of both times, every agent and the root, once each.
      const told = rows.flatMap(({ content }) =>
        content
          .slice(0, content.indexOf('Your team now:'))
          .split('\n')
          .filter((line) => line.startsWith('- ')),
      );
      expect(told.toSorted()).toEqual(
        ['your own turn', ...agents]
          .flatMap((name) => [`- ${name}: provider_died`, `- ${name}: provider_died`])
          .toSorted(),
      );
    },
  );

  test(
    'M2 everything dies at once, and Temporal’s database with it: the root is told once all the same',
    { timeout: TIMEOUT_MS },
    async () => {
      const team = await TeamUnderTest.create(holdfast);
      const a = await team.spawn('a', HANG);
      await team.send(team.rootId, HANG);
      for (const each of [team.rootId, a]) await team.says(each, 'w2 ');
      const victims = await team.providers();
      await team.loseTemporal(() => {
        for (const each of victims) signalProcess(each, 'SIGKILL');
      });
      const rows = await team.mailOnce(team.rootId, (all) => all.length === 2 && allApplied(all));
      expect(recoveries(rows)).toHaveLength(1);
      expect(rows.find(({ kind }) => kind === 'error')?.coveredBy).toBe(
        recoveries(rows)[0]?.messageId,
      );
      await expectWholeTeam(team);
    },
  );
});

describe('HOLDFAST_RECOVERY_PROMPT', () => {
  /** With that setting, and gone after the test. */
  function newHoldfast(setting: string): Holdfast {
    const environment = { HOLDFAST_RECOVERY_PROMPT: setting };
    const holdfast = new Holdfast({ temporalBinary: temporalBinary(), environment });
    onTestFinished(() => holdfast.discard());
    return holdfast;
  }

  function templateFile(): string {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-template-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return join(folder, 'recovery.txt');
  }

  /** A team of such a Holdfast, whose child was interrupted by a boot. */
  async function interrupted(setting: string): Promise<TeamUnderTest> {
    const holdfast = newHoldfast(setting);
    await holdfast.start();
    const team = await TeamUnderTest.create(holdfast);
    const a = await team.spawn('a', HANG);
    await team.says(a, 'w2 ');
    await team.crash();
    return team;
  }

  test(
    'off: the child’s end is given by itself, and nothing else is said',
    { timeout: TIMEOUT_MS },
    async () => {
      const team = await interrupted('off');
      const rows = await team.mailOnce(team.rootId, (all) => all.length === 1 && allApplied(all));
      expect(rows).toMatchObject([{ kind: 'error', outcome: 'interrupted' }]);
      expect(await bootsOf(team)).toEqual([undefined]);
      await expectWholeTeam(team);
      expect(await team.mailbox()).toHaveLength(1);
    },
  );

  test(
    'a file: its text is the prompt; one that becomes unusable later stops nothing',
    { timeout: TIMEOUT_MS },
    async () => {
      const file = templateFile();
      writeFileSync(file, 'Gone: {{interrupted}}. Team: {{team}}');
      const team = await interrupted(file);
      const [row] = recoveries(
        await team.mailOnce(team.rootId, (all) => all.length === 2 && allApplied(all)),
      );
      expect(row?.content).toBe('Gone: - a: provider_died. Team: - a: interrupted');
      writeFileSync(file, 'Gone: {{everything}}');
      await team.tell(team.rootId, 'a', HANG);
      const { conversationId } = await team.member('a');
      await team.viewOnce(conversationId, ({ overlays }) =>
        Object.values(overlays).includes('w0 w1 w2 '),
      );
      await team.crash();
      await team.mailOnce(team.rootId, (all) => recoveries(all).length === 2 && allApplied(all));
      expect(recoveries(await team.mailbox())[1]?.content).toContain('- a: provider_died');
    },
  );

  test('a file that is none, or has an unknown placeholder: `holdfast start` says so and starts nothing', async () => {
    const file = templateFile();
    const holdfast = newHoldfast(file);
    for (const [content, why] of [
      [null, 'ENOENT'],
      ['{{boot}}', '{{boot}} is none of {{when}}, {{interrupted}}, {{team}}, {{undelivered}}'],
    ] as const) {
      if (content !== null) writeFileSync(file, content);
      const { code, stdout, stderr } = await holdfast.run(['start']);
      expect(code).toBe(1);
      expect(`${stdout}${stderr}`).toContain(`HOLDFAST_RECOVERY_PROMPT: ${file} cannot be used: `);
      expect(`${stdout}${stderr}`).toContain(why);
    }
  });
});
