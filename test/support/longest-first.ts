/**
 * The order of the files where nothing is known of an earlier run, as on a fresh machine: what takes longest begins first. Vitest goes by
 * size, and a short file that waits for 90 s of absence, begun last, is waited for alone.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Beginnings of names under test/, the longest first. */
const LONGEST = [
  'e2e/acceptance/triggers-faults',
  'e2e/acceptance/triggers-policies',
  'e2e/acceptance/agents-life',
  'e2e/cli/holdfast',
  'e2e/acceptance/agents-recovery',
  'e2e/acceptance/tables-scenarios',
  'e2e/acceptance/readme',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- that of the class, not of an array
    const sorted = await super.sort(files);
    const groups = new Map<string, TestSpecification[]>();
    for (const file of sorted)
      groups.set(file.project.name, [...(groups.get(file.project.name) ?? []), file]);
    return [...groups.values()].flatMap((group) => [
      ...LONGEST.flatMap((name) => group.filter(({ moduleId }) => moduleId.includes(name))),
      ...group.filter(({ moduleId }) => !LONGEST.some((name) => moduleId.includes(name))),
    ]);
  }
}
