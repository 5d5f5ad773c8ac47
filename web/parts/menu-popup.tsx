import { Menu as BaseMenu } from '@base-ui/react/menu';

import { Icon } from './icon.tsx';
import type { MenuItem, MenuProps } from './menu-items.ts';

/** The menu itself, open from the beginning: menu.tsx draws it in place of its button when that is first pressed. */
export function MenuPopup({ label, trigger, items, align = 'end', className = '' }: MenuProps) {
  return (
    <BaseMenu.Root defaultOpen>
      <BaseMenu.Trigger className={`menu-trigger ${className}`} aria-label={label} title={label}>
        {trigger}
      </BaseMenu.Trigger>
      <BaseMenu.Portal>
        <BaseMenu.Positioner
          className="menu-positioner"
          align={align}
          sideOffset={6}
          collisionPadding={4}
        >
          <BaseMenu.Popup className="menu-popup">
            {items.map((item) => (
              <MenuRow key={item.key ?? item.label} item={item} />
            ))}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}

function MenuRow({ item }: { item: MenuItem }) {
  const { label, icon, onSelect, danger = false, disabled = false, checked, separated } = item;
  const className = `menu-item ${danger ? 'menu-item-danger' : ''}`;
  const words = <span className="menu-item-label">{label}</span>;
  return (
    <>
      {separated === true && <BaseMenu.Separator className="menu-separator" />}
      {checked === undefined ? (
        <BaseMenu.Item
          className={className}
          label={label}
          disabled={disabled}
          closeOnClick={item.isMore !== true}
          onClick={onSelect}
        >
          {icon !== undefined && <Icon name={icon} size={17} />}
          {words}
        </BaseMenu.Item>
      ) : (
        <BaseMenu.CheckboxItem
          className={className}
          label={label}
          disabled={disabled}
          checked={checked}
          closeOnClick
          onClick={onSelect}
        >
          {icon !== undefined && <Icon name={icon} size={17} />}
          {words}
          <BaseMenu.CheckboxItemIndicator className="menu-item-check">
            <Icon name="check" size={16} />
          </BaseMenu.CheckboxItemIndicator>
        </BaseMenu.CheckboxItem>
      )}
    </>
  );
}
