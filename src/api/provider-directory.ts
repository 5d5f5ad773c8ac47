import { HoldfastError } from '../contracts/errors.ts';
import type { ProviderItemValue } from '../contracts/http.ts';

/** What a new conversation or table talks to when its creator did not say: always there, and it costs nothing. A real agent acts as the user, so it is asked for by name. */
export const DEFAULT_PROVIDER = 'scripted';

/** The providers of this installation, asked at each use. */
export type ProviderDirectory = { describe(): Promise<ProviderItemValue[]> };

/** Throws: `provider_not_found`. */
export async function mustBeFound(providers: ProviderDirectory, providerId: string): Promise<void> {
  const provider = (await providers.describe()).find((item) => item.providerId === providerId);
  if (provider?.found !== true)
    throw new HoldfastError(
      'provider_not_found',
      provider === undefined
        ? 'There is no such provider; GET /v1/providers lists them.'
        : (provider.problem ?? undefined),
      { providerId },
    );
}
