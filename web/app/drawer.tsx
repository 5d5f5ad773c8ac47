import { Dialog as BaseDialog } from '@base-ui/react/dialog';
import { useRef, type ReactNode } from 'react';

/** The sidebar on a narrow screen: it slides over the conversation, keeps the focus, and goes by a tap beside it. */
export function Drawer({
  label,
  isOpen,
  onClose,
  initialFocus,
  children,
}: {
  label: string;
  isOpen: boolean;
  onClose: () => void;
  /** What has the focus when it opens; null: the drawer itself, so that no keyboard comes up with it. */
  initialFocus: () => HTMLElement | null;
  children: ReactNode;
}) {
  const popup = useRef<HTMLDivElement>(null);
  return (
    <BaseDialog.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="dialog-backdrop" />
        <BaseDialog.Popup
          ref={popup}
          className="drawer"
          aria-label={label}
          initialFocus={() => initialFocus() ?? popup.current}
        >
          {children}
        </BaseDialog.Popup>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}
