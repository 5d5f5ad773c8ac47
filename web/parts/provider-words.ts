import type { ProviderItemValue } from '../client/contract.ts';

const NAMES: Readonly<Record<string, string>> = {
  claude: 'Claude Code',
  scripted: 'Scripted (demo)',
};

/** A provider as people call it; one that is not known here is called by its id. */
export function providerName(providerId: string): string {
  return Object.hasOwn(NAMES, providerId) ? (NAMES[providerId] ?? providerId) : providerId;
}

/** Those that can be used, a real one before the scripted: the first is the default. */
export function usableProviders(items: readonly ProviderItemValue[]): readonly ProviderItemValue[] {
  const found = items.filter((item) => item.found);
  return found.toSorted(
    (one, other) => Number(one.providerId === 'scripted') - Number(other.providerId === 'scripted'),
  );
}
