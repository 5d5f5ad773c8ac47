import { useState } from 'react';

import { later } from './later.ts';
import type { MenuProps } from './menu-items.ts';
import { useLater } from './use-later.ts';

export type { MenuItem } from './menu-items.ts';

const popup = later(() => import('./menu-popup.tsx'));

/**
 * A button named `label` that opens a menu of commands. `trigger` is what is seen of the button; `align` is the edge of the
 * button that the menu keeps to.
 *
 * Until it is first pressed it is a bare button: of the many menus of a long list, hardly one is ever opened.
 */
export function Menu(props: MenuProps) {
  const { label, trigger, className = '' } = props;
  const [wasPressed, setWasPressed] = useState(false);
  const code = useLater(popup, wasPressed);
  if (wasPressed && code !== null) return <code.MenuPopup {...props} />;
  return (
    <button
      type="button"
      className={`menu-trigger ${className}`}
      aria-label={label}
      aria-haspopup="menu"
      aria-expanded={false}
      title={label}
      onClick={() => setWasPressed(true)}
      onKeyDown={(event) => {
        if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
        event.preventDefault();
        setWasPressed(true);
      }}
    >
      {trigger}
    </button>
  );
}
