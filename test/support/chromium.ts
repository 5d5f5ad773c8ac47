/**
 * A headless Chromium for tests: the one of the package on Linux x64, elsewhere the one on PATH. There is none: that is a failure.
 *
 * 1. The package is unpacked once, by whoever is first, in a folder of its own that is moved into place whole: its own way leaves a
 *    file that is being written where another process takes it for the program.
 * 2. It sees the fonts that the package brings, so that a machine without any shows text too, and the same text.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const projectFolder = fileURLToPath(new URL('../..', import.meta.url));
const require = createRequire(import.meta.url);
const packageFolder = join(dirname(require.resolve('@sparticuz/chromium')), '..');

export type BrowserProgram = { path: string; environment: Record<string, string> };

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome', 'google-chrome-stable'];

/** Finds it, unpacking it first where that is needed. Throws: there is none. */
export async function findChromium(): Promise<BrowserProgram> {
  if (process.platform === 'linux' && process.arch === 'x64') return unpacked();
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const path = folders
    .flatMap((folder) => NAMES.map((name) => join(folder, name)))
    .find((file) => existsSync(file));
  if (path === undefined)
    throw new Error(`there is no Chromium on PATH (${NAMES.join(', ')}); the tests need one here`);
  return { path, environment: {} };
}

async function unpacked(): Promise<BrowserProgram> {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
    version: string;
  };
  const cache = join(projectFolder, 'node_modules/.cache');
  const folder = join(cache, `chromium-${version}`);
  if (!existsSync(folder)) {
    const unfinished = `${folder}.${process.pid}`;
    mkdirSync(unfinished, { recursive: true });
    try {
      // it unpacks into the system's folder for temporary files, whichever that is
      const program = `import chromium from '@sparticuz/chromium'; await chromium.executablePath();`;
      await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program], {
        cwd: projectFolder,
        env: { ...process.env, TMPDIR: unfinished },
      });
      writeFileSync(join(unfinished, 'fonts.conf'), fontsOf(folder));
      renameSync(unfinished, folder);
    } catch (error) {
      // another process was quicker
      if (!existsSync(folder)) throw error;
    } finally {
      rmSync(unfinished, { recursive: true, force: true });
    }
  }
  return {
    path: join(folder, 'chromium'),
    environment: { FONTCONFIG_FILE: join(folder, 'fonts.conf') },
  };
}

const fontsOf = (folder: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>${folder}/fonts-cache</cachedir>
  <alias binding="strong"><family>system-ui</family><prefer><family>Open Sans</family></prefer></alias>
  <alias binding="strong"><family>sans-serif</family><prefer><family>Open Sans</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
`;
