import type { ReactNode, RefObject } from 'react';

export type DialogProps = {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
  footer?: ReactNode;
  /** What has the focus when it opens; else its first field. */
  initialFocus?: RefObject<HTMLElement | null>;
  className?: string;
  /** It cannot be closed without an answer. */
  isRequired?: boolean;
};
