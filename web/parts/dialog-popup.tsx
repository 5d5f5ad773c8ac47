import { Dialog as BaseDialog } from '@base-ui/react/dialog';
import { useRef } from 'react';

import { IconButton } from './button.tsx';
import type { DialogProps } from './dialog-props.ts';

/** What dialog.tsx loads when a dialog is first opened. */
export function DialogPopup({
  title,
  isOpen,
  onClose,
  children,
  footer,
  initialFocus,
  className = '',
  isRequired = false,
}: DialogProps) {
  const popup = useRef<HTMLDivElement>(null);
  /** What is to be typed, or the milder answer; else the dialog itself. Never "Close", which comes first in the document. */
  const firstField = (openedBy: string) => {
    if (openedBy === 'touch') return popup.current;
    const fields = '.dialog-body :is(input, textarea, select):not(:disabled)';
    return (
      popup.current?.querySelector<HTMLElement>(`${fields}, .dialog-footer button`) ?? popup.current
    );
  };
  return (
    <BaseDialog.Root
      open={isOpen}
      disablePointerDismissal={isRequired}
      onOpenChange={(open) => {
        if (!open && !isRequired) onClose();
      }}
    >
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="dialog-backdrop" />
        <BaseDialog.Viewport className="dialog-viewport">
          <BaseDialog.Popup
            ref={popup}
            className={`dialog ${className}`}
            initialFocus={initialFocus ?? firstField}
          >
            <header className="dialog-header">
              <BaseDialog.Title className="dialog-title">{title}</BaseDialog.Title>
              {!isRequired && <IconButton label="Close" icon="close" onClick={onClose} />}
            </header>
            <div className="dialog-body">{children}</div>
            {footer !== undefined && <footer className="dialog-footer">{footer}</footer>}
          </BaseDialog.Popup>
        </BaseDialog.Viewport>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
