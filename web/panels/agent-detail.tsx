import type { TeamHandle } from '../client/contract.ts';
import { Button } from '../parts/button.tsx';
import { Icon } from '../parts/icon.tsx';
import { Menu } from '../parts/menu.tsx';
import { Ago } from '../parts/time.tsx';
import { usageText } from '../parts/usage-words.ts';
import type { Agent } from './agent-rows.ts';
import { Mailbox } from './mailbox.tsx';

/** One agent: what is known of it, what can be done with it, its mail. */
export function AgentDetail({
  handle,
  agent,
  isShown,
  isRoot,
  hasBelow,
  nameOf,
  onOpen,
  onWrite,
  onSpawn,
  onCancel,
}: {
  handle: TeamHandle;
  agent: Agent;
  isShown: boolean;
  isRoot: boolean;
  hasBelow: boolean;
  /** What an address (agentId or conversationId) is called. */
  nameOf: (address: string) => string;
  onOpen: () => void;
  onWrite: () => void;
  onSpawn: () => void;
  onCancel: () => void;
}) {
  const { usage } = agent;
  const isBusy = agent.state !== 'idle' || hasBelow;
  return (
    <section className="agent-detail" aria-label={agent.name}>
      <header className="agent-detail-header">
        <h3 className="panel-heading">{agent.name}</h3>
        <div className="agent-detail-verbs">
          {!isShown && (
            <Button size="s" onClick={onOpen}>
              Open
            </Button>
          )}
          {!isRoot && (
            <Button size="s" onClick={onWrite}>
              Write
            </Button>
          )}
          <Menu
            label={`Actions for ${agent.name}`}
            trigger={<Icon name="more" size={17} />}
            items={[
              { label: 'Spawn an agent below…', icon: 'plus', onSelect: onSpawn },
              {
                label: hasBelow ? 'Cancel it and all below…' : 'Cancel…',
                icon: 'stop',
                danger: true,
                disabled: !isBusy,
                onSelect: onCancel,
              },
            ]}
          />
        </div>
      </header>
      <dl className="facts">
        <div>
          <dt>Provider</dt>
          <dd>{agent.model === null ? agent.provider : `${agent.provider}, ${agent.model}`}</dd>
        </div>
        <div>
          <dt>Turns</dt>
          <dd>
            {agent.turnCount}
            <span className="facts-more">
              {' '}
              last <Ago at={agent.lastAt} />
            </span>
          </dd>
        </div>
        <div>
          <dt>Tokens</dt>
          <dd>{usageText(usage) ?? 'none yet'}</dd>
        </div>
        <div>
          <dt>Workspace</dt>
          <dd className="facts-path">{agent.workspacePath}</dd>
        </div>
      </dl>
      <Mailbox handle={handle} agent={agent} nameOf={nameOf} />
    </section>
  );
}
