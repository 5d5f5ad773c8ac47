import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test } from 'vitest';

import { mailWords, stateWords, treeMove, treeRows } from '../../../web/panels/agent-rows.ts';
import { AgentTree } from '../../../web/panels/agent-tree.tsx';
import { canResend, mailAt, reasonWords } from '../../../web/panels/mail-words.ts';
import { agent, mailRow } from '../app/fixtures.ts';

const root = agent();
const one = agent({ conversationId: 'a1', agentId: 'one', parentId: 'c1', name: 'One', depth: 1 });
const deep = agent({ conversationId: 'a2', agentId: 'two', parentId: 'a1', name: 'Two', depth: 2 });
const last = agent({
  conversationId: 'a3',
  agentId: 'three',
  parentId: 'c1',
  name: 'Three',
  depth: 1,
});
/** As the engine gives them: a parent before its children, and not each child next to its parent. */
const team = [root, one, last, deep];
const ids = (folded: string[] = []) =>
  treeRows(team, new Set(folded)).map((row) => row.agent.conversationId);

describe('the tree', () => {
  test('each below its parent, with its level and place', () => {
    expect(ids()).toEqual(['c1', 'a1', 'a2', 'a3']);
    expect(
      treeRows(team, new Set()).map(({ level, place, siblings, isOpen }) => [
        level,
        place,
        siblings,
        isOpen,
      ]),
    ).toEqual([
      [1, 1, 1, true],
      [2, 1, 2, true],
      [3, 1, 1, null],
      [2, 2, 2, null],
    ]);
  });
  test('what is folded hides all below it', () => {
    expect(ids(['a1'])).toEqual(['c1', 'a1', 'a3']);
    expect(ids(['c1'])).toEqual(['c1']);
  });
  test('one whose parent is not there stands at the top', () => {
    expect(treeRows([deep], new Set())[0]).toMatchObject({ level: 1 });
  });
  test('the keys of a tree', () => {
    const rows = treeRows(team, new Set());
    const select = (conversationId: string) => ({ is: 'select', conversationId });
    expect(treeMove(rows, 'a1', 'ArrowDown')).toEqual(select('a2'));
    expect(treeMove(rows, 'a1', 'ArrowUp')).toEqual(select('c1'));
    expect(treeMove(rows, 'c1', 'ArrowUp')).toBeNull();
    expect(treeMove(rows, 'a3', 'ArrowDown')).toBeNull();
    expect(treeMove(rows, 'a3', 'Home')).toEqual(select('c1'));
    expect(treeMove(rows, 'c1', 'End')).toEqual(select('a3'));
    expect(treeMove(rows, 'a1', 'ArrowRight')).toEqual(select('a2'));
    expect(treeMove(rows, 'a2', 'ArrowRight')).toBeNull();
    expect(treeMove(rows, 'a2', 'ArrowLeft')).toEqual(select('a1'));
    expect(treeMove(rows, 'a3', 'ArrowLeft')).toEqual(select('c1'));
    expect(treeMove(rows, 'a1', 'ArrowLeft')).toEqual({ is: 'fold', conversationId: 'a1' });
    const folded = treeRows(team, new Set(['a1']));
    expect(treeMove(folded, 'a1', 'ArrowRight')).toEqual({ is: 'unfold', conversationId: 'a1' });
    expect(treeMove(folded, 'a1', 'ArrowLeft')).toEqual(select('c1'));
    expect(treeMove(rows, 'a1', 'x')).toBeNull();
  });
  test('is drawn as a tree, of which one row takes the focus', () => {
    const none = () => {};
    const markup = renderToStaticMarkup(
      createElement(AgentTree, {
        agents: team,
        selectedId: 'a1',
        shownId: 'c1',
        onSelect: none,
        onOpen: none,
      }),
    );
    expect(markup).toContain('role="tree"');
    expect(markup.match(/role="treeitem"/g)).toHaveLength(4);
    expect(markup.match(/tabindex="0"/gi)).toHaveLength(1);
    expect(markup.match(/aria-selected="true"/g)).toHaveLength(1);
    expect(markup.match(/aria-expanded="true"/g)).toHaveLength(2);
    expect(markup).toContain('aria-level="3"');
  });
});

describe('the state of an agent', () => {
  test.each([
    [{ approvals: 1, state: 'processing' }, 'needs approval'],
    [{ state: 'processing', outcome: 'failed' }, 'running'],
    [{ state: 'cancelled' }, 'cancelling'],
    [{ queued: 2 }, 'queued 2'],
    [{ outcome: null }, 'idle'],
    [{ outcome: 'failed' }, 'failed'],
    [{ outcome: 'interrupted' }, 'interrupted'],
  ] as const)('%j: %s', (part, words) => {
    expect(stateWords(agent(part)).words).toBe(words);
  });
});

describe('mail', () => {
  const counted = (part: object) => mailWords(agent({ mail: { ...agent().mail, ...part } }));
  test('what was taken is not spoken of', () => {
    expect(counted({ applied: 7 })).toBeNull();
    expect(counted({ accepted: 1, delivered: 2 })).toBe('3 waiting');
    expect(counted({ delivered: 1, failed: 1, expired: 1 })).toBe('1 waiting, 2 not taken');
  });
  test('only what failed or expired can be sent again', () => {
    const states = ['accepted', 'delivered', 'applied', 'failed', 'expired'] as const;
    expect(states.filter((state) => canResend(mailRow({ state })))).toEqual(['failed', 'expired']);
  });
  test('why, in words; a code that is not known as it is', () => {
    expect(reasonWords(mailRow())).toBeNull();
    expect(reasonWords(mailRow({ reason: 'removed' }))).toBe('it was removed from the queue');
    expect(reasonWords(mailRow({ reason: 'toString' }))).toBe('toString');
  });
  test('the newest time that is known', () => {
    const row = mailRow();
    expect(mailAt(row)).toBe(row.appliedAt);
    const { appliedAt, deliveredAt, ...accepted } = row;
    expect(mailAt({ ...accepted, deliveredAt: deliveredAt! })).toBe(deliveredAt);
    expect(mailAt(accepted)).toBe(row.acceptedAt);
    expect(appliedAt).toBeDefined();
  });
});
