/** Whether what a trigger's Workflow was told has the documented shape: an operator may type a Signal. */
import type { TSchema } from 'typebox';
import { Compile, type Validator } from 'typebox/compile';

import {
  BackfillSignal,
  type BackfillSignalValue,
  ChangeTriggerSignal,
  type ChangeTriggerSignalValue,
  CreateTriggerSignal,
  type CreateTriggerSignalValue,
  FireTriggerSignal,
  type FireTriggerSignalValue,
  RemoveTriggerSignal,
  type RemoveTriggerSignalValue,
} from './triggers.ts';

/** A Signal of TRIGGER_SIGNAL with its argument. */
export type TriggerCommand =
  | { name: 'create'; value: CreateTriggerSignalValue }
  | { name: 'change'; value: ChangeTriggerSignalValue }
  | { name: 'remove'; value: RemoveTriggerSignalValue }
  | { name: 'fire'; value: FireTriggerSignalValue }
  | { name: 'backfill'; value: BackfillSignalValue };

const SHAPES = {
  create: Compile(CreateTriggerSignal as TSchema),
  change: Compile(ChangeTriggerSignal as TSchema),
  remove: Compile(RemoveTriggerSignal as TSchema),
  fire: Compile(FireTriggerSignal as TSchema),
  backfill: Compile(BackfillSignal as TSchema),
} satisfies Record<TriggerCommand['name'], Validator>;

/** Whether `value` is what a Signal of that name carries. */
export function isTriggerCommand(command: {
  name: TriggerCommand['name'];
  value: unknown;
}): boolean {
  return SHAPES[command.name].Check(command.value);
}
