/** Whether a value that came from outside is an event of this version. */
import { Compile, type Validator } from 'typebox/compile';

import { EVENT_SCHEMAS, type Event } from './events.ts';

const checks = new Map<string, Validator>();

/** A stored event with the documented shape of its type. An unknown type is none. */
export function isEvent(value: Readonly<Record<string, unknown>>): value is Event {
  const { type } = value;
  if (typeof type !== 'string' || !Object.hasOwn(EVENT_SCHEMAS, type)) return false;
  const schema = EVENT_SCHEMAS[type];
  if (schema === undefined) return false;
  let check = checks.get(type);
  if (check === undefined) {
    check = Compile(schema);
    checks.set(type, check);
  }
  return check.Check(value);
}
