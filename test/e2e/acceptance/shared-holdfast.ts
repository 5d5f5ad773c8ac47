/** One Holdfast for all tests of a file: started before them, discarded after them, its logs shown with each that fails. */
import { afterAll, beforeAll, beforeEach } from 'vitest';

import { Holdfast } from '../../support/holdfast.ts';
import { temporalBinary } from '../../support/temporal.ts';

/** To be called at the top of a file. `environment`: settings beside the usual ones. */
export function sharedHoldfast(environment: Record<string, string> = {}): Holdfast {
  const holdfast = new Holdfast({ temporalBinary: temporalBinary(), environment });
  beforeAll(() => holdfast.start());
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => void process.stderr.write(holdfast.logs()));
  });
  afterAll(() => holdfast.discard());
  return holdfast;
}
