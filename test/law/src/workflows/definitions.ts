import { defineSignal } from '@temporalio/workflow';

import type { Event } from '../contracts/events.ts';

export const send = defineSignal<[Event]>('send');
