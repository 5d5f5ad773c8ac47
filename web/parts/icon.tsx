import type { ReactNode } from 'react';

export type IconName =
  | 'send'
  | 'stop'
  | 'plus'
  | 'search'
  | 'menu'
  | 'more'
  | 'copy'
  | 'check'
  | 'edit'
  | 'fork'
  | 'undo'
  | 'retry'
  | 'up'
  | 'down'
  | 'trash'
  | 'bolt'
  | 'pause'
  | 'play'
  | 'clock'
  | 'chevron'
  | 'close'
  | 'agents'
  | 'why'
  | 'sun'
  | 'moon'
  | 'auto'
  | 'sidebar'
  | 'external'
  | 'tool'
  | 'warning'
  | 'archive'
  | 'back'
  | 'mail'
  | 'keyboard';

/** Drawn on a grid of 20, by strokes alone, so that all of them have one weight. */
const SHAPES: Readonly<Record<IconName, ReactNode>> = {
  send: <path d="M10 16.25V3.75M4.75 9 10 3.75 15.25 9" />,
  stop: <rect x="5.25" y="5.25" width="9.5" height="9.5" rx="1.75" />,
  plus: <path d="M10 4.25v11.5M4.25 10h11.5" />,
  search: <path d="M13.1 13.1 16.75 16.75M14.5 9a5.5 5.5 0 1 1-11 0 5.5 5.5 0 0 1 11 0Z" />,
  menu: <path d="M3.5 6h13M3.5 10h13M3.5 14h13" />,
  more: <path d="M4.75 10h.01M10 10h.01M15.25 10h.01" strokeWidth="2.25" />,
  copy: (
    <>
      <rect x="7.25" y="7.25" width="9" height="9" rx="2" />
      <path d="M12.75 5.25A1.5 1.5 0 0 0 11.25 3.75H5.5A1.75 1.75 0 0 0 3.75 5.5v5.75a1.5 1.5 0 0 0 1 1.5" />
    </>
  ),
  check: <path d="m4.25 10.75 3.75 3.75 7.75-9" />,
  edit: (
    <path d="m11.75 5.5 2.75 2.75M4 16l.75-3.5 8.4-8.4a1.6 1.6 0 0 1 2.25 0l.5.5a1.6 1.6 0 0 1 0 2.25l-8.4 8.4L4 16Z" />
  ),
  fork: (
    <>
      <circle cx="6" cy="4.75" r="1.75" />
      <circle cx="6" cy="15.25" r="1.75" />
      <circle cx="14" cy="6.75" r="1.75" />
      <path d="M6 6.5v7M14 8.5c0 3-4.5 2.25-7.5 5.1" />
    </>
  ),
  undo: <path d="M4 8h8a4 4 0 0 1 0 8H7.5M4 8l3.5-3.5M4 8l3.5 3.5" />,
  retry: <path d="M15.9 8.25A6.25 6.25 0 1 0 16.25 10M16.25 4.25v4h-4" />,
  up: <path d="M10 15.5v-11M5.5 9 10 4.5 14.5 9" />,
  down: <path d="M10 4.5v11M5.5 11l4.5 4.5 4.5-4.5" />,
  trash: (
    <path d="M3.75 5.75h12.5M8 5.5V4.25A.75.75 0 0 1 8.75 3.5h2.5a.75.75 0 0 1 .75.75V5.5M5.25 5.75l.6 9.1a1.75 1.75 0 0 0 1.75 1.65h4.8a1.75 1.75 0 0 0 1.75-1.65l.6-9.1M8.5 9v4.5M11.5 9v4.5" />
  ),
  bolt: <path d="M11 3 4.75 11.25h4.5L8.75 17 15.25 8.5h-4.5L11 3Z" />,
  pause: <path d="M7 4.75v10.5M13 4.75v10.5" />,
  play: <path d="M6.25 4.5v11l9-5.5-9-5.5Z" />,
  clock: <path d="M10 6.25V10l2.5 1.75M16.5 10a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0Z" />,
  chevron: <path d="m6 8 4 4 4-4" />,
  close: <path d="m5 5 10 10M15 5 5 15" />,
  agents: (
    <>
      <circle cx="10" cy="4.75" r="1.75" />
      <circle cx="4.75" cy="14.75" r="1.75" />
      <circle cx="15.25" cy="14.75" r="1.75" />
      <path d="M10 6.5V10M4.75 13v-1.25A1.75 1.75 0 0 1 6.5 10h7a1.75 1.75 0 0 1 1.75 1.75V13" />
    </>
  ),
  why: (
    <path d="M7.9 7.9a2.15 2.15 0 1 1 3 2c-.6.27-.9.7-.9 1.35v.25M10 13.75h.01M16.5 10a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0Z" />
  ),
  sun: (
    <path d="M13 10a3 3 0 1 1-6 0 3 3 0 0 1 6 0ZM10 2.75v1.5M10 15.75v1.5M2.75 10h1.5M15.75 10h1.5M4.9 4.9l1.05 1.05M14.05 14.05l1.05 1.05M4.9 15.1l1.05-1.05M14.05 5.95 15.1 4.9" />
  ),
  moon: <path d="M16.25 11.9A6.75 6.75 0 0 1 8.1 3.75a6.75 6.75 0 1 0 8.15 8.15Z" />,
  auto: (
    <path d="M16.5 10a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0ZM10 3.5v13M12.25 4v12M14.5 5.4v9.2" />
  ),
  sidebar: (
    <>
      <rect x="3" y="4" width="14" height="12" rx="2.25" />
      <path d="M8 4v12" />
    </>
  ),
  external: (
    <path d="M11.5 4.25h4.25V8.5M15.5 4.5 9.25 10.75M8.25 5H5.5A1.75 1.75 0 0 0 3.75 6.75v7.75a1.75 1.75 0 0 0 1.75 1.75h7.75A1.75 1.75 0 0 0 15 14.5v-2.75" />
  ),
  tool: (
    <path d="M12.9 3.9a4 4 0 0 0-4.4 5.35L3.9 13.9a1.55 1.55 0 0 0 2.2 2.2l4.65-4.6a4 4 0 0 0 5.35-4.4L13.6 9.6l-2.5-.7-.7-2.5 2.5-2.5Z" />
  ),
  warning: (
    <path d="M10 8v3.25M10 13.75h.01M8.8 4.2 3 14.25a1.4 1.4 0 0 0 1.2 2.1h11.6a1.4 1.4 0 0 0 1.2-2.1L11.2 4.2a1.4 1.4 0 0 0-2.4 0Z" />
  ),
  archive: (
    <>
      <rect x="3" y="4" width="14" height="3.5" rx="1" />
      <path d="M4.25 7.5v6.75A1.75 1.75 0 0 0 6 16h8a1.75 1.75 0 0 0 1.75-1.75V7.5M8.25 10.5h3.5" />
    </>
  ),
  back: <path d="m11.75 5-5 5 5 5" />,
  mail: (
    <>
      <rect x="3" y="4.75" width="14" height="10.5" rx="2" />
      <path d="m3.75 6.5 5.2 4a1.7 1.7 0 0 0 2.1 0l5.2-4" />
    </>
  ),
  keyboard: (
    <>
      <rect x="2.75" y="5.25" width="14.5" height="9.5" rx="2" />
      <path d="M6 8.5h.01M8.67 8.5h.01M11.33 8.5h.01M14 8.5h.01M7.25 11.75h5.5" />
    </>
  ),
};

/** A picture beside words, hidden from assistive technology: the control that holds it has the name. `size` in pixels. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 20 20"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {SHAPES[name]}
    </svg>
  );
}
