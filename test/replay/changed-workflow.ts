/** The workflows with one timer more than the recorded histories have: what a careless change looks like. */
import { sleep } from '@temporalio/workflow';

import type { TriggerInputValue } from '../../src/contracts/triggers.ts';
import {
  conversation as unchanged,
  type ConversationRunInput,
} from '../../src/workflows/conversation.ts';
import { table as unchangedTable, type TableRunInput } from '../../src/workflows/table.ts';
import { trigger as unchangedTrigger } from '../../src/workflows/trigger.ts';

export async function conversation(input: ConversationRunInput): Promise<void> {
  await sleep(1);
  await unchanged(input);
}

export async function table(input: TableRunInput): Promise<void> {
  await sleep(1);
  await unchangedTable(input);
}

export async function trigger(input: TriggerInputValue): Promise<void> {
  await sleep(1);
  await unchangedTrigger(input);
}
