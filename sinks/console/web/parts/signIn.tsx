import { useState } from "preact/hooks";

import { signInWith, useSignIn } from "./api.ts";

export function SignIn() {
  const { key } = useSignIn();
  const [typed, setTyped] = useState("");
  return (
    <form class="card sign-in" onSubmit={(event) => { event.preventDefault(); if (typed.trim() !== "") signInWith(typed.trim()); }}>
      <h1>Sign in</h1>
      <p>This system asks for an API key: one of the role <code>read</code> to look, <code>admin</code> to change things too. A tenant's key sees its own tenant.</p>
      {key !== null && <p class="problem" role="alert">The key was not accepted: it may be mistyped, revoked or of another system.</p>}
      <label>API key<input type="password" autocomplete="off" spellcheck={false} required value={typed} onInput={({ currentTarget }) => setTyped(currentTarget.value)} /></label>
      <div class="buttons"><button type="submit" class="primary">Sign in</button></div>
      <p class="note">Make one: <code>npx inferctl keys create --operator --role read</code>. It is kept in this tab only, until the tab is closed.</p>
    </form>
  );
}
