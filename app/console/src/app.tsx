/** The console: who is signed in, the project at hand, and the view that the address names. */
import { lazy, Suspense, useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";
import { Link, Redirect, Route, Switch, useLocation, useParams, useSearch } from "wouter";
import { ask, isSignedIn, onSignedOut, signOut, type Failure } from "./api.ts";
import { Boundary } from "./parts/boundary.tsx";
import { asFailure, forgetLists } from "./parts/loading.ts";
import { uploads } from "./parts/uploading.ts";
import { Sendings } from "./parts/uploads.tsx";
import { Dialog, Empty, Loading, Problem } from "./parts/ui.tsx";
import { AliasPage } from "./pages/alias.tsx";
import { AliasesPage } from "./pages/aliases.tsx";
import { DataPage } from "./pages/data.tsx";
import { DatumPage } from "./pages/datum.tsx";
import { ExecutionPage } from "./pages/execution.tsx";
import { ExecutionsPage } from "./pages/executions.tsx";
import { NewExecutionPage } from "./pages/new-execution.tsx";
import { SignInForm, SignInPage } from "./pages/sign-in.tsx";
import { StoresPage } from "./pages/stores.tsx";
import { TokensPage } from "./pages/tokens.tsx";
import { ProjectContext, VIEWER, ViewerContext, useViewer, type Viewer } from "./session.ts";

const LineagePage = lazy(() => import("./pages/lineage.tsx"));

export function App() {
  const [location, navigate] = useLocation();
  const search = useSearch();
  const [viewer, setViewer] = useState<Viewer | null>();
  const [expired, setExpired] = useState(false);
  const [failure, setFailure] = useState<Failure>();

  const load = useCallback(() => {
    setFailure(undefined);
    const viewerNow = async () => ((await isSignedIn()) ? (await ask(VIEWER, {})).viewer : null);
    viewerNow().then(setViewer, (error: unknown) => setFailure(asFailure(error)));
  }, []);
  useEffect(() => {
    onSignedOut(() => setExpired(true));
    load();
  }, [load]);

  const again = () => {
    forgetLists();
    setExpired(false);
    load();
  };
  const leave = () => {
    uploads.end();
    // the views go first, so that none asks for anything as nobody
    setViewer(undefined);
    void signOut().then(() => setViewer(null), load);
  };

  if (failure)
    return (
      <main className="narrow">
        <Problem failure={failure} retry={load} />
      </main>
    );
  if (viewer === undefined)
    return (
      <main className="narrow">
        <Loading what="Waymark" />
      </main>
    );
  if (viewer === null)
    return (
      <SignInPage
        signedIn={() => {
          again();
          if (new URLSearchParams(search).get("next") === "graphiql") window.location.assign("/graphiql");
          else if (location === "/sign-in") navigate("/");
        }}
      />
    );
  return (
    <ViewerContext value={viewer}>
      {expired && (
        <Dialog title="You are signed out" close={() => setViewer(null)}>
          <p>Sign in again and go on: what you entered is still here.</p>
          <SignInForm signedIn={again} />
        </Dialog>
      )}
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Switch>
        <Route path="/projects/:slug/*?">{() => <InProject leave={leave} />}</Route>
        <Route path="/tokens">
          <Frame leave={leave}>
            <TokensPage />
          </Frame>
        </Route>
        <Route>{() => <First />}</Route>
      </Switch>
    </ViewerContext>
  );
}

function First() {
  const { projects } = useViewer();
  const [first] = projects.nodes;
  if (first) return <Redirect href={`/projects/${first.slug}/aliases`} replace />;
  return (
    <main className="narrow">
      <Empty title="You see no project yet">
        <p>
          Make one with <code>waymark project create</code>, or ask for a token that sees one.
        </p>
      </Empty>
    </main>
  );
}

function InProject({ leave }: { leave: () => void }) {
  const { slug = "" } = useParams<{ slug: string }>();
  const [location] = useLocation();
  const viewer = useViewer();
  const project = viewer.projects.nodes.find((each) => each.slug === slug);
  if (!project)
    return (
      <Frame leave={leave}>
        <Empty title={`There is no project ${slug} that you may see`}>
          <Link href="/">To the projects that you may see</Link>
        </Empty>
      </Frame>
    );
  return (
    <ProjectContext value={project}>
      <Frame slug={slug} leave={leave}>
        <Boundary view={location}>
          <Suspense fallback={<Loading what="the view" />}>
            <Switch>
              <Route path="/projects/:slug/aliases" component={AliasesPage} />
              <Route path="/projects/:slug/aliases/:name" component={AliasPage} />
              <Route path="/projects/:slug/data" component={DataPage} />
              <Route path="/projects/:slug/data/:id" component={DatumPage} />
              <Route path="/projects/:slug/executions" component={ExecutionsPage} />
              <Route path="/projects/:slug/executions/new" component={NewExecutionPage} />
              <Route path="/projects/:slug/executions/:number" component={ExecutionPage} />
              <Route path="/projects/:slug/lineage/:kind/:id" component={LineagePage} />
              <Route path="/projects/:slug/stores" component={StoresPage} />
              <Route path="/projects/:slug">{() => <Redirect href={`/projects/${slug}/aliases`} replace />}</Route>
              <Route>
                <Empty title="There is no such view">
                  <Link href={`/projects/${slug}/aliases`}>To the aliases</Link>
                </Empty>
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </Frame>
    </ProjectContext>
  );
}

const sections = [
  ["aliases", "Aliases"],
  ["data", "Data"],
  ["executions", "Executions"],
  ["stores", "Stores"],
] as const;

/** A view that one goes to begins at its top, and with it the keyboard; one that one comes back to is as it was. */
function useNewView(location: string, content: RefObject<HTMLElement | null>) {
  const shown = useRef(location);
  const isBack = useRef(false);
  useEffect(() => {
    const back = () => {
      isBack.current = true;
    };
    addEventListener("popstate", back, { capture: true });
    return () => removeEventListener("popstate", back, { capture: true });
  }, []);
  useLayoutEffect(() => {
    if (shown.current === location) return;
    shown.current = location;
    if (!isBack.current) {
      scrollTo(0, 0);
      content.current?.focus({ preventScroll: true });
    }
    isBack.current = false;
  }, [location, content]);
}

function Frame({ slug, leave, children }: { slug?: string; leave: () => void; children: React.ReactNode }) {
  const viewer = useViewer();
  const [location, navigate] = useLocation();
  const content = useRef<HTMLElement>(null);
  useNewView(location, content);
  const at = slug ?? viewer.projects.nodes[0]?.slug;
  const current = (path: string) => (location.startsWith(path) ? ({ "aria-current": "page" } as const) : {});
  return (
    <>
      <header className="frame">
        <Link href="/" className="brand">
          Waymark
        </Link>
        {viewer.projects.nodes.length > 0 && (
          <select
            aria-label="Project"
            value={slug ?? ""}
            onChange={(event) => navigate(`/projects/${event.target.value}/aliases`)}
          >
            {!slug && <option value="">Project …</option>}
            {viewer.projects.nodes.map((each) => (
              <option key={each.id} value={each.slug}>
                {each.name}
              </option>
            ))}
          </select>
        )}
        <nav aria-label="Views">
          {at &&
            sections.map(([path, name]) => (
              <Link key={path} href={`/projects/${at}/${path}`} {...current(`/projects/${at}/${path}`)}>
                {name}
              </Link>
            ))}
          <Link href="/tokens" {...current("/tokens")}>
            Tokens
          </Link>
          <a href="/graphiql">GraphiQL</a>
        </nav>
        <span className="who">
          {viewer.name}{" "}
          <button type="button" className="small" onClick={leave}>
            Sign out
          </button>
        </span>
      </header>
      <main id="content" tabIndex={-1} ref={content}>
        <Sendings />
        {children}
      </main>
    </>
  );
}
