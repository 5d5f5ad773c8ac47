import { describe, expect, it } from 'vitest';

import { createProviders, describeProviders } from '../../src/providers/registry.ts';

describe('registry', () => {
  it('has each provider under its own id', () => {
    const providers = createProviders();
    expect([...providers.keys()]).toEqual(['scripted', 'claude']);
    for (const [providerId, provider] of providers) expect(provider.providerId).toBe(providerId);
  });

  it('those that say they take a message in mid-turn have a driver that does', () => {
    const spec = { workspacePath: '', model: null, resumeSessionId: null, newSessionId: 'n' };
    for (const provider of createProviders().values())
      expect(provider.createDriver(spec).steer !== undefined).toBe(provider.capabilities.steer);
  });

  it('describes all of them, whatever is found', async () => {
    const capabilities = {
      warmSessions: true,
      approvals: true,
      protocolCancel: true,
      resume: true,
      steer: true,
    };
    expect(await describeProviders({ providers: createProviders(), environment: {} })).toEqual([
      { providerId: 'scripted', found: true, version: '1.3.0', capabilities, problem: null },
      {
        providerId: 'claude',
        found: false,
        version: null,
        capabilities,
        problem: expect.stringContaining('no program `claude` on PATH') as unknown,
      },
    ]);
  });
});
