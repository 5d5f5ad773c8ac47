import { useState } from 'react';

import type { TableFactsValue } from '../../src/contracts/view.ts';
import type { HoldfastClient, TableHandle } from '../client/contract.ts';
import { Icon } from '../parts/icon.tsx';
import { Menu, type MenuItem } from '../parts/menu.tsx';
import { useSelected } from '../parts/use-readable.ts';
import { NewTableDialog } from './new-table-dialog.tsx';
import { TextDialog } from './text-dialog.tsx';

/** So many at a time: a menu is drawn whole. */
const SHOWN = 50;

/** Which table it is; the others, a new one, another name. */
export function TableMenu({
  client,
  handle,
  tableId,
  title,
  tables,
  onTable,
}: {
  client: HoldfastClient;
  handle: TableHandle | null;
  tableId: string | null;
  title: string;
  tables: readonly TableFactsValue[];
  onTable: (tableId: string) => void;
}) {
  const [dialog, setDialog] = useState<'none' | 'new' | 'rename'>('none');
  const [shown, setShown] = useState(SHOWN);
  const hasMoreElsewhere = useSelected(client.tables, ({ hasMore }) => hasMore);
  const showMore = () => {
    setShown(shown + SHOWN);
    if (shown + SHOWN >= tables.length) client.loadMoreTables();
  };
  const close = () => setDialog('none');
  const items: MenuItem[] = [
    ...tables.slice(0, shown).map((table) => ({
      key: table.tableId,
      label: tableTitle(table.tableId === tableId ? title : table.title),
      checked: table.tableId === tableId,
      onSelect: () => onTable(table.tableId),
    })),
    ...(tables.length > shown || hasMoreElsewhere
      ? [{ label: 'More tables', icon: 'down' as const, isMore: true, onSelect: showMore }]
      : []),
    {
      label: 'New table…',
      icon: 'plus',
      separated: tables.length > 0,
      onSelect: () => setDialog('new'),
    },
    {
      label: 'Rename table…',
      icon: 'edit',
      disabled: handle === null,
      onSelect: () => setDialog('rename'),
    },
  ];
  return (
    <>
      <Menu
        label={`Table: ${tableTitle(title)}`}
        align="start"
        className="table-menu"
        items={items}
        trigger={
          <>
            <span className="table-menu-title">{tableTitle(title)}</span>
            <Icon name="chevron" size={16} />
          </>
        }
      />
      {dialog === 'new' && (
        <NewTableDialog
          client={client}
          onClose={close}
          onMade={(made) => {
            close();
            onTable(made);
          }}
        />
      )}
      {dialog === 'rename' && handle !== null && (
        <TextDialog
          title="Rename table"
          label="Title"
          initial={title}
          action="Rename"
          onSubmit={(text) => handle.rename(text)}
          onClose={close}
        />
      )}
    </>
  );
}

function tableTitle(title: string): string {
  return title.trim() === '' ? 'Untitled table' : title;
}
