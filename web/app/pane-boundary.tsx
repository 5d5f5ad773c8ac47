import { Component, type ReactNode } from 'react';

import { Button } from '../parts/button.tsx';

type Props = { name: string; children: ReactNode };

/** What is broken in one pane stays in it: the others go on, and this one can be shown again. */
export class PaneBoundary extends Component<Props, { error: unknown; isBroken: boolean }> {
  override state = { error: null, isBroken: false };

  static getDerivedStateFromError(error: unknown) {
    return { error, isBroken: true };
  }

  override render() {
    if (!this.state.isBroken) return this.props.children;
    const error: unknown = this.state.error;
    return (
      <div className="pane-broken" role="alert">
        <p className="pane-broken-words">{this.props.name} could not be shown.</p>
        <p className="pane-broken-detail">
          {error instanceof Error ? error.message : String(error)}
        </p>
        <Button onClick={() => this.setState({ error: null, isBroken: false })}>Show again</Button>
      </div>
    );
  }
}
