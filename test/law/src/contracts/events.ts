import { Type, type Static } from 'typebox';
import { Compile } from 'typebox/compile';

import { idPattern } from './ids.ts';

export const Event = Type.Object({ id: Type.String({ pattern: idPattern }) });
export type Event = Static<typeof Event>;
export const eventShape = Compile(Event);
