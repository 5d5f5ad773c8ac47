/**
 * One clock for everything on the page that counts: whoever asks for the same period is called in the same task, so that many
 * counters cost one render. It stands still while nobody sees it, and is right at once when the tab is shown again.
 */
type Beat = { listeners: Set<() => void>; timer: ReturnType<typeof setTimeout> | null };

const beats = new Map<number, Beat>();

const isHidden = () => typeof document !== 'undefined' && document.visibilityState === 'hidden';

/** Calls `listener` at each whole multiple of `everyMs`, until what it answers with is called. */
export function onTick(everyMs: number, listener: () => void): () => void {
  const beat = beats.get(everyMs) ?? { listeners: new Set(), timer: null };
  if (beats.size === 0) watchVisibility(true);
  beats.set(everyMs, beat);
  beat.listeners.add(listener);
  schedule(everyMs, beat);
  return () => {
    beat.listeners.delete(listener);
    if (beat.listeners.size > 0 || beats.get(everyMs) !== beat) return;
    stop(beat);
    beats.delete(everyMs);
    if (beats.size === 0) watchVisibility(false);
  };
}

function schedule(everyMs: number, beat: Beat): void {
  if (beat.timer !== null || isHidden()) return;
  beat.timer = setTimeout(
    () => {
      beat.timer = null;
      tell(beat);
      if (beat.listeners.size > 0) schedule(everyMs, beat);
    },
    everyMs - (Date.now() % everyMs),
  );
}

function stop(beat: Beat): void {
  if (beat.timer !== null) clearTimeout(beat.timer);
  beat.timer = null;
}

function tell(beat: Beat): void {
  for (const listener of beat.listeners) listener();
}

function visibilityChanged(): void {
  for (const [everyMs, beat] of beats) {
    if (isHidden()) {
      stop(beat);
    } else {
      tell(beat);
      schedule(everyMs, beat);
    }
  }
}

function watchVisibility(isOn: boolean): void {
  if (typeof document === 'undefined') return;
  if (isOn) document.addEventListener('visibilitychange', visibilityChanged);
  else document.removeEventListener('visibilitychange', visibilityChanged);
}
