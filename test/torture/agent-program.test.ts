/** What agents are told to do is what a run can carry and the checker can work out. */
import { expect, test } from 'vitest';

import { agentScript, nextAgentAction } from './agent-program.ts';
import { Random } from './random.ts';
import { expectationOf } from './script.ts';
import { stepsOf } from './team-log.ts';

const seeds = Array.from({ length: 300 }, (_, index) => index);

/** A script with every one that is within it, and how deep; `names`: how many agents there may be. */
function scriptsOf(
  seed: number,
  names = 29,
): { made: string[]; all: { text: string; depth: number }[] } {
  const made: string[] = [];
  const text = agentScript(new Random(`script ${seed}`), {
    mark: `s${seed}`,
    members: ['root', 'n0'],
    takeName: () => {
      if (made.length >= names) return null;
      made.push(`n${made.length + 1}`);
      return made.at(-1) ?? null;
    },
  });
  const all = [{ text, depth: 0 }];
  for (const each of all)
    for (const step of stepsOf(each.text))
      if (step.do === 'spawn') all.push({ text: step.content, depth: each.depth + 1 });
  return { made, all };
}

test('M1: a script can be worked out, with all that it has others do; it nests twice and makes each agent once', () => {
  const depths = new Set<number>();
  for (const seed of seeds) {
    const { made, all } = scriptsOf(seed);
    for (const { text, depth } of all) {
      expect(() => expectationOf(text)).not.toThrow();
      depths.add(depth);
    }
    const spawned = all.flatMap(({ text }) =>
      stepsOf(text).flatMap((step) => (step.do === 'spawn' ? [step.agentId] : [])),
    );
    expect(spawned.toSorted()).toEqual(made.toSorted());
  }
  expect([...depths].toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
});

test('M1: no two tasks and no two messages are the same, and none is the beginning of another', () => {
  const scripts = seeds.flatMap((seed) => scriptsOf(seed).all.map(({ text }) => text));
  const messages = scripts.flatMap((text) =>
    stepsOf(text).flatMap((step) => (step.do === 'tell' ? [step.content] : [])),
  );
  for (const contents of [scripts, messages]) {
    const sorted = contents.toSorted();
    const clashes = sorted.slice(1).filter((text, index) => text.startsWith(sorted[index] ?? '\0'));
    expect(clashes).toEqual([]);
  }
  expect(messages.length).toBeGreaterThan(100);
});

test('no agent is made when there are enough', () => {
  for (const seed of seeds) expect(scriptsOf(seed, 0).all).toHaveLength(1);
});

test('every kind of action comes, and every kind of bad input', () => {
  const actions = Array.from({ length: 4_000 }, (_, index) =>
    nextAgentAction(new Random(`action ${index}`)),
  );
  expect(new Set(actions.map((action) => action.do)).size).toBe(15);
  const bad = actions.flatMap((action) => (action.do === 'bad' ? [action.what] : []));
  expect(new Set(bad).size).toBe(6);
});
