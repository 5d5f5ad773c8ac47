/** The text with which a team's root is told of an interruption: the built-in one, or a file's (`HOLDFAST_RECOVERY_PROMPT`). */
import { readFileSync } from 'node:fs';

import {
  RECOVERY_TEMPLATE,
  RECOVERY_TEMPLATE_CHARS,
  templateProblem,
} from './domain/recovery-text.ts';

/**
 * `setting`: null, `off`, or the file's path. Answers the template, or what is wrong with the file in a sentence that says what
 * to do. When nobody is to be told, that is the built-in one: what an earlier start owes, with another setting, is told all the same.
 */
export function readRecoveryTemplate(
  setting: string | null,
): { template: string } | { problem: string } {
  if (setting === null || setting === 'off') return { template: RECOVERY_TEMPLATE };
  const because = (why: string): { problem: string } => ({
    problem: `HOLDFAST_RECOVERY_PROMPT: ${setting} cannot be used: ${why}. Correct the file, or unset the variable for the built-in text, or set it to off.`,
  });
  let bytes: Buffer;
  try {
    bytes = readFileSync(setting);
  } catch (error) {
    return because(error instanceof Error ? error.message : String(error));
  }
  if (bytes.length > 4 * RECOVERY_TEMPLATE_CHARS)
    return because(`it is longer than ${RECOVERY_TEMPLATE_CHARS} characters`);
  let template: string;
  try {
    template = new TextDecoder('utf-8', { fatal: true }).decode(bytes).trim();
  } catch {
    return because('it is not UTF-8');
  }
  const problem = templateProblem(template);
  return problem === null ? { template } : because(problem);
}
