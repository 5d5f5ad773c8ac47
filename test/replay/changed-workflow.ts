/** The workflows with one timer more than the recorded histories have: what a careless change looks like. */
import { sleep } from '@temporalio/workflow';

import {
  conversation as unchanged,
  type ConversationRunInput,
} from '../../src/workflows/conversation.ts';
import { table as unchangedTable, type TableRunInput } from '../../src/workflows/table.ts';

export async function conversation(input: ConversationRunInput): Promise<void> {
  await sleep(1);
  await unchanged(input);
}

export async function table(input: TableRunInput): Promise<void> {
  await sleep(1);
  await unchangedTable(input);
}
