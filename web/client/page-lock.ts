/** What one page of this browser does for all of them: the one that has its lock. */
import type { Parts } from './parts.ts';

/**
 * Waits for that lock, and has it until what is answered is called. `onHeld`: no other page has it any more. A page that may not ask
 * for locks takes it at once: what is done under one id is harmless twice, and never is not.
 */
export function holdPageLock(
  { locks }: Pick<Parts, 'locks'>,
  name: string,
  onHeld: () => void,
): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hold = async (): Promise<void> => {
    try {
      await locks?.request(`holdfast.${name}`, async () => {
        onHeld();
        await promise;
      });
    } catch {
      onHeld();
    }
  };
  void hold();
  return resolve;
}
