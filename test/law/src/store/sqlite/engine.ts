import { DatabaseSync } from 'node:sqlite';

import { eventShape } from '../../contracts/events.ts';
import { openSegment } from '../../domain/segments/open.ts';
import { fold, type Store } from '../port.ts';

export const open = (): [Store | null, unknown] => [
  null,
  [new DatabaseSync(':memory:'), eventShape, openSegment, fold],
];
