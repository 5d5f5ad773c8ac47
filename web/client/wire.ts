/** Frames as they come from the gateway, which is trusted to keep its own contract; what it adds later is ignored. */
import type { Event } from '../../src/contracts/events.ts';
import type { ServerFrame } from '../../src/contracts/frames.ts';

/** A text frame; null: it is not one of this protocol. */
export function frameOf(text: string): Event | ServerFrame | null {
  try {
    const value: unknown = JSON.parse(text);
    return isFrame(value) ? value : null;
  } catch {
    return null;
  }
}

/** Whether it is an event of a log: those alone have a `seq`. */
export function isEvent(frame: Event | ServerFrame): frame is Event {
  return 'seq' in frame && typeof frame.seq === 'number';
}

/** The answer or payload, which has the shape that its route or type promises; null: it is no object at all. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller names the shape that its route promises
export function shapeOf<T extends object>(value: unknown): T | null {
  return isObject<T>(value) ? value : null;
}

function isFrame(value: unknown): value is Event | ServerFrame {
  return isRecord(value) && typeof value['type'] === 'string';
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
function isObject<T extends object>(value: unknown): value is T {
  return typeof value === 'object' && value !== null;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
