import { useState } from "react";
import { signIn } from "../api.ts";
import { useAction } from "../parts/loading.ts";
import { Field, Form, Heading, Problem } from "../parts/ui.tsx";

export function SignInPage({ signedIn }: { signedIn: () => void }) {
  const spent = new URLSearchParams(location.search).has("fault");
  return (
    <main className="narrow">
      <Heading text="Sign in to Waymark" />
      {spent && (
        <p role="alert" className="problem">
          That link was used already, or its minute is over. <code>waymark open</code> makes another.
        </p>
      )}
      <SignInForm signedIn={signedIn} />
    </main>
  );
}

export function SignInForm({ signedIn }: { signedIn: () => void }) {
  const [token, setToken] = useState("");
  const { busy, failure, run } = useAction();
  const act = () =>
    void run(async () => {
      await signIn(token);
      signedIn();
    });
  return (
    <Form label="Sign in" act={act}>
      <Field label="Token" hint="On the server's own machine, `waymark open` signs you in without it.">
        {(id, hint) => (
          <input
            id={id}
            aria-describedby={hint}
            type="password"
            autoComplete="off"
            value={token}
            required
            autoFocus
            onChange={(event) => setToken(event.target.value)}
          />
        )}
      </Field>
      {failure && <Problem failure={failure} />}
      <button className="primary" disabled={busy || token.trim() === ""}>
        {busy ? "Signing in …" : "Sign in"}
      </button>
    </Form>
  );
}
