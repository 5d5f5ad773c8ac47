import type { ReactNode } from 'react';

import type { IconName } from './icon.tsx';

export type MenuItem = {
  /** Where two have the same label. */
  key?: string;
  label: string;
  icon?: IconName;
  onSelect: () => void;
  danger?: boolean;
  disabled?: boolean;
  /** One of a choice, and whether it is the chosen one. */
  checked?: boolean;
  /** A line is drawn above it. */
  separated?: boolean;
  /** The menu stays open: it brings more items, where it is. */
  isMore?: boolean;
};

export type MenuProps = {
  label: string;
  trigger: ReactNode;
  items: readonly MenuItem[];
  align?: 'start' | 'center' | 'end';
  className?: string;
};
