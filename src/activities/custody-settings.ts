/** What custody is set up with. */
import type { PhaseName } from '../contracts/events.ts';
import type { Room } from '../store/disk-room.ts';
import type { AttemptRef } from './live-turn.ts';
import type { SilenceLimitsOfPhase } from './silence.ts';

/** `token` opens `url` for one conversation. */
export type McpAccess = { url: string; token: string };

export type CustodySettings = {
  host: string;
  spoolRoot: string;
  /** The engine's own environment; providers see an allowlisted part of it. */
  environment: Readonly<Record<string, string | undefined>>;
  cancelGraceMs: number;
  termGraceMs: number;
  sessionIdleMs: number;
  sessionLimit: number;
  sessionSpoolLimitBytes: number;
  lineLimitBytes: number;
  /** Limits of the silence clock. */
  silence: (subject: { provider: string; phase: PhaseName }) => SilenceLimitsOfPhase;
  /** A look at the disks of the store and the spools. */
  room: () => Room;
  turnLimitMs: number;
  /** Where an agent's provider reaches its team, as that conversation; null: nobody has said where the gateway is. */
  mcp: (conversationId: string) => McpAccess | null;
  /** Names this start of the turn host in the ends of what it finds dead; null: they name none, and no root is told of them (M2). */
  boot: string | null;
};

/** What others are told, when they want to know; nothing waits for it. */
export type CustodyEvents = {
  /** A turn's provider has fallen silent, or says something again. */
  onQuiet?: (turn: AttemptRef & { quiet: boolean }) => void;
  /** An attempt has ended here. */
  onEnded?: (turn: AttemptRef) => void;
  /** Another process has this host's custody: this one must stop. */
  onSuperseded?: () => void;
};

export type CustodyLog = (level: 'info' | 'warn' | 'error', text: string, facts?: object) => void;
