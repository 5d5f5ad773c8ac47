import { useState } from 'react';

import type { HoldfastClient, TeamHandle } from '../client/contract.ts';
import { ProblemLine, problemWords } from '../parts/problem-line.tsx';
import { useOpened } from '../parts/use-opened.ts';
import { useReadable } from '../parts/use-readable.ts';
import { withConversation } from '../parts/with-conversation.ts';
import { AgentDetail } from './agent-detail.tsx';
import type { Agent } from './agent-rows.ts';
import { AgentTree } from './agent-tree.tsx';
import { ConfirmDialog } from './confirm-dialog.tsx';
import { SpawnDialog } from './spawn-dialog.tsx';
import { WriteDialog } from './write-dialog.tsx';

/** The team of a conversation: its tree, and of the agent that is selected in it what can be done and its mail. */
export function AgentsPanel({
  client,
  conversationId,
  onOpenConversation,
}: {
  client: HoldfastClient;
  conversationId: string;
  onOpenConversation: (conversationId: string) => void;
}) {
  const handle = useOpened(conversationId, (id) => client.openTeam(id));
  if (handle === null) return null;
  return (
    <Team
      client={client}
      handle={handle}
      conversationId={conversationId}
      onOpenConversation={onOpenConversation}
    />
  );
}

type Asking = 'none' | 'write' | 'spawn' | 'cancel';

function Team({
  client,
  handle,
  conversationId,
  onOpenConversation,
}: {
  client: HoldfastClient;
  handle: TeamHandle;
  conversationId: string;
  onOpenConversation: (conversationId: string) => void;
}) {
  const { is, problem, team } = useReadable(handle);
  const [chosenId, setChosenId] = useState(conversationId);
  const [asking, setAsking] = useState<Asking>('none');
  const [refusal, setRefusal] = useState<string | null>(null);
  if (is === 'failed' && problem !== null) return <ProblemLine problem={problem} />;
  const selected =
    team.agents.find((agent) => agent.conversationId === chosenId) ?? team.agents[0] ?? null;
  if (is === 'loading' || selected === null) return <p className="panel-empty">Loading…</p>;
  const close = () => setAsking('none');
  const root = team.agents[0] ?? selected;
  const cancel = () => {
    close();
    setRefusal(null);
    void withConversation(client, selected.conversationId, (conversation) =>
      conversation.cancel({ cascade: true }),
    ).then((outcome) => {
      if (!outcome.ok) setRefusal(problemWords(outcome.problem));
    });
  };
  return (
    <div className="agents">
      <AgentTree
        agents={team.agents}
        selectedId={selected.conversationId}
        shownId={conversationId}
        onSelect={setChosenId}
        onOpen={onOpenConversation}
      />
      {team.agents.length === 1 && (
        <p className="panel-empty">
          This conversation works alone. It may spawn agents by itself, or you spawn one here.
        </p>
      )}
      {refusal !== null && (
        <p className="problem-line" role="alert">
          {refusal}
        </p>
      )}
      <AgentDetail
        key={selected.conversationId}
        handle={handle}
        agent={selected}
        isShown={selected.conversationId === conversationId}
        isRoot={selected === root}
        hasBelow={team.agents.some((agent) => agent.parentId === selected.conversationId)}
        nameOf={(agentId) => nameIn(team.agents, agentId)}
        onOpen={() => onOpenConversation(selected.conversationId)}
        onWrite={() => setAsking('write')}
        onSpawn={() => setAsking('spawn')}
        onCancel={() => setAsking('cancel')}
      />
      {asking === 'write' && (
        <WriteDialog handle={handle} from={root} to={selected} onClose={close} />
      )}
      {asking === 'spawn' && (
        <SpawnDialog client={client} handle={handle} parent={selected} onClose={close} />
      )}
      {asking === 'cancel' && (
        <ConfirmDialog
          title={`Cancel ${selected.name}`}
          action="Cancel the work"
          words={`What runs in ${selected.name} and in every agent below it is cancelled, and what waits there is held. What was said so far is kept.`}
          onClose={close}
          onConfirm={cancel}
        />
      )}
    </div>
  );
}

function nameIn(agents: readonly Agent[], address: string): string {
  const found = agents.find(
    ({ agentId, conversationId }) => agentId === address || conversationId === address,
  );
  return found?.name ?? address;
}
