/** The providers this build knows, and what of them is found on this machine. */
import type { Provider, ProviderCapabilities } from '../contracts/provider-events.ts';
import { createClaudeProvider } from './claude/provider.ts';
import { scriptedProvider } from './scripted/provider.ts';

/** An item of `GET /v1/providers`. */
export type ProviderDescription = {
  providerId: string;
  found: boolean;
  version: string | null;
  capabilities: ProviderCapabilities;
  /** Why it cannot be used, or what is wrong with it though it can; null: nothing. */
  problem: string | null;
};

/** Every provider by its id, in the order they are listed. */
export function createProviders(): ReadonlyMap<string, Provider> {
  const providers = [scriptedProvider, createClaudeProvider()];
  return new Map(providers.map((provider) => [provider.providerId, provider]));
}

/** Looks all of them up, side by side, with the PATH of `environment`. */
export async function describeProviders({
  providers,
  environment,
}: {
  providers: ReadonlyMap<string, Provider>;
  environment: Readonly<Record<string, string | undefined>>;
}): Promise<ProviderDescription[]> {
  return await Promise.all(
    [...providers.values()].map(async (provider) => {
      const { providerId, capabilities } = provider;
      const found = await provider.lookup(environment);
      return {
        providerId,
        found: found.found,
        version: found.found ? found.version : null,
        capabilities,
        problem: found.problem,
      };
    }),
  );
}
