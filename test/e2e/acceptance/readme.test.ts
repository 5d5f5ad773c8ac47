/** README.md, as a newcomer follows it: every command answers, every link leads somewhere. */
import { globSync } from 'node:fs';

import { afterAll, beforeEach, expect, test } from 'vitest';

import { Holdfast, projectFolder } from '../../support/holdfast.ts';
import { temporalBinary } from '../../support/temporal.ts';
import { deadLinksOf, expectAnswers, shellBlocksOf, typeBlocks } from './shell-blocks.ts';

const holdfast = new Holdfast({
  temporalBinary: temporalBinary(),
  // Installing is tried elsewhere; here it would be done under the feet of other tests.
  environment: { npm_config_ignore_scripts: 'true' },
});

beforeEach(({ onTestFailed }) => {
  onTestFailed(() => void process.stderr.write(holdfast.logs()));
});

afterAll(async () => {
  await holdfast.discard();
});

test('every command answers, from npm start to holdfast stop', { timeout: 240_000 }, async () => {
  const [start = '', runTests, ...blocks] = shellBlocksOf('README.md');
  expect(start).toBe('npm start\n');
  // That is what runs this.
  expect(runTests).toBe('npm test\n');
  await holdfast.start({ command: { program: '/bin/sh', args: ['-c', `exec ${start.trim()}`] } });

  expectAnswers(await typeBlocks(blocks, holdfast), [
    [
      /"conversationId":"hello".*"state":"idle"/,
      /"requestId":"r1".*"outcome":"completed".*"text":"Hello/,
    ],
    [/"lastSeq":\d+/, /^id: 1\nevent: conversation\.created$/m, /^event: chat\.done$/m],
    [/You wrote “And what can you do\?”/, /^> Hello, who are you\?$/m],
    [/w0 w1 .* w19 [^]*built\./],
    [
      /"status":"started"/,
      /^turn-host +process \d+/m,
      /^turn +t\w+ of hello, attempt 1/m,
      /^Turn t\w+: cancelled\.$/m,
    ],
    [
      /"tableId":"desk"/,
      /"requestId":"f1","status":"started"/,
      /"requestId":"f2","status":"queued"/,
      /"requestId":"s1".*"outcome":"completed".*something else/,
    ],
    [
      /and then that, please.*"held":true/,
      /"held":false/,
      /"conversationId":"second".*\\u0002something\\u0003/,
      /"conversationId":"third"/,
      /"table":\{"tableId":"desk".*"active":\{/,
    ],
    [/^copy-of-second$/m],
    [
      /"triggerId":"tick".*"everyMs":2000.*"rule":"r1"/,
      /"items":\[\{"triggerId":"tick","dueAt":"[^"]+","decidedAt":"[^"]+","outcome":"fired","words":"In time, /,
      /^tick +"What is new\?" +every 2 s +\d.* (in \d s|now) +fired \d/m,
    ],
    [
      /Holdfast is stopped\./,
      / caught-up +clock +Missed: Holdfast was not running .* Run now, as the latest of \d+ \(run-once\)\.$/m,
      / skipped \(missed\) +- +Missed: .* Not run: of \d+, run-once runs the latest\.$/m,
      /\{"triggerId":"tick","removed":true\}/,
    ],
    [
      /^root .* 1 applied /m,
      /^└─ helper +idle, completed +1 applied .* It is 42\.$/m,
      /^> \[Holdfast mail\] Agent helper has finished its task and says:$/m,
    ],
    [
      /"agentId":"critic"/,
      /"messageId":"m1".*"state":"(accepted|delivered|applied)"/,
      /"rootId":"lead"/,
    ],
    [/conversation:hello/, /"state":"idle"/, /Signal workflow succeeded/],
    [/^ok +node /m, /Nothing is in the way\.[^]*Holdfast is stopped\./],
  ]);
  // 3: nothing runs.
  expect((await holdfast.run(['status'])).code).toBe(3);
});

test('no document has a link that leads nowhere', () => {
  const documents = ['README.md', ...globSync('docs/**/*.md', { cwd: projectFolder })];
  const dead = documents.flatMap((document) =>
    deadLinksOf(document).map((link) => ({ document, link })),
  );
  expect(dead).toEqual([]);
});
