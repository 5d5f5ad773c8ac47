/** A real Claude Code that has lost the session it was to go on with, run by the engine's own custody. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, it, onTestFinished } from 'vitest';

import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import {
  accept,
  home,
  log,
  newCustody,
  setUpCustody,
  store,
  under,
} from '../../activities/custody-harness.ts';
import { eventually } from '../../support/eventually.ts';
import { type Answer, startModelApi } from './model-api.ts';

setUpCustody();

const says = (text: string): Answer => ({ type: 'message', parts: [{ type: 'text', text }] });

it('goes on in a new session that is told what was said, within the same attempt', async () => {
  const api = await startModelApi();
  onTestFinished(() => api.close());
  const custody = newCustody(
    {
      environment: {
        PATH: process.env['PATH'],
        HOME: home,
        ANTHROPIC_BASE_URL: api.url,
        ANTHROPIC_API_KEY: 'no-key',
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
        DISABLE_TELEMETRY: '1',
      },
    },
    { providers: new Map([['scripted', createClaudeProvider()]]) },
  );
  api.script.push(says('I will remember.'), says('heliotrope'));
  const one = await accept('remember the word heliotrope');
  expect((await custody.run(one)).outcome).toBe('completed');
  await custody.endIdleSessions();
  await eventually(() => under(one).length === 0);
  rmSync(join(home, '.claude', 'projects'), { recursive: true });
  const two = await accept('which word?');
  expect(await custody.run(two)).toEqual({ outcome: 'completed', cause: null });
  expect(await store.answerText(two.turnId, 1)).toBe('heliotrope');
  const notices = (await log(two)).flatMap((event) =>
    event.type === 'notice' ? [event.payload.code] : [],
  );
  expect(notices).toEqual(['session_lost']);
  const asked = JSON.stringify(api.requests.at(-1)?.messages);
  expect(asked).toContain('remember the word heliotrope');
  expect(asked).toContain('I will remember.');
  expect(asked).toContain('which word?');
});
