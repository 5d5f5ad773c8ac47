/** What the global setups have prepared, for the tests of the projects that name them in vitest.config.ts. */
import { inject } from 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    temporalAddress: string;
    temporalBinary: string;
    workflowBundlePath: string;
  }
}

/** host:port of the server that all test files share: use workflow ids and task queues of your own. */
export const temporalAddress = (): string => inject('temporalAddress');

/** The `temporal` CLI that the server was started with. */
export const temporalBinary = (): string => inject('temporalBinary');

/** The workflows, bundled from the present sources. */
export const workflowBundlePath = (): string => inject('workflowBundlePath');
