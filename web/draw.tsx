/** React, and all that is drawn. */
import { createRoot } from 'react-dom/client';

import { App } from './app/app.tsx';
import type { PlaceStore } from './app/place.ts';
import { createTheme } from './app/theme.ts';
import type { HoldfastClient } from './client/contract.ts';
import { wantTheRest } from './parts/later.ts';

/** When the first paint and what it needs are through. */
const QUIET_MS = 1_500;

export function draw(
  root: HTMLElement,
  { client, place }: { client: HoldfastClient; place: PlaceStore },
): void {
  createRoot(root).render(<App client={client} place={place} theme={createTheme()} />);
  setTimeout(wantTheRest, QUIET_MS);
}
