import { useState } from 'react';

import type { DialogProps } from './dialog-props.ts';
import { later } from './later.ts';
import { useLater } from './use-later.ts';

const popup = later(() => import('./dialog-popup.tsx'));

/**
 * A modal dialog named by its title: the focus stays in it, Escape and its button "Close" call `onClose`. On a narrow screen
 * it is a sheet at the lower edge.
 */
export function Dialog(props: DialogProps) {
  const { isOpen } = props;
  // from then on it is drawn while closed, too, so that it can go as it came
  const [wasOpen, setWasOpen] = useState(isOpen);
  if (isOpen && !wasOpen) setWasOpen(true);
  const code = useLater(popup, wasOpen);
  return wasOpen && code !== null ? <code.DialogPopup {...props} /> : null;
}
