/** Signals that came before the code of a run did: with its start, while no worker was there, or while it continued as new. */
import { patched, setDefaultSignalHandler } from '@temporalio/workflow';

/**
 * Gives them to `take` in the order in which they came. To be called before any handler is set: each handler is first given
 * all that bears its name, and a cancel of before a message would cancel that message.
 *
 * Histories of earlier versions, which took them name by name, replay as they were.
 */
export function takeInOrderOfArrival(take: (name: string, value: unknown) => void): void {
  if (patched('order-of-arrival')) setDefaultSignalHandler((name, value) => take(name, value));
}
