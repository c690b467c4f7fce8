/** Says so where a view breaks, rather than leaving an empty page. */
import { Component, type ReactNode } from "react";

interface Props {
  /** Another one is another view, which may be whole. */
  view: string;
  children: ReactNode;
}

export class Boundary extends Component<Props, { broken: { view: string; why: string } | null }> {
  override state = { broken: null as { view: string; why: string } | null };

  static getDerivedStateFromError(error: unknown) {
    return { broken: { view: location.pathname, why: error instanceof Error ? error.message : String(error) } };
  }

  override render() {
    const { broken } = this.state;
    if (broken?.view !== this.props.view) return this.props.children;
    return (
      <div className="problem" role="alert">
        <p>This view broke: {broken.why}</p>
        <p>
          <a href={this.props.view}>Load it again</a>, or <a href="/">begin anew</a>.
        </p>
      </div>
    );
  }
}
