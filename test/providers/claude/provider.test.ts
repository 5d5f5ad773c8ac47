import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { createClaudeProvider } from '../../../src/providers/claude/provider.ts';
import { allowedEnvironment } from '../../../src/providers/process/environment.ts';
import { eventually } from '../../support/eventually.ts';

const spec = {
  workspacePath: '/srv/demo/work',
  model: null,
  resumeSessionId: null,
  newSessionId: 'a-uuid',
};

/** A folder with a `claude` that is this shell script, and a PATH with it. */
function installed(
  script: string,
  mode = 0o755,
): { folder: string; program: string; PATH: string } {
  const folder = mkdtempSync(join(tmpdir(), 'claude-provider-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, 'claude');
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, mode);
  return { folder, program, PATH: `${folder}:/usr/bin:/bin` };
}

const answers = (version: string): string => `echo "${version} (Claude Code)"`;

describe('looking claude up', () => {
  it('finds the first one on PATH, and its version', async () => {
    const { program, PATH } = installed(answers('2.1.330'));
    expect(await createClaudeProvider().lookup({ PATH: `/no/such/folder:${PATH}` })).toEqual({
      found: true,
      program,
      version: '2.1.330',
      problem: null,
    });
  });

  it('finds one behind a link', async () => {
    const { folder, program, PATH } = installed(answers('2.1.330'));
    const bin = join(folder, 'bin');
    mkdirSync(bin);
    symlinkSync(program, join(bin, 'claude'));
    expect(await createClaudeProvider().lookup({ PATH: `${bin}:${PATH}` })).toMatchObject({
      program: join(bin, 'claude'),
      version: '2.1.330',
    });
  });

  it.each([
    ['no PATH', {}],
    ['an empty PATH', { PATH: '' }],
    ['a PATH without it', { PATH: '/no/such/folder' }],
    ['a relative PATH', { PATH: '.:node_modules/.bin' }],
  ])('says how to get it with %s', async (_what, environment) => {
    const lookup = await createClaudeProvider().lookup(environment);
    expect(lookup).toMatchObject({ found: false });
    expect(lookup.problem).toContain('npm install -g @anthropic-ai/claude-code');
  });

  it('passes over what cannot be run, and over folders', async () => {
    const notExecutable = installed(answers('1.0.0'), 0o644);
    const folder = installed('');
    rmSync(folder.program);
    mkdirSync(folder.program);
    const { program, PATH } = installed(answers('2.0.0'));
    expect(
      await createClaudeProvider().lookup({
        PATH: `${notExecutable.folder}:${folder.folder}:${PATH}`,
      }),
    ).toMatchObject({ program, version: '2.0.0' });
  });

  it.each([
    ['fails', 'echo "2.1.330"; exit 3', '--version ended with 3'],
    ['is killed', 'kill -9 $$', '--version ended with SIGKILL'],
    ['names no version', 'echo hello', '--version names none'],
  ])('does not count one that %s', async (_what, script, why) => {
    const { program, PATH } = installed(script);
    expect(await createClaudeProvider().lookup({ PATH })).toEqual({
      found: false,
      problem: `${program} cannot be used: ${why}`,
    });
  });

  it('does not count one whose interpreter is missing', async () => {
    const { program, PATH } = installed('');
    writeFileSync(program, '#!/no/such/interpreter\n');
    const lookup = await createClaudeProvider().lookup({ PATH });
    expect(lookup).toMatchObject({ found: false });
    expect(lookup.problem).toContain('ENOENT');
  });

  it('does not wait for one that hangs, and leaves nothing of it', async () => {
    const { folder, PATH } = installed('sleep 600 &\necho $! > "$(dirname "$0")/child"\nwait');
    const provider = createClaudeProvider({ versionTimeoutMs: 300 });
    expect(await provider.lookup({ PATH })).toMatchObject({
      found: true,
      version: null,
      problem: expect.stringContaining('no answer within 300 ms') as unknown,
    });
    const child = readFileSync(join(folder, 'child'), 'utf8').trim();
    await eventually(() => {
      try {
        // gone, or a zombie that nobody has waited for yet
        return /\) Z/.test(readFileSync(`/proc/${child}/stat`, 'utf8'));
      } catch {
        return true;
      }
    });
  });

  it('asks once for a file, for all who look at the same time, and again when it is another', async () => {
    const { folder, program, PATH } = installed(
      `echo x >> "$(dirname "$0")/asked"; ${answers('1.0.0')}`,
    );
    const provider = createClaudeProvider();
    await Promise.all([provider.lookup({ PATH }), provider.lookup({ PATH })]);
    await provider.lookup({ PATH });
    expect(readFileSync(join(folder, 'asked'), 'utf8')).toBe('x\n');
    rmSync(program);
    writeFileSync(program, `#!/bin/sh\n${answers('1.0.1-beta.2')}\n`);
    chmodSync(program, 0o755);
    expect(await provider.lookup({ PATH })).toMatchObject({ version: '1.0.1-beta.2' });
  });

  it('shows it no more of the environment than a session would see', async () => {
    const { folder, PATH } = installed(`env > "$(dirname "$0")/seen"; ${answers('1.0.0')}`);
    await createClaudeProvider().lookup({
      PATH,
      A_SECRET: 'x',
      ANTHROPIC_API_KEY: 'y',
      CLAUDECODE: '1',
    });
    const seen = readFileSync(join(folder, 'seen'), 'utf8');
    expect(seen).toContain('ANTHROPIC_API_KEY=y');
    expect(seen).not.toContain('A_SECRET');
    expect(seen).not.toContain('CLAUDECODE');
  });
});

