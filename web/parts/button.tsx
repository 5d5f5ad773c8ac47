import type { ComponentProps } from 'react';

import { Icon, type IconName } from './icon.tsx';

export type ButtonProps = ComponentProps<'button'> & {
  variant?: 'primary' | 'plain' | 'danger';
  size?: 's' | 'm';
};

/** A button with words. `primary` stands at most once in a view; `type` is `button` unless said otherwise. */
export function Button({
  variant = 'plain',
  size = 'm',
  className = '',
  type = 'button',
  ...rest
}: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      className={`button button-${variant} button-${size} ${className}`}
    />
  );
}

export type IconButtonProps = Omit<ComponentProps<'button'>, 'children' | 'aria-label'> & {
  label: string;
  icon: IconName;
  size?: 's' | 'm';
};

/** A button that is a picture: `label` is its name, and shown when it is pointed at. */
export function IconButton({
  label,
  icon,
  size = 'm',
  className = '',
  type = 'button',
  title = label,
  ...rest
}: IconButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      aria-label={label}
      title={title}
      className={`icon-button icon-button-${size} ${className}`}
    >
      <Icon name={icon} size={size === 's' ? 16 : 18} />
    </button>
  );
}
