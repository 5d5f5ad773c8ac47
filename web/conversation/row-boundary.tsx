import { Component, type ReactNode } from 'react';

type Props = {
  /** It is tried again when this is another object. */
  of: object;
  /** What is shown instead. */
  text: string;
  children: ReactNode;
};
type State = { isFailed: boolean; of: object };

/** A part that cannot be drawn takes nothing else with it: its text is shown as it is. */
export class RowBoundary extends Component<Props, State> {
  override state: State = { isFailed: false, of: this.props.of };

  static getDerivedStateFromError(): Partial<State> {
    return { isFailed: true };
  }

  static getDerivedStateFromProps(props: Props, state: State): State | null {
    return props.of === state.of ? null : { isFailed: false, of: props.of };
  }

  override render(): ReactNode {
    if (!this.state.isFailed) return this.props.children;
    return (
      <div className="row-boundary">
        <p className="incomplete">This could not be drawn. It says:</p>
        <pre className="long-text">{this.props.text}</pre>
      </div>
    );
  }
}
