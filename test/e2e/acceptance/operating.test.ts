/** docs/operating.md, as an operator follows it: every command answers. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { sharedHoldfast } from './shared-holdfast.ts';
import { expectAnswers, shellBlocksOf, typeBlocks } from './shell-blocks.ts';

const holdfast = sharedHoldfast();

test('every command answers, and the backup is made', { timeout: 240_000 }, async () => {
  const backup = join(holdfast.workspace, 'backup.tgz');
  const blocks = shellBlocksOf('docs/operating.md').map((block) =>
    block.replace('holdfast-backup.tgz', backup),
  );
  expectAnswers(await typeBlocks(blocks, holdfast), [
    [/^worker +process \d+/m],
    [/Nothing is in the way\./],
    [/w0 w1 w2 w3 w4 [^]*The turn failed \(provider_error\)\./],
    [/conversation:ops/, /WorkflowId +conversation:ops/, /^ *Idle\.$/m, /"inWords":"Idle\."/],
    [/Signal workflow succeeded[^]*Signal workflow succeeded/],
    [/Signal workflow succeeded/],
    [
      /^In all: 1 fired, 0 late, 2 caught-up, 0 skipped, 0 rejected\.$/m,
      /^nightly +"#script words 3" +cron 0 3 \* \* \* Europe\/Berlin +paused +fired \(manual\) /m,
    ],
    [
      /^ *trigger:nightly +\{"Workflow":"trigger"\} +false /m,
      /Notes +r1/,
      /Completed +trigger:nightly +trigger /,
      /Trigger request sent/,
      /WorkflowId +trigger:nightly$/m,
    ],
    [
      /^└─ scout +(idle, completed|processing) .*\b1 applied /m,
      /Signal workflow succeeded[^]*Signal workflow succeeded[^]*Signal workflow succeeded/,
    ],
    [/^$/],
    [/Search attributes have been added/],
    [/Holdfast is stopped\./],
  ]);
  expect(existsSync(backup)).toBe(true);
});
