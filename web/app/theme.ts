/** Light or dark: what was chosen, or the system's, written on the root element for web/styles/tokens.css. */
import type { Readable } from '../client/contract.ts';
import { remembered } from './remembered.ts';

export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];
export type ThemeStore = Readable<Theme> & { choose(theme: Theme): void };

/** Applied at once, before anything is drawn, and whenever the choice or the system's changes. */
export function createTheme(): ThemeStore {
  const chosen = remembered('theme');
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  const get = () => THEMES.find((theme) => theme === chosen.get()) ?? 'system';
  const apply = () => {
    const theme = get();
    const isDark = theme === 'dark' || (theme === 'system' && system.matches);
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  };
  apply();
  system.addEventListener('change', apply);
  return {
    get,
    subscribe: (listener) => chosen.subscribe(listener),
    choose(theme) {
      chosen.set(theme === 'system' ? null : theme);
      apply();
    },
  };
}