describe('starting claude', () => {
  it('speaks stream-json both ways and asks for approvals there', () => {
    const { args, environment } = createClaudeProvider().command('/bin/claude', spec);
    expect(args.join(' ')).toBe(
      '-p --output-format stream-json --verbose --include-partial-messages --input-format stream-json ' +
        '--permission-prompt-tool stdio --session-id a-uuid',
    );
    expect(environment).toEqual({ DISABLE_AUTOUPDATER: '1' });
  });

  it('continues a session, and takes a model as nothing but a model', () => {
    const { args } = createClaudeProvider().command('/bin/claude', {
      ...spec,
      resumeSessionId: 'earlier',
      model: '--dangerously-skip-permissions',
    });
    expect(args.slice(-3)).toEqual([
      '--resume',
      'earlier',
      '--model=--dangerously-skip-permissions',
    ]);
    expect(args).not.toContain('--session-id');
  });

  it('is told of its MCP server by a file, and asks nobody before it uses its tools', () => {
    const { args } = createClaudeProvider().command('/bin/claude', {
      ...spec,
      mcpConfigPath: '/spools/t1.1/mcp.json',
    });
    // a word each: as two, all that follows would be taken for further files, or tools
    expect(args.slice(-2)).toEqual([
      '--mcp-config=/spools/t1.1/mcp.json',
      '--allowedTools=mcp__holdfast__spawn_agent,mcp__holdfast__send_message,mcp__holdfast__check_inbox,mcp__holdfast__list_team',
    ]);
  });

  it('hands on what a user sets, and nothing that a Claude Code sets for its children', () => {
    const names =
      'ANTHROPIC_API_KEY ANTHROPIC_BASE_URL CLAUDE_CONFIG_DIR CLAUDE_CODE_USE_BEDROCK AWS_REGION ' +
      'CLAUDE_CODE_OAUTH_TOKEN CLAUDE_CODE_MAX_RETRIES DISABLE_TELEMETRY CLAUDECODE CLAUDE_CODE_CHILD_SESSION ' +
      'CLAUDE_CODE_SESSION_ID CLAUDE_PID CLAUDE_CODE_ENTRYPOINT CLAUDE_CODE_SSE_PORT AI_AGENT HOLDFAST_TOKEN BASH_ENV';
    const environment = Object.fromEntries(names.split(' ').map((name) => [name, '1']));
    const { environmentNames } = createClaudeProvider();
    const allowed = allowedEnvironment({ environment, names: environmentNames });
    expect(Object.keys(allowed).toSorted()).toEqual([
      'ANTHROPIC_API_KEY',
      'ANTHROPIC_BASE_URL',
      'AWS_REGION',
      'CLAUDE_CODE_MAX_RETRIES',
      'CLAUDE_CODE_OAUTH_TOKEN',
      'CLAUDE_CODE_USE_BEDROCK',
      'CLAUDE_CONFIG_DIR',
      'DISABLE_TELEMETRY',
    ]);
  });
});
