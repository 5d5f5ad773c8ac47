/** Vitest's global setup of every project whose tests talk to Temporal: one real server for all of them, with a namespace for each file that has workers there. */
import type { TestProject } from 'vitest/node';

import { findTemporalBinary, namespaceOf, startTemporal } from './temporal-server.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const binary = await findTemporalBinary();
  const { testFiles } = await project.globTestFiles();
  const sharing = testFiles.filter((file) => file.includes('/test/workflows/'));
  const server = await startTemporal({ binary, namespaces: sharing.map(namespaceOf) });
  project.provide('temporalBinary', binary);
  project.provide('temporalAddress', server.address);
  return async () => {
    const died = server.hasEnded();
    const failed = project.vitest.state
      .getFiles()
      .some((file) => file.projectName === project.name && file.result?.state === 'fail');
    if (died || failed)
      process.stderr.write(`the Temporal server's log ends:\n${server.readLog()}\n`);
    await server.stop();
    if (died) throw new Error('the Temporal server ended before the tests did');
  };
}
