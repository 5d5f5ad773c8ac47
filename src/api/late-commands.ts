/** Commands whose implementation is loaded when the first of them is given, or when somebody has time for it. */
import type { WorkflowCommands } from './commands.ts';

type Loaded = { commands: WorkflowCommands; close: () => Promise<void> };

export type LateCommands = {
  commands: WorkflowCommands;
  /** Loads it now, unless it is loaded. */
  load(): Promise<unknown>;
  /** Closes what was loaded. */
  close(): Promise<void>;
};

export function lateCommands(load: () => Promise<Loaded>): LateCommands {
  let loading: Promise<Loaded> | null = null;
  const loaded = (): Promise<Loaded> => (loading ??= load());
  return {
    commands: {
      create: async (command) => (await loaded()).commands.create(command),
      signal: async (command) => (await loaded()).commands.signal(command),
      spawn: async (command) => (await loaded()).commands.spawn(command),
      createTable: async (command) => (await loaded()).commands.createTable(command),
      signalTable: async (command) => (await loaded()).commands.signalTable(command),
      signalTrigger: async (command) => (await loaded()).commands.signalTrigger(command),
      inspect: async (command) => (await loaded()).commands.inspect(command),
      check: async () => (await loaded()).commands.check(),
    },
    load: loaded,
    close: async () => {
      if (loading !== null) await (await loading).close();
    },
  };
}
