import { ensurePage } from './bundle-page.ts';
/**
 * Makes what is made ahead of time: the workflows' bundle and the page, each only when its sources have changed.
 *
 * With `--page-optional` a page that cannot be built is said and is no failure: all but the page works without it.
 */
import { ensureWorkflowBundle } from './bundle.ts';

const pageIsOptional = process.argv.includes('--page-optional');
const say = (text: string): void => void process.stderr.write(`holdfast: ${text}\n`);
const wordsOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

const [workflows, page] = await Promise.allSettled([ensureWorkflowBundle(), ensurePage()]);

if (workflows.status === 'rejected') {
  say(`the workflows could not be bundled: ${wordsOf(workflows.reason)}`);
  process.exitCode = 1;
} else if (workflows.value.built) say('workflows bundled');

if (page.status === 'rejected') {
  say(`the page could not be built: ${wordsOf(page.reason)}`);
  if (pageIsOptional) say('everything but the page works; to try again: npm run build');
  else process.exitCode = 1;
} else if (page.value.built) say('page built');
