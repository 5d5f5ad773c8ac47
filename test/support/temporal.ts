/** What the global setups have prepared, for the tests of the projects that name them in vitest.config.ts. */
import { expect, inject } from 'vitest';

import { namespaceOf } from './temporal-server.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    temporalAddress: string;
    temporalBinary: string;
    workflowBundlePath: string;
  }
}

/** host:port of the server that all test files share; workers are for {@link ownNamespace}. */
export const temporalAddress = (): string => inject('temporalAddress');

/**
 * The present test file's own namespace, and the server that it is on. Every turn host serves one queue of the same name, so in a
 * shared one another file's host would claim this file's conversations.
 */
export const ownNamespace = (): { address: string; namespace: string } => ({
  address: temporalAddress(),
  namespace: namespaceOf(expect.getState().testPath ?? ''),
});

/** The `temporal` CLI that the server was started with. */
export const temporalBinary = (): string => inject('temporalBinary');

/** The workflows, bundled from the present sources. */
export const workflowBundlePath = (): string => inject('workflowBundlePath');
