import { useMemo, useRef } from 'react';

/** As much of a list as tells where it is. */
type Scrolled = { readonly scrollOffset: number; readonly scrollSize: number };

/** A scroll that follows an input within this time may come from it: wheels and flings go on for a while. */
const INPUT_MS = 1_200;
/** Without an input it takes so much more than the list has shrunk: somebody's script, or a screen reader. */
const LEAP_PX = 200;

/**
 * Whether a scroll was meant to leave the end. A virtual list moves by itself when rows turn out to be larger or smaller than
 * was thought; then its offset and its size change by the same amount, and nobody has touched anything.
 */
export function isUpwards(before: Scrolled, after: Scrolled, hasInput: boolean): boolean {
  const moved = before.scrollOffset - after.scrollOffset;
  const shrunk = Math.max(0, before.scrollSize - after.scrollSize);
  return moved > 0 && moved > shrunk + (hasInput ? 1 : LEAP_PX);
}

/** {@link isUpwards} of one list: `listeners` are for it, and `note` is called with each scroll. */
export function useScrollIntent() {
  const last = useRef<Scrolled>({ scrollOffset: 0, scrollSize: 0 });
  const inputAtMs = useRef(-INPUT_MS);
  const isHeld = useRef(false);
  return useMemo(() => {
    const touched = (): void => {
      inputAtMs.current = performance.now();
    };
    const released = (): void => {
      isHeld.current = false;
      touched();
    };
    return {
      isUpwards: (view: Scrolled): boolean =>
        isUpwards(
          last.current,
          view,
          isHeld.current || performance.now() - inputAtMs.current < INPUT_MS,
        ),
      note({ scrollOffset, scrollSize }: Scrolled): void {
        last.current = { scrollOffset, scrollSize };
      },
      listeners: {
        onWheel: touched,
        onTouchMove: touched,
        onKeyDown: touched,
        // also on its scrollbar
        onPointerDown: () => {
          isHeld.current = true;
          window.addEventListener('pointerup', released, { once: true });
          window.addEventListener('pointercancel', released, { once: true });
        },
      },
    };
  }, []);
}
