import { useEffect, useState } from 'react';

import type { HoldfastClient, ProviderItemValue } from '../client/contract.ts';
import { usableProviders } from './provider-words.ts';

/** Those that can be used; empty until the engine has answered, and when it cannot. */
export function useProviders(client: HoldfastClient): readonly ProviderItemValue[] {
  const [items, setItems] = useState<readonly ProviderItemValue[]>([]);
  useEffect(() => {
    let isWanted = true;
    void client.providers().then((outcome) => {
      if (isWanted && outcome.ok && 'value' in outcome) setItems(usableProviders(outcome.value));
    });
    return () => {
      isWanted = false;
    };
  }, [client]);
  return items;
}
