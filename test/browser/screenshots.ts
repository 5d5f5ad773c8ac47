/** `npm run screenshots [-- --only name] [--out folder]`: a picture of each state of the page, on a real engine, at both widths. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { ensurePage } from '../../scripts/bundle-page.ts';
import { ensureWorkflowBundle } from '../../scripts/bundle.ts';
import { projectFolder } from '../support/holdfast.ts';
import { findTemporalBinary } from '../support/temporal-server.ts';
import { pictures, QUIET_AFTER_MS, type Setting } from './pictures.ts';
import { Stage } from './stage.ts';

/** Shown in the dark as well. */
const DARK = new Set(['conversation', 'streaming', 'approval']);

const { values } = parseArgs({
  options: {
    out: { type: 'string', default: join(projectFolder, 'docs/images') },
    only: { type: 'string', default: '' },
  },
});

async function take(stage: Stage, name: string, setting: Setting): Promise<void> {
  const { device, colorScheme } = setting;
  const file = `${name}-${device}${colorScheme === 'dark' ? '-dark' : ''}.png`;
  try {
    const page = await pictures[name]?.(stage, setting);
    await page?.page.screenshot({ path: join(values.out, file), caret: 'hide' });
    process.stdout.write(`${file}\n`);
  } catch (error) {
    process.stderr.write(`${file}: ${String(error)}\n`);
    process.exitCode = 1;
  } finally {
    stage.proxy.mend();
    await stage.closeDevices();
  }
}

await ensureWorkflowBundle();
await ensurePage();
mkdirSync(values.out, { recursive: true });
const stage = new Stage({ HOLDFAST_QUIET_AFTER_MS: String(QUIET_AFTER_MS) });
try {
  await stage.startBrowser();
  await stage.startEngine(await findTemporalBinary());
  for (const name of Object.keys(pictures).filter((each) => each.includes(values.only)))
    for (const device of ['desktop', 'phone'] as const) {
      await take(stage, name, { device, colorScheme: 'light' });
      if (DARK.has(name)) await take(stage, name, { device, colorScheme: 'dark' });
    }
} finally {
  await stage.stopBrowser();
  await stage.stopEngine();
}
